//! The bell: what the commands see of the agent from outside, and where its answers are told.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::interface::{BELL_MAGIC, Bell, DETOURS};
use crate::{answer, detour};

/// In a section of its own, for the commands to find.
#[unsafe(link_section = ".sleeper_agent")]
#[used]
pub static BELL: Bell = Bell {
    magic: AtomicU64::new(0),
    listens: AtomicU32::new(0),
    rung: AtomicU32::new(0),
    answered: AtomicU32::new(0),
    padding: AtomicU32::new(0),
    text: AtomicU64::new(0),
    number: AtomicU64::new(0),
    detours: AtomicU64::new(0),
    resume: [const { AtomicU64::new(0) }; DETOURS],
};

/// The library has been bound: from here on it may be asked. In the constructor.
pub fn hang() {
    BELL.detours.store(detour::address(), Ordering::Relaxed);
    let magic = u64::from_ne_bytes(BELL_MAGIC);
    BELL.magic.store(magic, Ordering::Release);
}

/// Answers all rings up to this one. Any thread, interrupted or not.
pub fn answer(rung: u32) {
    crate::answer_with(|text| {
        // SAFETY: an answer that nobody can replace meanwhile.
        let number = unsafe { answer::header(text) }.number;
        BELL.text.store(text as u64, Ordering::SeqCst);
        BELL.number.store(number, Ordering::SeqCst);
        BELL.answered.store(rung, Ordering::SeqCst);
    });
}
