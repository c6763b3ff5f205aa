//! The answerers: threads that answer a question each, so that the parked thread goes on listening.
//!
//! One serves the bell, and ends when no ring is left. The other serves one command that has sent a signal, in a
//! table of descriptors of its own, so that it can never mistake a descriptor of the program for its own. Where it
//! cannot have one, a task aside that has one does it (`system/aside.rs`). The
//! parked thread starts them as it is woken, so they have the rights that it has by then (`crew/walls.rs`). Where
//! no thread can be started, the parked thread answers itself.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;

use crate::agent::bell::BELL;
use crate::agent::failure::{self, Failure};
use crate::agent::threads::{self, Begins, Role};
use crate::agent::{panics, progress};
use crate::ask::request::{Asker, has_booted};
use crate::ask::ring;
use crate::crew::{nap, woken, worker};
use crate::system::{aside, descriptor_table};
use protocol::names::ANSWERER_THREAD;

/// Stack sizes tried, in bytes. The first is that of the parked thread, so that the C library keeps one stack for
/// both.
const STACK_SIZES: [usize; 2] = [512 << 10, 1 << 20];

/// As a thread of the agent's asks.
const ASKER: Asker = Asker {
    prepare: || {},
    arm: has_booted,
    call: worker::call,
};

/// Has ring number `rung` answered. If there is a thread that answers the bell, it sees the ring before it ends.
///
/// On the parked thread.
pub fn for_bell(rung: u32) {
    if !threads::take_place(Role::BellAnswerer) {
        return;
    }
    if threads::spawn(answer_bell, &STACK_SIZES).is_err() {
        threads::forget(Role::BellAnswerer);
        ring::answer(rung, ASKER);
    }
}

/// Has the command answered whose socket has this number in its name. On the parked thread.
pub fn for_command(token: u64) {
    if !threads::take_place(Role::WakeAnswerer) {
        // The parked thread waits for no signal meanwhile, so none comes.
        return;
    }
    let argument = ptr::without_provenance_mut(token as usize);
    if let Err(error) = threads::spawn_with(answer_command, argument, Begins::AtWork, &STACK_SIZES)
    {
        failure::keep_error(error);
        serve_aside(token, WITHOUT_THREADS);
        threads::forget(Role::WakeAnswerer);
    }
}

/// Answers a command on a task aside, where this thread has no table of descriptors of its own; if there is no task,
/// on this thread: the table is the program's then, and the socket gets a high number in it.
#[inline(never)]
fn serve_aside(token: u64, asker: Asker) {
    let serve = |own: bool| panics::caught(|| woken::serve(token, own, asker)).flatten();
    if aside::work(|| serve(true)).is_none() {
        serve(false);
    }
}

/// As the parked thread asks while it waits for a task. The task starts no worker, which would share its table; nor
/// does the parked thread, which waits.
const WITHOUT_THREADS: Asker = Asker {
    prepare: || {},
    arm: has_booted,
    call: || match threads::has(Role::Worker) {
        true => worker::call(),
        false => worker::fail(Failure::NoThread),
    },
};

/// The life of the thread that answers the bell.
extern "C-unwind" fn answer_bell(_: *mut c_void) -> *mut c_void {
    nap::answer_first();
    loop {
        threads::begin(Role::BellAnswerer, ANSWERER_THREAD);
        let mut rung = BELL.rung.load(Ordering::SeqCst);
        loop {
            ring::answer(rung, ASKER);
            let now = BELL.rung.load(Ordering::SeqCst);
            if now == rung {
                break;
            }
            rung = now;
        }
        threads::forget(Role::BellAnswerer);
        // Whoever has heard another ring before that has seen this thread, and started none.
        if BELL.rung.load(Ordering::SeqCst) == rung || !threads::take_place(Role::BellAnswerer) {
            return ptr::null_mut();
        }
    }
}

/// The life of the thread that answers a command. `token` is a number, and no address.
extern "C-unwind" fn answer_command(token: *mut c_void) -> *mut c_void {
    nap::answer_first();
    threads::begin(Role::WakeAnswerer, ANSWERER_THREAD);
    let token = token.addr() as u64;
    match panics::caught(descriptor_table::have_own) {
        Some(true) => {
            let _ = panics::caught(|| woken::serve(token, true, ASKER));
        }
        _ => serve_aside(token, ASKER),
    }
    threads::forget(Role::WakeAnswerer);
    // The parked thread waits for the next signal. It is nudged before this thread ends: commands see one of the two.
    progress::nudge();
    ptr::null_mut()
}
