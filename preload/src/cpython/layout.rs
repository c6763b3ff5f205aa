//! The offsets of fields in the interpreter's objects, and whether they hold in this interpreter.
//!
//! They are from Include/frameobject.h, code.h and stringobject.h of CPython 2.6 and 2.7, and the same in
//! both. Debug builds (Py_TRACE_REFS) put two pointers in front of every object; where the type pointer
//! stands tells whether this is one.
//!
//! The offsets are a table, and the boot compares it with a live frame and with what the interpreter
//! itself says is in that frame (`layout_check`). To search the frame for the offsets instead would be no
//! sounder: an instruction's number is a small integer, and a frame has several of those.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub const WORD: usize = size_of::<usize>();

/// PyFrameObject (frameobject.h), counted from the end of PyObject_VAR_HEAD.
pub const FRAME_BACK: usize = 0;
pub const FRAME_CODE: usize = WORD;
/// f_builtins.
pub const FRAME_BUILT_INS: usize = 2 * WORD;
pub const FRAME_GLOBALS: usize = 3 * WORD;
/// f_locals, the names in the code of a module or a class.
pub const FRAME_NAMES: usize = 4 * WORD;
pub const FRAME_VALUE_STACK: usize = 5 * WORD;
pub const FRAME_TRACE: usize = 7 * WORD;
pub const FRAME_LAST_INSTRUCTION: usize = 12 * WORD;
/// f_iblock, after f_lasti and f_lineno: how many blocks the frame is in. The blocks follow, each with its
/// kind, its handler and the depth of the value stack at its beginning, all of them ints.
pub const FRAME_BLOCKS: usize = 12 * WORD + 8;
pub const MOST_BLOCKS: usize = 20;
/// f_localsplus, after f_blockstack and padding.
pub const FRAME_LOCALS: usize = 12 * WORD + 12 + 12 * MOST_BLOCKS + 4;

/// PyCodeObject (code.h), counted from the end of PyObject_HEAD: four ints, then co_code,
/// co_consts, co_names, co_varnames, co_freevars, co_cellvars, co_filename, co_name,
/// co_firstlineno (an int and its padding), co_lnotab.
///
/// This is co_nlocals, the second of the ints.
pub const CODE_COUNT: usize = 4;
/// co_flags, the fourth of the ints.
pub const CODE_FLAGS: usize = 12;
/// co_code and co_consts.
pub const CODE_TEXT: usize = 2 * WORD;
pub const CODE_CONSTANTS: usize = 3 * WORD;
pub const CODE_NAMES: usize = 4 * WORD;
pub const CODE_VARIABLES: usize = 5 * WORD;
pub const CODE_FREE: usize = 6 * WORD;
pub const CODE_CELLS: usize = 7 * WORD;
pub const CODE_FILENAME: usize = 8 * WORD;
pub const CODE_NAME: usize = 9 * WORD;
pub const CODE_FIRST_LINE: usize = 10 * WORD;
pub const CODE_LINE_TABLE: usize = 11 * WORD;

/// PyTypeObject (object.h), counted from the end of PyObject_VAR_HEAD: tp_name and tp_basicsize come first;
/// tp_repr, tp_flags, tp_base and tp_dict come after others. All of them are words.
pub const TYPE_NAME: usize = 0;
pub const TYPE_SIZE: usize = WORD;
pub const TYPE_REPR: usize = 8 * WORD;
pub const TYPE_FLAGS: usize = 18 * WORD;
pub const TYPE_BASE: usize = 29 * WORD;
pub const TYPE_DICT: usize = 30 * WORD;

/// PyStringObject (stringobject.h), counted from the end of PyObject_VAR_HEAD: the hash (a
/// long), the state (an int), then the bytes.
pub const STRING_BYTES: usize = WORD + 4;
/// Longer line tables are not followed to their end.
pub const LONGEST_LINE_TABLE: usize = 256 << 10;

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
