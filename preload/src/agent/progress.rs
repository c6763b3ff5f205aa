//! How far the worker has got with the present question.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::system::futex;

/// Counts the times the worker was called; it waits on this word.
pub static BELL: AtomicU32 = AtomicU32::new(0);

/// How far it has got with the present request: a [`Progress`].
static AT: AtomicU32 = AtomicU32::new(Progress::Resting as u32);

/// Wakes the worker for the request on the desk. Any thread, interrupted or not.
pub fn call() {
    BELL.fetch_add(1, Ordering::SeqCst);
    futex::wake(&BELL);
}

/// How far the worker has got with the present request.
#[derive(Clone, Copy)]
pub enum Progress {
    /// It has not woken yet.
    Resting,
    /// It waits for the GIL.
    WaitsForGil,
    /// It has the GIL, or had it: a module's loader that is asked for source may let go of it.
    HasGil,
    /// It reads source files, holding nothing.
    ReadsFiles,
}

/// How far the worker has got. Any thread, interrupted or not.
pub fn progress() -> Progress {
    let at = AT.load(Ordering::SeqCst);
    [
        Progress::WaitsForGil,
        Progress::HasGil,
        Progress::ReadsFiles,
    ]
    .into_iter()
    .find(|progress| *progress as u32 == at)
    .unwrap_or(Progress::Resting)
}

/// On the worker, or in a forked child on the only thread.
pub fn now_at(progress: Progress) {
    AT.store(progress as u32, Ordering::SeqCst);
}
