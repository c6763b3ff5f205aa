//! The frames that threads are in, as `sys._current_frames()` returns them.

use std::ffi::c_long;
use std::ptr;

use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Frame, Object, Owned};
use crate::cpython::thread_states;
use crate::inspect::objects::Objects;

/// Each thread's innermost frame, in a dictionary by identifier; `None`, with an exception set, if there is
/// no memory.
pub fn all<'gil>(gil: &Gil<'gil>) -> Option<Owned<'gil>> {
    let function = gil.of_sys(c"_current_frames");
    // There may have been no memory for the name.
    gil.clear_exception();
    // The program may have put its own in its place.
    let is_own = |objects: Objects| objects.is_in_c(function, b"sys", b"_current_frames");
    match function {
        Some(function) if !thread_states::has_dead() && Objects::known(gil).is_some_and(is_own) => {
            // It is faster than a checked read of each thread's state, which takes two system calls.
            // SAFETY: the function is alive, and the reference is new. It is the interpreter's own, and only
            // makes the dictionary (Python/pystate.c, `_PyThread_CurrentFrames`).
            unsafe {
                let frames = (gil.PyObject_CallObject)(function.as_ptr(), ptr::null_mut());
                Owned::new(gil, frames)
            }
        }
        _ => live(gil),
    }
}

/// The same without the threads that a fork has left behind, whose frames are still listed.
pub fn live<'gil>(gil: &Gil<'gil>) -> Option<Owned<'gil>> {
    let frames = gil.new_dict()?;
    let mut done = Some(());
    thread_states::for_each_frame(gil, &mut |ident, frame| {
        let number = gil.new_int(ident as c_long);
        done = number.and_then(|ident| gil.set_item(frames.object(), ident.object(), *frame));
        done.is_some()
    });
    done.map(|()| frames)
}

/// Each thread's identifier (an object) and innermost frame, of a dictionary as `sys._current_frames()`
/// returns it, until `each` returns false. False if it has, or, with an exception set, if this is no such
/// dictionary.
pub fn for_each<'g>(
    fields: Fields<'g>,
    frames: Object<'g>,
    each: &mut dyn FnMut(Object<'g>, Frame<'g>) -> bool,
) -> bool {
    let Some(frames) = fields.as_dict(frames) else {
        return bad_argument(fields);
    };
    for (ident, frame) in dict::entries(fields, *frames) {
        let Some(frame) = fields.as_frame(frame) else {
            return bad_argument(fields);
        };
        if !each(ident, frame) {
            return false;
        }
    }
    true
}

/// Sets `TypeError`; returns false.
fn bad_argument(fields: Fields) -> bool {
    let set = fields.gil().and_then(|gil| gil.bad_argument::<()>());
    set.is_some()
}
