//! From the question to the answer: `sleeper_agent_state()` itself.
//!
//! It may be called on any thread in any state, by a debugger in the midst of `malloc` or while
//! holding the GIL. So the asking thread takes no lock and allocates nothing: it claims the
//! desk, lays down its request, wakes the worker, and waits until the deadline. What
//! it is not brought by then it reads from memory itself.

use std::ffi::c_char;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::agent::desk::Claim;
use crate::agent::failure::Failure;
use crate::agent::page::{self, Constant, Page};
use crate::agent::progress::{self, Progress};
use crate::agent::stage::{self, Stage};
use crate::agent::{bell, panics, threads};
use crate::ask::walk;
use crate::cpython::api::Python;
use crate::cpython::find::{self, Interpreter};
use crate::cpython::{layout, thread_states};
use crate::system::environment;
use crate::system::futex::Instant;
use protocol::names::{DEADLINE_LONGEST_SECONDS, DEADLINE_SECONDS, DEADLINE_VARIABLE};
use protocol::question::Words;

/// As [`sleeper_agent_state`], for whatever is wanted, and lets `with` use the answer while nobody
/// else can ask.
pub fn answer_with<R>(words: &Words, arm: Arm, with: impl Fn(*const c_char) -> R) -> R {
    // SAFETY: the address of this thread's own errno. A debugger that calls in between a system
    // call and the look at its errno restores registers, but not this.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; it stays where it is for the life of the thread.
    let before = unsafe { *errno };
    let result = panics::caught(|| state_with(words, arm, &with)).unwrap_or_else(|| failed(with));
    // SAFETY: as above.
    unsafe { *errno = before };
    result
}

/// How long a request may wait, in nanoseconds.
static DEADLINE: AtomicU64 = AtomicU64::new((DEADLINE_SECONDS * 1e9) as u64);

/// Has the agent boot, in a process where it has not: `entry::boot::arm`, which stands above this
/// room.
pub type Arm = fn(&Python);

/// The [`Arm`] of the agent's own threads, which exist only where it has booted.
pub fn has_booted(_: &Python) {}

/// For when the desk is taken for longer than anyone may wait.
const BUSY: &[u8] = b"another request has not been answered within the deadline; ask again\n\0";
static BUSY_ANSWER: Constant<{ BUSY.len() }> = Constant::new(BUSY);

/// Answers, and lets `with` use the answer while nobody else can ask. Where what is wanted cannot be
/// had, the answer is text.
///
/// Any thread, interrupted or not, holding whatever it holds. Returns by the deadline (by twice
/// the deadline, if others asked first), and the time it takes to read memory. Where `with`
/// returns the text itself, that is good until the next call.
fn state_with<R>(words: &Words, arm: Arm, with: impl FnOnce(*const c_char) -> R) -> R {
    let Some(claim) = Claim::take(deadline(), stale()) else {
        return with(BUSY_ANSWER.text());
    };
    if claim.taken_over {
        // Its former holder may come back and go on writing.
        Page::abandon();
    }
    let text = match stage::elder() {
        Some(elder) => elder(),
        None => {
            // SAFETY: the desk is claimed, and with it the pages.
            unsafe { Page::give_back() };
            answer(&claim, words, arm)
        }
    };
    with(text)
}

/// Says that the agent itself is at fault, after a panic on the thread that asks: that has let go of the
/// desk by now.
fn failed<R>(with: impl FnOnce(*const c_char) -> R) -> R {
    match Claim::take(deadline(), stale()) {
        Some(_claim) => with(refuse(format_args!("{}", panics::Last))),
        None => with(BUSY_ANSWER.text()),
    }
}

fn answer(claim: &Claim, words: &Words, arm: Arm) -> *const c_char {
    panics::may_come("asking");
    let python = match find::found() {
        Some(python) => python,
        None => match find::find_late() {
            Interpreter::Usable(python) => {
                read_deadline();
                python
            }
            Interpreter::Absent => return refuse(format_args!("not a Python process")),
            Interpreter::Unusable(what) if what.contains(' ') => {
                return refuse(format_args!("the agent stays dormant: {what}"));
            }
            Interpreter::Unusable(symbol) => {
                return refuse(format_args!(
                    "the agent stays dormant: this Python does not export {symbol}"
                ));
            }
        },
    };
    if stage::is_left_alone() {
        return refuse(format_args!(
            "the agent stays dormant: it was started for another process alone (sa-run --no-children)"
        ));
    }
    let stage = stage::stage();
    if !python.initialized() {
        return refuse(match stage {
            _ if stage::has_ended() => format_args!("the interpreter has been shut down"),
            Stage::Unborn(_) | Stage::Booting => {
                format_args!("the interpreter is not initialised yet")
            }
            _ => format_args!("the interpreter is shutting down"),
        });
    }
    match stage {
        Stage::Parked => ask_worker(python, claim, words),
        Stage::Booting => walk(python, format_args!("the agent is just starting")),
        Stage::Unborn(0) if !python.has_gil() => {
            arm(python);
            walk(
                python,
                format_args!("the agent starts when this program next runs Python code"),
            )
        }
        Stage::Unborn(0) => walk(
            python,
            format_args!("the agent came too late into this process to start a thread of its own"),
        ),
        Stage::Unborn(error) => walk(
            python,
            format_args!(
                "the agent could not start its thread ({})",
                threads::Why(error)
            ),
        ),
    }
}

fn ask_worker(python: &'static Python, claim: &Claim, words: &Words) -> *const c_char {
    if !python.has_gil() {
        return walk(
            python,
            format_args!("this program embeds Python and has not called PyEval_InitThreads"),
        );
    }
    if thread_states::this_thread_holds_gil(python) {
        return walk(python, format_args!("the calling thread holds the GIL"));
    }
    if threads::is_worker(Python::this_thread_ident() as usize) {
        return walk(
            python,
            format_args!("it was asked on the agent's own worker, while that was at work"),
        );
    }
    if !threads::worker_is_alive() {
        bell::revive_worker();
        return walk(
            python,
            format_args!("the agent's worker thread has been ended; a new one is being started"),
        );
    }
    let result = claim.ask(words, deadline(), progress::call);
    if !claim.holds() {
        return BUSY_ANSWER.text();
    }
    match result {
        // SAFETY: a fresh answer.
        Some(Ok(text)) if unsafe { page::header(text) }.length == 0 => {
            return refuse(format_args!(
                "no thread is running Python code at the moment"
            ));
        }
        Some(Ok(text)) => return text,
        Some(Err(code)) => return walk(python, format_args!("{}", Failure::from_code(code))),
        None => {}
    }
    let seconds = DEADLINE.load(Ordering::Relaxed) as f64 / 1e9;
    match progress::progress() {
        Progress::Resting => walk(
            python,
            format_args!("the agent's own thread did not get to work within {seconds} s"),
        ),
        Progress::HasGil => walk(
            python,
            format_args!(
                "the agent got the GIL, but was not done within {seconds} s (asking a module's loader?)"
            ),
        ),
        Progress::ReadsFiles => walk(
            python,
            format_args!("the agent was still reading source files after {seconds} s"),
        ),
        Progress::WaitsForGil => match thread_states::ident(python.current_thread_state()) {
            Some(holder) => walk(
                python,
                format_args!(
                    "the GIL was not released within {seconds} s; thread {holder} holds it"
                ),
            ),
            None => walk(
                python,
                format_args!(
                    "the GIL was not released within {seconds} s; which thread holds it is not known"
                ),
            ),
        },
    }
}

/// How old a claim of the desk has to be to be taken over, in nanoseconds: much older than any answer
/// may take.
fn stale() -> u64 {
    2 * DEADLINE.load(Ordering::Relaxed) + 5_000_000_000
}

/// When a wait that begins now has to end.
fn deadline() -> Instant {
    Instant::now().after(DEADLINE.load(Ordering::Relaxed))
}

/// Takes the deadline from the environment. Before `main`, or when first asked.
pub fn read_deadline() {
    if let Some(seconds) =
        environment::value(DEADLINE_VARIABLE).and_then(|text| text.parse::<f64>().ok())
        && seconds.is_finite()
    {
        let seconds = seconds.clamp(0.1, DEADLINE_LONGEST_SECONDS);
        DEADLINE.store((seconds * 1e9) as u64, Ordering::Relaxed);
    }
}

/// One line that says why there is no state.
fn refuse(reason: fmt::Arguments<'_>) -> *const c_char {
    // SAFETY: the desk is claimed.
    let mut page = unsafe { Page::small() };
    let _ = fmt::write(&mut page, format_args!("{reason}\n"));
    page.finish()
}

/// The state as it can be read from memory, and why it had to be.
fn walk(python: &Python, reason: fmt::Arguments<'_>) -> *const c_char {
    if layout::is_other() {
        return refuse(format_args!(
            "this Python's frames are laid out otherwise than CPython's own, so they cannot be \
             read from memory, and {reason}"
        ));
    }
    let begun = Instant::now();
    // SAFETY: the desk is claimed.
    let mut page = unsafe { Page::large() };
    for walks in 1..=WALKS {
        page.begin_again();
        // SAFETY: the desk is claimed.
        let (threads, whole) = unsafe { walk::write_state(python, &mut page, reason) };
        let last = walks == WALKS || Instant::now() > begun.after(SHORT_WALK);
        if threads > 0 && (whole || last) {
            return page.finish();
        }
        if last {
            break;
        }
    }
    refuse(format_args!(
        "no Python frames were found in memory; {reason}"
    ))
}

/// How often to look: where a thread ends at the moment that it is looked at, those behind it in the
/// list are not found.
const WALKS: usize = 3;

/// After a walk that took longer, in nanoseconds, there is none.
const SHORT_WALK: u64 = 100_000_000;
