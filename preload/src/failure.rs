//! Why the worker has no answer, and what the snippet raised.

use std::cell::UnsafeCell;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::carried::bytes;
use crate::panics;
use crate::python::Python;

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

/// The text of the last exception.
struct Exception(UnsafeCell<[u8; 256]>, AtomicUsize);
// SAFETY: written by the worker only, before it publishes the failure; read after that.
unsafe impl Sync for Exception {}
static EXCEPTION: Exception = Exception(UnsafeCell::new([0; 256]), AtomicUsize::new(0));

/// What the snippet last raised, cut to a line. On the thread that was told of it.
fn last_exception() -> &'static str {
    // SAFETY: only the next request's worker writes again, and the desk is still claimed.
    let bytes = unsafe { &*EXCEPTION.0.get() };
    let length = EXCEPTION.1.load(Ordering::SeqCst).min(bytes.len());
    std::str::from_utf8(&bytes[..length]).unwrap_or("an exception that is not text")
}

/// Takes down and clears the exception that is set.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn raised(python: &Python) -> Failure {
    // SAFETY: the caller's; the three references that Fetch gives are given back.
    unsafe {
        let mut parts = [ptr::null_mut(); 3];
        let [kind, value, traceback] = &mut parts;
        (python.PyErr_Fetch)(kind, value, traceback);
        (python.PyErr_NormalizeException)(kind, value, traceback);
        let no_memory = (python.PyErr_GivenExceptionMatches)(*kind, *python.PyExc_MemoryError) != 0;
        let mut length = 0;
        for part in [*kind, *value] {
            let text = if part.is_null() {
                ptr::null_mut()
            } else {
                (python.PyObject_Str)(part)
            };
            if text.is_null() {
                (python.PyErr_Clear)();
                continue;
            }
            if let Some(bytes) = bytes(python, text) {
                let room = &mut (&mut (*EXCEPTION.0.get()))[length..];
                for (place, &byte) in room.iter_mut().zip(bytes.iter().chain(b" ")) {
                    *place = if (32..127).contains(&byte) {
                        byte
                    } else {
                        b'?'
                    };
                    length += 1;
                }
            }
            (python.Py_DecRef)(text);
        }
        EXCEPTION
            .1
            .store(length.saturating_sub(1), Ordering::SeqCst);
        for part in parts {
            if !part.is_null() {
                (python.Py_DecRef)(part);
            }
        }
        (python.PyErr_Clear)();
        if no_memory {
            Failure::NoMemory
        } else {
            Failure::Raised
        }
    }
}
