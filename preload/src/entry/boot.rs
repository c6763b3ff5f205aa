//! Boot: on the interpreter's main thread, at a bytecode boundary, once per process.
//!
//! CPython 2 has no GIL before `PyEval_InitThreads`, and that call makes its thread the only one that
//! will ever run Python's signal handlers. So the agent makes it in a pending call: the interpreter runs
//! pending calls on its main thread, between two bytecodes (Python/ceval.c, `Py_MakePendingCalls`, 2.6
//! and 2.7).
//!
//! The agent calls `PyEval_InitThreads` only in a program that `Py_Main` runs. A program that embeds the
//! interpreter may go on in C after `Py_Initialize`, and would keep the GIL for ever, not knowing that
//! there is one.
//!
//! While a pending call waits, the interpreter lets go of the GIL at every bytecode. So the agent queues
//! none where it could wait long: once the program has threads, the main thread may be blocked while
//! others run.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::agent::panics;
use crate::agent::stage::{self, BOOTED_IN, BOOTING_IN};
use crate::ask::request::Asker;
use crate::collect::at_exit::hook_exit;
use crate::cpython::api::Python;
use crate::cpython::gil::Gil;
use crate::cpython::{find, layout_check};
use crate::crew::{after_fork, start_or_note_error, worker};
use crate::entry::elder;
use crate::script::threading_after_fork;
use crate::system::filter;
use crate::system::identity::process_id;

/// The process in which the pending call is queued and has not run; 0: none. (A child forked meanwhile
/// inherits the call.)
static ARMED_IN: AtomicI32 = AtomicI32::new(0);

/// As a thread of the program's asks. Any thread, interrupted or not.
///
/// The thread may be under a filter that the agent's threads are not under: then next to nothing is tried.
pub fn program_asks() -> Asker {
    Asker {
        prepare: || {
            filter::distrust_this_thread();
            elder::look();
        },
        arm,
        call: worker::call,
    }
}

/// Queues [`boot`] as a pending call, unless it is queued already or the interpreter has threads.
///
/// Any thread, interrupted or not, before `Py_Initialize` or after: `Py_AddPendingCall` is made for
/// signal handlers and only tries its lock, which does not exist before `Py_Initialize`. If it fails
/// (its queue is full, its lock is taken), the next question tries again.
pub fn arm(python: &Python) {
    if python.has_gil()
        || stage::has_left()
        || ARMED_IN.swap(process_id(), Ordering::AcqRel) == process_id()
    {
        return;
    }
    // SAFETY: any thread may make this call (see above), and `boot` stays mapped (-z nodelete). A child
    // forked before it runs inherits the queue; at exit it is just never run.
    if unsafe { (python.Py_AddPendingCall)(boot, ptr::null_mut()) } != 0 {
        ARMED_IN.store(0, Ordering::Release);
    }
}

/// The pending call; the import calls it directly, on the importing thread.
///
/// # Safety
/// On a thread between two bytecodes that holds the GIL, or is the only one that runs Python.
pub unsafe extern "C-unwind" fn boot(_: *mut c_void) -> c_int {
    // Always 0: a pending call that fails raises an exception in the program.
    let _ = panics::caught(|| {
        ARMED_IN.store(0, Ordering::Release);
        let Some(python) = find::found() else {
            return;
        };
        // SAFETY: the caller promises to hold the GIL, or to be the only thread that runs Python.
        unsafe { boot_holding_gil(python) };
    });
    0
}

/// Makes the GIL, hooks exit and fork, learns the frames' layout and starts the agent's threads.
///
/// # Safety
/// As for [`boot`].
unsafe fn boot_holding_gil(python: &'static Python) {
    if stage::is_left_alone()
        || stage::has_left()
        || BOOTED_IN.load(Ordering::Acquire) == process_id()
    {
        return;
    }
    filter::learn();
    BOOTING_IN.store(process_id(), Ordering::Release);
    let makes_gil = python.runs_main() && !python.has_gil();
    if makes_gil {
        // SAFETY: this thread runs the interpreter (see `boot`).
        unsafe { (python.PyEval_InitThreads)() };
    }
    // SAFETY: the caller promises that this thread holds the GIL, or is the only one that runs Python.
    let gil = unsafe { &mut Gil::assume(python) };
    hook_exit(gil);
    layout_check::learn(gil);
    if makes_gil {
        threading_after_fork::prepare(gil);
    }
    hook_fork();
    start_or_note_error(false);
}

/// Has forked children start agents of their own. Once for a process and its descendants: on a thread that may allocate.
pub fn hook_fork() {
    static HOOKED: AtomicBool = AtomicBool::new(false);

    if !HOOKED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler stays mapped (-z nodelete), and does what a fork handler may (see there).
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    }
}
