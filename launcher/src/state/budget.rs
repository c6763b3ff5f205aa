//! The memory that answers may take: of what is read, and of what it expands to.
//!
//! Whoever answers may mean harm, and the command may ask many at once. So all processes that one command
//! asks share one amount of memory ([`ALL`]). Small answers take none of it ([`SMALL`]), unless very many are
//! under way ([`MOST_SMALL`]). Large ones take theirs in turn ([`large`]). Of an answer what does not fit is
//! left out, and the state says so.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::state::large::{self, Turn};
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

/// How long a small answer that is counted waits for others to be finished with theirs.
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
    /// The turn among large answers, once it is large. An answer and the state made of it share one.
    turn: Option<Arc<Turn>>,
    /// Whether it is for an answer that arrives.
    arrives: bool,
    /// How long to wait for memory; `None`: not at all.
    until: Option<Instant>,
}

/// Takes so many of them, if there are as many.
fn take_of(left: &AtomicUsize, count: usize) -> bool {
    count == 0
        || left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(count))
            .is_ok()
}

impl Memory {
    /// None yet, for an answer that arrives. It waits until then for what others have.
    pub fn of_arriving(until: Instant) -> Memory {
        Memory {
            taken: 0,
            is_small: false,
            turn: None,
            arrives: true,
            until: Some(until),
        }
    }

    /// None yet, for what is made of this answer.
    pub fn for_what_is_made_of(answer: &AnswerBytes) -> Memory {
        Memory {
            taken: 0,
            is_small: false,
            turn: answer.memory.turn.clone(),
            arrives: false,
            until: answer.memory.until,
        }
    }

    /// Takes some more, in bytes. Returns whether there is as much. Waits for its turn, when it gets larger
    /// than [`SMALL`], and for others to give theirs back.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let Some(taken) = self.taken.checked_add(bytes).filter(|all| *all <= ALL) else {
            return false;
        };
        if self.taken == 0 && !self.is_small && bytes > 0 {
            self.is_small = take_of(&SMALL_LEFT, 1);
        }
        if taken > SMALL && !self.has_turn() {
            return false;
        }
        let count = self.counted(taken) - self.counted(self.taken);
        let enough = take_of(&LEFT, count) || self.wait_for(count);
        if enough {
            self.taken = taken;
        }
        enough
    }

    /// Whether it has its turn, or gets it in time.
    fn has_turn(&mut self) -> bool {
        if self.turn.is_none() {
            let until = self.until.unwrap_or_else(Instant::now);
            self.turn = large::turn(until, self.arrives).map(Arc::new);
        }
        self.turn.is_some() && !self.has_lost_turn()
    }

    /// Whether another large answer has got the turn, as this one arrived too slowly.
    pub fn has_lost_turn(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| !turn.is_ours())
    }

    /// Takes so much as soon as it is there, for an answer that arrives. What is made of an answer is cut
    /// without a wait: others that are made have what is missing, and may wait to be printed after it.
    fn wait_for(&self, count: usize) -> bool {
        if !self.arrives {
            return false;
        }
        let now = Instant::now();
        let until = self.until.unwrap_or(now).min(now + PATIENCE);
        loop {
            if Instant::now() >= until || interrupt::asked_to_stop().is_some() {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
            if take_of(&LEFT, count) {
                return true;
            }
        }
    }

    /// How much of so many bytes is counted.
    fn counted(&self, bytes: usize) -> usize {
        match self.is_small {
            true => bytes.saturating_sub(SMALL),
            false => bytes,
        }
    }

    /// Counts all of it, as it will be kept, and lets the next large answer have its turn. Returns whether
    /// there is as much.
    #[must_use]
    pub fn keep(&mut self) -> bool {
        self.turn = None;
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
        // Before the next has its turn.
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
    is_cut: bool,
    memory: Memory,
}

/// The bytes of an answer to read at first; later pieces double what has arrived.
const PIECE: usize = 64 << 10;

/// The most bytes to read at a time. An answer that comes slowly takes no more memory than has come.
const LONGEST_PIECE: usize = 1 << 20;

impl AnswerBytes {
    /// No bytes yet, of an answer that has as many as this. It waits for memory until then.
    pub fn announced(whole: u64, until: Instant) -> AnswerBytes {
        AnswerBytes {
            whole,
            memory: Memory::of_arriving(until),
            ..AnswerBytes::default()
        }
    }

    /// Makes room for the next bytes. Returns whether there is some: not once they are complete, or if there
    /// is no memory for more. An answer takes memory only as it arrives, whatever length it announces.
    fn grow(&mut self) -> bool {
        let done = self.bytes.len();
        let more = self.missing().min(done.clamp(PIECE, LONGEST_PIECE));
        let grows =
            more > 0 && self.memory.take(more) && self.bytes.try_reserve_exact(more).is_ok();
        match grows {
            true => self.bytes.resize(done + more, 0),
            false => self.is_cut = self.whole > done as u64,
        }
        grows
    }

    /// As many of the bytes of an answer as there is memory for. `read` fills one piece after another; it
    /// gets the place of the piece, and should end early if the memory's turn is lost
    /// ([`Memory::has_lost_turn`]).
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read<E>(
        mut self,
        mut read: impl FnMut(usize, &mut [u8], &Memory) -> Result<(), E>,
    ) -> Result<AnswerBytes, E> {
        loop {
            let start = self.bytes.len();
            if !self.grow() {
                break;
            }
            read(start, &mut self.bytes[start..], &self.memory)?;
        }
        if let Some(turn) = &self.memory.turn {
            turn.has_arrived();
        }
        Ok(self)
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
    use std::sync::Mutex;

    /// Tests that take much of the memory do so one after the other.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn memory_is_shared_and_given_back() {
        let _alone = ALONE.lock().expect("no test has failed");
        // Other tests of this program take little.
        let (mut one, mut other) = (Memory::default(), Memory::default());
        assert!(one.take(ALL / 2) && other.take(SMALL));
        assert!(!one.take(ALL) && !one.take(usize::MAX));
        assert!(!other.take(1), "it is the turn of the first");
        assert_eq!((one.taken(), other.taken()), (ALL / 2, SMALL));
        assert!(one.keep());
        assert!(other.take(ALL / 4) && !other.take(ALL / 2));
        drop(one);
        assert!(other.take(ALL / 2));
        drop(other);
        // More of them are counted from the first byte on.
        let many = (0..MOST_SMALL + 2).map(|_| Memory::default());
        let mut many: Vec<Memory> = many.collect();
        assert!(many.iter_mut().all(|one| one.take(1)));
        let counted: Vec<usize> = many.iter().map(|one| one.counted(1)).collect();
        assert_eq!((counted[0], counted.last()), (0, Some(&1)));
    }

    #[test]
    fn large_answers_take_their_turns() {
        let _alone = ALONE.lock().expect("no test has failed");
        let until = Instant::now() + Duration::from_secs(300);
        let large = || {
            let answer = AnswerBytes::announced(LONGEST_ANSWER, until);
            let answer = answer.read(|_, _, _| Ok::<_, ()>(())).expect("it is read");
            assert_eq!(
                (answer.len() as u64, answer.is_cut()),
                (LONGEST_ANSWER, false)
            );
            // What is made of it belongs to the same turn.
            let mut made = Memory::for_what_is_made_of(&answer);
            assert!(made.take(ALL / 4));
            drop(answer);
            assert!(made.take(ALL / 4));
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(large);
            }
        });
    }

    #[test]
    fn an_answer_takes_memory_as_it_arrives() {
        let soon = Instant::now() + PATIENCE;
        let mut places = Vec::new();
        let cut = AnswerBytes::announced(1 << 40, soon).read(|start, piece, memory| {
            places.push((start, piece.len()));
            assert_eq!(memory.taken(), start + piece.len());
            match places.len() {
                3 => Err("enough"),
                _ => Ok(()),
            }
        });
        assert_eq!(cut.err(), Some("enough"));
        assert_eq!(places, [(0, PIECE), (PIECE, PIECE), (2 * PIECE, 2 * PIECE)]);
        let whole = AnswerBytes::announced(3, soon);
        let whole = whole.read(|start, piece, _| {
            assert_eq!(start, 0);
            piece.copy_from_slice(b"abc");
            Ok::<_, ()>(())
        });
        let whole = whole.expect("it was read");
        assert_eq!((&*whole, whole.is_cut()), (&b"abc"[..], false));
    }

    #[test]
    fn the_slow_lose_their_turn() {
        let _alone = ALONE.lock().expect("no test has failed");
        let until = Instant::now() + Duration::from_secs(300);
        let slow = AnswerBytes::announced(LONGEST_ANSWER, until);
        let lost = slow.read(|start, _, memory| {
            if start < 16 * SMALL {
                return Ok(());
            }
            // As one that sends nothing more.
            let other = AnswerBytes::announced(LONGEST_ANSWER, until);
            let other = other.read(|_, _, _| Ok::<_, ()>(()));
            assert!(!other.expect("it is read").is_cut());
            assert!(memory.has_lost_turn());
            Err("lost")
        });
        assert_eq!(lost.err(), Some("lost"));
    }
}
