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

use crate::agent::stage::{self, BOOTED_IN, BOOTING_IN, process};
use crate::collect::at_exit::hook_exit;
use crate::cpython::api::Python;
use crate::cpython::gil::Gil;
use crate::cpython::{find, layout_check};
use crate::crew::{after_fork, start_thread};

/// The process in which a pending call was left and has not run; 0: none. (A child forked
/// meanwhile inherits the call.)
static ARMED_IN: AtomicI32 = AtomicI32::new(0);

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
        let Some(python) = find::found() else {
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

    if stage::is_left_alone() || BOOTED_IN.load(Ordering::Acquire) == process() {
        return;
    }
    BOOTING_IN.store(process(), Ordering::Release);
    if python.runs_main() {
        // SAFETY: on the thread that holds the interpreter; does nothing if called before.
        unsafe { (python.PyEval_InitThreads)() };
    }
    // SAFETY: on a thread that holds the GIL, or on the only one that runs Python.
    let gil = unsafe { &mut Gil::assume(python) };
    hook_exit(gil);
    layout_check::learn(gil);
    if !HOOKED_FORK.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler stays mapped, and does what a handler may (see there).
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    }
    start_thread();
}
