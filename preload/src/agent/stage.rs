//! Where the agent is in its life, and which processes it serves.

use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

/// The process the agent has booted in; 0: none. A child made by a bare `fork` system call,
/// which runs no handler of ours, is told by it.
pub static BOOTED_IN: AtomicI32 = AtomicI32::new(0);

/// The process in which the agent is starting its threads, or has tried; a child that has not yet
/// has its parent's here. 0: none.
pub static BOOTING_IN: AtomicI32 = AtomicI32::new(0);

/// Whether the interpreter of this process has been ended (`Py_Finalize`) and not begun again.
pub static ENDED: AtomicBool = AtomicBool::new(false);

/// Why the parked thread could not be started (an errno); 0: it could.
pub static THREAD_ERROR: AtomicI32 = AtomicI32::new(0);

/// Where the agent is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not booted in this process (yet): 0, or the errno why its thread could not be started.
    Unborn(i32),
    /// Its threads are being started.
    Booting,
    /// Asleep, ready to be asked.
    Parked,
}

/// Where the agent is in its life. Any thread, interrupted or not.
pub fn stage() -> Stage {
    if BOOTED_IN.load(Ordering::Acquire) == process() {
        return Stage::Parked;
    }
    match THREAD_ERROR.load(Ordering::Relaxed) {
        0 if BOOTING_IN.load(Ordering::Acquire) == process() => Stage::Booting,
        error => Stage::Unborn(error),
    }
}

/// Whether the interpreter of this process has been ended, and not been asked about since it
/// began again, if it did. Any thread, interrupted or not.
pub fn has_ended() -> bool {
    ENDED.load(Ordering::Relaxed)
}

/// The parked thread is there. Told by itself, before anyone can ask it.
pub fn is_parked() {
    BOOTED_IN.store(process(), Ordering::Release);
}

pub fn process() -> i32 {
    // SAFETY: getpid has no conditions.
    unsafe { libc::getpid() }
}

/// `sleeper_agent_state` as a C function.
pub type StateFunction = extern "C" fn() -> *const c_char;

/// The agent that was in this process before this copy of the library was loaded; this copy
/// then only passes questions on.
pub static ELDER: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// The one process that this agent may serve (`sa-run --no-children`); 0: any.
pub static ONLY_PID: AtomicI32 = AtomicI32::new(0);

/// The agent that was here before this copy of the library.
pub fn elder() -> Option<StateFunction> {
    let elder = ELDER.load(Ordering::Acquire);
    // SAFETY: the address of another copy's `sleeper_agent_state`, which is never unloaded.
    (!elder.is_null()).then(|| unsafe { std::mem::transmute::<*mut (), StateFunction>(elder) })
}

/// Whether the agent was told to leave this process alone. Any thread.
pub fn is_left_alone() -> bool {
    let only = ONLY_PID.load(Ordering::Relaxed);
    // SAFETY: getpid has no conditions.
    only != 0 && only != unsafe { libc::getpid() }
}
