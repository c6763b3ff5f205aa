//! What a target has printed about itself: lines `WHAT VALUE`, such as `thread main 140213` or
//! `at listener 127.0.0.1:4000`, where WHAT is all words but the last.

use crate::process::Program;
use std::collections::BTreeMap;

/// The values, by WHAT.
#[derive(Debug)]
pub struct Said(BTreeMap<String, String>);

impl Said {
    /// All that a program has written so far; all it will write, if its last line is `ready`.
    pub fn by(program: &Program) -> Said {
        let out = program.out();
        let lines = out.lines().filter_map(|line| line.rsplit_once(' '));
        Said(
            lines
                .map(|(what, value)| (what.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// A value.
    #[track_caller]
    pub fn text(&self, what: &str) -> &str {
        let found = self.0.get(what);
        found.unwrap_or_else(|| panic!("{what} is not said: {self:?}"))
    }

    /// A numeric value.
    #[track_caller]
    pub fn number(&self, what: &str) -> u64 {
        let text = self.text(what);
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{what} is no number: {text}"))
    }

    /// A numeric value, if the target has printed it.
    #[track_caller]
    pub fn number_if_said(&self, what: &str) -> Option<u64> {
        self.0.contains_key(what).then(|| self.number(what))
    }

    /// The identifier of a thread.
    #[track_caller]
    pub fn ident(&self, what: &str) -> u64 {
        self.number(&format!("thread {what}"))
    }
}
