//! What keeps the program's interpreter as it was while the snippet runs: its other threads, its
//! garbage collector, its `sys.exc_type`.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::agent::failure::Failure;
use crate::cpython::api::{PyObject, Python};
use crate::cpython::glue::{call, is_true};
use crate::inspect::objects::Objects;
use crate::script::imports;

/// The collector's switches; null until first needed in an interpreter's life. Read and written
/// only by who holds the GIL.
static GC_ENABLED: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_DISABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_ENABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// Whether the program's garbage collector is stopped by us.
static GC_STOPPED: AtomicBool = AtomicBool::new(false);

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for function in [&GC_ENABLED, &GC_DISABLE, &GC_ENABLE] {
        function.store(ptr::null_mut(), Ordering::Relaxed);
    }
    GC_STOPPED.store(false, Ordering::Relaxed);
}

/// Runs a part of the snippet that does no input or output, so that nobody else's bytecode and
/// no garbage collection runs meanwhile.
///
/// The counter that makes the interpreter hand over the GIL is set far away, and to "at once"
/// after. (A signal that arrives meanwhile sets it to "at once" too, and that is fine.) A
/// collection that our allocations set off would run the program's finalizers on our thread: a
/// program with one thread, or with a user interface, never expects that. Since the GIL is not
/// let go of (but for such a signal), the program never sees its collector stopped.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn alone(python: &Python, part: impl FnOnce() -> *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's. The counter is a plain int that only the GIL's holder minds.
    unsafe {
        python._Py_Ticker.write_volatile(c_int::MAX);
        let stopped = !GC_ENABLE.load(Ordering::Relaxed).is_null()
            && is_true(python, call(python, &GC_ENABLED, &[]));
        if stopped {
            GC_STOPPED.store(true, Ordering::Relaxed);
            is_true(python, call(python, &GC_DISABLE, &[]));
        }
        let result = part();
        leave(python);
        result
    }
}

/// Lets the collector and others go on. Also after a panic.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn leave(python: &Python) {
    // SAFETY: the caller's.
    unsafe {
        restart_collector(python);
        python._Py_Ticker.write_volatile(0);
    }
}

/// Prepares something [`alone`]: what runs Python code, and then goes on with the interpreter's lists.
/// If others ran in between, the interpreter might come to its end there, and the rest of this take
/// the process with it ("PyImport_GetModuleDict: no module dictionary!", Python/import.c).
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn prepared(
    python: &Python,
    prepare: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut result = Ok(());
    // SAFETY: the caller's.
    unsafe {
        alone(python, || {
            result = prepare();
            ptr::null_mut()
        })
    };
    result
}

/// Starts the collector again, if [`alone`] has stopped it: it is done, or a forked child has
/// been left with it stopped. An exception that is set stays set.
///
/// # Safety
/// Holding the GIL.
pub unsafe fn restart_collector(python: &Python) {
    if GC_STOPPED.swap(false, Ordering::Relaxed) {
        // SAFETY: the caller's.
        unsafe {
            let mut exception = [ptr::null_mut(); 3];
            let [kind, value, traceback] = &mut exception;
            (python.PyErr_Fetch)(kind, value, traceback);
            is_true(python, call(python, &GC_ENABLE, &[]));
            (python.PyErr_Restore)(*kind, *value, *traceback);
        }
    }
}

/// Runs a part of the snippet, and puts `sys.exc_type` and its like back if that has wiped them.
///
/// Every `except` clause of every thread writes them (Python/ceval.c, `set_exc_info` and
/// `reset_exc_info`, 2.6 and 2.7), linecache's for a file that is not there among them; and old
/// programs read them.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn keeping_exc_info(
    python: &Python,
    part: impl FnOnce() -> *mut PyObject,
) -> *mut PyObject {
    const NAMES: [&CStr; 3] = [c"exc_type", c"exc_value", c"exc_traceback"];
    // SAFETY: the caller's. What `PySys_GetObject` gives is borrowed, so a reference is held.
    // Setting to null deletes.
    unsafe {
        let before = NAMES.map(|name| (python.PySys_GetObject)(name.as_ptr().cast_mut()));
        // There may have been no memory for a name.
        (python.PyErr_Clear)();
        for object in before {
            if !object.is_null() {
                (python.Py_IncRef)(object);
            }
        }
        let result = part();
        let kind = (python.PySys_GetObject)(NAMES[0].as_ptr().cast_mut());
        let value = (python.PySys_GetObject)(NAMES[1].as_ptr().cast_mut());
        // As our own reset leaves them; anything else is another thread's doing. (Where the
        // interpreter is being taken apart there may be no `sys` any more.)
        if kind != before[0] && value.is_null() && python.initialized() {
            let mut exception = [ptr::null_mut(); 3];
            let [kind, value, traceback] = &mut exception;
            (python.PyErr_Fetch)(kind, value, traceback);
            for (name, object) in NAMES.iter().zip(before) {
                (python.PySys_SetObject)(name.as_ptr().cast_mut(), object);
            }
            (python.PyErr_Restore)(*kind, *value, *traceback);
        }
        for object in before {
            if !object.is_null() {
                (python.Py_DecRef)(object);
            }
        }
        result
    }
}

/// Whether no garbage collection runs within [`alone`].
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn can_stop_collector(python: &Python) -> bool {
    if !GC_ENABLE.load(Ordering::Relaxed).is_null() {
        return true;
    }
    // SAFETY: the caller's. Where it is off, there is nothing to stop.
    !GC_ENABLED.load(Ordering::Relaxed).is_null()
        && unsafe { !is_true(python, call(python, &GC_ENABLED, &[])) }
}

/// Finds the garbage collector's switches, unless that is done, or another thread is importing, or the
/// program has put functions of its own in place of them: the next question tries again.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn find_collector(python: &Python) {
    if !GC_ENABLE.load(Ordering::Relaxed).is_null() {
        return;
    }
    // SAFETY: the caller's; the functions' references are kept, and keep the module's.
    unsafe {
        if let Ok(collector) = imports::module(python, c"gc", ptr::null_mut()) {
            let places = [&GC_ENABLED, &GC_DISABLE, &GC_ENABLE];
            let mut found =
                [c"isenabled", c"disable", c"enable"].map(|name| switch(python, collector, name));
            // One alone is of no use.
            if found[1..].iter().any(|one| one.is_null()) {
                for one in &mut found[1..] {
                    (python.Py_DecRef)(std::mem::replace(one, ptr::null_mut()));
                }
            }
            for (place, function) in places.into_iter().zip(found) {
                (python.Py_DecRef)(place.swap(function, Ordering::Relaxed));
            }
            (python.Py_DecRef)(collector);
            (python.PyErr_Clear)();
        }
    }
}

/// A function of the module's, a new reference; null if there is none, or if it is none of C's, as all of
/// that module are.
///
/// # Safety
/// As for `snippet::collect`.
unsafe fn switch(python: &Python, module: *mut PyObject, name: &CStr) -> *mut PyObject {
    // SAFETY: the caller's; what an attribute is, is borrowed. Whatever stands in the module's place, it is
    // not asked where it is known how objects are laid out.
    unsafe {
        let Some(objects) = Objects::known(python) else {
            return (python.PyObject_GetAttrString)(module, name.as_ptr());
        };
        let mut function = objects.attribute(module, name.to_bytes());
        if !objects.is(function, python.PyCFunction_Type) {
            function = ptr::null_mut();
        }
        (python.Py_IncRef)(function);
        function
    }
}
