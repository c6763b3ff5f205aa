//! The built-in names that the library's Python text uses, as they are, whatever the program has put in
//! place of them in `__builtin__`.
//!
//! Types and constants are variables of the interpreter's; functions it does not export, so that there
//! are our own of the few that are needed.

use std::ffi::{CStr, c_long};
use std::ptr;

use crate::agent::failure::Failure;
use crate::cpython::api::{METH_O, Methods, PyObject, Python, method};
use crate::cpython::{find, glue};
use crate::inspect::objects::Objects;
use crate::script::namespace;

static METHODS: Methods<3> = Methods([
    method(c"id".as_ptr(), id, METH_O),
    method(c"len".as_ptr(), len, METH_O),
    method(c"ord".as_ptr(), ord, METH_O),
]);

/// Puts them into the namespace of a text, where they are found before the program's.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn put_in(python: &Python, namespace: *mut PyObject) -> Result<(), Failure> {
    // SAFETY: the caller's; these are objects, and so is what the variables of exceptions point to.
    unsafe {
        let objects: [(&CStr, *mut PyObject); 17] = [
            (c"True", python._Py_TrueStruct),
            (c"False", python._Py_ZeroStruct),
            (c"SystemExit", *python.PyExc_SystemExit),
            (c"KeyboardInterrupt", *python.PyExc_KeyboardInterrupt),
            (c"dict", python.dict_type as *mut PyObject),
            (c"enumerate", python.PyEnum_Type),
            (c"float", python.PyFloat_Type),
            (c"int", python.PyInt_Type),
            (c"list", python.PyList_Type),
            (c"long", python.PyLong_Type),
            (c"object", python.PyBaseObject_Type),
            (c"set", python.PySet_Type),
            (c"str", python.string_type as *mut PyObject),
            (c"tuple", python.PyTuple_Type),
            (c"type", python.PyType_Type),
            (c"unicode", python.PyUnicode_Type),
            (c"xrange", python.PyRange_Type),
        ];
        for (name, object) in objects {
            (python.Py_IncRef)(object);
            namespace::put_in(python, namespace, name, object)?;
        }
        namespace::put_methods(python, namespace, &METHODS.0)
    }
}

/// `id(object)`
unsafe extern "C-unwind" fn id(_: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    match find::found() {
        // SAFETY: called by the interpreter, holding the GIL. No address is so large as not to fit.
        Some(python) => unsafe { (python.PyInt_FromLong)(object as c_long) },
        None => ptr::null_mut(),
    }
}

/// `len(object)`, of what has a type of C's; others are not asked.
unsafe extern "C-unwind" fn len(_: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL; where null is returned an exception is set.
    unsafe {
        let may_be_pythons = |objects: Objects| {
            objects.has_class_of_python(object)
                || objects.is(object, python.instance_type as *mut PyObject)
        };
        if Objects::known(python).is_some_and(may_be_pythons) {
            (python.PyErr_BadArgument)();
            return ptr::null_mut();
        }
        match (python.PyObject_Size)(object) {
            ..0 => ptr::null_mut(),
            size => (python.PyInt_FromLong)(size as c_long),
        }
    }
}

/// `ord(character)`, of a `str`.
unsafe extern "C-unwind" fn ord(_: *mut PyObject, character: *mut PyObject) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL; where null is returned an exception is set.
    unsafe {
        match glue::bytes(python, character) {
            Some(&[byte]) => (python.PyInt_FromLong)(byte.into()),
            Some(_) => {
                (python.PyErr_BadArgument)();
                ptr::null_mut()
            }
            None => ptr::null_mut(),
        }
    }
}
