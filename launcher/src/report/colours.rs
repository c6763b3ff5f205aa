//! The full format in colours.

use anstyle::{AnsiColor, Style};
use std::fmt::Write;

use protocol::names::THREAD_HEADING;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// A text of the full format, with colours. The first characters of a line say what it is: they are always the
/// format's own.
pub(crate) fn painted(text: &str) -> String {
    let mut painted = String::with_capacity(text.len() * 5 / 4);
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        paint(&mut painted, line);
        painted.push_str(end);
    }
    painted
}

fn paint(painted: &mut String, line: &str) {
    let mut put = |style: Style, text: &str| match text {
        "" => {}
        text => {
            let _ = write!(painted, "{style}{text}{style:#}");
        }
    };
    // The first column is empty, or has a mark for what has moved.
    let column = usize::from(line.starts_with([' ', '=', '>', '<']));
    let (mark, rest) = line.split_at(column);
    if line.starts_with("Verdict: ") && line.contains("deadlock") {
        put(RED, line);
    } else if line.starts_with(THREAD_HEADING)
        || line.starts_with("### ") && line.contains(" threads: ")
        || line.starts_with("=== ")
        || line.starts_with("Verdict: ")
    {
        put(BOLD, line);
    } else if line.starts_with("Deadlock: ") || line.starts_with("  thread ") {
        put(RED, line);
    } else if line.starts_with("Read from memory") {
        put(YELLOW, line);
    } else if rest.starts_with(" File \"") || rest.starts_with(" - ") {
        put(if mark == ">" { GREEN } else { DIM }, mark);
        if rest.starts_with(" - ") {
            put(YELLOW, rest);
            return;
        }
        let name = rest
            .rfind(", in ")
            .map_or(rest.len(), |at| at + ", in ".len());
        let (place, function) = rest.split_at(name);
        put(DIM, place);
        painted.push_str(function);
    } else {
        painted.push_str(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn colours_take_nothing_away() {
        let text = "=== PID 7: python\nDeadlock: a thread waits for itself:\n  thread 7 waits\n\
            ### Thread 7 \"a, in b\", TID 7\n> - waits for lock 0x7\n= File \"a\", line 7, in b\n    x = 1\n\
            > File \"b, in c\", line 8, in d\n  ... 7 frames left out ...\nno end";
        let codes = ["0", "1", "2", "31", "32", "33"].map(|code| format!("\x1b[{code}m"));
        let plain = |coloured: &str| {
            let bare = |text: String, code: &String| text.replace(code, "");
            codes.iter().fold(coloured.to_owned(), bare)
        };
        let coloured = painted(text);
        for code in &codes {
            assert!(coloured.contains(code), "{code:?}: {coloured:?}");
        }
        assert_eq!(plain(&coloured), text);
        assert!(coloured.contains("\x1b[1m### Thread 7 \"a, in b\", TID 7\x1b[0m\n"));
        let place = "\x1b[2m File \"b, in c\", line 8, in \x1b[0md\n";
        assert!(coloured.contains(place), "{coloured:?}");
        // However a line begins.
        for line in ["", " ", "=", "é", "> ", "  File \"", "< - é", "=é"] {
            assert_eq!(plain(&painted(line)), line);
        }
    }
}
