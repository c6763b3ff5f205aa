//! The bell: the one structure that the commands read and write from outside the process.
//!
//! A command finds it by the library's section `.sleeper_agent`, writes a question, rings, and reads
//! where the answer is.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::agent::stage;
use crate::system::futex;
use protocol::bell::{Bell, HAS_LEFT};
use protocol::names::{BELL_MAGIC, DETOURS, VERSION_TEXT};
use protocol::question::{LONGEST_QUESTION, Words};

/// A section of its own lets the commands find it in the library's file.
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

/// Tells `sa-run` whether it goes with this library.
#[unsafe(link_section = ".sleeper_version")]
#[used]
static VERSION: [u8; VERSION_TEXT.len()] = VERSION_TEXT;

/// Where a command writes its question: see [`Bell::question`].
#[repr(C)]
struct QuestionBuffer {
    length: u32,
    words: [u8; LONGEST_QUESTION],
}
struct SharedBuffer(UnsafeCell<QuestionBuffer>);
// SAFETY: no thread of this process writes to it, only a command does, from outside; it is read as
// plain bytes, of which any are valid (see [`question`]).
unsafe impl Sync for SharedBuffer {}
static QUESTION: SharedBuffer = SharedBuffer(UnsafeCell::new(QuestionBuffer {
    length: 0,
    words: [0; LONGEST_QUESTION],
}));

/// Opens the agent to the commands: the loader has bound the library, so it can answer. `detours` is
/// the address of the first detour. Called by the constructor.
pub fn hang(detours: u64) {
    BELL.question
        .store(QUESTION.0.get() as u64, Ordering::Relaxed);
    BELL.detours.store(detours, Ordering::Relaxed);
    let magic = u64::from_ne_bytes(BELL_MAGIC);
    BELL.magic.store(magic, Ordering::Release);
}

/// The question that ring number `rung` asks; empty for the plain state.
pub fn question(rung: u32) -> Words {
    if BELL.asked.load(Ordering::SeqCst) != rung {
        return Words::default();
    }
    // SAFETY: plain bytes in a static, of which any are valid; a command wrote them before it rang.
    // The next command may already be writing its own question over them: the answer then bears the
    // number of neither question, and both commands ask again.
    let buffer = unsafe { QUESTION.0.get().read_volatile() };
    let words = buffer.words.get(..buffer.length as usize);
    words.and_then(Words::from_bytes).unwrap_or_default()
}

/// Shows that the agent has left. On the thread that has been parked, or where there is none.
pub fn show_that_it_has_left() {
    BELL.listens.store(HAS_LEFT, Ordering::SeqCst);
}

/// Somebody has asked for the agent again. Any thread.
pub fn come_back() {
    stage::come_back();
    let _ = BELL
        .listens
        .compare_exchange(HAS_LEFT, 0, Ordering::SeqCst, Ordering::SeqCst);
}

/// Counts rings that ask nothing: see [`ring_for_ourselves`].
static OWN_RINGS: AtomicU32 = AtomicU32::new(0);

/// Wakes a parked thread that no signal reaches. Any thread, interrupted or not.
pub fn ring_for_ourselves() {
    OWN_RINGS.fetch_add(1, Ordering::SeqCst);
    BELL.rung.fetch_add(1, Ordering::SeqCst);
    futex::wake(&BELL.rung);
}

/// Notes that no ring up to this one waits for an answer, unless a later one has been answered meanwhile. On the
/// parked thread.
pub fn note_answered(rung: u32) {
    let later = |answered: u32| (rung.wrapping_sub(answered) as i32 > 0).then_some(rung);
    let _ = BELL
        .answered
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
}

/// How many rings since the last call ask nothing. On the parked thread.
pub fn take_own_rings() -> u32 {
    OWN_RINGS.swap(0, Ordering::SeqCst)
}
