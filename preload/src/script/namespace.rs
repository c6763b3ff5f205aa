//! The namespace in which our Python text runs.

use std::ffi::CStr;
use std::ptr;

use crate::agent::failure::Failure;
use crate::cpython::api::{MethodDefinition, PyObject, Python};
use crate::script::raised::raised;

/// Puts an object, whose reference it takes over, into a namespace. Null stands for one that could
/// not be made.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn put_in(
    python: &Python,
    namespace: *mut PyObject,
    name: &CStr,
    object: *mut PyObject,
) -> Result<(), Failure> {
    // SAFETY: the caller's.
    unsafe {
        if object.is_null() {
            return Err(raised(python));
        }
        let done = (python.PyDict_SetItemString)(namespace, name.as_ptr(), object) == 0;
        (python.Py_DecRef)(object);
        if done { Ok(()) } else { Err(raised(python)) }
    }
}

/// Puts functions of the library's own into a namespace, under their names.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn put_methods(
    python: &Python,
    namespace: *mut PyObject,
    methods: &'static [MethodDefinition],
) -> Result<(), Failure> {
    for method in methods {
        // SAFETY: the caller's; the definitions stand still, and their names are C strings.
        unsafe {
            let definition = ptr::from_ref(method).cast_mut();
            let none = ptr::null_mut();
            let function = (python.PyCFunction_NewEx)(definition, none, none);
            put_in(python, namespace, CStr::from_ptr(method.name), function)?;
        }
    }
    Ok(())
}
