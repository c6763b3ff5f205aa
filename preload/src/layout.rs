//! Where things stand inside the interpreter's objects, and whether they do in this one.
//!
//! Include/frameobject.h, code.h, stringobject.h of CPython 2.6 and 2.7, the same in both. Debug
//! builds (Py_TRACE_REFS) put two pointers in front of every object, which is found out per
//! object by where its type pointer stands.
//!
//! The offsets are a table, and the boot compares it with a live frame of which the interpreter
//! itself tells what is in it. To search the frame for the offsets instead would be no sounder:
//! an instruction's number is a small integer, and such there are several in a frame.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::carried::bytes;
use crate::live::Live;
use crate::memory::{read, read_bytes};
use crate::python::{PyObject, Python};
use crate::{dictionary, threads};

pub const WORD: usize = size_of::<usize>();

/// PyFrameObject (frameobject.h), counted from the end of PyObject_VAR_HEAD.
pub const FRAME_BACK: usize = 0;
pub const FRAME_CODE: usize = WORD;
/// f_builtins.
pub const FRAME_BUILT_INS: usize = 2 * WORD;
pub const FRAME_GLOBALS: usize = 3 * WORD;
/// f_locals, the names of a module or a class that is being made.
pub const FRAME_NAMES: usize = 4 * WORD;
pub const FRAME_VALUE_STACK: usize = 5 * WORD;
pub const FRAME_TRACE: usize = 7 * WORD;
pub const FRAME_LAST_INSTRUCTION: usize = 12 * WORD;
/// f_iblock, after f_lasti and f_lineno: how many blocks it is in. They follow: for each its kind,
/// its handler and the depth of the value stack at its beginning, all ints.
pub const FRAME_BLOCKS: usize = 12 * WORD + 8;
pub const MOST_BLOCKS: usize = 20;
/// f_localsplus, after f_blockstack and padding.
pub const FRAME_LOCALS: usize = 12 * WORD + 12 + 12 * MOST_BLOCKS + 4;

/// PyCodeObject (code.h), counted from the end of PyObject_HEAD: four ints, then co_code,
/// co_consts, co_names, co_varnames, co_freevars, co_cellvars, co_filename, co_name,
/// co_firstlineno (an int and its padding), co_lnotab.
/// co_nlocals, the second of the ints.
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
const CODE_FIRST_LINE: usize = 10 * WORD;
pub const CODE_LINE_TABLE: usize = 11 * WORD;

/// PyTypeObject (object.h), counted from the end of PyObject_VAR_HEAD: tp_name, tp_basicsize; tp_repr,
/// tp_flags and tp_dict come after more, all of them words.
pub const TYPE_NAME: usize = 0;
const TYPE_SIZE: usize = WORD;
pub const TYPE_REPR: usize = 8 * WORD;
pub const TYPE_FLAGS: usize = 18 * WORD;
pub const TYPE_DICT: usize = 30 * WORD;

/// PyStringObject (stringobject.h), counted from the end of PyObject_VAR_HEAD: the hash (a
/// long), the state (an int), then the bytes.
const STRING_BYTES: usize = WORD + 4;
/// Longer line tables are not followed to their end.
const LONGEST_LINE_TABLE: usize = 256 << 10;

/// Whether the boot has met a frame that is laid out otherwise.
static OTHER: AtomicBool = AtomicBool::new(false);

/// The size of PyObject_HEAD, if the boot has met a frame that is laid out as it should be; or 0.
static HEAD: AtomicUsize = AtomicUsize::new(0);

/// The size of PyObject_HEAD, in bytes, where frames are known to be laid out as they should be.
pub fn head() -> Option<usize> {
    Some(HEAD.load(Ordering::Relaxed)).filter(|&head| head != 0)
}

/// Whether this interpreter is known to be laid out otherwise, and cannot be read. Any thread.
pub fn is_other() -> bool {
    OTHER.load(Ordering::Relaxed)
}

/// Compares the table with the running frame.
///
/// # Safety
/// At the boot: on a thread that runs Python, holding the GIL, no exception set.
pub unsafe fn learn(python: &Python) {
    // SAFETY: the caller's; the frame is borrowed, and running.
    let differs = unsafe {
        let frame = (python.PyEval_GetFrame)();
        let agrees = !frame.is_null() && agrees(python, frame).unwrap_or(false);
        (python.PyErr_Clear)();
        let head = body(python.frame_type, frame as usize, false).filter(|_| agrees);
        HEAD.store(
            head.map_or(0, |body| body - frame as usize),
            Ordering::Relaxed,
        );
        !frame.is_null() && !agrees
    };
    OTHER.store(differs, Ordering::Relaxed);
}

/// Whether all that is read of this frame is what the interpreter says.
///
/// # Safety
/// As for [`learn`].
unsafe fn agrees(python: &Python, frame: *mut PyObject) -> Option<bool> {
    let address = frame as usize;
    // SAFETY: the caller's; `attribute` gives back what it takes, and the frame keeps its parts
    // alive. These attributes run no code of the program's (Objects/frameobject.c, codeobject.c).
    unsafe {
        let number = |object, name| -> Option<i64> {
            attribute(python, object, name, |value| (python.PyInt_AsLong)(value))
        };
        let pointer = |object, name| attribute(python, object, name, |value| value as usize);
        let text = |object, name| {
            attribute(python, object, name, |value| {
                bytes(python, value).map(|bytes| (bytes.as_ptr() as usize, bytes.len()))
            })?
        };
        let parts = Frame::read(python, address)?;
        let body = body(python.frame_type, address, true)?;
        let head = body - address;
        let of_type = |at| read::<usize>(python.frame_type + head + at);
        let code = parts.code_object as *mut PyObject;
        let outer = pointer(frame, c"f_back").filter(|&outer| is_frame(python, outer));
        let trace = read::<usize>(body + FRAME_TRACE)?;
        let mut listed = false;
        threads::for_each(python, &mut |thread| {
            listed |=
                thread.frame == address && thread.ident == Python::this_thread_ident() as usize;
            !listed
        });
        Some(
            listed
                && dictionary::agrees(python, Live::with_head(head - WORD))
                // The size with one variable.
                && of_type(TYPE_SIZE)? == head + FRAME_LOCALS + WORD
                && self::body(python.dict_type, of_type(TYPE_DICT)?, false).is_some()
                && pointer(code, c"co_names")? == read(parts.code + CODE_NAMES)?
                && pointer(frame, c"f_code")? == parts.code_object
                && pointer(frame, c"f_globals")? == read(body + FRAME_GLOBALS)?
                && pointer(frame, c"f_builtins")? == read(body + FRAME_BUILT_INS)?
                && pointer(code, c"co_consts")? == read(parts.code + CODE_CONSTANTS)?
                && text(code, c"co_code")? == string(python, parts.code + CODE_TEXT)?
                && (trace == 0) == (pointer(frame, c"f_trace")? == python._Py_NoneStruct as usize)
                && number(frame, c"f_lasti")? == i64::from(parts.last_instruction)
                && outer.unwrap_or(0) == back(python, address)?
                && text(code, c"co_filename")? == string(python, parts.code + CODE_FILENAME)?
                && text(code, c"co_name")? == string(python, parts.code + CODE_NAME)?
                && text(code, c"co_lnotab")? == string(python, parts.code + CODE_LINE_TABLE)?
                && number(code, c"co_firstlineno")?
                    == i64::from(read::<i32>(parts.code + CODE_FIRST_LINE)?),
        )
    }
}

/// What `look` makes of an attribute; `None`, with an exception set, if there is none.
///
/// # Safety
/// As for [`learn`].
pub unsafe fn attribute<R>(
    python: &Python,
    object: *mut PyObject,
    name: &CStr,
    look: impl FnOnce(*mut PyObject) -> R,
) -> Option<R> {
    // SAFETY: the caller's; the new reference is given back.
    unsafe {
        let value = (python.PyObject_GetAttrString)(object, name.as_ptr());
        if value.is_null() {
            return None;
        }
        let result = look(value);
        (python.Py_DecRef)(value);
        Some(result)
    }
}

/// The frame that called the frame at this address, 0 for none; `None` if this is no frame.
pub fn back(python: &Python, frame: usize) -> Option<usize> {
    read(body(python.frame_type, frame, true)? + FRAME_BACK)
}

/// A frame, as read from memory.
pub struct Frame {
    /// Its code object, and where that one's own fields begin.
    code_object: usize,
    code: usize,
    last_instruction: i32,
}

impl Frame {
    /// Reads a frame, if there is one at this address.
    pub fn read(python: &Python, address: usize) -> Option<Frame> {
        let body = body(python.frame_type, address, true)?;
        let code_object = read(body + FRAME_CODE)?;
        Some(Frame {
            code_object,
            code: self::body(python.code_type, code_object, false)?,
            last_instruction: read(body + FRAME_LAST_INSTRUCTION)?,
        })
    }

    /// Address and length of the name of the file its code came from.
    pub fn file_name(&self, python: &Python) -> Option<(usize, usize)> {
        string(python, self.code + CODE_FILENAME)
    }

    /// Address and length of the name of its function.
    pub fn name(&self, python: &Python) -> Option<(usize, usize)> {
        string(python, self.code + CODE_NAME)
    }

    /// The line it is at.
    pub fn line(&self, python: &Python) -> Option<i64> {
        line(python, self.code, self.last_instruction)
    }
}

/// Where an object's own fields begin, if it is an object of this very type.
///
/// `variable` objects have a size in their head (PyObject_VAR_HEAD).
fn body(type_object: usize, object: usize, variable: bool) -> Option<usize> {
    if !object.is_multiple_of(WORD) {
        return None;
    }
    let tail = if variable { WORD } else { 0 };
    // ob_refcnt, ob_type; in debug builds after _ob_next and _ob_prev.
    for type_at in [WORD, 3 * WORD] {
        if read::<usize>(object.checked_add(type_at)?)? == type_object {
            return object.checked_add(type_at + WORD + tail);
        }
    }
    None
}

/// Whether this is the address of a frame. Any thread, interrupted or not.
pub fn is_frame(python: &Python, address: usize) -> bool {
    body(python.frame_type, address, true).is_some()
}

/// The bytes of the string that the pointer at `pointer` points to: address and length.
fn string(python: &Python, pointer: usize) -> Option<(usize, usize)> {
    let body = body(python.string_type, read(pointer)?, true)?;
    let length = read::<usize>(body - WORD)?;
    Some((body + STRING_BYTES, length))
}

/// The line of an instruction, as `PyCode_Addr2Line` has it (Objects/codeobject.c, 2.6 and 2.7;
/// the table is described in Objects/lnotab_notes.txt).
fn line(python: &Python, code: usize, last_instruction: i32) -> Option<i64> {
    let mut line = i64::from(read::<i32>(code + CODE_FIRST_LINE)?);
    let (table, length) = string(python, code + CODE_LINE_TABLE)?;
    let mut address = 0;
    let mut chunk = [0; 1024];
    let mut at = 0;
    while at + 1 < length.min(LONGEST_LINE_TABLE) {
        let count = (length - at).min(chunk.len()) & !1;
        if !read_bytes(table.checked_add(at)?, &mut chunk[..count]) {
            return None;
        }
        for pair in chunk[..count].chunks_exact(2) {
            address += i64::from(pair[0]);
            if address > i64::from(last_instruction) {
                return Some(line);
            }
            line += i64::from(pair[1]);
        }
        at += count;
    }
    (length <= LONGEST_LINE_TABLE).then_some(line)
}
