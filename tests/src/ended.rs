//! How a program ended, what it wrote, and checks of both.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a program ended and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its wait status.
    pub status: ExitStatus,
    /// All it wrote to standard output.
    pub stdout: Vec<u8>,
    /// All it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, without the reference count that a debug build of Python 2.6 prints at
    /// its end.
    pub fn err(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let last = text.trim_end_matches('\n').rsplit('\n').next();
        match last.filter(|last| last.starts_with('[') && last.ends_with(" refs]")) {
            Some(count) => text[..text.rfind(count).unwrap_or(0)].to_owned(),
            None => text.into_owned(),
        }
    }

    /// Panics, showing everything, unless the exit status is this one.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Ended {
        assert_eq!(
            self.status.code(),
            Some(code),
            "ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.out(),
            self.err()
        );
        self
    }

    /// Panics unless this signal ended the program.
    #[track_caller]
    pub fn expect_signal(&self, signal: i32) -> &Ended {
        assert_eq!(self.status.signal(), Some(signal), "{self:?}");
        self
    }

    /// Panics unless it refused: with this status, nothing on standard output, and one line on standard
    /// error that contains all these words.
    #[track_caller]
    pub fn expect_refusal(&self, code: i32, words: &[&str]) -> &Ended {
        self.expect_code(code);
        let said = self.err();
        assert_eq!(self.out(), "", "stdout; stderr was {said}");
        assert_eq!(said.lines().count(), 1, "one line: {said}");
        for word in words {
            assert!(said.contains(word), "no {word:?} in: {said}");
        }
        self
    }
}
