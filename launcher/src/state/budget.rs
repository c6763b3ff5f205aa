//! The memory that answers may take: of what is read, and of what it expands to.
//!
//! Whoever answers may mean harm, and the command may ask many at once. So all processes that one command
//! asks share one amount of memory ([`ALL`]). Small answers are always let in ([`SMALL`]); of a larger one
//! what does not fit is left out, and the state says so.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The memory for all answers together, in bytes, but for [`SMALL`].
pub const ALL: usize = 128 << 20;

/// The most that is read of one answer, in bytes. The largest honest ones have 64 MiB of variables and some
/// ten of stacks.
pub const LONGEST_ANSWER: usize = 92 << 20;

/// What is not counted of each answer, and of each state made of one: in bytes. So what others answer keeps
/// no ordinary program from being shown.
const SMALL: usize = 256 << 10;

/// How long a large answer waits for others to be finished with theirs.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is left of [`ALL`].
static LEFT: AtomicUsize = AtomicUsize::new(ALL);

/// A part of the memory for answers. It is given back when this is dropped.
#[derive(Debug, Default)]
pub struct Memory {
    taken: usize,
}

impl Memory {
    /// Takes some more, in bytes. Returns whether there is as much.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let Some(taken) = self.taken.checked_add(bytes) else {
            return false;
        };
        let more = taken.saturating_sub(SMALL) - self.taken.saturating_sub(SMALL);
        let enough = more == 0
            || LEFT
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(more)
                })
                .is_ok();
        if enough {
            self.taken = taken;
        }
        enough
    }

    /// The same. Waits a moment for others to give theirs back, if there is not as much.
    #[must_use]
    pub fn take_in_turn(&mut self, bytes: usize) -> bool {
        let until = Instant::now() + PATIENCE;
        while !self.take(bytes) {
            if bytes > ALL || Instant::now() > until {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Counts all of it, as it will be kept: also what is not counted of a small one. Returns whether there
    /// is as much.
    #[must_use]
    pub fn keep(&mut self) -> bool {
        // It takes as if there had been so much before.
        let unlisted = SMALL.saturating_sub(self.taken);
        self.taken += unlisted;
        self.take(SMALL)
    }

    /// How much has been taken, in bytes.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        LEFT.fetch_add(self.taken.saturating_sub(SMALL), Ordering::Relaxed);
    }
}

/// The bytes of an answer: as many of them as there is memory for.
#[derive(Debug, Default)]
pub struct AnswerBytes {
    bytes: Vec<u8>,
    /// How many there are to be.
    whole: u64,
    is_cut: bool,
    memory: Memory,
}

/// The bytes of an answer to read at first; later pieces double what has arrived.
const PIECE: usize = 1 << 16;

impl AnswerBytes {
    /// No bytes yet, of an answer that has as many as this.
    pub fn announced(whole: u64) -> AnswerBytes {
        AnswerBytes {
            whole,
            ..AnswerBytes::default()
        }
    }

    /// A place for the next bytes; `None` once they are complete, or there is no memory for more. An answer
    /// takes memory only as it arrives, whatever length it announces.
    pub fn next_piece(&mut self) -> Option<&mut [u8]> {
        let done = self.bytes.len();
        let more = self.missing().min(done.max(PIECE));
        if more == 0 || !self.memory.take_in_turn(more) || self.bytes.try_reserve(more).is_err() {
            self.is_cut = self.whole > done as u64;
            return None;
        }
        self.bytes.resize(done + more, 0);
        Some(&mut self.bytes[done..])
    }

    /// The bytes that `read` brings at once, if they can be read: it is told how many to read.
    pub fn read_at_once<E>(
        whole: u64,
        read: impl FnOnce(usize) -> Result<Vec<u8>, E>,
    ) -> Result<AnswerBytes, E> {
        let mut answer = AnswerBytes::announced(whole);
        let mut length = answer.missing();
        if !answer.memory.take_in_turn(length) {
            // A part of it, that is let in always.
            length = length.min(SMALL);
        }
        answer.bytes = read(length)?;
        answer.is_cut = whole > answer.bytes.len() as u64;
        Ok(answer)
    }

    /// How many bytes are still to be read.
    fn missing(&self) -> usize {
        let whole = usize::try_from(self.whole).unwrap_or(usize::MAX);
        whole.min(LONGEST_ANSWER).saturating_sub(self.bytes.len())
    }

    /// Whether some are missing.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How many bytes the whole answer has.
    pub fn whole(&self) -> u64 {
        self.whole.max(self.bytes.len() as u64)
    }
}

impl Deref for AnswerBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for AnswerBytes {
    /// A whole answer, that is counted nowhere.
    fn from(bytes: Vec<u8>) -> AnswerBytes {
        AnswerBytes {
            whole: bytes.len() as u64,
            bytes,
            ..AnswerBytes::default()
        }
    }
}

/// A number of bytes, in words.
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_and_given_back() {
        // Other tests of this program take little.
        let (mut one, mut other) = (Memory::default(), Memory::default());
        assert!(one.take(ALL / 2) && other.take(ALL / 4));
        assert!(!other.take(ALL / 2) && !other.take(usize::MAX));
        assert_eq!(other.taken(), ALL / 4);
        drop(one);
        assert!(other.take(ALL / 2));
        let mut small = Memory::default();
        assert!(other.take(ALL / 8) && small.take(SMALL) && !small.take(ALL / 4));
    }

    #[test]
    fn an_answer_takes_memory_as_it_arrives() {
        let mut answer = AnswerBytes::announced(1 << 40);
        let piece = answer.next_piece().expect("there is room");
        assert_eq!(piece.len(), PIECE);
        assert_eq!(answer.next_piece().map(|piece| piece.len()), Some(PIECE));
        assert_eq!(answer.len(), 2 * PIECE);
        let mut whole = AnswerBytes::announced(3);
        whole.next_piece().expect("room").copy_from_slice(b"abc");
        assert!(whole.next_piece().is_none());
        assert_eq!((&*whole, whole.is_cut()), (&b"abc"[..], false));
        let read = AnswerBytes::read_at_once(1 << 40, |length| {
            assert_eq!(length, LONGEST_ANSWER);
            Ok::<_, ()>(vec![0; 5])
        });
        assert!(read.is_ok_and(|answer| answer.is_cut() && answer.whole() == 1 << 40));
    }
}
