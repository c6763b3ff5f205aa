//! How far the worker has got with the request on the desk.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::system::futex;

/// Counts the calls of the worker, which waits on this word.
pub static CALLS: AtomicU32 = AtomicU32::new(0);

/// The worker's [`Progress`].
static PROGRESS: AtomicU32 = AtomicU32::new(Progress::Resting as u32);

/// Wakes the worker for the request on the desk. Any thread, interrupted or not.
pub fn call() {
    CALLS.fetch_add(1, Ordering::SeqCst);
    futex::wake(&CALLS);
}

/// How far the worker has got with a request.
#[derive(Clone, Copy)]
pub enum Progress {
    /// It has not woken yet.
    Resting,
    /// It waits for the GIL.
    WaitsForGil,
    /// It has got the GIL. (A module's loader that it asks for source may let go of it.)
    HasGil,
    /// It waits for source files to be read, and holds nothing.
    ReadsFiles,
}

/// How far the worker has got. Any thread, interrupted or not.
pub fn progress() -> Progress {
    let now = PROGRESS.load(Ordering::SeqCst);
    [
        Progress::WaitsForGil,
        Progress::HasGil,
        Progress::ReadsFiles,
    ]
    .into_iter()
    .find(|progress| *progress as u32 == now)
    .unwrap_or(Progress::Resting)
}

/// Notes the worker's progress. On the worker, or on the only thread of a forked child.
pub fn now_at(progress: Progress) {
    PROGRESS.store(progress as u32, Ordering::SeqCst);
}
