//! Prints reports on standard output. No control characters reach a terminal but line ends, tabs and
//! our own colours.

use anstyle::{AnsiColor, Style};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use crate::printable::Printable;
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::names::THREAD_HEADING;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// Whether standard output is a terminal with colours, and its user wants them (no-color.org).
pub fn has_colours() -> bool {
    io::stdout().is_terminal() && !anstyle_query::no_color() && anstyle_query::term_supports_color()
}

/// The line above the state of each process, where several are asked.
pub fn heading(process: Process, command: &[String]) -> String {
    format!("=== {process}: {}\n", Printable(&command.join(" ")))
}

/// Prints a state, and ends its last line. Under a heading, an empty line follows. The states of honest
/// agents have no control characters; those of others are escaped. `coloured` is for the full format:
/// colours are added after that, so that all escape sequences are ours.
pub fn print(heading: Option<&str>, state: &[u8], coloured: bool) -> Result<(), Trouble> {
    let mut heading = Cow::from(heading.unwrap_or_default());
    let mut state = harmless(state);
    let mut end = match state.ends_with(b"\n") {
        true => "",
        false => "\n",
    }
    .to_owned();
    if !heading.is_empty() {
        end.push('\n');
    }
    if coloured {
        heading = painted(&heading).into();
        state = painted(&String::from_utf8_lossy(&state))
            .into_bytes()
            .into();
    }
    // A state may have megabytes: it is written in parts, and not copied.
    let mut output = io::stdout().lock();
    let mut parts = [heading.as_bytes(), &state, end.as_bytes()].into_iter();
    parts
        .try_for_each(|part| output.write_all(part))
        .and_then(|()| output.flush())
        .map_err(|error| Trouble::plain(format!("its state could not be written ({error})")))
}

/// The text with all control characters escaped but line ends and tabs.
fn harmless(state: &[u8]) -> Cow<'_, [u8]> {
    let harms = |byte: u8| byte < b' ' && byte != b'\n' && byte != b'\t' || byte == 0x7f;
    // Nearly always there is none. The compiler makes this look at many bytes at a time.
    if !state.iter().fold(false, |found, &byte| found | harms(byte)) {
        return state.into();
    }
    let mut text = Vec::with_capacity(state.len());
    for &byte in state {
        match harms(byte) {
            true => text.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            false => text.push(byte),
        }
    }
    text.into()
}

/// The full format in colours. The first characters of a line say what it is: they are always the
/// format's own.
fn painted(text: &str) -> String {
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
        text => painted.push_str(&format!("{style}{text}{style:#}")),
    };
    // The first column is empty, or has a mark for what has moved.
    let column = usize::from(line.starts_with([' ', '=', '>', '<']));
    let (mark, rest) = line.split_at(column);
    if line.starts_with(THREAD_HEADING) || line.starts_with("=== ") {
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
    fn escapes_all_but_lines() {
        let text = "é\n\tx\x1b[31m\0\x7f".as_bytes();
        let escaped = "é\n\tx\\x1b[31m\\x00\\x7f".as_bytes();
        assert_eq!(*harmless(text), *escaped);
        assert_eq!(*harmless(escaped), *escaped);
    }

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
