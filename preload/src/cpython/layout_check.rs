//! Whether the interpreter's objects are laid out as `layout` says: the boot compares with live ones.

use std::ptr;
use std::sync::atomic::Ordering;

use crate::cpython::api::{PyObject, Python};
use crate::cpython::dict::{MASK, USED, value};
use crate::cpython::fields::Live;
use crate::cpython::glue::{attribute, bytes};
use crate::cpython::guarded_frame::{Frame, back, body, is_frame, string};
use crate::cpython::layout::{
    CODE_CONSTANTS, CODE_FILENAME, CODE_FIRST_LINE, CODE_LINE_TABLE, CODE_NAME, CODE_NAMES,
    CODE_TEXT, FRAME_BUILT_INS, FRAME_GLOBALS, FRAME_LOCALS, FRAME_TRACE, HEAD, OTHER, TYPE_DICT,
    TYPE_SIZE, WORD,
};
use crate::cpython::thread_states;
use crate::system::memory::read;

/// Whether dictionaries are laid out as `dict` reads them, by the example of the built-in names.
///
/// # Safety
/// At the boot: on a thread that runs Python, holding the GIL.
unsafe fn dictionaries_agree(python: &Python, live: Live) -> bool {
    // SAFETY: the caller's; all is borrowed. Its names are `str`, if the program has not put others there.
    unsafe {
        let builtins = (python.PyEval_GetBuiltins)();
        if builtins.is_null() || !live.is_dictionary(python, builtins) {
            return false;
        }
        let used = live.word(builtins, 0, USED) as isize;
        let mask = live.word(builtins, 0, MASK) as usize;
        if used != (python.PyDict_Size)(builtins)
            || !mask.wrapping_add(1).is_power_of_two()
            || used as usize > mask
        {
            return false;
        }
        let (mut at, mut name, mut one) = (0, ptr::null_mut(), ptr::null_mut());
        while (python.PyDict_Next)(builtins, &mut at, &mut name, &mut one) != 0 {
            if live.type_of(name) as usize == python.string_type {
                return value(python, live, builtins, name) == one;
            }
        }
        // There is nothing that would say otherwise.
        true
    }
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
        thread_states::for_each(python, &mut |thread| {
            listed |=
                thread.frame == address && thread.ident == Python::this_thread_ident() as usize;
            !listed
        });
        Some(
            listed
                && dictionaries_agree(python, Live::with_head(head - WORD))
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
