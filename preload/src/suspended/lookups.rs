//! What `greenlets.py` looks at frames and objects with: functions that run none of the program's code,
//! and change nothing in a frame. (`frame.f_locals` copies a function's variables into a dictionary
//! that the program may have got from `locals()`.)
//!
//! On the worker, under the GIL, where the boot has found the layout of frames to be as it is known.

use std::ptr;

use crate::agent::failure::Failure;
use crate::cpython::api::{METH_O, METH_VARARGS, Methods, PyObject, Python, method};
use crate::cpython::fields::Live;
use crate::cpython::glue::{self, List, given};
use crate::cpython::{dict, find};
use crate::inspect::attributes::held;
use crate::inspect::objects::Objects;
use crate::inspect::pending_call::Calls;
use crate::script::namespace;

static METHODS: Methods<4> = Methods([
    method(c"_item".as_ptr(), item, METH_VARARGS),
    method(c"_attributes".as_ptr(), attributes, METH_O),
    method(c"_variables".as_ptr(), variables, METH_O),
    method(c"_called".as_ptr(), called, METH_O),
]);

/// Puts the functions into a namespace.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn put_in(python: &Python, namespace: *mut PyObject) -> Result<(), Failure> {
    // SAFETY: the caller's.
    unsafe { namespace::put_methods(python, namespace, &METHODS.0) }
}

/// `_attributes(object)`: the dictionary that holds an object's own attributes (of a class of either style,
/// what it holds itself), or `None`, also if that is of a class with ideas of its own, or with keys that are
/// not all `str`; without asking the object or its class.
unsafe extern "C-unwind" fn attributes(_: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL.
    unsafe {
        let mut result = python._Py_NoneStruct;
        if let Some(live) = Live::known() {
            let dictionary = held(python, live, object);
            if !dictionary.is_null() && dict::has_names_only(python, live, dictionary) {
                result = dictionary;
            }
        }
        (python.Py_IncRef)(result);
        result
    }
}

/// `_variables(frame)`: a function's local variables, as (name, value).
unsafe extern "C-unwind" fn variables(_: *mut PyObject, frame: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (find::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL.
    unsafe {
        if !live.is_frame(python, frame) {
            (python.PyErr_BadArgument)();
            return ptr::null_mut();
        }
        let mut list = List::new(python);
        live.variables(python, frame, &mut |name, value| list.push(&[name, value]));
        list.list
    }
}

/// `_item(dictionary, name)`: what a dictionary has under a `str`, as a tuple of one, or `None`, also if
/// this is something else; without asking the classes of its keys.
unsafe extern "C-unwind" fn item(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (find::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL, with a tuple.
    unsafe {
        let Some([dictionary, name]) = given(python, arguments) else {
            return ptr::null_mut();
        };
        tuple_of(python, dict::value(python, live, dictionary, name))
    }
}

/// A tuple of one; `None` of null.
///
/// # Safety
/// Holding the GIL; the object is alive.
unsafe fn tuple_of(python: &Python, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's; a tuple's item takes over the reference.
    unsafe {
        if object.is_null() {
            (python.Py_IncRef)(python._Py_NoneStruct);
            return python._Py_NoneStruct;
        }
        let tuple = (python.PyTuple_New)(1);
        if !tuple.is_null() {
            (python.Py_IncRef)(object);
            (python.PyTuple_SetItem)(tuple, 0, object);
        }
        tuple
    }
}

/// `_called(frame)`: what a frame is calling, as far as its code names it plainly, as (object, name of
/// its attribute); or `None`.
unsafe extern "C-unwind" fn called(_: *mut PyObject, frame: *mut PyObject) -> *mut PyObject {
    let Some(objects) = find::found().and_then(Objects::known) else {
        return ptr::null_mut();
    };
    let python = objects.python;
    // SAFETY: called by the interpreter, holding the GIL; the references are handed over.
    unsafe {
        if !objects.live.is_frame(python, frame) {
            (python.PyErr_BadArgument)();
            return ptr::null_mut();
        }
        let called = Calls::new(objects).of(frame).called;
        let Some((object, name)) = called.filter(|(object, _)| !object.is_null()) else {
            (python.Py_IncRef)(python._Py_NoneStruct);
            return python._Py_NoneStruct;
        };
        (python.Py_IncRef)(object);
        let name = (python.PyString_FromStringAndSize)(name.as_ptr().cast(), name.len() as isize);
        glue::pair(python, [object, name])
    }
}
