//! The agent's own threads: how they start, what each does, and how a forked child gets new ones.
//!
//! One thread sleeps ([`nap`]), from the boot on: [`parked`] waits for a ring of the bell and for a command's
//! signal. The others work, and end when there is nothing to do:
//!
//! - [`answerer`]: asks, and gives the answer to whoever wants it; a command that has sent a signal gets it by
//!   [`woken`]. The parked thread starts it.
//! - [`worker`]: takes the GIL and makes the answer. The thread that asks has it started.
//! - [`reader`]: reads source files and `/proc` for the worker, which starts it.
//!
//! Enters: the boot's call to start, a ring of the bell, a signal. Leaves: questions for `ask`, work for
//! `collect` and `files`. Asleep, the thread is in one system call and holds nothing: no descriptor, no
//! lock. Each thread blocks all signals, at work all but its own faults, from before it starts. A thread of the agent's has no
//! more rights than the program's first thread when it serves ([`walls`], [`new_user`]).

pub mod answerer;
pub mod gil_wait;
pub mod last_thread;
pub mod late;
pub mod nap;
pub mod new_user;
pub mod parked;
pub mod reader;
pub mod walls;
pub mod with_gil;
pub mod woken;
pub mod worker;

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::agent::bell::{self, BELL};
use crate::agent::progress::{CALLS, NAPS_BY_SIGNAL};
use crate::agent::stage::{self, BOOTED_IN, BOOTING_IN, Stage, THREAD_ERROR, set_parked};
use crate::agent::threads::{self, Begins, Role, spawn_with};
use crate::agent::{desk, hold, panics};
use crate::cpython::gil::Gil;
use crate::cpython::{find, thread_states};
use crate::crew::parked::{STACK_SIZES, park};
use crate::script::{threading_after_fork, undisturbed};
use crate::system::filter;
use crate::system::identity::process_id;
use crate::system::unwinder;

/// Starts the thread that sleeps. Where that fails, the asking threads read memory and say why. `young`: in a child
/// that was just forked.
///
/// As for [`start`].
pub fn start_or_note_error(young: bool) {
    if let Err(error) = start(young) {
        THREAD_ERROR.store(error, Ordering::Relaxed);
    }
}

/// The fork handler: in the child, on its only thread. glibc runs it after it has put its own locks,
/// `malloc` and the cache of stacks in order (sysdeps/nptl/fork.c), so it may start threads.
///
/// A pending call could not do this: in a child that was forked inside a Python signal handler, the
/// interpreter runs none before the handler returns, and it may never return.
pub unsafe extern "C" fn after_fork() {
    filter::learn_in_child();
    BOOTED_IN.store(0, Ordering::Release);
    // True also if the parent could not start its threads: the child tries again.
    let booted = BOOTING_IN.load(Ordering::Acquire) != 0 && !stage::has_left();
    THREAD_ERROR.store(0, Ordering::Relaxed);
    desk::forget();
    hold::forget();
    forget();
    if stage::has_left() {
        stage::forget_boot();
        bell::show_that_it_has_left();
    }
    let Some(python) = find::found() else {
        return;
    };
    thread_states::note_fork(python);
    if thread_states::this_thread_holds_gil(python) {
        // SAFETY: the child's only thread holds the GIL: it is inside a C function of Python's, which
        // forked. If it was the worker, its own `Gil` is not in use while the program's code runs on it.
        let mut gil = unsafe { Gil::assume(python) };
        undisturbed::restart_collector(&mut gil);
        let _ = panics::caught(|| threading_after_fork::leave_out(&mut gil));
    }
    if booted && python.initialized() && !stage::is_left_alone() {
        BOOTING_IN.store(process_id(), Ordering::Release);
        let _ = panics::caught(|| start_or_note_error(true));
    }
}

/// Starts the parked thread, if it is not there yet; the error is an errno.
///
/// It allocates, so only in the boot, on the interpreter's main thread between two bytecodes, or in the
/// fork handler.
fn start(young: bool) -> Result<(), c_int> {
    unwinder::load();
    panics::watch();
    last_thread::watch_this_one();
    threads::note_starter();
    NAPS_BY_SIGNAL.store(filter::may_nap_by_signal(), Ordering::SeqCst);
    woken::choose_signal();
    if threads::take_place(Role::Parked) {
        let argument = ptr::without_provenance_mut(usize::from(young));
        // Before it starts: a command may see the thread before this one goes on.
        BELL.listens.store(1, Ordering::SeqCst);
        set_parked();
        let started = spawn_with(park, argument, Begins::Asleep, &STACK_SIZES);
        if started.is_err() {
            BOOTED_IN.store(0, Ordering::SeqCst);
            BELL.listens.store(0, Ordering::SeqCst);
            threads::forget(Role::Parked);
        }
        return started;
    }
    // Another thread starts it just now, or it has not quite left.
    match stage::stage() {
        Stage::Parked => Ok(()),
        _ => Err(libc::EAGAIN),
    }
}

/// In a process whose memory is a copy of its parent's, in a forked child for one: the threads were the parent's.
pub fn forget() {
    BELL.listens.store(0, Ordering::SeqCst);
    threads::forget_all();
    late::forget();
    new_user::forget();
    CALLS.store(0, Ordering::SeqCst);
    worker::forget();
    reader::forget();
    panics::forget();
}
