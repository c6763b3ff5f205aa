//! The agent's bell, read from outside: whether anybody listens, and what the last answer was.

use std::io;
use std::mem::offset_of;
use std::time::Duration;

use crate::system::memory;
use crate::system::process::Process;
use protocol::bell::{Bell, HAS_LEFT};
use protocol::names::{BELL_MAGIC, DETOUR_ENTRY, DETOUR_SIZE, DETOURS};

/// A bell at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether a thread waits for the next ring.
    pub listens: bool,
    /// Whether the agent has left the process.
    pub has_left: bool,
    /// The number of rings so far.
    pub rung: u32,
    /// The ring that the last answer is for.
    pub answered: u32,
    /// The ring that the question is for.
    pub asked: u32,
    /// The address of that answer.
    pub text: u64,
    /// The number of that answer.
    pub number: u64,
    /// The address where a question goes.
    pub question: u64,
    /// The address of the first detour.
    pub detours: u64,
}

/// Reads the bell at this address of a process; `None` if the loader has not bound the library yet, or if
/// the library is of another version.
pub fn look(process: Process, address: u64) -> io::Result<Option<Seen>> {
    let bytes = memory::read_memory(process.pid, address, size_of::<Bell>())?;
    Ok(parse(&bytes))
}

/// Parses a bell's bytes.
pub fn parse(bytes: &[u8]) -> Option<Seen> {
    let half = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let whole = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    (whole(offset_of!(Bell, magic))? == u64::from_ne_bytes(BELL_MAGIC)).then_some(())?;
    Some(Seen {
        listens: half(offset_of!(Bell, listens))? == 1,
        has_left: half(offset_of!(Bell, listens))? == HAS_LEFT,
        rung: half(offset_of!(Bell, rung))?,
        answered: half(offset_of!(Bell, answered))?,
        asked: half(offset_of!(Bell, asked))?,
        text: whole(offset_of!(Bell, text))?,
        number: whole(offset_of!(Bell, number))?,
        question: whole(offset_of!(Bell, question))?,
        detours: whole(offset_of!(Bell, detours))?,
    })
}

/// The offset of the word that rings.
pub const RUNG: u64 = offset_of!(Bell, rung) as u64;

/// The offset of the word that says which ring the question is for.
pub const ASKED: u64 = offset_of!(Bell, asked) as u64;

/// The detour for this ring: its entry address, and the offset of the word that holds the address to
/// resume at.
pub fn detour(seen: &Seen, ticket: u32) -> (u64, u64) {
    let number = u64::from(ticket) % DETOURS as u64;
    let entry = seen
        .detours
        .wrapping_add(number * DETOUR_SIZE + DETOUR_ENTRY);
    (entry, offset_of!(Bell, resume) as u64 + 8 * number)
}

/// The longest pause between two looks at the bell.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// The longest time that job control may stop a process whose answer we wait for.
pub(crate) const HALF_A_SECOND: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn reads_what_the_library_writes() {
        let bell = Bell {
            magic: 0.into(),
            listens: 0.into(),
            rung: 0.into(),
            answered: 0.into(),
            asked: 0.into(),
            text: 0.into(),
            number: 0.into(),
            question: 0.into(),
            detours: 0.into(),
            resume: Default::default(),
        };
        let us = Process {
            pid: std::process::id() as i32,
        };
        let address = &raw const bell as u64;
        assert_eq!(look(us, address).expect("our own memory"), None);
        bell.rung.store(3, Ordering::SeqCst);
        bell.answered.store(2, Ordering::SeqCst);
        bell.listens.store(1, Ordering::SeqCst);
        bell.text.store(4, Ordering::SeqCst);
        bell.number.store(5, Ordering::SeqCst);
        bell.detours.store(0x1000, Ordering::SeqCst);
        bell.asked.store(6, Ordering::SeqCst);
        bell.question.store(7, Ordering::SeqCst);
        let magic = u64::from_ne_bytes(BELL_MAGIC);
        bell.magic.store(magic, Ordering::SeqCst);
        let seen = Seen {
            listens: true,
            has_left: false,
            rung: 3,
            answered: 2,
            text: 4,
            number: 5,
            detours: 0x1000,
            asked: 6,
            question: 7,
        };
        assert_eq!(look(us, address).expect("our own memory"), Some(seen));
        let resume = (&raw const bell.resume[3]) as u64 - address;
        assert_eq!(detour(&seen, 11), (0x1000 + 3 * 64 + 2, resume));
        assert!(look(us, 8).is_err());
        assert_eq!(parse(b"short"), None);
    }
}
