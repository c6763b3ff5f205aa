//! Why the worker has no answer, and what the snippet raised.

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::agent::panics;

/// Why there is no text.
#[derive(Clone, Copy)]
pub enum Failure {
    /// No memory for the copy.
    NoMemory,
    /// The modules it needs cannot be had without waiting.
    NoModules,
    /// The garbage collector cannot be stopped for it.
    NoCollector,
    /// It raised: see [`last_exception`].
    Raised,
    /// The interpreter is being taken apart.
    ShuttingDown,
    /// The agent itself is at fault: the worker has panicked.
    Panicked,
}

impl Failure {
    /// From the number that `as` gives.
    pub fn from_code(code: u32) -> Self {
        [
            Self::NoModules,
            Self::NoCollector,
            Self::Raised,
            Self::ShuttingDown,
            Self::Panicked,
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
                "linecache is not imported, and could not be (another thread is importing, or \
                 memory is out)"
            ),
            Self::NoCollector => write!(
                out,
                "the garbage collector cannot be stopped for more than the plain state (another \
                 thread is importing, or the program has functions of its own in place of gc's)"
            ),
            Self::Raised => write!(out, "the agent's snippet failed: {}", last_exception()),
            Self::ShuttingDown => write!(out, "the interpreter is shutting down"),
            Self::Panicked => write!(out, "{}", panics::Last),
        }
    }
}

/// How much of an exception's text is kept, in bytes.
pub const LONGEST_EXCEPTION: usize = 256;

/// The text of the last exception.
struct Exception(UnsafeCell<[u8; LONGEST_EXCEPTION]>, AtomicUsize);
// SAFETY: written by the worker only, before it publishes the failure; read after that.
unsafe impl Sync for Exception {}
static EXCEPTION: Exception =
    Exception(UnsafeCell::new([0; LONGEST_EXCEPTION]), AtomicUsize::new(0));

/// Keeps the text of an exception, for whoever is told of the failure.
///
/// # Safety
/// On the worker, before it publishes the failure.
pub unsafe fn keep_exception(text: &[u8]) {
    // SAFETY: the caller's: nobody reads before the failure is published.
    let room = unsafe { &mut *EXCEPTION.0.get() };
    let length = text.len().min(room.len());
    room[..length].copy_from_slice(&text[..length]);
    EXCEPTION.1.store(length, Ordering::SeqCst);
}

/// What the snippet last raised, cut to a line. On the thread that was told of it.
fn last_exception() -> &'static str {
    // SAFETY: only the next request's worker writes again, and the desk is still claimed.
    let bytes = unsafe { &*EXCEPTION.0.get() };
    let length = EXCEPTION.1.load(Ordering::SeqCst).min(bytes.len());
    std::str::from_utf8(&bytes[..length]).unwrap_or("an exception that is not text")
}
