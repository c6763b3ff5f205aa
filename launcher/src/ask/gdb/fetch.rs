//! Waits for the answer to a ring, and fetches it from the process's memory.

use std::io;
use std::mem::offset_of;
use std::time::{Duration, Instant};

use crate::find::bell::{HALF_A_SECOND, LONGEST_PAUSE, Seen, look};
use crate::find::target::{self, Target};
use crate::system::interrupt;
use crate::system::memory::read_memory;
use crate::system::process::Process;
use crate::trouble::{self, Trouble};
use protocol::answer::AnswerHeader;
use protocol::message::LONGEST_ANSWER;
use protocol::names::ANSWER_MAGIC;
use protocol::question::Question;

/// Whether this is the answer to a question for this, and not to another command's, by the number of
/// the question that its header has; where that was none, it tells why, and is for anyone.
pub fn is_for(question: u64, wanted: Question) -> bool {
    question == 0 || question == wanted.number()
}

/// An answer that may be replaced while it is fetched.
pub enum Fetched {
    /// All of it, and `AnswerHeader::question`.
    Text(Vec<u8>, u64),
    /// It is not there any more.
    Replaced,
}

/// Fetches the answer that a bell tells of, from a process that runs and may answer others.
pub fn fetch_numbered(process: Process, seen: Seen) -> Fetched {
    let read = |address, length| read_memory(process.pid, address, length);
    let header = || {
        let address = seen.text.checked_sub(size_of::<AnswerHeader>() as u64)?;
        let header = parse_header(&read(address, size_of::<AnswerHeader>()).ok()?)?;
        (header.number == seen.number).then_some(header)
    };
    let text = || {
        let text = read(seen.text, length_of(&header()?)).ok()?;
        // The library takes a header back before it writes over the text.
        header().map(|header| Fetched::Text(text, header.question))
    };
    text().unwrap_or(Fetched::Replaced)
}

/// It fits into usize: it is below LONGEST_ANSWER, and 32-bit processes are not larger than that.
fn length_of(header: &AnswerHeader) -> usize {
    usize::try_from(header.length).unwrap_or(usize::MAX)
}

fn parse_header(bytes: &[u8]) -> Option<AnswerHeader> {
    let number = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let header = AnswerHeader {
        magic: *bytes.first_chunk()?,
        length: number(offset_of!(AnswerHeader, length))?,
        number: number(offset_of!(AnswerHeader, number))?,
        question: number(offset_of!(AnswerHeader, question))?,
    };
    (header.magic == ANSWER_MAGIC && header.length < LONGEST_ANSWER).then_some(header)
}

/// The trouble of an answer, or a bell, that cannot be read.
pub fn unreadable(error: &io::Error) -> Trouble {
    Trouble::plain(format!(
        "its answer could not be read from memory ({error})"
    ))
}

/// How an answer was waited for.
pub enum Waited {
    /// It came, with the number of the question that it answers.
    Answer(Vec<u8>, u64),
    /// It came, and was replaced by another one's before it could be fetched.
    Overtaken,
}

/// Waits for the answer to the ring that made the count `ticket`, and fetches it. The process
/// runs meanwhile, and nothing holds it: this wait may end at any time.
pub fn wait(
    target: &Target,
    address: u64,
    ticket: u32,
    patience: Duration,
) -> Result<Waited, Trouble> {
    let began = Instant::now();
    let mut ran = began;
    let mut pause = Duration::from_micros(100);
    loop {
        let late = began.elapsed() > patience;
        let seen = look(target.alive.process, address).map_err(|error| gone_or(target, &error))?;
        // A later ring's answer is as good: it was begun after ours.
        if let Some(seen) = seen
            && seen.answered.wrapping_sub(ticket) as i32 >= 0
        {
            // Once more, for what was stored before `answered`.
            let seen =
                look(target.alive.process, address).map_err(|error| gone_or(target, &error))?;
            return match seen.map(|seen| fetch_numbered(target.alive.process, seen)) {
                Some(Fetched::Text(text, question)) => Ok(Waited::Answer(text, question)),
                Some(Fetched::Replaced) | None => Ok(Waited::Overtaken),
            };
        }
        if interrupt::asked_to_stop().is_some() {
            return Err(trouble::not_waited_for());
        }
        if late || pause == LONGEST_PAUSE {
            match target.alive.still_runs() {
                Ok(()) => ran = Instant::now(),
                // Job control may let it go on in a moment.
                Err(trouble) if late || ran.elapsed() > HALF_A_SECOND => return Err(trouble),
                Err(_) => {}
            }
        }
        if late {
            return Err(target::vanished(target).unwrap_or_else(|| {
                Trouble::new(
                    format!(
                        "its agent gave no answer within {:.0} s",
                        patience.as_secs_f64()
                    ),
                    "look at the process by other means (`ps`, `gdb -p`)",
                )
            }));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
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
}
