//! The parked thread, `sleeper-agent`: the only thread of the agent's that sleeps. It hears both ways in, the
//! bell and a command's signal, and has a thread started that answers (`crew/answerer.rs`).
//!
//! As it only listens, no question keeps it from hearing the next. It is also the thread on which a debugger
//! should call `sleeper_agent_state()` by hand. Besides, it starts the worker whenever another thread calls for
//! it, and ends the process with the program's last thread (`crew/last_thread.rs`).
//!
//! It shares the program's table of descriptors, as the worker does, which inherits it. So it opens none, and
//! looks around on short-lived tasks (`system/aside.rs`).

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::agent::bell::{self, BELL};
use crate::agent::failure::Failure;
use crate::agent::progress::CALLS;
use crate::agent::threads::{self, Role};
use crate::agent::{panics, stage};
use crate::crew::nap::{Nap, doze, sleep};
use crate::crew::{answerer, last_thread, woken, worker};
use crate::system::filter;
use protocol::names::PARKED_THREAD;

/// Stack sizes tried, in bytes; only what is touched costs memory. The static TLS of the program's
/// libraries is on this stack too, so the thread itself needs less.
pub const STACK_SIZES: [usize; 2] = [512 << 10, 1 << 20];

/// How long a forked child is young, in nanoseconds. Most children exec or end before.
const YOUNG: u64 = 20_000_000;

/// The parked thread's life: asleep until the bell is rung, a command sends its signal, or another thread calls for
/// a worker.
///
/// A command rings by having gdb stop this thread and change the word it waits on. That ends the wait.
///
/// `young` is null but in a child that was just forked. There the thread shows itself only after a while.
pub extern "C-unwind" fn park(young: *mut c_void) -> *mut c_void {
    if !young.is_null() {
        grow_up();
    }
    listen();
    leave();
    ptr::null_mut()
}

/// In a child that was just forked. Each page that a thread is the first to write to costs a copy, and an interrupt of
/// the processor that runs the program's thread meanwhile. So this needs little stack, and writes next to nothing.
#[inline(never)]
fn grow_up() {
    threads::note(Role::Parked);
    // Whoever has called before that could not nudge it.
    if CALLS.load(Ordering::SeqCst) == 0 {
        doze(YOUNG);
    }
}

/// Until the agent leaves.
#[inline(never)]
fn listen() {
    // Those of an earlier life of the agent's.
    bell::take_own_rings();
    let mut heard = BELL.rung.load(Ordering::SeqCst);
    // A call may have come before this thread began.
    let mut called = 0;
    BELL.answered.store(heard, Ordering::SeqCst);
    stage::set_parked();
    // Commands find the thread by its name, so this comes last.
    threads::begin(Role::Parked, PARKED_THREAD);
    let mut has_ended = false;
    while !stage::has_left() {
        let signal = woken::signal();
        let is_due = || {
            CALLS.load(Ordering::SeqCst) != called
                || last_thread::has_ended() != has_ended
                || woken::signal() != signal
                || stage::has_left()
        };
        let received = sleep(&Nap {
            word: (&BELL.rung, heard),
            is_due: &is_due,
            signal,
            pause: last_thread::pause(),
            may_sleep_on: &last_thread::may_sleep_on,
        });
        has_ended = last_thread::has_ended();
        if has_ended {
            last_thread::end_if_alone();
        }
        let rung = BELL.rung.load(Ordering::SeqCst);
        let asked = rung.wrapping_sub(heard) > bell::take_own_rings();
        let calls = CALLS.load(Ordering::SeqCst);
        if calls != called {
            called = calls;
            unless_it_panics(worker::start);
        }
        if asked {
            answerer::for_bell(rung);
        } else if rung != heard && !threads::has(Role::BellAnswerer) {
            bell::note_answered(rung);
        }
        heard = rung;
        // Under a filter that the program has put on this thread meanwhile, nobody could answer.
        if let Some(token) = received.and_then(woken::token_of)
            && filter::may_be_woken()
        {
            answerer::for_command(token);
            // By the time the command has put its question, the worker is there. It may have had the agent leave by now.
            if !stage::has_left() {
                unless_it_panics(worker::start_early);
            }
        }
    }
}

/// Ends the parked thread's part for good: from here on the agent is as if it had never begun, but that it says so.
///
/// A process that has its first thread ended behaves from here on as it would without the agent.
fn leave() {
    CALLS.store(0, Ordering::SeqCst);
    stage::forget_boot();
    bell::show_that_it_has_left();
    threads::forget(Role::Parked);
}

fn unless_it_panics(start_worker: fn()) {
    let started = panics::caught(|| {
        panics::may_come("parked");
        start_worker();
    });
    if started.is_none() {
        worker::fail(Failure::Panicked);
    }
}
