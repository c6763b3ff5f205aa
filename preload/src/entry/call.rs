//! The C function `sleeper_agent_state()`, which a debugger may call by hand.

use std::ffi::c_char;

use crate::agent::threads;
use crate::ask::request::answer_with;
use crate::entry::boot;
use protocol::question::Words;

/// Returns every thread's stack as text, or one line that says why there is none.
///
/// `const char *sleeper_agent_state(void)`: for a debugger (`printf "%s", sleeper_agent_state()`)
/// and for C. Any thread may call it, in any state, whatever lock it holds, also the GIL. It returns by
/// the deadline ([`protocol::names::DEADLINE_VARIABLE`]), plus the time it takes to read memory.
///
/// The text belongs to the agent, ends in NUL and is good until the next call. An
/// [`protocol::answer::AnswerHeader`] stands before it.
#[unsafe(no_mangle)]
pub extern "C" fn sleeper_agent_state() -> *const c_char {
    threads::open_faults_if_parked();
    answer_with(&Words::default(), boot::program_asks(), |text| text)
}
