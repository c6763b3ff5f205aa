//! The exception that our own Python text has raised.

use std::ptr;

use crate::agent::failure::{Failure, LONGEST_EXCEPTION, keep_exception};
use crate::cpython::api::Python;
use crate::cpython::glue::bytes;

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
        let mut said = [0; LONGEST_EXCEPTION];
        let mut room = said.iter_mut();
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
                for (&byte, place) in bytes.iter().chain(b" ").zip(&mut room) {
                    *place = if (32..127).contains(&byte) {
                        byte
                    } else {
                        b'?'
                    };
                }
            }
            (python.Py_DecRef)(text);
        }
        let length = LONGEST_EXCEPTION - room.len();
        keep_exception(&said[..length.saturating_sub(1)]);
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
