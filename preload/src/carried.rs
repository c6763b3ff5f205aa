//! Python text that the library carries: compiled once in an interpreter's life, in a namespace that
//! no module list knows, and called under the GIL.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::failure::{Failure, raised};
use crate::python::{MethodDefinition, Py_file_input, PyObject, Python};
use crate::{built_ins, imports};

/// Compiles a text (NUL-terminated; and its name) in a namespace of its own that no module list
/// knows, with these modules, has `add` put something there, and keeps some of its functions: the
/// last of them comes last.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn compile(
    python: &Python,
    (text, name): (&'static str, &CStr),
    modules: &[&CStr],
    add: impl FnOnce(*mut PyObject) -> Result<(), Failure>,
    functions: &[(&CStr, &AtomicPtr<PyObject>)],
) -> Result<(), Failure> {
    // SAFETY: the caller's; references are given back, but for the functions that are kept.
    unsafe {
        let namespace = (python.PyDict_New)();
        if namespace.is_null() {
            return Err(raised(python));
        }
        // The interpreter's own dictionary: with any other, Python 2 runs code restricted.
        let builtins = (python.PyEval_GetBuiltins)();
        (python.PyDict_SetItemString)(namespace, c"__builtins__".as_ptr(), builtins);
        let carried = (python.PyString_FromString)(c"_sleeper_agent_carried".as_ptr());
        let mut result = put_in(python, namespace, c"__name__", carried)
            .and_then(|()| built_ins::put_in(python, namespace));
        for name in modules {
            if result.is_ok() {
                result = imports::module(python, name, namespace)
                    .and_then(|module| put_in(python, namespace, name, module));
            }
        }
        let mut result = result.and_then(|()| {
            let code = (python.Py_CompileStringFlags)(
                text.as_ptr().cast(),
                name.as_ptr(),
                Py_file_input,
                ptr::null_mut(),
            );
            if code.is_null() {
                return Err(raised(python));
            }
            let none = (python.PyEval_EvalCode)(code, namespace, namespace);
            (python.Py_DecRef)(code);
            if none.is_null() {
                return Err(raised(python));
            }
            (python.Py_DecRef)(none);
            add(namespace)
        });
        for (name, place) in functions {
            if result.is_ok() {
                let function = (python.PyDict_GetItemString)(namespace, name.as_ptr());
                (python.Py_IncRef)(function);
                place.store(function, Ordering::Relaxed);
                if function.is_null() {
                    result = Err(raised(python));
                }
            }
        }
        if result.is_err() {
            for (_, place) in functions {
                (python.Py_DecRef)(place.swap(ptr::null_mut(), Ordering::Relaxed));
            }
            // What has been defined already holds on to it, and it to that.
            (python.PyDict_Clear)(namespace);
        }
        (python.Py_DecRef)(namespace);
        result
    }
}

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

/// Calls a function with these arguments, whose references it takes over. Null if the function or
/// one of them is not there, or it raises.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn call(
    python: &Python,
    function: &AtomicPtr<PyObject>,
    arguments: &[*mut PyObject],
) -> *mut PyObject {
    let function = function.load(Ordering::Relaxed);
    // SAFETY: the caller's; a tuple's item takes over the reference.
    unsafe {
        let tuple = (python.PyTuple_New)(arguments.len() as isize);
        if function.is_null() || tuple.is_null() || arguments.iter().any(|one| one.is_null()) {
            for &one in arguments
                .iter()
                .chain([&tuple])
                .filter(|one| !one.is_null())
            {
                (python.Py_DecRef)(one);
            }
            return ptr::null_mut();
        }
        for (index, &argument) in arguments.iter().enumerate() {
            (python.PyTuple_SetItem)(tuple, index as isize, argument);
        }
        let result = (python.PyObject_CallObject)(function, tuple);
        (python.Py_DecRef)(tuple);
        result
    }
}

/// A tuple of two objects, whose references it takes over; null, with an exception set, if one of
/// them could not be made, or there is no memory.
///
/// # Safety
/// Holding the GIL; the objects are alive, or null, and then an exception is set.
pub unsafe fn pair(python: &Python, objects: [*mut PyObject; 2]) -> *mut PyObject {
    // SAFETY: the caller's; a tuple's item takes over the reference, and null is let pass.
    unsafe {
        if objects.iter().any(|one| one.is_null()) {
            objects.into_iter().for_each(|one| (python.Py_DecRef)(one));
            return ptr::null_mut();
        }
        let tuple = (python.PyTuple_New)(2);
        for (index, one) in objects.into_iter().enumerate() {
            match tuple.is_null() {
                true => (python.Py_DecRef)(one),
                false => drop((python.PyTuple_SetItem)(tuple, index as isize, one)),
            }
        }
        tuple
    }
}

/// Whether an object, whose reference it takes over, is true. Clears the exception, if it is null.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn is_true(python: &Python, object: *mut PyObject) -> bool {
    // SAFETY: the caller's.
    unsafe {
        if object.is_null() {
            (python.PyErr_Clear)();
            return false;
        }
        let truth = (python.PyObject_IsTrue)(object) == 1;
        (python.Py_DecRef)(object);
        truth
    }
}

/// The bytes of a `str`, for as long as the object lives; `None`, with an exception set, if it
/// is none.
///
/// # Safety
/// Holding the GIL.
pub unsafe fn bytes<'a>(python: &Python, text: *mut PyObject) -> Option<&'a [u8]> {
    let mut start: *mut c_char = ptr::null_mut();
    let mut length = 0;
    // SAFETY: the caller's; on success the pointer is to `length` bytes inside the object.
    unsafe {
        ((python.PyString_AsStringAndSize)(text, &mut start, &mut length) == 0)
            .then(|| std::slice::from_raw_parts(start.cast(), length as usize))
    }
}
