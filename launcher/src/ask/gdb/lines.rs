//! The lines that gdb writes.

use std::io::{PipeReader, Read};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

/// A longer line is cut in two.
const LONGEST_LINE: usize = 1 << 20;

/// What gdb writes, line by line.
pub struct Lines {
    output: PipeReader,
    /// What has been read and not been handed out.
    held: Vec<u8>,
    /// How much of it has no end of a line.
    searched: usize,
    has_ended: bool,
}

/// What came in time.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A line, with its end.
    Line(String),
    /// Nothing.
    Nothing,
    /// Nothing, and nothing will.
    End,
}

impl Lines {
    /// Lines from this pipe.
    pub fn new(output: PipeReader) -> Lines {
        Lines {
            output,
            held: Vec::new(),
            searched: 0,
            has_ended: false,
        }
    }

    /// Waits for a line, no longer than this.
    pub fn next(&mut self, time: Duration) -> Next {
        let until = Instant::now() + time;
        loop {
            if let Some(line) = self.line() {
                return Next::Line(line);
            }
            if self.has_ended {
                return Next::End;
            }
            if !self.read(until.saturating_duration_since(Instant::now())) {
                return Next::Nothing;
            }
        }
    }

    /// Drops whatever comes within this time.
    pub fn discard(&mut self, time: Duration) {
        self.held.clear();
        self.searched = 0;
        if self.has_ended {
            thread::sleep(time);
        } else {
            self.read(time);
        }
    }

    /// Takes the first line out of what is held.
    fn line(&mut self) -> Option<String> {
        let rest = &self.held[self.searched..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let length = match end {
            Some(end) => self.searched + end + 1,
            None if self.has_ended || self.held.len() >= LONGEST_LINE => self.held.len(),
            None => 0,
        };
        if length == 0 {
            self.searched = self.held.len();
            return None;
        }
        self.searched = 0;
        let line: Vec<u8> = self.held.drain(..length).collect();
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Reads a piece; `false` if there is none within this time.
    fn read(&mut self, time: Duration) -> bool {
        let time = time.try_into().unwrap_or_default();
        let mut polled = [PollFd::new(&self.output, PollFlags::IN)];
        if !matches!(poll(&mut polled, Some(&time)), Ok(1)) {
            return false;
        }
        let mut piece = [0; 4096];
        match self.output.read(&mut piece) {
            Ok(0) | Err(_) => self.has_ended = true,
            Ok(count) => self.held.extend_from_slice(&piece[..count]),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};

    #[test]
    fn lines_come_whole_and_in_time() {
        let (output, mut gdb) = io::pipe().expect("a pipe");
        let mut lines = Lines::new(output);
        let long = Duration::from_secs(20);
        let line = |text: &str| Next::Line(text.to_owned());
        gdb.write_all(b"one\n\ntw").expect("there is room");
        assert_eq!(lines.next(long), line("one\n"));
        assert_eq!(lines.next(long), line("\n"));
        assert_eq!(lines.next(Duration::from_millis(1)), Next::Nothing);
        gdb.write_all(b"o\xff\nthree").expect("there is room");
        assert_eq!(lines.next(long), line("two\u{fffd}\n"));
        assert_eq!(lines.next(Duration::ZERO), Next::Nothing);
        gdb.write_all(b"!").expect("there is room");
        drop(gdb);
        assert_eq!(lines.next(long), line("three!"));
        assert_eq!(lines.next(long), Next::End);
        lines.discard(Duration::ZERO);
        assert_eq!(lines.next(long), Next::End);
    }

    #[test]
    fn no_line_is_endless() {
        let (output, mut gdb) = io::pipe().expect("a pipe");
        let writing = std::thread::spawn(move || {
            let _ = gdb.write_all(&vec![b'x'; 3 * LONGEST_LINE]);
        });
        let mut lines = Lines::new(output);
        let Next::Line(line) = lines.next(Duration::from_secs(60)) else {
            panic!("no line");
        };
        assert!((LONGEST_LINE..2 * LONGEST_LINE).contains(&line.len()));
        drop(lines);
        writing.join().expect("it does not panic");
    }
}
