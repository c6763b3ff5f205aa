//! Why the worker could not answer, and the text of what the snippet raised.

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::agent::panics;
use crate::agent::threads::Why;

/// Why the worker could not answer.
#[derive(Clone, Copy)]
pub enum Failure {
    /// There was no memory for the answer.
    NoMemory,
    /// The snippet needs a module that cannot be imported without waiting.
    NoModules,
    /// The garbage collector cannot be stopped for the time of the snippet.
    NoCollector,
    /// The snippet raised an exception: see [`last_exception`].
    Raised,
    /// The interpreter is being taken apart.
    ShuttingDown,
    /// The worker panicked: the agent itself is at fault.
    Panicked,
    /// The worker could not be started: see [`keep_error`].
    NoThread,
}

impl Failure {
    /// The inverse of `failure as u32`, which is how the desk carries it.
    pub fn from_code(code: u32) -> Self {
        [
            Self::NoModules,
            Self::NoCollector,
            Self::Raised,
            Self::ShuttingDown,
            Self::Panicked,
            Self::NoThread,
        ]
        .into_iter()
        .find(|failure| *failure as u32 == code)
        .unwrap_or(Self::NoMemory)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => write!(out, "there was no memory for the answer"),
            Self::NoModules => write!(
                out,
                "linecache is not imported, and could not be imported (another thread is importing, \
                 or memory has run out)"
            ),
            Self::NoCollector => write!(
                out,
                "the garbage collector cannot be stopped, which anything beyond the plain state \
                 needs (another thread is importing, or the program has replaced functions of gc)"
            ),
            Self::Raised => write!(out, "the agent's snippet failed: {}", last_exception()),
            Self::ShuttingDown => write!(out, "the interpreter is shutting down"),
            Self::Panicked => write!(out, "{}", panics::Last),
            Self::NoThread => write!(
                out,
                "the agent could not start its worker ({})",
                Why(ERROR.load(Ordering::SeqCst))
            ),
        }
    }
}

/// The errno with which starting the worker failed last.
static ERROR: AtomicI32 = AtomicI32::new(0);

/// Keeps that errno. On the parked thread, before it publishes the failure.
pub fn keep_error(error: i32) {
    ERROR.store(error, Ordering::SeqCst);
}

/// The text of an exception is cut to this length, in bytes.
pub const LONGEST_EXCEPTION: usize = 256;

/// The text of the last exception, and its length.
struct Exception(UnsafeCell<[u8; LONGEST_EXCEPTION]>, AtomicUsize);
// SAFETY: only the worker writes, before it publishes the failure on the desk; the asking thread reads
// after that.
unsafe impl Sync for Exception {}
static EXCEPTION: Exception =
    Exception(UnsafeCell::new([0; LONGEST_EXCEPTION]), AtomicUsize::new(0));

/// Keeps the text of an exception for the asking thread.
///
/// # Safety
/// On the worker, before it publishes the failure.
pub unsafe fn keep_exception(text: &[u8]) {
    // SAFETY: the caller promises to be the worker, the only writer; no thread reads before the
    // failure is published.
    let kept = unsafe { &mut *EXCEPTION.0.get() };
    let length = text.len().min(kept.len());
    kept[..length].copy_from_slice(&text[..length]);
    EXCEPTION.1.store(length, Ordering::SeqCst);
}

/// The text of what the snippet last raised. On the asking thread, after it got the failure.
fn last_exception() -> &'static str {
    // SAFETY: the worker writes only for a request, and none can come: this thread holds the desk.
    let bytes = unsafe { &*EXCEPTION.0.get() };
    let length = EXCEPTION.1.load(Ordering::SeqCst).min(bytes.len());
    std::str::from_utf8(&bytes[..length]).unwrap_or("an exception that is not text")
}
