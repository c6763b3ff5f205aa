//! The C function that a debugger calls by hand.

use std::ffi::c_char;

use crate::ask::request::answer_with;
use crate::entry::boot;
use protocol::question::Words;

/// Tells what every thread is doing, or in one line why that cannot be told.
///
/// `const char *sleeper_agent_state(void)`: for a debugger (`printf "%s", sleeper_agent_state()`)
/// and for C. May be called on any thread, in any state, holding any lock or the GIL; returns
/// within the deadline ([`protocol::names::DEADLINE_VARIABLE`]) and the time it takes to read memory.
///
/// The text is the agent's: it ends in NUL, holds no other, and is good until the next call. An
/// [`protocol::answer::AnswerHeader`] stands before it.
#[unsafe(no_mangle)]
pub extern "C" fn sleeper_agent_state() -> *const c_char {
    answer_with(&Words::default(), boot::arm, |text| text)
}
