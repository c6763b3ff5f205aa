//! How far the worker has got with the request on the desk, and how it is called.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::agent::bell;
use crate::agent::threads::{self, Role};
use crate::system::filter::{self, Call};
use crate::system::identity::process_id;
use crate::system::signals::{self, NUDGE};

/// Counts the calls for a worker. The parked thread starts one at each.
pub static CALLS: AtomicU32 = AtomicU32::new(0);

/// Whether the agent's threads sleep where signals reach them (`crew/nap.rs`).
pub static NAPS_BY_SIGNAL: AtomicBool = AtomicBool::new(true);

/// The worker's [`Progress`].
static PROGRESS: AtomicU32 = AtomicU32::new(Progress::Resting as u32);

/// Has the parked thread start a worker for the request on the desk. Any thread but the parked one,
/// interrupted or not.
pub fn call_parked() {
    CALLS.fetch_add(1, Ordering::SeqCst);
    nudge();
}

/// Whether the calling thread can have a worker started. Any thread, interrupted or not.
pub fn can_call() -> bool {
    let by_signal = NAPS_BY_SIGNAL.load(Ordering::SeqCst);
    !by_signal || filter::may(Call::SignalThread) || threads::has(Role::Worker)
}

/// Has the parked thread look around. Any thread but the parked one, interrupted or not.
pub fn nudge() {
    if filter::may(Call::SignalThread) {
        signals::send(process_id(), threads::id_of(Role::Parked), NUDGE);
    }
    if !NAPS_BY_SIGNAL.load(Ordering::SeqCst) {
        bell::ring_for_ourselves();
    }
}

/// How far the worker has got with a request.
#[derive(Clone, Copy)]
pub enum Progress {
    /// It has not begun yet.
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
