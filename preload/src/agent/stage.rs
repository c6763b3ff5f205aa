//! Where the agent is in its life, and which processes it serves.

use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

use crate::system::identity::process_id;

/// The process that the agent has booted in; 0: none. It differs from this process in a child of a
/// bare `fork` system call, which runs no fork handler.
pub static BOOTED_IN: AtomicI32 = AtomicI32::new(0);

/// The process in which the agent has begun to start its threads; 0: none. A forked child that has
/// not begun yet still has its parent's number here.
pub static BOOTING_IN: AtomicI32 = AtomicI32::new(0);

/// Whether `Py_Finalize` has ended the interpreter, and no boot has hooked a new one since.
pub static ENDED: AtomicBool = AtomicBool::new(false);

/// The errno with which starting the agent's threads failed; 0: it did not fail.
pub static THREAD_ERROR: AtomicI32 = AtomicI32::new(0);

/// Whether the agent has left this process, as it was told to (`sa-load --unload`).
static LEFT: AtomicBool = AtomicBool::new(false);

/// Whether the agent has left, and neither starts threads nor answers. A forked child's has left too. Any thread.
pub fn has_left() -> bool {
    LEFT.load(Ordering::SeqCst)
}

/// Notes that the agent leaves. Any thread, interrupted or not.
pub fn leave() {
    LEFT.store(true, Ordering::SeqCst);
}

/// Notes that somebody has asked for the agent again. Any thread.
pub fn come_back() {
    LEFT.store(false, Ordering::SeqCst);
}

/// Where the agent is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not booted in this process: with 0, not yet; else with the errno that starting a thread gave.
    Unborn(i32),
    /// Its threads are being started.
    Booting,
    /// Its threads are there: it can be asked.
    Parked,
}

/// Where the agent is in its life. Any thread, interrupted or not.
pub fn stage() -> Stage {
    if BOOTED_IN.load(Ordering::Acquire) == process_id() {
        return Stage::Parked;
    }
    match THREAD_ERROR.load(Ordering::Relaxed) {
        0 if BOOTING_IN.load(Ordering::Acquire) == process_id() => Stage::Booting,
        error => Stage::Unborn(error),
    }
}

/// Whether the interpreter has ended, as far as the agent has noticed: a new one is noticed at the
/// first question. Any thread, interrupted or not.
pub fn has_ended() -> bool {
    ENDED.load(Ordering::Relaxed)
}

/// Notes that the parked thread is there. That thread calls this before a command can find it.
pub fn set_parked() {
    BOOTED_IN.store(process_id(), Ordering::Release);
}

/// Notes that the agent's threads are gone: it has to begin anew. On the thread that has been parked.
pub fn forget_boot() {
    BOOTED_IN.store(0, Ordering::SeqCst);
    BOOTING_IN.store(0, Ordering::SeqCst);
}

/// `sleeper_agent_state` as a C function.
pub type StateFunction = extern "C" fn() -> *const c_char;

/// `sleeper_agent_state` of the copy of the library that was in this process before this one. Where
/// there is such an elder, this copy only passes questions on to it.
pub static ELDER: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// The one process that this agent may serve (`sa-run --no-children`); 0: any.
pub static ONLY_PID: AtomicI32 = AtomicI32::new(0);

/// The elder agent's function: see [`ELDER`].
pub fn elder() -> Option<StateFunction> {
    let elder = ELDER.load(Ordering::Acquire);
    // SAFETY: not null, so the constructor has stored the address of another copy's
    // `sleeper_agent_state`, and that copy is never unloaded (-z nodelete).
    (!elder.is_null()).then(|| unsafe { std::mem::transmute::<*mut (), StateFunction>(elder) })
}

/// Whether the agent must leave this process alone. Any thread, interrupted or not.
pub fn is_left_alone() -> bool {
    let only = ONLY_PID.load(Ordering::Relaxed);
    only != 0 && only != process_id()
}
