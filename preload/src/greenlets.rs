//! Suspended greenlets, beside threads: `greenlets.py` and `greenlet_waits.py`, and what those cannot
//! do for themselves.
//!
//! On the worker, under the GIL, nobody else let run. A program may have millions of objects, and all
//! of them are looked at: not by Python code, which takes fifty times as long.

use std::ffi::c_long;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::failure::{Failure, raised};
use crate::kinds::Bases;
use crate::live::Live;
use crate::python::{self, METH_NOARGS, METH_VARARGS, Methods, PyObject, Python, method};
use crate::variables::List;
use crate::{carried, facts, threads, undisturbed, worker};

/// The text of the Python half, NUL-terminated.
const TEXT: &str = concat!(
    include_str!("greenlets.py"),
    "\n\n",
    include_str!("greenlet_waits.py"),
    "\0"
);

/// Its function that stands for the snippet's `_collect`; null until first needed in an interpreter's
/// life. Read and written only by who holds the GIL.
pub static COLLECT: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    COLLECT.store(ptr::null_mut(), Ordering::Relaxed);
}

static METHODS: Methods<2> = Methods([
    method(c"_instances".as_ptr(), instances, METH_VARARGS),
    method(
        c"_thread_dictionaries".as_ptr(),
        thread_dictionaries,
        METH_NOARGS,
    ),
]);

/// Compiles the Python half, once; `facts::prepare` has been called.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn prepare(python: &Python) -> Result<(), Failure> {
    if !COLLECT.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    // SAFETY: the caller's; references are given back, but for the function that is kept.
    unsafe {
        let functions = [(c"_collect_with_greenlets", &COLLECT)];
        let add = |namespace| {
            add_facts(python, namespace)?;
            match Live::known() {
                Some(_) => carried::put_methods(python, namespace, &METHODS.0),
                None => Ok(()),
            }
        };
        let modules = [c"sys", c"gc"];
        undisturbed::prepared(python, || {
            carried::compile(python, (TEXT, c"greenlets.py"), &modules, add, &functions)
        })
    }
}

/// Adds the functions of `facts.py` that are not in the namespace already.
///
/// # Safety
/// As for `snippet::collect`.
unsafe fn add_facts(python: &Python, namespace: *mut PyObject) -> Result<(), Failure> {
    // SAFETY: the caller's. `facts::MORE` is a function of our own; its globals are a dictionary of
    // ours that does not change meanwhile, and what it has is borrowed from it.
    unsafe {
        let more = facts::MORE.load(Ordering::Relaxed);
        let globals = (python.PyObject_GetAttrString)(more, c"func_globals".as_ptr());
        if globals.is_null() {
            return Err(raised(python));
        }
        let (mut at, mut name, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        let mut done = true;
        while done && (python.PyDict_Next)(globals, &mut at, &mut name, &mut value) != 0 {
            if (python.PyDict_GetItem)(namespace, name).is_null() {
                done = (python.PyDict_SetItem)(namespace, name, value) == 0;
            }
        }
        (python.Py_DecRef)(globals);
        if done { Ok(()) } else { Err(raised(python)) }
    }
}

/// How many classes there may be.
const MOST_CLASSES: usize = 32;

/// `_instances(objects, kinds)`: see `greenlets.py`.
unsafe extern "C-unwind" fn instances(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (python::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL, by our own code alone: with that function,
    // which is C code and makes a list, and a tuple of classes, which hold what is in them. Nobody else
    // runs between the list's beginning and its end, not even for a signal: it holds all objects, and
    // none of them shall die with it.
    unsafe {
        // 2.6 calls without where there is no memory for them.
        if arguments.is_null() {
            return (python.PyErr_NoMemory)();
        }
        let function = (python.PyTuple_GetItem)(arguments, 0);
        let kinds = (python.PyTuple_GetItem)(arguments, 1);
        if function.is_null() || kinds.is_null() {
            return ptr::null_mut();
        }
        let objects = (python.PyObject_CallObject)(function, ptr::null_mut());
        if objects.is_null() {
            return ptr::null_mut();
        }
        let mut classes = [ptr::null_mut(); MOST_CLASSES];
        let count = (python.PyTuple_Size)(kinds).clamp(0, MOST_CLASSES as isize) as usize;
        for (index, class) in classes.iter_mut().enumerate().take(count) {
            *class = (python.PyTuple_GetItem)(kinds, index as isize);
        }
        let classes = &classes[..count];
        let mut bases = Bases::default();
        let mut list = List::new(python);
        let mut whole = true;
        for index in 0..(python.PyList_Size)(objects) {
            let object = (python.PyList_GetItem)(objects, index);
            if let Some(kind) = bases.first(python, live.type_of(object), classes) {
                let kind = (python.PyInt_FromLong)(kind as c_long);
                whole = !kind.is_null();
                if !whole {
                    break;
                }
                list.push(&[object, kind]);
                (python.Py_DecRef)(kind);
            }
        }
        (python.Py_DecRef)(objects);
        // Before it is begun with them.
        if whole && !worker::has_memory_for_greenlets(list.len()) {
            (python.PyErr_NoMemory)();
            whole = false;
        }
        list.made_of(whole)
    }
}

/// `_thread_dictionaries()`: see `greenlets.py`.
unsafe extern "C-unwind" fn thread_dictionaries(
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    let Some(python) = python::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL; the numbers are ours, and the list takes
    // references of its own.
    unsafe {
        let mut list = List::new(python);
        let mut whole = true;
        threads::for_each(python, &mut |thread| {
            let numbers = [thread.ident, threads::dictionary(thread)]
                .map(|number| (python.PyInt_FromLong)(number as c_long));
            whole = numbers.iter().all(|number| !number.is_null());
            if whole {
                list.push(&numbers);
            }
            for number in numbers.into_iter().filter(|number| !number.is_null()) {
                (python.Py_DecRef)(number);
            }
            whole
        });
        list.made_of(whole)
    }
}
