//! The bell: what the commands see of the agent from outside, and where its answers are told.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::interface::{BELL_MAGIC, Bell, DETOURS};
use crate::wanted::{LONGEST_QUESTION, Wanted};
use crate::{answer, detour};

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

/// Where a command writes what it wants: see [`Bell::question`].
#[repr(C)]
struct Room {
    length: u32,
    words: [u8; LONGEST_QUESTION],
}
struct Question(UnsafeCell<Room>);
// SAFETY: written from outside only, and read once it is there (see `wanted`).
unsafe impl Sync for Question {}
static QUESTION: Question = Question(UnsafeCell::new(Room {
    length: 0,
    words: [0; LONGEST_QUESTION],
}));

/// The library has been bound: from here on it may be asked. In the constructor.
pub fn hang() {
    BELL.question
        .store(QUESTION.0.get() as u64, Ordering::Relaxed);
    BELL.detours.store(detour::address(), Ordering::Relaxed);
    let magic = u64::from_ne_bytes(BELL_MAGIC);
    BELL.magic.store(magic, Ordering::Release);
}

/// What is wanted of who answers this ring.
fn wanted(rung: u32) -> Wanted {
    if BELL.asked.load(Ordering::SeqCst) != rung {
        return Wanted::default();
    }
    // SAFETY: it was there before the bell was rung. The next command may be writing its own over it
    // already: then this ring's is not what comes out, and the command that rang asks again.
    let room = unsafe { QUESTION.0.get().read_volatile() };
    let words = room.words.get(..room.length as usize);
    words.and_then(Wanted::parse).unwrap_or_default()
}

/// Answers all rings up to this one. Any thread, interrupted or not.
pub fn answer(rung: u32) {
    crate::answer_with(wanted(rung), |text| {
        // SAFETY: an answer that nobody can replace meanwhile.
        let number = unsafe { answer::header(text) }.number;
        BELL.text.store(text as u64, Ordering::SeqCst);
        BELL.number.store(number, Ordering::SeqCst);
        BELL.answered.store(rung, Ordering::SeqCst);
    });
}
