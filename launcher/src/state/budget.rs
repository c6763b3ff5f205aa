//! The memory that answers may take: of what is read, and of what it expands to.
//!
//! Whoever answers may mean harm, and the command may ask many at once. So all processes that one command
//! asks share one amount of memory ([`ALL`]). Small answers take none of it ([`SMALL`]), unless very many are
//! under way ([`MOST_SMALL`]). Of an answer what does not fit is left out, and the state says so.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::system::interrupt;
use protocol::message::LONGEST_ANSWER;

/// The memory for all answers together, in bytes, but for [`SMALL`].
pub const ALL: usize = 112 << 20;

/// What is not counted of each answer, and of each state made of one: in bytes. So what others answer keeps
/// no ordinary program from being shown.
const SMALL: usize = 256 << 10;

/// Of how many answers and states at once so much is not counted. Of more of them everything is: hundreds of
/// processes may be asked side by side.
const MOST_SMALL: usize = 128;

/// How long a large answer waits for others to be finished with theirs.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is left of [`ALL`].
static LEFT: AtomicUsize = AtomicUsize::new(ALL);

/// What is left of [`MOST_SMALL`].
static SMALL_LEFT: AtomicUsize = AtomicUsize::new(MOST_SMALL);

/// A part of the memory for answers. It is given back when this is dropped.
#[derive(Debug, Default)]
pub struct Memory {
    taken: usize,
    /// Whether the first of it is not counted.
    is_small: bool,
}

/// Takes so many of them, if there are as many.
fn take_of(left: &AtomicUsize, count: usize) -> bool {
    count == 0
        || left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(count))
            .is_ok()
}

impl Memory {
    /// Takes some more, in bytes. Returns whether there is as much.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let Some(taken) = self.taken.checked_add(bytes) else {
            return false;
        };
        if self.taken == 0 && !self.is_small && bytes > 0 {
            self.is_small = take_of(&SMALL_LEFT, 1);
        }
        let enough = take_of(&LEFT, self.counted(taken) - self.counted(self.taken));
        if enough {
            self.taken = taken;
        }
        enough
    }

    /// How much of so many bytes is counted.
    fn counted(&self, bytes: usize) -> usize {
        match self.is_small {
            true => bytes.saturating_sub(SMALL),
            false => bytes,
        }
    }

    /// The same as [`Memory::take`]. If there is not as much, waits a moment for others to give theirs back,
    /// at most until then.
    #[must_use]
    pub fn take_in_turn(&mut self, bytes: usize, until: Instant) -> bool {
        // Answers that have each got a part would all wait for the others: some give up sooner.
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        if self.take(bytes) {
            return true;
        }
        let place = WAITING.fetch_add(1, Relaxed) % 8;
        let until = until.min(Instant::now() + PATIENCE * (place as u32 + 1) / 8);
        while !self.take(bytes) {
            let is_late = Instant::now() > until || interrupt::asked_to_stop().is_some();
            if bytes > ALL || is_late {
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
        if self.is_small {
            if !take_of(&LEFT, self.taken.min(SMALL)) {
                return false;
            }
            self.is_small = false;
            SMALL_LEFT.fetch_add(1, Relaxed);
        }
        true
    }

    /// How much has been taken, in bytes.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        LEFT.fetch_add(self.counted(self.taken), Relaxed);
        SMALL_LEFT.fetch_add(usize::from(self.is_small), Relaxed);
    }
}

/// The bytes of an answer: as many of them as there is memory for.
#[derive(Debug, Default)]
pub struct AnswerBytes {
    bytes: Vec<u8>,
    /// How many there are to be.
    whole: u64,
    /// How long to wait for memory; `None`: not at all.
    until: Option<Instant>,
    is_cut: bool,
    memory: Memory,
}

/// The bytes of an answer to read at first; later pieces double what has arrived.
const PIECE: usize = 1 << 16;

impl AnswerBytes {
    /// No bytes yet, of an answer that has as many as this. It waits for memory until then.
    pub fn announced(whole: u64, until: Instant) -> AnswerBytes {
        AnswerBytes {
            whole,
            until: Some(until),
            ..AnswerBytes::default()
        }
    }

    /// A place for the next bytes; `None` once they are complete, or there is no memory for more. An answer
    /// takes memory only as it arrives, whatever length it announces.
    pub fn next_piece(&mut self) -> Option<&mut [u8]> {
        let done = self.bytes.len();
        let more = self.missing().min(done.max(PIECE));
        let until = self.until.unwrap_or_else(Instant::now);
        if more == 0
            || !self.memory.take_in_turn(more, until)
            || self.bytes.try_reserve_exact(more).is_err()
        {
            self.is_cut = self.whole > done as u64;
            return None;
        }
        self.bytes.resize(done + more, 0);
        Some(&mut self.bytes[done..])
    }

    /// As many of the bytes of an answer as there is memory for. `read` fills one piece after another.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<E>(
        mut self,
        mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<AnswerBytes, E> {
        loop {
            let start = self.bytes.len();
            match self.next_piece() {
                Some(piece) => read(start, piece)?,
                None => return Ok(self),
            }
        }
    }

    /// How many bytes are still to be read.
    fn missing(&self) -> usize {
        let whole = usize::try_from(self.whole).unwrap_or(usize::MAX);
        let whole = whole.min(LONGEST_ANSWER as usize);
        whole.saturating_sub(self.bytes.len())
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
        let mut read = AnswerBytes::announced(1 << 40, Instant::now());
        while read.next_piece().is_some() {}
        assert!(read.is_cut() && read.whole() == 1 << 40);
        assert!(read.len() >= SMALL && read.len() <= ALL / 8 + SMALL);
        drop(other);
        assert!(small.keep() && small.taken() == SMALL);
        // More of them are counted from the first byte on.
        let many = (0..MOST_SMALL + 2).map(|_| Memory::default());
        let mut many: Vec<Memory> = many.collect();
        assert!(many.iter_mut().all(|one| one.take(1)));
        let counted: Vec<usize> = many.iter().map(|one| one.counted(1)).collect();
        assert_eq!((counted[0], counted.last()), (0, Some(&1)));
    }

    #[test]
    fn an_answer_takes_memory_as_it_arrives() {
        let soon = Instant::now() + PATIENCE;
        let mut answer = AnswerBytes::announced(1 << 40, soon);
        let piece = answer.next_piece().expect("there is room");
        assert_eq!(piece.len(), PIECE);
        assert_eq!(answer.next_piece().map(|piece| piece.len()), Some(PIECE));
        assert_eq!(answer.len(), 2 * PIECE);
        let whole = AnswerBytes::announced(3, soon);
        let whole = whole.read(|start, piece| {
            assert_eq!(start, 0);
            piece.copy_from_slice(b"abc");
            Ok::<_, ()>(())
        });
        let whole = whole.expect("it was read");
        assert_eq!((&*whole, whole.is_cut()), (&b"abc"[..], false));
    }
}
