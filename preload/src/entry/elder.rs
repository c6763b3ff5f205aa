//! An elder: a copy of the library that was loaded into this process before this one, such as a preloaded one
//! before an imported one. There is one agent in a process, so this copy passes all questions on to the elder.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::stage::{self, ELDER};
use crate::system::loaded_objects;

/// The function by which any copy answers.
const NAME: &CStr = c"sleeper_agent_state";

/// Looks for an elder, once; true if there is one. Any thread, interrupted or not.
///
/// Not in the constructor of a process that is not CPython: it may take as long as all the rest does.
pub fn look() -> bool {
    static HAS_LOOKED: AtomicBool = AtomicBool::new(false);
    if !HAS_LOOKED.load(Ordering::Acquire) {
        // The first in the loader's list.
        if let Some(first) = loaded_objects::object_defining(NAME)
            && !first.is_this_library()
            && let Some(function) = first.address_of(NAME)
        {
            ELDER.store(function as *mut (), Ordering::Release);
        }
        HAS_LOOKED.store(true, Ordering::Release);
    }
    stage::elder().is_some()
}
