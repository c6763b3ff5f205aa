//! The agent's own threads: who they are, how they start, and how a forked child gets new ones.
//!
//! Enters: the order to start, a ring of the bell, a signal. Leaves: work for `ask` and `collect`.
//! Every thread blocks all signals but those that a fault in it raises, from before it starts, and
//! holds nothing while it waits.

pub mod last_thread;
pub mod parked;
pub mod reader;
pub mod waker;
pub mod with_gil;
pub mod worker;

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use crate::agent::bell::BELL;
use crate::agent::stage::{self, BOOTED_IN, BOOTING_IN, THREAD_ERROR, is_parked, process};
use crate::agent::threads::spawn;
use crate::agent::{desk, panics};
use crate::cpython::gil::Gil;
use crate::cpython::{find, thread_states};
use crate::crew::parked::{PARKED, STACK_SIZES, park};
use crate::script::undisturbed;

/// Parks a thread; where that fails, questions are answered without it, and say so.
pub fn start_thread() {
    match start() {
        Ok(()) => is_parked(),
        Err(error) => THREAD_ERROR.store(error, Ordering::Relaxed),
    }
}

/// In the child of `fork`, on its only thread: glibc runs this after it has put its own locks,
/// `malloc` and the cache of stacks in order (sysdeps/nptl/fork.c), so a thread can be started.
///
/// A pending call would not do: in a child that was forked inside a Python signal handler the
/// interpreter runs none before that handler returns, which may be never.
pub unsafe extern "C" fn after_fork() {
    BOOTED_IN.store(0, Ordering::Release);
    // Also where the parent was refused its threads.
    let booted = BOOTING_IN.load(Ordering::Acquire) != 0;
    THREAD_ERROR.store(0, Ordering::Relaxed);
    desk::forget();
    forget();
    let Some(python) = find::found() else {
        return;
    };
    thread_states::note_fork(python);
    if thread_states::this_thread_holds_gil(python) {
        // SAFETY: as has just been found out: Python itself has forked, inside a C function of its.
        let mut gil = unsafe { Gil::assume(python) };
        undisturbed::restart_collector(&mut gil);
    }
    if booted && python.initialized() && !stage::is_left_alone() {
        BOOTING_IN.store(process(), Ordering::Release);
        let _ = std::panic::catch_unwind(start_thread);
    }
}

/// Starts the threads, unless they are there; the error is an errno.
///
/// Called by the boot, on the interpreter's main thread between two bytecodes, or in a child
/// that was just forked: it allocates.
pub fn start() -> Result<(), c_int> {
    #[cfg(not(any(test, miri)))]
    crate::system::unwinder::load()?;
    panics::watch();
    last_thread::watch_this_one();
    worker::start()?;
    // Without it the worker reads by itself; without the waker there is still gdb.
    let _ = reader::start();
    let _ = waker::start();
    if PARKED.load(Ordering::Acquire) == 0 {
        let thread = spawn(park, &STACK_SIZES)?;
        PARKED.store(thread as usize, Ordering::Release);
        BELL.listens.store(1, Ordering::SeqCst);
    }
    Ok(())
}

/// In a forked child: the threads were the parent's.
pub fn forget() {
    PARKED.store(0, Ordering::Release);
    BELL.listens.store(0, Ordering::SeqCst);
    worker::forget();
    reader::forget();
    waker::forget();
    panics::forget();
}
