//! Whether the interpreter's objects are laid out as `layout` says: the boot compares it with live ones.

use std::ffi::CStr;
use std::sync::atomic::Ordering;

use crate::cpython::api::PyObject;
use crate::cpython::dict::{MASK, USED, value};
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::guarded_frame::{Frame, back, body, is_frame, string};
use crate::cpython::layout::{HEAD, OTHER};
use crate::cpython::object::Object;
use crate::cpython::thread_states;
use crate::system::memory::read;
use protocol::layout::{
    CODE_CONSTANTS, CODE_FILENAME, CODE_FIRST_LINE, CODE_LINE_TABLE, CODE_NAME, CODE_NAMES,
    CODE_TEXT, FRAME_BUILT_INS, FRAME_GLOBALS, FRAME_LOCALS, FRAME_TRACE, TYPE_BASE, TYPE_DICT,
    TYPE_MRO, TYPE_SIZE, WORD,
};

/// Compares the table with the running frame. At the boot: on a thread that runs Python, with no exception
/// set.
pub fn learn(gil: &mut Gil) {
    // SAFETY: the running frame stays while this function runs, as its code has called it.
    let frame = unsafe { Object::borrowed((gil.PyEval_GetFrame)()) };
    compare(gil, frame);
}

/// Compares the table with any thread's innermost frame, unless that has been done. On the worker, which runs no frame,
/// with no exception set: in a program that the agent has come into late, nobody has compared before.
pub fn learn_late(gil: &mut Gil) {
    if HEAD.load(Ordering::Relaxed) != 0 || OTHER.load(Ordering::Relaxed) {
        return;
    }
    let mut innermost = 0;
    thread_states::for_each(gil, &mut |thread| {
        innermost = thread.frame;
        innermost == 0
    });
    // SAFETY: a frame that a thread runs stays while that thread waits for the GIL, which this one holds.
    let frame = unsafe { Object::borrowed(innermost as *mut PyObject) };
    if frame.is_some() {
        compare(gil, frame);
    }
}

/// Compares the table with this frame, which is the innermost of its thread.
fn compare(gil: &mut Gil, frame: Option<Object>) {
    let agrees = frame.is_some_and(|frame| agrees(gil, frame).unwrap_or(false));
    gil.clear_exception();
    let head = frame.filter(|_| agrees).and_then(|frame| {
        let body = body(gil.frame_type, frame.address(), false)?;
        Some(body - frame.address())
    });
    HEAD.store(head.unwrap_or(0), Ordering::Relaxed);
    OTHER.store(frame.is_some() && !agrees, Ordering::Relaxed);
}

/// Whether everything that is read of this frame is what the interpreter says.
fn agrees(gil: &mut Gil, frame: Object) -> Option<bool> {
    let address = frame.address();
    let parts = Frame::read(gil, address)?;
    let body = body(gil.frame_type, address, true)?;
    let head = body - address;
    let frame_type = gil.frame_type;
    let of_type = |at| read::<usize>(frame_type + head + at);
    // SAFETY: the frame keeps its code.
    let code = unsafe { Object::borrowed(parts.code_object as *mut PyObject)? };
    let outer = pointer(gil, frame, c"f_back").filter(|&outer| is_frame(gil, outer));
    let trace = read::<usize>(body + FRAME_TRACE)?;
    let mut listed = false;
    thread_states::for_each(gil, &mut |thread| {
        listed |= thread.frame == address;
        !listed
    });
    Some(
        listed
            && dictionaries_agree(gil, head - WORD)
            // The size with one variable.
            && of_type(TYPE_SIZE)? == head + FRAME_LOCALS + WORD
            && self::body(gil.dict_type, of_type(TYPE_DICT)?, false).is_some()
            && of_type(TYPE_BASE)? == gil.PyBaseObject_Type as usize
            && read::<usize>(self::body(gil.PyTuple_Type as usize, of_type(TYPE_MRO)?, true)?)?
                == frame_type
            && pointer(gil, code, c"co_names")? == read(parts.code + CODE_NAMES)?
            && pointer(gil, frame, c"f_code")? == parts.code_object
            && pointer(gil, frame, c"f_globals")? == read(body + FRAME_GLOBALS)?
            && pointer(gil, frame, c"f_builtins")? == read(body + FRAME_BUILT_INS)?
            && pointer(gil, code, c"co_consts")? == read(parts.code + CODE_CONSTANTS)?
            && text(gil, code, c"co_code")? == string(gil, parts.code + CODE_TEXT)?
            && (trace == 0) == (pointer(gil, frame, c"f_trace")? == gil.none().address())
            && number(gil, frame, c"f_lasti")? == i64::from(parts.last_instruction)
            && outer.unwrap_or(0) == back(gil, address)?
            && text(gil, code, c"co_filename")? == string(gil, parts.code + CODE_FILENAME)?
            && text(gil, code, c"co_name")? == string(gil, parts.code + CODE_NAME)?
            && text(gil, code, c"co_lnotab")? == string(gil, parts.code + CODE_LINE_TABLE)?
            && number(gil, code, c"co_firstlineno")?
                == i64::from(read::<i32>(parts.code + CODE_FIRST_LINE)?),
    )
}

/// An attribute of a frame or of code, which keeps it, as an address. To ask for these runs no code of the
/// program's (Objects/frameobject.c, codeobject.c).
fn pointer(gil: &mut Gil, object: Object, name: &CStr) -> Option<usize> {
    Some(gil.attribute(object, name)?.object().address())
}

/// The same of a number.
fn number(gil: &mut Gil, object: Object, name: &CStr) -> Option<i64> {
    let value = gil.attribute(object, name)?;
    // SAFETY: the object is alive; these attributes are `int`.
    Some(unsafe { (gil.PyInt_AsLong)(value.as_ptr()) })
}

/// The same of a `str`: where its bytes are, and how many.
fn text(gil: &mut Gil, object: Object, name: &CStr) -> Option<(usize, usize)> {
    let value = gil.attribute(object, name)?;
    let bytes = gil.bytes(value.object())?;
    Some((bytes.as_ptr() as usize, bytes.len()))
}

/// Whether dictionaries are laid out as `dict` reads them, by the example of the built-in names. Objects
/// have heads of this size, in bytes.
fn dictionaries_agree(gil: &Gil, head: usize) -> bool {
    // SAFETY: `body` has found the type of a frame that is running at the end of a head of this size. What
    // is read beyond that is compared, before more is made of it, with what the interpreter says.
    let fields = unsafe { Fields::with_head(gil, head) };
    // SAFETY: the running frame keeps them.
    let builtins = unsafe { Object::borrowed((gil.PyEval_GetBuiltins)()) };
    let Some(builtins) = builtins.and_then(|builtins| fields.as_dict(builtins)) else {
        return false;
    };
    // SAFETY: a dictionary is larger than that.
    let [used, mask] = [USED, MASK].map(|at| unsafe { fields.word(*builtins, 0, at) } as usize);
    if used != gil.dict_size(*builtins) || !mask.wrapping_add(1).is_power_of_two() || used > mask {
        return false;
    }
    // Its names are `str`, if the program has not put others there; then nothing would say otherwise.
    let mut entries = gil.entries(*builtins);
    let entry = entries.find(|&(name, _)| fields.is_str(name));
    entry.is_none_or(|(name, one)| value(fields, *builtins, name) == Some(one))
}
