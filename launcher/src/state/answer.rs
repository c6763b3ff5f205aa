//! The answer of an agent.

use crate::state::State;
use crate::state::budget::AnswerBytes;
use crate::trouble::{self, Trouble, of_another_version};
use protocol::names::THREAD_HEADING;
use protocol::question::Question;
use protocol::state::{VERSION_LINE, VERSION_LINE_START};

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// The stack of every thread, in the plain format.
    Text(AnswerBytes),
    /// All that `full` and `json` are made of.
    State(Box<State>),
    /// Why there is no state, in one line.
    Reason(String),
}

/// The longest reason that is shown, in bytes. The library's are much shorter.
const LONGEST_REASON: usize = 1000;

impl Answer {
    /// Reads the answer to a question. Also where a state was asked for it may be text: the stacks that the
    /// library could read without the GIL, or why there are none.
    ///
    /// # Errors
    /// It cannot be read, or is no answer to this question.
    pub fn parse(answer: AnswerBytes, question: &Question) -> Result<Self, Trouble> {
        if answer.starts_with(VERSION_LINE_START) {
            if !answer.starts_with(VERSION_LINE) {
                return Err(of_another_version());
            }
            if !question.state {
                return Err(trouble::not_asked());
            }
            let state = State::parse(answer, VERSION_LINE.len(), question)?;
            return Ok(Answer::State(Box::new(state)));
        }
        if has_heading(&answer) {
            return Ok(Answer::Text(answer));
        }
        let shown = &answer[..answer.len().min(LONGEST_REASON)];
        let mut reason = String::from_utf8_lossy(shown).trim().to_owned();
        if shown.len() < answer.len() {
            reason.push_str(&format!("... ({} bytes in all)", answer.whole()));
        }
        Ok(Answer::Reason(reason))
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
        let parsed = |answer: &[u8]| {
            let answer = Answer::parse(answer.to_vec().into(), &Question::default());
            answer.expect("an answer")
        };
        let text = b"(read without the GIL)\n### Thread 1:\n  File";
        assert!(matches!(parsed(text), Answer::Text(read) if *read == text[..]));
        let reason = |answer: &[u8]| match parsed(answer) {
            Answer::Reason(reason) => reason,
            other => panic!("no reason: {other:?}"),
        };
        for text in [
            "the interpreter is shutting down\n",
            "a line with ### Thread in it",
        ] {
            assert_eq!(reason(text.as_bytes()), text.trim());
        }
        let long = reason(&[0; 1 << 20]);
        assert!(long.ends_with("\0... (1048576 bytes in all)") && long.len() < 1100);
        let state = Question {
            state: true,
            ..Question::default()
        };
        for version_line in [VERSION_LINE, b"SLEEPER FACTS 1\n"] {
            let answer = [version_line, b"what is this"].concat();
            assert!(Answer::parse(answer.into(), &state).is_err());
        }
        // A state where text was asked for.
        let unasked = Answer::parse(VERSION_LINE.to_vec().into(), &Question::default());
        assert_eq!(unasked.map(drop), Err(trouble::not_asked()));
    }
}
