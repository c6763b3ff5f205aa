//! Prints reports on standard output. No control characters reach a terminal but line ends, tabs and
//! our own colours.

use std::io::{self, IsTerminal};

use crate::options::extent::Extent;
use crate::printable;
use crate::report::Report;
use crate::report::between_processes::BetweenProcesses;
use crate::report::movement::Movements;
use crate::report::page::{CUT, Page};
use crate::report::verdict::Verdict;
use crate::state::budget::{AnswerBytes, megabytes};
use crate::system::process::Process;
use crate::system::standard_output::StandardOutput;
use crate::trouble::Trouble;

/// Whether standard output is a terminal with colours, and its user wants them (no-color.org).
pub fn has_colours() -> bool {
    io::stdout().is_terminal() && !anstyle_query::no_color() && anstyle_query::term_supports_color()
}

/// The line above the state of each process, where several are asked.
pub fn heading(process: Process, command: &[String]) -> String {
    format!("=== {process}: {}\n", printable::command_line(command))
}

/// Prints a report in the full format, with colours where they are wanted, below the heading of its process and of
/// those that are like it. An empty line follows. `most`: how much is printed, in bytes.
pub fn print_full(
    (report, alike): (&Report, &[Process]),
    movements: Option<&Movements>,
    extent: &Extent,
    coloured: bool,
    most: u64,
) -> Result<(), Trouble> {
    let mut output = StandardOutput;
    let mut page = Page::new(&mut output, coloured, most);
    match alike {
        [] => page.push_str(&heading(report.process, &report.command)),
        alike => {
            let pids = [report.process].into_iter().chain(alike.iter().copied());
            let pids: Vec<String> = pids.map(|one| one.pid.to_string()).collect();
            let command = printable::command_line(&report.command);
            page.push_str(&format!("=== PIDs {}: {command}\n", pids.join(", ")));
            let count = pids.len();
            page.push_str(&format!(
                "{count} idle processes with the same stacks; this is the first one (--each shows all)\n"
            ));
        }
    }
    report.write_full(movements, extent, &mut page);
    page.note("");
    page.finish().map_err(not_written)
}

/// Prints a verdict, with colours where they are wanted. An empty line follows.
pub fn print_verdict(verdict: &Verdict, coloured: bool) -> Result<(), Trouble> {
    let mut output = StandardOutput;
    let mut page = Page::new(&mut output, coloured, u64::MAX);
    verdict.write(&mut page);
    page.note("");
    page.finish().map_err(not_written)
}

/// Prints the deadlocks between the processes that were asked, if there are any.
pub fn print_between(between: &BetweenProcesses, coloured: bool) -> Result<(), Trouble> {
    let mut output = StandardOutput;
    let mut page = Page::new(&mut output, coloured, u64::MAX);
    between.write(&mut page);
    page.finish().map_err(not_written)
}

/// Prints a text below the heading of a process, with colours where they are wanted.
pub fn print_words(report: &Report, words: &str, coloured: bool) -> Result<(), Trouble> {
    let mut output = StandardOutput;
    let mut page = Page::new(&mut output, coloured, u64::MAX);
    page.push_str(&heading(report.process, &report.command));
    page.note(words);
    page.note("");
    page.finish().map_err(not_written)
}

/// Prints a report as a JSON document. `most`: how much is printed, in bytes.
pub fn print_json(report: &Report, most: u64) -> Result<(), Trouble> {
    report
        .write_json(&mut StandardOutput, most)
        .map_err(not_written)
}

/// Prints an answer that is text, and ends its last line. Under a heading, an empty line follows. The answers
/// of honest agents are printed as they are. In those of others, characters that have an effect on a
/// terminal are escaped, and so are lines that look like the command's own.
pub fn print_text(heading: Option<&str>, text: &AnswerBytes, most: u64) -> Result<(), Trouble> {
    let mut output = StandardOutput;
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
    while shown < text.len() && !page.is_full() {
        let lines = first_lines(&text[shown..]);
        shown += lines.len();
        match std::str::from_utf8(lines) {
            Ok(lines) if printable::are_plain(lines.as_bytes()) => page.push_str(lines),
            _ => write_lines(page, lines),
        }
    }
    if page.is_full() || text.is_cut() {
        let [shown, whole] = [shown as u64, text.whole()].map(megabytes);
        page.note(&format!(
            "{CUT}: this is {shown} of {whole}; the full format is shorter"
        ));
    }
}

/// The first lines of a text, not many more bytes than [`PIECE`]; or a part of a very long line.
fn first_lines(text: &[u8]) -> &[u8] {
    let most = &text[..text.len().min(LONGEST_PIECE)];
    let rest = most.get(PIECE..).unwrap_or_default();
    let end = rest.iter().position(|&byte| byte == b'\n');
    &most[..end.map_or(most.len(), |at| PIECE + at + 1)]
}

fn write_lines(page: &mut Page, lines: &[u8]) {
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        if page.is_full() {
            break;
        }
        // A page takes everything.
        let _ = printable::write_line(page, line);
    }
}

/// How much text is looked at at a time, in bytes.
const PIECE: usize = 32 << 10;

/// A longer line is written in pieces of this many bytes. A character that is cut in two is shown as bytes.
const LONGEST_PIECE: usize = 1 << 20;

fn not_written(error: io::Error) -> Trouble {
    Trouble::plain(format!("its state could not be written ({error})"))
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
        let text = shown(b"0123456789\n".repeat(100_000).into(), 50);
        // What is looked at at a time, and the note.
        assert_eq!(text.lines().count(), PIECE.div_ceil(11) + 1);
        let last = "=== cut here: this is 33 kB of 1 MB; the full format is shorter\n";
        assert!(text.ends_with(last), "{text}");
    }
}
