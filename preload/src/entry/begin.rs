//! Begins in a program that was running already, where a command has had the library loaded (`sa-load`).

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use crate::agent::panics;
use crate::agent::stage::{self, BOOTING_IN, Stage};
use crate::ask::request;
use crate::cpython::find::{self, Interpreter};
use crate::crew::start_or_note_error;
use crate::entry::{boot, elder};
use crate::system::identity::process_id;
use crate::system::{environment, filter};
use protocol::begun::Begun;

/// Makes the agent begin; returns a number of [`Begun`].
///
/// On a thread that has been started for this alone, after it has loaded the library: it holds nothing, blocks all
/// signals and runs no Python. It may allocate, like any other new thread. If it never gets to the end, nobody waits for
/// it.
#[unsafe(no_mangle)]
pub extern "C" fn sleeper_agent_begin() -> c_int {
    // The thread's other frames are C's, and cannot be unwound.
    panics::caught(begin).unwrap_or(Begun::Failed) as c_int
}

fn begin() -> Begun {
    panics::may_come("beginning");
    environment::leave_to_the_program();
    if elder::look() {
        return Begun::Elder;
    }
    let python = match find::found() {
        Some(python) => python,
        None => match find::find_late() {
            Interpreter::Usable(python) => {
                request::read_deadline();
                python
            }
            Interpreter::Absent | Interpreter::Unusable(_) => return Begun::NoInterpreter,
        },
    };
    if stage::stage() == Stage::Parked {
        return Begun::Parked;
    }
    if stage::is_left_alone() {
        return Begun::NoInterpreter;
    }
    filter::learn();
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
