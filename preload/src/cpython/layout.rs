//! Whether the interpreter's objects are laid out as [`protocol::layout`] has it.
//!
//! The boot compares that table with a live frame and with what the interpreter itself says is in that frame
//! (`layout_check`). To search the frame for the offsets instead would be no sounder: an instruction's number is a small
//! integer, and a frame has several of those.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether the boot has met a frame that is not laid out like this.
pub static OTHER: AtomicBool = AtomicBool::new(false);

/// The size of PyObject_HEAD, in bytes, if the boot has met a frame that is laid out like this; or 0.
pub static HEAD: AtomicUsize = AtomicUsize::new(0);

/// The size of PyObject_HEAD, in bytes, where objects are known to be laid out like this.
pub fn head() -> Option<usize> {
    Some(HEAD.load(Ordering::Relaxed)).filter(|&head| head != 0)
}

/// Whether this interpreter's objects are known to be laid out otherwise, and cannot be read. Any thread.
pub fn is_other() -> bool {
    OTHER.load(Ordering::Relaxed)
}
