//! The asking thread's part: it claims the desk, lays down a request, calls the worker and waits.
//!
//! A debugger may make any thread ask, also one that is inside `malloc` or holds the GIL. So the asking
//! thread takes no lock and allocates nothing. If the worker brings no answer by the deadline, the
//! asking thread reads the stacks from memory itself (`ask/walk.rs`).

use std::ffi::c_char;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::agent::desk::Claim;
use crate::agent::failure::Failure;
use crate::agent::page::{self, Constant, Page};
use crate::agent::progress::{self, Progress};
use crate::agent::stage::{self, Stage};
use crate::agent::threads::{self, Role};
use crate::agent::{bell, panics};
use crate::ask::walk;
use crate::cpython::api::Python;
use crate::cpython::find::{self, Interpreter};
use crate::cpython::{layout, thread_states};
use crate::system::environment;
use crate::system::futex::Instant;
use protocol::names::{
    DEADLINE_LONGEST_SECONDS, DEADLINE_SECONDS, DEADLINE_VARIABLE, HAS_LEFT, LEAVES, NO_FRAMES,
    NOBODY_RUNS_PYTHON,
};
use protocol::question::{Question, Words};

/// Answers a question, and lets `with` use the answer while this thread holds the desk, so that no other
/// thread can replace it. Leaves errno as it was. A panic becomes the answer.
///
/// Any thread, interrupted or not, whatever it holds. Returns by the deadline (twice the deadline, if
/// another thread asked first), plus the time it takes to read memory. If `with` returns the text
/// itself, the text is good until the next call.
pub fn answer_with<R>(words: &Words, asker: Asker, with: impl Fn(*const c_char) -> R) -> R {
    // A debugger may interrupt the thread between a system call and its look at errno; it restores the
    // registers, but not errno.
    // SAFETY: this thread's own errno, which stays at its address for the life of the thread.
    let (errno, before) = unsafe {
        let errno = libc::__errno_location();
        (errno, *errno)
    };
    (asker.prepare)();
    let result = claim_and_answer(words, asker, with);
    // SAFETY: still on the same thread, whose errno this is.
    unsafe { *errno = before };
    result
}

/// How long a request may wait for its answer, in nanoseconds.
static DEADLINE: AtomicU64 = AtomicU64::new((DEADLINE_SECONDS * 1e9) as u64);

/// What the asking thread does by means of the rooms above this one, from which a room does not import.
#[derive(Clone, Copy)]
pub struct Asker {
    /// Comes first.
    pub prepare: fn(),
    /// Makes the agent boot, in a process where it has not: `entry::boot::arm`.
    pub arm: fn(&Python),
    /// Calls the worker for the request on the desk: `crew::worker::call`.
    pub call: fn(),
}

/// [`Asker::arm`] of the agent's own threads, which exist only where it has booted.
pub fn has_booted(_: &Python) {}

/// The answer if the desk is still claimed at the deadline.
const BUSY: &[u8] = b"another request has not been answered within the deadline; ask again\n\0";
static BUSY_ANSWER: Constant<{ BUSY.len() }> = Constant::new(BUSY);

/// [`answer_with`], without its care for errno.
fn claim_and_answer<R>(words: &Words, asker: Asker, with: impl Fn(*const c_char) -> R) -> R {
    let Some(claim) = Claim::take(deadline(), stale_age()) else {
        return with(BUSY_ANSWER.text());
    };
    if claim.taken_over {
        // The former holder may come back and go on writing.
        Page::abandon();
    }
    let answered = panics::caught(|| {
        with(match stage::elder() {
            Some(elder) => elder(),
            None => {
                // SAFETY: this thread has claimed the desk, and with it the pages.
                unsafe { Page::give_back() };
                answer(&claim, words, asker)
            }
        })
    });
    // The agent itself is at fault. The desk is still this thread's: the claim stands out of the panic's reach.
    answered.unwrap_or_else(|| with(refuse(format_args!("{}", panics::Last))))
}

fn answer(claim: &Claim, words: &Words, asker: Asker) -> *const c_char {
    panics::may_come("asking");
    if Question::parse(words.as_bytes()).is_some_and(|question| question.leave) {
        return leave();
    }
    if stage::has_left() {
        return refuse(format_args!("{HAS_LEFT}"));
    }
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
            "the agent stays dormant: it was started for another process only (sa-run --no-children)"
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
        Stage::Parked => ask_worker(python, claim, words, asker),
        Stage::Booting => walk(python, format_args!("the agent is just starting")),
        Stage::Unborn(0) if !python.has_gil() => {
            (asker.arm)(python);
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

/// Has the agent leave. The parked thread ends, and no thread of the agent's starts any more; the others end when they have
/// answered. This touches nothing of the interpreter's, and waits for nobody.
fn leave() -> *const c_char {
    stage::leave();
    match threads::has(Role::Parked) {
        true => progress::nudge(),
        false => bell::show_that_it_has_left(),
    }
    refuse(format_args!("{LEAVES}"))
}

fn ask_worker(
    python: &'static Python,
    claim: &Claim,
    words: &Words,
    asker: Asker,
) -> *const c_char {
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
            format_args!("the question came from the agent's own worker, which was busy answering"),
        );
    }
    if !progress::can_call() {
        return walk(
            python,
            format_args!(
                "the calling thread is under a filter of system calls, and cannot call the agent's own thread"
            ),
        );
    }
    let result = claim.ask(words, deadline(), asker.call);
    if !claim.holds() {
        return BUSY_ANSWER.text();
    }
    match result {
        // SAFETY: a fresh answer of the worker; this thread holds the desk.
        Some(Ok(text)) if unsafe { page::header(text) }.length == 0 => {
            return refuse(format_args!("{NOBODY_RUNS_PYTHON}"));
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

/// A claim of the desk is taken over when it is older, in nanoseconds. No answer takes that long.
fn stale_age() -> u64 {
    2 * DEADLINE.load(Ordering::Relaxed) + 5_000_000_000
}

/// When a wait that begins now has to end.
fn deadline() -> Instant {
    Instant::now().after(DEADLINE.load(Ordering::Relaxed))
}

/// Reads the deadline from the environment. Before `main`, or at the first question.
pub fn read_deadline() {
    let value = environment::value(DEADLINE_VARIABLE);
    if let Some(nanoseconds) = value.and_then(|value| nanoseconds(value.text())) {
        let longest = (DEADLINE_LONGEST_SECONDS * 1e9) as u64;
        DEADLINE.store(nanoseconds.clamp(100_000_000, longest), Ordering::Relaxed);
    }
}

/// A decimal number of seconds, such as `2.5`, in nanoseconds. (The standard library's parser of such numbers has tables
/// of 10 kB.)
fn nanoseconds(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return None;
    }
    // Whatever is that long is longer than the longest.
    let whole = whole.bytes().fold(0_u64, |number, digit| {
        (number * 10 + u64::from(digit - b'0')).min(1_000_000)
    });
    let nine = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let fraction = nine.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(whole * 1_000_000_000 + fraction)
}

/// Answers with one line: why there is no state.
fn refuse(reason: fmt::Arguments<'_>) -> *const c_char {
    // SAFETY: every caller has claimed the desk.
    let mut page = unsafe { Page::small() };
    let _ = fmt::write(&mut page, format_args!("{reason}\n"));
    page.finish()
}

/// Answers with the stacks as read from memory, and the reason for that.
fn walk(python: &Python, reason: fmt::Arguments<'_>) -> *const c_char {
    if layout::is_other() {
        return refuse(format_args!(
            "this Python lays out its frames differently from CPython, so they cannot be read from \
             memory, and {reason}"
        ));
    }
    let begun = Instant::now();
    // SAFETY: every caller has claimed the desk.
    let mut page = unsafe { Page::large() };
    for walks in 1..=WALKS {
        page.begin_again();
        // SAFETY: every caller has claimed the desk.
        let (threads, whole) = unsafe { walk::write_state(python, &mut page, reason) };
        let last = walks == WALKS || Instant::now() > begun.after(SHORT_WALK);
        if threads > 0 && (whole || last) {
            return page.finish();
        }
        if last {
            break;
        }
    }
    refuse(format_args!("{NO_FRAMES}{reason}"))
}

/// How many walks are made at most. If a thread ends while the walk reads its thread state, the walk
/// misses the threads behind it in the list.
const WALKS: usize = 3;

/// No further walk is made once all walks together took longer than this, in nanoseconds.
const SHORT_WALK: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_decimal_number_of_seconds() {
        assert_eq!(nanoseconds("3"), Some(3_000_000_000));
        assert_eq!(nanoseconds("0.25"), Some(250_000_000));
        assert_eq!(nanoseconds(".5"), Some(500_000_000));
        assert_eq!(nanoseconds("12."), Some(12_000_000_000));
        assert_eq!(nanoseconds("1.0000000019"), Some(1_000_000_001));
        assert!(nanoseconds("99999999999999999999999").is_some_and(|long| long > 60_000_000_000));
        for text in ["", ".", "-1", "1e3", "inf", "nan", "0.1s", "1.2.3"] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }
}
