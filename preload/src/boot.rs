//! Boot: on the interpreter's main thread, at a bytecode boundary, once per process.
//!
//! CPython 2 has no GIL before `PyEval_InitThreads`, and that call records the thread it is
//! made on as the only one that will ever run Python's signal handlers. So it is made by a
//! pending call: the interpreter runs those on its main thread, holding the interpreter, at its
//! first bytecode (Python/ceval.c, `Py_MakePendingCalls`, 2.6 and 2.7).

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::python::{self, Python};
use crate::{load, park, request, snippet, threads, worker};

/// The process the agent has booted in; 0: none. A child made by a bare `fork` system call,
/// which runs no handler of ours, is told by it.
static BOOTED_IN: AtomicI32 = AtomicI32::new(0);

/// The process in which a pending call is under way; 0: none.
static ARMED_IN: AtomicI32 = AtomicI32::new(0);

/// Whether the interpreter of this process has been ended (`Py_Finalize`) and not begun again.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Whether [`after_finalize`] stands in the interpreter's list of exit functions.
static HOOKED_EXIT: AtomicBool = AtomicBool::new(false);

/// Why the parked thread could not be started (an errno); 0: it could.
static THREAD_ERROR: AtomicI32 = AtomicI32::new(0);

/// Where the agent is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not booted in this process (yet): 0, or the errno why its thread could not be started.
    Unborn(i32),
    /// Asleep, ready to be asked.
    Parked,
    /// The interpreter has been ended.
    Ended,
}

/// Where the agent is in its life. Any thread, interrupted or not.
pub fn stage() -> Stage {
    if BOOTED_IN.load(Ordering::Acquire) == process() {
        Stage::Parked
    } else if ENDED.load(Ordering::Relaxed) {
        Stage::Ended
    } else {
        Stage::Unborn(THREAD_ERROR.load(Ordering::Relaxed))
    }
}

/// Asks the interpreter to run [`boot`], unless it has been asked already.
///
/// Any thread, interrupted or not, before `Py_Initialize` or after: `Py_AddPendingCall` is made
/// for signal handlers, it only ever tries its lock. Before `Py_Initialize` there is no lock yet.
/// Where it fails (its queue is full, its lock is taken) the next question tries again.
pub fn arm(python: &Python) {
    let process = process();
    if ARMED_IN.swap(process, Ordering::AcqRel) == process {
        return;
    }
    // SAFETY: see above; `boot` stays mapped for the life of the process (-z nodelete).
    if unsafe { (python.Py_AddPendingCall)(boot, ptr::null_mut()) } != 0 {
        ARMED_IN.store(0, Ordering::Release);
    }
}

/// The pending call. Also made directly by `import`, on the importing thread.
///
/// # Safety
/// On a thread that holds the GIL, or is the only one that runs Python, between two bytecodes.
pub unsafe extern "C-unwind" fn boot(_: *mut c_void) -> c_int {
    // A pending call that fails raises an exception in the program: never do that.
    let _ = std::panic::catch_unwind(|| {
        ARMED_IN.store(0, Ordering::Release);
        let Some(python) = python::found() else {
            return;
        };
        // SAFETY: the caller's promise.
        unsafe { boot_holding_gil(python) };
    });
    0
}

/// # Safety
/// As for [`boot`].
unsafe fn boot_holding_gil(python: &'static Python) {
    static HOOKED_FORK: AtomicBool = AtomicBool::new(false);

    if load::is_left_alone() || BOOTED_IN.load(Ordering::Acquire) == process() {
        return;
    }
    // SAFETY: on the thread that holds the interpreter; does nothing if it was called before.
    unsafe { (python.PyEval_InitThreads)() };
    // A child of `fork` inherits both hooks.
    if !HOOKED_EXIT.swap(true, Ordering::Relaxed) {
        // SAFETY: holding the GIL, which guards the list; `after_finalize` stays mapped. If the
        // list is full (32 entries) the interpreter's second life goes without an agent.
        unsafe { (python.Py_AtExit)(after_finalize) };
    }
    if !HOOKED_FORK.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler stays mapped, and does what a handler may (see there).
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    }
    // SAFETY: holding the GIL.
    unsafe { snippet::restore_collector(python) };
    ENDED.store(false, Ordering::Relaxed);
    match park::start() {
        Ok(()) => BOOTED_IN.store(process(), Ordering::Release),
        // The next question says so, and arms the boot again.
        Err(error) => THREAD_ERROR.store(error, Ordering::Relaxed),
    }
}

/// In the child of `fork`, on its only thread, which may have held anything: only atomics are
/// set, memory is read, and a pending call left behind (one try of a lock). A child that never runs Python again
/// before it execs, never boots.
unsafe extern "C" fn after_fork() {
    BOOTED_IN.store(0, Ordering::Release);
    ARMED_IN.store(0, Ordering::Release);
    request::forget();
    worker::forget();
    park::forget();
    if let Some(python) = python::found()
        && python.initialized()
    {
        threads::note_fork(python);
        if !load::is_left_alone() {
            arm(python);
        }
    }
}

/// At the very end of `Py_Finalize`, on its thread: the interpreter is gone, its objects too.
/// What stays is ready for a next `Py_Initialize`.
unsafe extern "C" fn after_finalize() {
    // `Py_Finalize` empties its list of exit functions as it calls them (Python/pythonrun.c,
    // `call_ll_exitfuncs`), so the next boot has to enter this one again.
    HOOKED_EXIT.store(false, Ordering::Relaxed);
    snippet::forget();
    threads::forget();
    ENDED.store(true, Ordering::Relaxed);
    BOOTED_IN.store(0, Ordering::Release);
    if let Some(python) = python::found() {
        arm(python);
    }
}

fn process() -> i32 {
    // SAFETY: getpid has no conditions.
    unsafe { libc::getpid() }
}
