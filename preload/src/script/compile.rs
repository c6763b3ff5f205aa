//! Python text that the library carries: compiled once in an interpreter's life, in a namespace that
//! no module list knows, and called under the GIL.

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::agent::failure::Failure;
use crate::cpython::api::{Py_file_input, PyObject, Python};
use crate::script::namespace::put_in;
use crate::script::raised::raised;
use crate::script::{builtins, imports};

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
            .and_then(|()| builtins::put_in(python, namespace));
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
