//! What a report is written to: it goes out in parts as it is made, and only so much of it.

use std::fmt;
use std::io::{self, Write};

use crate::report::colours;

/// The most that is printed of one round of questions, in bytes, shared evenly by the processes that are
/// asked. 5,000 threads with 1,000 frames each are 0.7 GB.
pub const ALL: u64 = 1 << 30;

/// But each process has at least this much.
const LEAST: u64 = 16 << 20;

/// How much is printed of each of so many processes, in bytes.
pub fn share_of(processes: usize) -> u64 {
    (ALL / processes.max(1) as u64).max(LEAST)
}

/// Begins the line that stands where the rest is not shown. No line of an answer begins so
/// ([`crate::printable::write_line`]).
pub(crate) const CUT: &str = "=== cut here";

/// Whole lines are written out in pieces of this size, in bytes.
const PIECE: usize = 64 << 10;

/// A longer line is written out in pieces too, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// Where a report is written. Its text has no effect on a terminal: what comes from a process has been
/// escaped.
pub struct Page<'a> {
    out: &'a mut dyn Write,
    coloured: bool,
    /// What has not been written out yet.
    pending: String,
    /// How much of that is whole lines, in bytes.
    whole: usize,
    /// Whether a part of its first line has been written out.
    continues: bool,
    /// How many more bytes may be written.
    left: u64,
    /// Why nothing can be written any more.
    failed: Option<io::Error>,
}

impl<'a> Page<'a> {
    /// A page that takes so many bytes. `coloured` is for the full format: colours are added at last, so
    /// that all escape sequences are ours.
    pub fn new(out: &'a mut dyn Write, coloured: bool, most: u64) -> Page<'a> {
        Page {
            out,
            coloured,
            pending: String::new(),
            whole: 0,
            continues: false,
            left: most,
            failed: None,
        }
    }

    /// Whether there is no room for more: then nothing more is taken, but for [`Page::note`].
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Appends text. The last one may be longer than there is room for.
    pub fn push_str(&mut self, text: &str) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(text.len() as u64);
            self.append(text);
        }
    }

    /// Counts what took time like text of so many bytes, and is not shown.
    pub fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
    }

    /// Appends a line that is always taken.
    pub fn note(&mut self, line: &str) {
        self.end_line();
        self.append(line);
        self.append("\n");
    }

    /// Ends the last line, if it has no end.
    pub fn end_line(&mut self) {
        if self.pending.len() > self.whole || (self.pending.is_empty() && self.continues) {
            self.append("\n");
        }
    }

    fn append(&mut self, text: &str) {
        // Only the new text is searched: a line may come in a million pieces.
        if let Some(at) = text.rfind('\n') {
            self.whole = self.pending.len() + at + 1;
        }
        self.pending.push_str(text);
        if self.pending.len() - self.whole >= LONGEST_LINE {
            self.write_out(self.pending.len());
        } else if self.whole >= PIECE {
            self.write_out(self.whole);
        }
    }

    /// Writes so many bytes of what is pending out: whole lines, or everything.
    fn write_out(&mut self, end: usize) {
        let text = &self.pending[..end];
        // The rest of a line has the colour that its beginning has left.
        let rest = match self.continues {
            true => text.find('\n').map_or(end, |at| at + 1),
            false => 0,
        };
        let (rest, lines) = text.split_at(rest);
        let written = self.out.write_all(rest.as_bytes());
        let written = written.and_then(|()| match self.coloured {
            true => self.out.write_all(colours::painted(lines).as_bytes()),
            false => self.out.write_all(lines.as_bytes()),
        });
        if end > 0 {
            self.continues = !text.ends_with('\n');
        }
        self.pending.drain(..end);
        self.whole = self.whole.saturating_sub(end);
        if let Err(error) = written {
            self.left = 0;
            self.failed.get_or_insert(error);
        }
    }

    /// Ends the last line, and writes everything out.
    ///
    /// # Errors
    /// Not all of it could be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.end_line();
        self.write_out(self.pending.len());
        match self.failed {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_so_much_and_no_more() {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, false, 5);
        page.push_str("abc");
        assert!(!page.is_full());
        page.push_str("defg");
        page.push_str("h");
        assert!(page.is_full());
        page.note("cut");
        page.finish().expect("a vector takes all");
        assert_eq!(out, b"abcdefg\ncut\n");
    }

    #[test]
    fn writes_whole_lines_as_they_come() {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, true, u64::MAX);
        let line = format!("### Thread {}\n", "x".repeat(PIECE));
        page.push_str(&line);
        page.push_str("rest");
        assert_eq!(page.pending, "rest");
        page.finish().expect("a vector takes all");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("\x1b[1m### Thread x") && text.ends_with("x\x1b[0m\nrest\n"));
    }

    #[test]
    fn a_line_without_end_is_neither_kept_nor_searched_again() {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, false, u64::MAX);
        for _ in 0..4 * LONGEST_LINE {
            page.push_str("x");
            assert!(page.pending.len() <= LONGEST_LINE);
        }
        assert!(page.pending.is_empty() && page.continues);
        page.note("cut");
        page.finish().expect("a vector takes all");
        assert_eq!(out.len(), 4 * LONGEST_LINE + "\ncut\n".len());
        assert!(out.ends_with(b"x\ncut\n"));
        // A piece of a line never looks like the beginning of one.
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, true, u64::MAX);
        page.push_str(&"x".repeat(LONGEST_LINE));
        page.push_str("### Thread 7\n### Thread 8\n");
        page.finish().expect("a vector takes all");
        let text = String::from_utf8(out).expect("text");
        assert!(text.ends_with("x### Thread 7\n\x1b[1m### Thread 8\x1b[0m\n"));
    }

    #[test]
    fn processes_share_the_room() {
        assert_eq!((share_of(0), share_of(1)), (ALL, ALL));
        assert_eq!((share_of(4), share_of(1000)), (ALL / 4, LEAST));
    }
}
