//! What a target has said of itself: lines `WHAT VALUE`, such as `thread main 140213` or
//! `at listener 127.0.0.1:4000`, where WHAT is all words but the last.

use crate::process::Program;
use std::collections::BTreeMap;

/// The values, by what they are of.
#[derive(Debug)]
pub struct Said(BTreeMap<String, String>);

impl Said {
    /// All that a program has written so far. Where it says `ready` in the end, that is all of it.
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

    /// A value that is a number.
    #[track_caller]
    pub fn number(&self, what: &str) -> u64 {
        let text = self.text(what);
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{what} is no number: {text}"))
    }

    /// A number, if it is said.
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
