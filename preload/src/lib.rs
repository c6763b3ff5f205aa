//! libsleeper.so: sleeps inside a CPython 2.6 or 2.7 process, and tells on request what every
//! thread of it is doing.
//!
//! The modules are the agent's life. `load` runs before `main` and finds the interpreter;
//! `boot` runs on its main thread and starts the threads that stay: one is `park`ed for
//! commands to ring, one is the `worker`, one the `reader`. A question is a `request`, laid on the
//! `desk`: the worker takes the GIL and runs the `snippet`, for which it takes down the `stacks`, and
//! finds the `facts` beside them; the reader reads `sources` and `tasks`; or, where the GIL cannot be
//! had, who asked `walk`s through memory.
//!
//! What binds all of it: the program comes first. No thread of the program's ever allocates,
//! waits for a lock or runs Python on the agent's behalf, but at the boot. Every question is
//! answered by its deadline. Asleep, the agent holds no descriptor, no lock and no signal.

use std::ffi::c_char;

use wanted::Wanted;

mod answer;
mod bell;
mod boot;
mod built_ins;
mod calls;
mod carried;
mod collected;
mod descriptors;
mod desk;
mod detour;
mod dictionary;
mod document;
mod environment;
mod facts;
mod failure;
mod gil;
mod greenlets;
mod imports;
mod instructions;
#[allow(dead_code)] // The commands' half of it.
mod interface;
mod kernel_file;
mod kinds;
mod last_thread;
mod late;
mod layout;
mod live;
mod load;
mod locals;
mod marshal;
mod memory;
#[allow(dead_code)] // Likewise.
mod message;
mod mixing;
mod module;
mod noted;
mod objects;
mod panics;
mod park;
mod python;
mod reader;
mod request;
mod room;
mod shown;
mod snippet;
mod sources;
mod stacks;
mod system_calls;
mod tasks;
mod threads;
mod undisturbed;
#[cfg(not(any(test, miri)))]
mod unwinder;
mod values;
mod variables;
mod wait;
mod waits;
mod waker;
mod walk;
#[allow(dead_code)] // Likewise.
mod wanted;
mod worker;

/// Tells what every thread is doing, or in one line why that cannot be told.
///
/// `const char *sleeper_agent_state(void)`: for a debugger (`printf "%s", sleeper_agent_state()`)
/// and for C. May be called on any thread, in any state, holding any lock or the GIL; returns
/// within the deadline ([`interface::DEADLINE_VARIABLE`]) and the time it takes to read memory.
///
/// The text is the agent's: it ends in NUL, holds no other, and is good until the next call. An
/// [`interface::AnswerHeader`] stands before it.
#[unsafe(no_mangle)]
pub extern "C" fn sleeper_agent_state() -> *const c_char {
    answer_with(Wanted::default(), |text| text)
}

/// As [`sleeper_agent_state`], for whatever is wanted, and lets `with` use the answer while nobody
/// else can ask.
fn answer_with<R>(wanted: Wanted, with: impl Fn(*const c_char) -> R) -> R {
    // SAFETY: the address of this thread's own errno. A debugger that calls in between a system
    // call and the look at its errno restores registers, but not this.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; it stays where it is for the life of the thread.
    let before = unsafe { *errno };
    let result = panics::caught(|| request::state_with(wanted, &with))
        .unwrap_or_else(|| request::failed(with));
    // SAFETY: as above.
    unsafe { *errno = before };
    result
}
