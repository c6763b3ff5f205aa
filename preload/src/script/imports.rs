//! Getting at a module without waiting for the import lock, and without a trace.

use std::ffi::CStr;
use std::ptr;

use crate::agent::failure::Failure;
use crate::cpython::api::{PyObject, Python};
use crate::cpython::glue::bytes;
use crate::script::raised::raised;

/// What importing linecache and gc may bring along, in a program that has not even `site`.
const OURS: [&[u8]; 17] = [
    b"linecache",
    b"gc",
    b"time",
    b"os",
    b"os.path",
    b"posix",
    b"posixpath",
    b"genericpath",
    b"stat",
    b"errno",
    b"warnings",
    b"types",
    b"UserDict",
    b"_abcoll",
    b"abc",
    b"_weakrefset",
    b"copy_reg",
];

/// Imports a module (a new reference) without waiting for the import lock, and without leaving
/// anything in `sys.modules` that was not there.
///
/// What had to be imported is kept in `keep`, if that is not null: a module that is let go of
/// takes its functions' globals with it.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn module(
    python: &Python,
    name: &CStr,
    keep: *mut PyObject,
) -> Result<*mut PyObject, Failure> {
    // SAFETY: the caller's; items of a list and of a dictionary are borrowed.
    unsafe {
        let modules = (python.PyImport_GetModuleDict)();
        let known = (python.PyDict_GetItemString)(modules, name.as_ptr());
        if !known.is_null() {
            (python.Py_IncRef)(known);
            return Ok(known);
        }
        // There may have been no memory for the name.
        (python.PyErr_Clear)();
        let before = (python.PyDict_Copy)(modules);
        if before.is_null() {
            return Err(raised(python));
        }
        // Fails at once if another thread is importing (Python/import.c, 2.6 and 2.7).
        let mut module = (python.PyImport_ImportModuleNoBlock)(name.as_ptr());
        if module.is_null() {
            (python.PyErr_Clear)();
            module = built_in(python, name);
        }
        let names = (python.PyDict_Keys)(modules);
        if !names.is_null() {
            for index in 0..(python.PyList_Size)(names) {
                let name = (python.PyList_GetItem)(names, index);
                let module = (python.PyDict_GetItem)(modules, name);
                if (python.PyDict_GetItem)(before, name).is_null()
                    && !module.is_null()
                    && bytes(python, name).is_some_and(|name| OURS.contains(&name))
                {
                    if !keep.is_null() {
                        (python.PyDict_SetItem)(keep, name, module);
                    }
                    (python.PyDict_DelItem)(modules, name);
                }
            }
            (python.Py_DecRef)(names);
        }
        (python.Py_DecRef)(before);
        (python.PyErr_Clear)();
        if module.is_null() {
            return Err(Failure::NoModules);
        }
        Ok(module)
    }
}

/// Makes a module (a new reference) that is built into the interpreter, without the import lock: it is
/// only kept from others that would make it too (Python/import.c, `init_builtin`, 2.6 and 2.7). Null,
/// maybe with an exception set, if there is none. Of those that are asked for here that is gc.
///
/// # Safety
/// As for `snippet::collect`. It is not in `sys.modules`.
unsafe fn built_in(python: &Python, name: &CStr) -> *mut PyObject {
    // SAFETY: the caller's; the table is changed before `Py_Initialize` only, and ends in a null
    // name. What is started holds the GIL all the time, so nobody else comes to know of the module.
    unsafe {
        let mut entry = python.PyImport_Inittab.read();
        while !entry.is_null() && !(*entry).name.is_null() {
            if CStr::from_ptr((*entry).name) == name
                && let Some(start) = (*entry).start
            {
                start();
                let modules = (python.PyImport_GetModuleDict)();
                let module = (python.PyDict_GetItemString)(modules, name.as_ptr());
                (python.Py_IncRef)(module);
                return module;
            }
            entry = entry.add(1);
        }
    }
    ptr::null_mut()
}
