//! The bell: what the commands see of the agent from outside, and where its answers are told.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::system::futex;
use protocol::bell::Bell;
use protocol::names::{BELL_MAGIC, DETOURS};
use protocol::question::{LONGEST_QUESTION, Words};

/// In a section of its own, for the commands to find.
#[unsafe(link_section = ".sleeper_agent")]
#[used]
pub static BELL: Bell = Bell {
    magic: AtomicU64::new(0),
    listens: AtomicU32::new(0),
    rung: AtomicU32::new(0),
    answered: AtomicU32::new(0),
    asked: AtomicU32::new(0),
    text: AtomicU64::new(0),
    number: AtomicU64::new(0),
    question: AtomicU64::new(0),
    detours: AtomicU64::new(0),
    resume: [const { AtomicU64::new(0) }; DETOURS],
};

/// Where a command writes its question: see [`Bell::question`].
#[repr(C)]
struct Room {
    length: u32,
    words: [u8; LONGEST_QUESTION],
}
struct QuestionRoom(UnsafeCell<Room>);
// SAFETY: written from outside only, and read once it is there (see [`question`]).
unsafe impl Sync for QuestionRoom {}
static QUESTION: QuestionRoom = QuestionRoom(UnsafeCell::new(Room {
    length: 0,
    words: [0; LONGEST_QUESTION],
}));

/// The library has been bound: from here on it may be asked. `detours` is the address of the first
/// detour. In the constructor.
pub fn hang(detours: u64) {
    BELL.question
        .store(QUESTION.0.get() as u64, Ordering::Relaxed);
    BELL.detours.store(detours, Ordering::Relaxed);
    let magic = u64::from_ne_bytes(BELL_MAGIC);
    BELL.magic.store(magic, Ordering::Release);
}

/// The question that this ring asks; no words, if it asks for the plain state.
pub fn question(rung: u32) -> Words {
    if BELL.asked.load(Ordering::SeqCst) != rung {
        return Words::default();
    }
    // SAFETY: plain bytes, written before the bell was rung. The next command may already be writing
    // its own question over them: the answer then has the number of neither, and both ask again.
    let room = unsafe { QUESTION.0.get().read_volatile() };
    let words = room.words.get(..room.length as usize);
    words.and_then(Words::from_bytes).unwrap_or_default()
}

/// Has the parked thread look after the worker. Any thread, interrupted or not.
pub fn revive_worker() {
    futex::wake(&BELL.rung);
}
