//! Begins in a program that was running already, where a command has had the library loaded (`sa-load`).

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::agent::stage::{self, BOOTING_IN, Stage};
use crate::agent::threads::{self, Role};
use crate::agent::{bell, panics};
use crate::ask::request;
use crate::cpython::find::{self, Interpreter};
use crate::crew::{forget, late, start_or_note_error, woken};
use crate::entry::{boot, elder};
use crate::system::futex::{self, Instant};
use crate::system::identity::process_id;
use crate::system::{environment, filter, unwinder};
use protocol::begun::Begun;

/// The argument of [`sleeper_agent_begin`] for all that looks around and opens files.
const PREPARE: c_int = 0;

/// Prepares the agent's beginning if the argument is 0, and returns 0; then, called with 1, makes the agent begin, and
/// returns a number of [`Begun`].
///
/// The first on a thread that has descriptors of its own, where that was possible, so that no file takes a number that
/// the program could count on. The second on a thread that shares the program's, as the agent's threads will, and after
/// the first has ended. Both have been started for this alone, hold nothing, block all signals and run no Python. They may
/// allocate, like any other new thread. If one never gets to the end, nobody waits for it.
#[unsafe(no_mangle)]
pub extern "C" fn sleeper_agent_begin(what: c_int) -> c_int {
    // The thread's other frames are C's, and cannot be unwound.
    match what {
        PREPARE => {
            panics::caught(prepare);
            0
        }
        _ => panics::caught(begin).unwrap_or(Begun::Failed) as c_int,
    }
}

fn prepare() {
    panics::may_come("beginning");
    environment::leave_to_the_program();
    if elder::look() {
        return;
    }
    if find::found().is_none()
        && let Interpreter::Usable(_) = find::find_late()
    {
        request::read_deadline();
    }
    filter::learn();
    woken::choose_signal();
    unwinder::load();
}

/// Waits until an agent that leaves has done so, if it does.
fn await_leaving() {
    let word = AtomicU32::new(0);
    let until = Instant::now().after(LONGEST_LEAVING);
    while stage::has_left() && threads::has(Role::Parked) && until.left().is_some() {
        futex::wait_while(&word, 0, Some(Instant::now().after(PAUSE)));
    }
}

/// How long an agent's thread takes to leave at most, and how often to look, in nanoseconds.
const LONGEST_LEAVING: u64 = 1_000_000_000;
const PAUSE: u64 = 1_000_000;

fn begin() -> Begun {
    if elder::look() {
        return Begun::Elder;
    }
    let Some(python) = find::found() else {
        return Begun::NoInterpreter;
    };
    await_leaving();
    if stage::stage() == Stage::Parked {
        return Begun::Parked;
    }
    if stage::is_left_alone() {
        return Begun::NoInterpreter;
    }
    if ![0, process_id()].contains(&BOOTING_IN.load(Ordering::Acquire)) {
        // A bare `fork` system call, which runs no handler, has made this process.
        forget();
    }
    bell::come_back();
    late::begin();
    if !python.has_gil() {
        // As the constructor did, if it has found the interpreter.
        boot::arm(python);
        return Begun::Armed;
    }
    BOOTING_IN.store(process_id(), Ordering::Release);
    boot::hook_fork();
    // The worker hooks the interpreter's exit and checks the layout, once it has the GIL.
    start_or_note_error(false);
    match stage::stage() {
        Stage::Parked => Begun::Parked,
        _ => Begun::NoThread,
    }
}
