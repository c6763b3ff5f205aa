//! Boot: on the interpreter's main thread, at a bytecode boundary, once per process.
//!
//! CPython 2 has no GIL before `PyEval_InitThreads`, and that call records the thread it is
//! made on as the only one that will ever run Python's signal handlers. So it is made by a
//! pending call: the interpreter runs those on its main thread, holding the interpreter, at its
//! first bytecode (Python/ceval.c, `Py_MakePendingCalls`, 2.6 and 2.7).
//!
//! It is only made for a program that `Py_Main` runs. One that embeds the interpreter may go on
//! in C after `Py_Initialize`, and would keep the GIL for ever without knowing that there is one.
//!
//! A pending call that waits makes the interpreter let go of the GIL at every single bytecode,
//! until it is run. So none is left where it could wait long: once there are threads, the main
//! one may be blocked while others run.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::python::{self, Python};
use crate::{desk, layout, load, park, snippet, threads, undisturbed, walk};

/// The process the agent has booted in; 0: none. A child made by a bare `fork` system call,
/// which runs no handler of ours, is told by it.
static BOOTED_IN: AtomicI32 = AtomicI32::new(0);

/// The process in which the agent is starting its threads, or has tried; a child that has not yet
/// has its parent's here. 0: none.
static BOOTING_IN: AtomicI32 = AtomicI32::new(0);

/// The process in which a pending call was left and has not run; 0: none. (A child forked
/// meanwhile inherits the call.)
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

/// Asks the interpreter to run [`boot`], unless it has been asked already, or has threads.
///
/// Any thread, interrupted or not, before `Py_Initialize` or after: `Py_AddPendingCall` is made
/// for signal handlers, it only ever tries its lock. Before `Py_Initialize` there is no lock yet.
/// Where it fails (its queue is full, its lock is taken) the next question tries again.
pub fn arm(python: &Python) {
    if python.has_gil() || ARMED_IN.swap(process(), Ordering::AcqRel) == process() {
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
    BOOTING_IN.store(process(), Ordering::Release);
    if python.runs_main() {
        // SAFETY: on the thread that holds the interpreter; does nothing if called before.
        unsafe { (python.PyEval_InitThreads)() };
    }
    // SAFETY: holding the GIL.
    unsafe {
        hook_exit(python);
        layout::learn(python);
    }
    if !HOOKED_FORK.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler stays mapped, and does what a handler may (see there).
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    }
    start_thread();
}

/// Has [`after_finalize`] called when the interpreter ends, once in each of its lives; false if
/// it cannot be.
///
/// # Safety
/// Holding the GIL, which guards the list of exit functions.
pub unsafe fn hook_exit(python: &Python) -> bool {
    if !HOOKED_EXIT.load(Ordering::Relaxed) {
        // SAFETY: `after_finalize` stays mapped.
        let hooked = unsafe { (python.Py_AtExit)(after_finalize) } == 0;
        HOOKED_EXIT.store(hooked, Ordering::Relaxed);
        ENDED.store(false, Ordering::Relaxed);
    }
    HOOKED_EXIT.load(Ordering::Relaxed)
}

/// The parked thread is there. Told by itself, before anyone can ask it.
pub fn is_parked() {
    BOOTED_IN.store(process(), Ordering::Release);
}

/// Parks a thread; where that fails, questions are answered without it, and say so.
fn start_thread() {
    match park::start() {
        Ok(()) => is_parked(),
        Err(error) => THREAD_ERROR.store(error, Ordering::Relaxed),
    }
}

/// In the child of `fork`, on its only thread: glibc runs this after it has put its own locks,
/// `malloc` and the cache of stacks in order (sysdeps/nptl/fork.c), so a thread can be started.
///
/// A pending call would not do: in a child that was forked inside a Python signal handler the
/// interpreter runs none before that handler returns, which may be never.
unsafe extern "C" fn after_fork() {
    BOOTED_IN.store(0, Ordering::Release);
    // Also where the parent was refused its threads.
    let booted = BOOTING_IN.load(Ordering::Acquire) != 0;
    THREAD_ERROR.store(0, Ordering::Relaxed);
    desk::forget();
    park::forget();
    let Some(python) = python::found() else {
        return;
    };
    threads::note_fork(python);
    if walk::this_thread_holds_gil(python) {
        // SAFETY: forked by Python itself, inside a C function of its, holding the GIL.
        unsafe { undisturbed::restart_collector(python) };
    }
    if booted && python.initialized() && !load::is_left_alone() {
        BOOTING_IN.store(process(), Ordering::Release);
        let _ = std::panic::catch_unwind(start_thread);
    }
}

/// At the very end of `Py_Finalize`, on its thread: the interpreter is gone, its objects too. The
/// parked thread stays, for the case that there is a next one.
unsafe extern "C" fn after_finalize() {
    // `Py_Finalize` empties its list of exit functions as it calls them (Python/pythonrun.c,
    // `call_ll_exitfuncs`), so the next life has to enter this one again.
    HOOKED_EXIT.store(false, Ordering::Relaxed);
    snippet::forget();
    threads::forget();
    ENDED.store(true, Ordering::Relaxed);
}

fn process() -> i32 {
    // SAFETY: getpid has no conditions.
    unsafe { libc::getpid() }
}
