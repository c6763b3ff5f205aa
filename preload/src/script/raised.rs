//! The exception that our own Python text has raised.

use std::ptr;

use crate::agent::failure::{Failure, LONGEST_EXCEPTION, keep_exception};
use crate::cpython::api::PyObject;
use crate::cpython::gil::Gil;
use crate::cpython::object::Owned;

/// Takes down and clears the exception that is set.
pub fn raised(gil: &mut Gil) -> Failure {
    let mut parts: [*mut PyObject; 3] = [ptr::null_mut(); 3];
    let [kind, value, traceback] = &mut parts;
    // SAFETY: the three places are written to, with new references or nulls, of which the second call may
    // make others.
    let [kind, value, traceback] = unsafe {
        (gil.PyErr_Fetch)(kind, value, traceback);
        (gil.PyErr_NormalizeException)(kind, value, traceback);
        parts.map(|part| Owned::new(gil, part))
    };
    // SAFETY: the first may be null, and then it is no match; what the variable points to is an object.
    let no_memory = unsafe {
        let kind = kind.as_ref().map_or(ptr::null_mut(), Owned::as_ptr);
        (gil.PyErr_GivenExceptionMatches)(kind, *gil.PyExc_MemoryError) != 0
    };
    let mut said = [0; LONGEST_EXCEPTION];
    let mut room = said.iter_mut();
    for part in [&kind, &value] {
        // SAFETY: the object is alive, and the reference is new.
        let text = part
            .as_ref()
            .and_then(|part| unsafe { Owned::new(gil, (gil.PyObject_Str)(part.as_ptr())) });
        let Some(text) = text else {
            gil.clear_exception();
            continue;
        };
        let bytes = gil.bytes(text.object()).unwrap_or_default();
        for (&byte, place) in bytes.iter().chain(b" ").zip(&mut room) {
            *place = match byte {
                32..127 => byte,
                _ => b'?',
            };
        }
    }
    let length = LONGEST_EXCEPTION - room.len();
    // SAFETY: on the worker, which has yet to publish the failure that is returned.
    unsafe { keep_exception(&said[..length.saturating_sub(1)]) };
    drop((kind, value, traceback));
    gil.clear_exception();
    match no_memory {
        true => Failure::NoMemory,
        false => Failure::Raised,
    }
}
