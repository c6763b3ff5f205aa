//! The answer of an agent.

use crate::state::State;
use crate::trouble::{Trouble, of_another_version};
use protocol::names::THREAD_HEADING;
use protocol::state::{VERSION_LINE, VERSION_LINE_START};

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The stack of every thread, in the plain format.
    Text(Vec<u8>),
    /// All that `full` and `json` are made of.
    State(State),
    /// Why there is no state, in one line.
    Reason(String),
}

impl Answer {
    /// Reads an answer. Also where a state was asked for it may be text: the stacks that the library
    /// could read without the GIL, or why there are none.
    pub fn parse(answer: Vec<u8>) -> Result<Self, Trouble> {
        if answer.starts_with(VERSION_LINE_START) {
            let state = answer.strip_prefix(VERSION_LINE).and_then(State::parse);
            return state.map(Answer::State).ok_or_else(of_another_version);
        }
        Ok(if has_heading(&answer) {
            Answer::Text(answer)
        } else {
            Answer::Reason(String::from_utf8_lossy(&answer).trim().to_owned())
        })
    }
}

fn has_heading(text: &[u8]) -> bool {
    let heading = THREAD_HEADING.as_bytes();
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.any(|line| line.starts_with(heading))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn tells_stacks_from_a_reason() {
        let parsed = |answer: &[u8]| Answer::parse(answer.to_vec()).expect("an answer");
        let text = b"(read without the GIL)\n### Thread 1:\n  File";
        assert_eq!(parsed(text), Answer::Text(text.to_vec()));
        for reason in [
            "the interpreter is shutting down\n",
            "a line with ### Thread in it",
        ] {
            let line = Answer::Reason(reason.trim().to_owned());
            assert_eq!(parsed(reason.as_bytes()), line);
        }
        for version_line in [VERSION_LINE, b"SLEEPER FACTS 1\n"] {
            assert!(Answer::parse([version_line, b"what is this"].concat()).is_err());
        }
    }
}
