//! What an agent answered, and how it stands in the memory of its process.

use crate::state::Facts;
use crate::trouble::{Trouble, of_another_version};
use protocol::names::THREAD_HEADING;
use protocol::state::{VERSION_LINE, VERSION_LINE_START};

/// What an agent said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The state of every thread, as text.
    State(Vec<u8>),
    /// What there is to tell of every thread.
    Facts(Facts),
    /// Why there is no state, in one line.
    Reason(String),
}

impl Answer {
    /// From what came. Where facts were asked for, it may still be text: how the agent gets at the
    /// threads without the GIL, or why there is no state.
    pub fn parse(answer: Vec<u8>) -> Result<Self, Trouble> {
        if answer.starts_with(VERSION_LINE_START) {
            let facts = answer.strip_prefix(VERSION_LINE).and_then(Facts::parse);
            return facts.map(Answer::Facts).ok_or_else(of_another_version);
        }
        Ok(if has_heading(&answer) {
            Answer::State(answer)
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
    use crate::ask::gdb::fetch::{Fetched, fetch_numbered, is_for};
    use crate::find::bell::Seen;
    use crate::system::memory::read_memory;
    use crate::system::process::Process;
    use protocol::names::ANSWER_MAGIC;
    use protocol::question::Question;
    fn in_memory(magic: &[u8; 8], length: u64, text: &[u8]) -> Vec<u8> {
        let (number, question) = (7_u64, 9);
        let rest = [length, number, question].map(u64::to_ne_bytes).concat();
        [magic, &rest[..], text].concat()
    }

    #[test]
    fn notices_that_an_answer_was_replaced() {
        let memory = in_memory(&ANSWER_MAGIC, 5, b"hello\0");
        let seen = |number| Seen {
            listens: true,
            rung: 1,
            answered: 1,
            text: memory.as_ptr() as u64 + 32,
            number,
            detours: 0,
            asked: 0,
            question: 0,
        };
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert!(matches!(fetch_numbered(us, seen(7)), Fetched::Text(text, 9) if text == b"hello"));
        assert!(matches!(fetch_numbered(us, seen(8)), Fetched::Replaced));
        let nowhere = Seen { text: 8, ..seen(7) };
        assert!(matches!(fetch_numbered(us, nowhere), Fetched::Replaced));
    }

    #[test]
    fn tells_a_state_from_a_reason() {
        let parsed = |answer: &[u8]| Answer::parse(answer.to_vec()).expect("an answer");
        let state = b"(read without the GIL)\n### Thread 1:\n  File";
        assert_eq!(parsed(state), Answer::State(state.to_vec()));
        for reason in [
            "the interpreter is shutting down\n",
            "a line with ### Thread in it",
        ] {
            let told = Answer::Reason(reason.trim().to_owned());
            assert_eq!(parsed(reason.as_bytes()), told);
        }
        for facts in [VERSION_LINE, b"SLEEPER FACTS 1\n"] {
            assert!(Answer::parse([facts, b"what is this"].concat()).is_err());
        }
    }

    #[test]
    fn tells_whose_answer_it_is() {
        let state = Question::default();
        let facts = Question {
            facts: true,
            ..state
        };
        let locals = Question {
            locals: true,
            ..facts
        };
        let all = [state, facts, locals];
        for (index, wanted) in all.into_iter().enumerate() {
            let whose = all.map(|one| is_for(one.number(), wanted));
            assert_eq!(whose, [0, 1, 2].map(|one| one == index));
            assert!(is_for(0, wanted));
        }
    }

    #[test]
    fn reads_memory_and_reports_what_cannot_be_read() {
        let text = b"some text of ours".to_vec();
        let us = std::process::id() as i32;
        let read = read_memory(us, text.as_ptr() as u64, text.len());
        assert_eq!(read.expect("our own memory"), text);
        assert!(read_memory(us, 0, 16).is_err());
    }
}
