//! Answers a ring of the bell: on a thread of the agent's, or on a detour.

use std::sync::atomic::Ordering;

use crate::agent::bell::{BELL, question};
use crate::agent::page;
use crate::ask::request::{Asker, answer_with};

/// Answers ring number `rung`, and with it all before it. Any thread, interrupted or not.
pub fn answer(rung: u32, asker: Asker) {
    answer_with(&question(rung), asker, |text| {
        // SAFETY: a fresh answer: this thread holds the desk, so no other thread can replace it.
        let number = unsafe { page::header(text) }.number;
        BELL.text.store(text as u64, Ordering::SeqCst);
        BELL.number.store(number, Ordering::SeqCst);
        BELL.answered.store(rung, Ordering::SeqCst);
    });
}
