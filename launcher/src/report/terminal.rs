//! Prints reports on standard output. No control characters reach a terminal but line ends, tabs and
//! our own colours.

use anstyle::{AnsiColor, Style};
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use crate::printable::{self, Printable};
use crate::report::Report;
use crate::report::full::CUT;
use crate::report::movement::Movements;
use crate::report::page::Page;
use crate::state::budget::{AnswerBytes, megabytes};
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

/// Prints a report in the full format, with colours where they are wanted, below the heading of its process.
/// An empty line follows. `most`: how much is printed, in bytes.
pub fn print_full(
    report: &Report,
    movements: Option<&Movements>,
    coloured: bool,
    most: u64,
) -> Result<(), Trouble> {
    let mut output = io::stdout().lock();
    let mut page = Page::new(&mut output, coloured, most);
    page.push_str(&heading(report.process, &report.command));
    report.write_full(movements, &mut page);
    page.note("");
    page.finish().map_err(not_written)
}

/// Prints a text below the heading of a process, with colours where they are wanted.
pub fn print_words(report: &Report, words: &str, coloured: bool) -> Result<(), Trouble> {
    let mut output = io::stdout().lock();
    let mut page = Page::new(&mut output, coloured, u64::MAX);
    page.push_str(&heading(report.process, &report.command));
    page.note(words);
    page.note("");
    page.finish().map_err(not_written)
}

/// Prints a report as a JSON document. `most`: how much is printed, in bytes.
pub fn print_json(report: &Report, most: u64) -> Result<(), Trouble> {
    let mut output = io::stdout().lock();
    report.write_json(&mut output, most).map_err(not_written)
}

/// Prints an answer that is text, and ends its last line. Under a heading, an empty line follows. The answers
/// of honest agents are printed as they are. In those of others, characters that have an effect on a
/// terminal are escaped, and so are lines that look like the command's own.
pub fn print_text(heading: Option<&str>, text: &AnswerBytes, most: u64) -> Result<(), Trouble> {
    let mut output = io::stdout().lock();
    let mut page = Page::new(&mut output, false, most);
    page.push_str(heading.unwrap_or_default());
    write_text(&mut page, text);
    page.end_line();
    if heading.is_some() {
        page.note("");
    }
    page.finish().map_err(not_written)
}

fn write_text(page: &mut Page, text: &AnswerBytes) {
    let mut shown = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if page.is_full() {
            break;
        }
        // A page takes everything.
        let mut pieces = line.chunks(LONGEST_PIECE);
        let _ = pieces.try_for_each(|piece| printable::write_line(page, piece));
        shown += line.len();
    }
    if page.is_full() || text.is_cut() {
        let [shown, whole] = [shown as u64, text.whole()].map(megabytes);
        page.note(&format!(
            "{CUT}: this is {shown} of {whole}; the full format is shorter"
        ));
    }
}

/// A longer line is written in pieces of this many bytes. A character that is cut in two is shown as bytes.
const LONGEST_PIECE: usize = 1 << 20;

fn not_written(error: io::Error) -> Trouble {
    Trouble::plain(format!("its state could not be written ({error})"))
}

/// The full format in colours. The first characters of a line say what it is: they are always the
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
    fn shown(text: AnswerBytes, most: u64) -> String {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, false, most);
        write_text(&mut page, &text);
        page.finish().expect("a vector takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn escapes_all_but_lines() {
        let text = "é\n\tx\x1b[31m\0\x7f\u{9b}\n=== PID 1: /sbin/init\n";
        let escaped = "é\n\tx\\u{1b}[31m\\u{0}\\u{7f}\\u{9b}\n\\u{3d}== PID 1: /sbin/init\n";
        assert_eq!(shown(text.as_bytes().to_vec().into(), 1000), escaped);
        assert_eq!(shown(escaped.as_bytes().to_vec().into(), 1000), escaped);
        assert_eq!(shown(b"\xff\x9b".to_vec().into(), 1000), "\\xff\\x9b\n");
    }

    #[test]
    fn says_where_text_is_cut() {
        let text = shown(b"0123456789\n".repeat(1000).into(), 50);
        assert_eq!(text.lines().count(), 6);
        let last = "=== cut here: this is 1 kB of 11 kB; the full format is shorter\n";
        assert!(text.ends_with(last), "{text}");
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
