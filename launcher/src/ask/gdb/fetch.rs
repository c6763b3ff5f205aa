//! The answer to a ring: waits for it, and fetches it from the process's memory.

use std::io;
use std::mem::offset_of;
use std::time::{Duration, Instant};

use crate::ask::allowance::Allowance;
use crate::find::bell::{HALF_A_SECOND, LONGEST_PAUSE, Seen, look};
use crate::find::target::{self, Target};
use crate::state::budget::AnswerBytes;
use crate::system::interrupt;
use crate::system::memory::{read_memory, read_memory_into};
use crate::system::process::Process;
use crate::trouble::{self, Trouble};
use protocol::answer::AnswerHeader;
use protocol::message::LONGEST_ANSWER;
use protocol::names::ANSWER_MAGIC;
use protocol::question::Question;
use protocol::state::VERSION_LINE_START;

/// Whether an answer is for this question and not for another command's, by the number in its header. The
/// number 0 means that the text says why there is no answer, which is for everybody.
pub fn is_for(number: u64, question: Question) -> bool {
    number == 0 || number == question.number()
}

/// An answer, which another may replace while we fetch it.
pub enum Fetched {
    /// The whole text, and `AnswerHeader::question`.
    Text(AnswerBytes, u64),
    /// Another answer has replaced it.
    Replaced,
    /// It is longer than any answer, or no answer at all.
    Nonsense(Trouble),
}

/// Fetches the answer that a bell points to, from a process that runs and may answer others meanwhile: as much
/// of it as there is memory for by `until`.
pub fn fetch_numbered(process: Process, seen: Seen, until: Instant) -> Fetched {
    let header = || {
        let address = seen.text.checked_sub(size_of::<AnswerHeader>() as u64)?;
        let bytes = read_memory(process.pid, address, size_of::<AnswerHeader>()).ok()?;
        parse_header(&bytes).filter(|header| header.number == seen.number)
    };
    let Some(before) = header() else {
        return Fetched::Replaced;
    };
    if before.length >= LONGEST_ANSWER {
        return Fetched::Nonsense(trouble::answer_too_long(before.length));
    }
    let mut checked = Checked::default();
    let text = AnswerBytes::announced(before.length, until).read(|start, piece, _| {
        let address = seen.text.checked_add(start as u64);
        read_memory_into(
            process.pid,
            address.ok_or(io::ErrorKind::InvalidInput)?,
            piece,
        )?;
        match checked.may_follow(piece) {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    });
    // The library clears a header before it overwrites the text.
    match (header(), text) {
        (Some(header), Ok(text)) => Fetched::Text(text, header.question),
        (Some(_), Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Fetched::Nonsense(no_answer())
        }
        _ => Fetched::Replaced,
    }
}

/// What is known of the pieces of an answer that have been read.
#[derive(Default)]
struct Checked {
    /// Whether it is a state, and not text; `None` before the first piece.
    is_state: Option<bool>,
    /// How many NULs it ends with.
    nuls: usize,
}

/// So many NULs in a row stand in no state.
const MOST_NULS: usize = 1 << 20;

impl Checked {
    /// Whether this piece can be the next of an answer. Text has no NUL; a state has some, but not for long.
    fn may_follow(&mut self, piece: &[u8]) -> bool {
        let begins_state = || piece.starts_with(VERSION_LINE_START);
        if !*self.is_state.get_or_insert_with(begins_state) {
            return !piece.contains(&0);
        }
        self.nuls = match piece.iter().rposition(|byte| *byte != 0) {
            Some(last) => piece.len() - last - 1,
            None => self.nuls + piece.len(),
        };
        self.nuls < MOST_NULS
    }
}

fn parse_header(bytes: &[u8]) -> Option<AnswerHeader> {
    let number = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let header = AnswerHeader {
        magic: *bytes.first_chunk()?,
        length: number(offset_of!(AnswerHeader, length))?,
        number: number(offset_of!(AnswerHeader, number))?,
        question: number(offset_of!(AnswerHeader, question))?,
    };
    (header.magic == ANSWER_MAGIC).then_some(header)
}

fn no_answer() -> Trouble {
    Trouble::new(
        "what it gave is no answer of an agent",
        "look at the process by other means (`ps`, `gdb -p`)",
    )
}

/// The answer, or the bell, cannot be read from memory.
pub fn unreadable(error: &io::Error) -> Trouble {
    Trouble::new(
        format!("its answer could not be read from memory ({error})"),
        "ask again, or ask --via wake",
    )
    // Linux before 3.2 shows memory to debuggers only.
    .of_the_debugger()
}

/// What came of the wait for an answer.
pub enum Waited {
    /// The answer, and the number of its question.
    Answer(AnswerBytes, u64),
    /// It came, but another command's answer replaced it before we could fetch it.
    Overtaken,
}

/// The longest pause between two looks at the bell of an agent that takes long.
const LONGEST_OF_ALL: Duration = Duration::from_millis(100);

/// Waits for the answer to the ring with the number `ticket`, and fetches it. Nothing holds the process
/// meanwhile, so this wait may end at any time.
pub fn wait(
    target: &Target,
    address: u64,
    ticket: u32,
    allowance: &Allowance,
) -> Result<Waited, Trouble> {
    let began = Instant::now();
    let mut ran = began;
    let mut pause = Duration::from_micros(100);
    loop {
        let late = allowance.left().is_zero();
        let seen = look(target.alive.process, address).map_err(|error| gone_or(target, &error))?;
        // A later ring's answer is as good: it was begun after ours.
        if let Some(seen) = seen
            && seen.answered.wrapping_sub(ticket) as i32 >= 0
        {
            // Read again: the library stores `answered` last.
            let seen =
                look(target.alive.process, address).map_err(|error| gone_or(target, &error))?;
            return match seen
                .map(|seen| fetch_numbered(target.alive.process, seen, allowance.until()))
            {
                Some(Fetched::Text(text, question)) => Ok(Waited::Answer(text, question)),
                Some(Fetched::Nonsense(trouble)) => Err(trouble),
                Some(Fetched::Replaced) | None => Ok(Waited::Overtaken),
            };
        }
        if interrupt::asked_to_stop().is_some() {
            return Err(trouble::not_waited_for());
        }
        if late || pause >= LONGEST_PAUSE {
            match target.alive.still_runs() {
                Ok(()) => ran = Instant::now(),
                // Job control may let it run again in a moment.
                Err(trouble) if late || ran.elapsed() > HALF_A_SECOND => return Err(trouble),
                Err(_) => {}
            }
        }
        if late {
            return Err(target::vanished(target).unwrap_or_else(|| {
                Trouble::new(
                    format!(
                        "its agent gave no answer within {} s",
                        allowance.time().as_secs_f64()
                    ),
                    "give it more time with --timeout, or look at the process by other means (`ps`, `gdb -p`)",
                )
            }));
        }
        std::thread::sleep(pause);
        // Hundreds may wait for agents that never answer.
        let longest = (began.elapsed() / 64).clamp(LONGEST_PAUSE, LONGEST_OF_ALL);
        pause = (pause * 2).min(longest).min(allowance.left());
    }
}

fn gone_or(target: &Target, error: &io::Error) -> Trouble {
    target::vanished(target).unwrap_or_else(|| unreadable(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::names::ANSWER_MAGIC;
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
            has_left: false,
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
        assert!(
            matches!(fetch_numbered(us, seen(7), Instant::now()), Fetched::Text(text, 9) if *text == *b"hello")
        );
        assert!(matches!(
            fetch_numbered(us, seen(8), Instant::now()),
            Fetched::Replaced
        ));
        let nowhere = Seen { text: 8, ..seen(7) };
        assert!(matches!(
            fetch_numbered(us, nowhere, Instant::now()),
            Fetched::Replaced
        ));
    }

    #[test]
    fn believes_no_nonsense() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let fetched = |length: u64, text: &[u8]| {
            let memory = in_memory(&ANSWER_MAGIC, length, text);
            let seen = Seen {
                listens: true,
                has_left: false,
                rung: 1,
                answered: 1,
                text: memory.as_ptr() as u64 + 32,
                number: 7,
                detours: 0,
                asked: 0,
                question: 0,
            };
            fetch_numbered(us, seen, Instant::now())
        };
        let nonsense = |length, text: &[u8]| matches!(fetched(length, text), Fetched::Nonsense(_));
        assert!(nonsense(LONGEST_ANSWER, b"hello"));
        assert!(nonsense(u64::MAX, b"hello"));
        assert!(nonsense(6, b"hello\0"));
        let long = 3 << 20;
        let mut state = vec![0; long];
        state[..VERSION_LINE_START.len()].copy_from_slice(VERSION_LINE_START);
        assert!(nonsense(long as u64, &state));
        state
            .iter_mut()
            .skip(1000)
            .step_by(1000)
            .for_each(|byte| *byte = b'a');
        let text = fetched(long as u64, &state);
        assert!(matches!(text, Fetched::Text(text, 9) if *text == *state));
    }

    #[test]
    fn tells_whose_answer_it_is() {
        let plain = Question::default();
        let state = Question {
            state: true,
            ..plain
        };
        let locals = Question {
            locals: true,
            ..state
        };
        let all = [plain, state, locals];
        for (index, wanted) in all.into_iter().enumerate() {
            let whose = all.map(|one| is_for(one.number(), wanted));
            assert_eq!(whose, [0, 1, 2].map(|one| one == index));
            assert!(is_for(0, wanted));
        }
    }
}
