//! The snippet: `py-shim/sleeper_agent.py`, carried in the library, run under the GIL.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::answer::Heap;
use crate::python::{self, Py_file_input, PyObject, Python};
use crate::threads;

/// The text of the shim, NUL-terminated.
const TEXT: &str = concat!(include_str!("../../py-shim/sleeper_agent.py"), "\0");

/// The snippet's functions, and the collector's; null until first needed in an interpreter's
/// life. Read and written only by who holds the GIL.
static COLLECT: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static FORMAT: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_ENABLED: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_DISABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_ENABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// Whether the agent has stopped the program's garbage collector and not yet started it again.
static GC_STOPPED: AtomicBool = AtomicBool::new(false);

/// Why there is no text.
pub enum Failure {
    /// No memory for the copy.
    NoMemory,
    /// The modules it needs cannot be had without waiting.
    NoModules,
    /// It raised: see [`last_exception`].
    Raised,
}

/// The text of the last exception.
struct Exception(UnsafeCell<[u8; 256]>, AtomicUsize);
// SAFETY: written by the worker only, before it publishes the failure; read after that.
unsafe impl Sync for Exception {}
static EXCEPTION: Exception = Exception(UnsafeCell::new([0; 256]), AtomicUsize::new(0));

/// What the snippet last raised, cut to a line. On the thread that was told of it.
pub fn last_exception() -> &'static str {
    // SAFETY: only the next request's worker writes again, and the desk is still claimed.
    let bytes = unsafe { &*EXCEPTION.0.get() };
    let length = EXCEPTION.1.load(Ordering::SeqCst).min(bytes.len());
    std::str::from_utf8(&bytes[..length]).unwrap_or("an exception that is not text")
}

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for object in [&COLLECT, &FORMAT, &GC_ENABLED, &GC_DISABLE, &GC_ENABLE] {
        object.store(ptr::null_mut(), Ordering::Relaxed);
    }
    GC_STOPPED.store(false, Ordering::Relaxed);
}

/// Starts the collector again, if a worker has stopped it: this one is done, is stuck, or was a
/// forked child's parent's.
///
/// # Safety
/// Holding the GIL, no exception set.
pub unsafe fn restore_collector(python: &Python) {
    if GC_STOPPED.swap(false, Ordering::Relaxed) {
        // SAFETY: the caller's.
        unsafe { call(python, &GC_ENABLE) };
    }
}

/// Has the program's main thread start the collector again, if a worker that is stuck has
/// stopped it. Any thread, interrupted or not: `Py_AddPendingCall` is made for that.
pub fn restart_collector_soon(python: &Python) {
    unsafe extern "C-unwind" fn restart(_: *mut c_void) -> c_int {
        if let Some(python) = python::found() {
            // SAFETY: a pending call: holding the GIL, between two bytecodes.
            unsafe { restore_collector(python) };
        }
        0
    }
    if GC_STOPPED.load(Ordering::Relaxed) {
        // SAFETY: `restart` stays mapped. If there is no room for it, the worker itself, or
        // the next question, restores.
        unsafe { (python.Py_AddPendingCall)(restart, ptr::null_mut()) };
    }
}

/// Runs the snippet; the text is on the heap.
///
/// # Safety
/// On the worker, holding the GIL with a thread state of its own, no exception set.
pub unsafe fn run(python: &Python) -> Result<*const c_char, Failure> {
    // SAFETY: the caller's. Every object made here is given back here; no exception stays set.
    unsafe {
        if COLLECT.load(Ordering::Relaxed).is_null() {
            prepare(python)?;
        }
        // A collection that our allocations set off would run the program's finalizers on our
        // thread; a program with one thread, or with a user interface, never expects that.
        stop_collector(python);
        let result = answer(python);
        restore_collector(python);
        result
    }
}

/// # Safety
/// As for [`run`].
unsafe fn answer(python: &Python) -> Result<*const c_char, Failure> {
    // SAFETY: the caller's.
    unsafe {
        let frames = if threads::has_dead() {
            live_frames(python)?
        } else {
            ptr::null_mut()
        };
        // Nobody else's bytecode runs while it is taken down who is where: the counter that
        // makes the interpreter hand over the GIL is set far away, and to "at once" after.
        // (A signal that arrives meanwhile sets it to "at once" too, and that is fine.)
        python._Py_Ticker.write_volatile(c_int::MAX);
        let collected = call_with(python, &COLLECT, frames);
        python._Py_Ticker.write_volatile(0);
        if collected.is_null() {
            return Err(raised(python));
        }
        let text = call_with(python, &FORMAT, collected);
        if text.is_null() {
            return Err(raised(python));
        }
        let copy = bytes(python, text).map(Heap::copy);
        (python.Py_DecRef)(text);
        match copy {
            Some(copy) if copy.is_null() => Err(Failure::NoMemory),
            Some(copy) => Ok(copy),
            None => Err(raised(python)),
        }
    }
}

/// What `sys._current_frames()` would be, but for the threads that a fork has left behind.
///
/// # Safety
/// As for [`run`].
unsafe fn live_frames(python: &Python) -> Result<*mut PyObject, Failure> {
    // SAFETY: the caller's; it holds the GIL, so the frames found are alive. The dictionary
    // takes references of its own.
    unsafe {
        let frames = (python.PyDict_New)();
        if frames.is_null() {
            return Err(raised(python));
        }
        let mut failed = false;
        threads::for_each(python, &mut |thread| {
            if thread.frame != 0 && !failed {
                let ident = (python.PyInt_FromLong)(thread.ident as c_long);
                failed = ident.is_null()
                    || (python.PyDict_SetItem)(frames, ident, thread.frame as *mut PyObject) != 0;
                if !ident.is_null() {
                    (python.Py_DecRef)(ident);
                }
            }
        });
        if failed {
            (python.Py_DecRef)(frames);
            return Err(raised(python));
        }
        Ok(frames)
    }
}

/// Compiles the snippet, in a namespace of its own that no module list knows.
///
/// # Safety
/// As for [`run`].
unsafe fn prepare(python: &Python) -> Result<(), Failure> {
    // SAFETY: the caller's; references are given back, but for the functions that are kept.
    unsafe {
        let namespace = (python.PyDict_New)();
        if namespace.is_null() {
            return Err(raised(python));
        }
        let result = fill(python, namespace).and_then(|()| {
            let code = (python.Py_CompileStringFlags)(
                TEXT.as_ptr().cast(),
                c"sleeper_agent.py".as_ptr(),
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
            Ok(())
        });
        if result.is_ok() {
            for (name, place) in [(c"_format", &FORMAT), (c"_collect", &COLLECT)] {
                let function = (python.PyDict_GetItemString)(namespace, name.as_ptr());
                (python.Py_IncRef)(function);
                place.store(function, Ordering::Relaxed);
            }
        }
        (python.Py_DecRef)(namespace);
        result
    }
}

/// Puts into the namespace what the snippet would import.
///
/// # Safety
/// As for [`run`].
unsafe fn fill(python: &Python, namespace: *mut PyObject) -> Result<(), Failure> {
    // SAFETY: the caller's; references are given back, but for the functions that are kept.
    unsafe {
        let name = (python.PyString_FromString)(c"_sleeper_agent_carried".as_ptr());
        if name.is_null() {
            return Err(raised(python));
        }
        (python.PyDict_SetItemString)(namespace, c"__name__".as_ptr(), name);
        (python.Py_DecRef)(name);
        // The interpreter's own dictionary: with any other, Python 2 runs code restricted.
        let builtins = (python.PyEval_GetBuiltins)();
        (python.PyDict_SetItemString)(namespace, c"__builtins__".as_ptr(), builtins);
        for name in [c"sys", c"linecache"] {
            let module = module(python, name, namespace)?;
            (python.PyDict_SetItemString)(namespace, name.as_ptr(), module);
            (python.Py_DecRef)(module);
        }
        let collector = module(python, c"gc", namespace)?;
        for (name, place) in [
            (c"isenabled", &GC_ENABLED),
            (c"disable", &GC_DISABLE),
            (c"enable", &GC_ENABLE),
        ] {
            let function = (python.PyObject_GetAttrString)(collector, name.as_ptr());
            let former = place.swap(function, Ordering::Relaxed);
            if !former.is_null() {
                (python.Py_DecRef)(former);
            }
        }
        (python.Py_DecRef)(collector);
        (python.PyErr_Clear)();
        Ok(())
    }
}

/// Imports a module (a new reference) without waiting for the import lock, and without leaving
/// anything in `sys.modules` that was not there.
///
/// What had to be imported is kept in `keep`: a module that is let go of takes its functions'
/// globals with it.
///
/// # Safety
/// As for [`run`].
unsafe fn module(
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
        let before = (python.PyDict_Copy)(modules);
        if before.is_null() {
            return Err(raised(python));
        }
        // Fails at once if another thread is importing (Python/import.c, 2.6 and 2.7). If not,
        // this thread has the import lock until it is done, so all that is new is ours.
        let module = (python.PyImport_ImportModuleNoBlock)(name.as_ptr());
        let names = (python.PyDict_Keys)(modules);
        if !names.is_null() {
            for index in 0..(python.PyList_Size)(names) {
                let name = (python.PyList_GetItem)(names, index);
                let module = (python.PyDict_GetItem)(modules, name);
                if (python.PyDict_GetItem)(before, name).is_null() && !module.is_null() {
                    (python.PyDict_SetItem)(keep, name, module);
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

/// Calls one of the snippet's functions with one argument, whose reference it takes over; with
/// null, without arguments.
///
/// # Safety
/// As for [`run`].
unsafe fn call_with(
    python: &Python,
    function: &AtomicPtr<PyObject>,
    argument: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: the caller's.
    unsafe {
        let mut arguments = ptr::null_mut();
        if !argument.is_null() {
            arguments = (python.PyTuple_New)(1);
            if arguments.is_null() {
                (python.Py_DecRef)(argument);
                return ptr::null_mut();
            }
            (python.PyTuple_SetItem)(arguments, 0, argument);
        }
        let result = (python.PyObject_CallObject)(function.load(Ordering::Relaxed), arguments);
        if !arguments.is_null() {
            (python.Py_DecRef)(arguments);
        }
        result
    }
}

/// Calls a function without arguments; whether it returned something true.
///
/// # Safety
/// Holding the GIL.
unsafe fn call(python: &Python, function: &AtomicPtr<PyObject>) -> bool {
    let function = function.load(Ordering::Relaxed);
    if function.is_null() {
        return false;
    }
    // SAFETY: the caller's; an exception is cleared.
    unsafe {
        let result = (python.PyObject_CallObject)(function, ptr::null_mut());
        if result.is_null() {
            (python.PyErr_Clear)();
            return false;
        }
        let truth = (python.PyObject_IsTrue)(result) == 1;
        (python.Py_DecRef)(result);
        truth
    }
}

/// Stops the garbage collector, if it is running.
///
/// # Safety
/// As for [`run`].
unsafe fn stop_collector(python: &Python) {
    // SAFETY: the caller's.
    unsafe {
        if call(python, &GC_ENABLED) {
            GC_STOPPED.store(true, Ordering::Relaxed);
            call(python, &GC_DISABLE);
        }
    }
}

/// The bytes of a `str`, for as long as the object lives; `None`, with an exception set, if it
/// is none.
///
/// # Safety
/// Holding the GIL.
unsafe fn bytes<'a>(python: &Python, text: *mut PyObject) -> Option<&'a [u8]> {
    let mut start: *mut c_char = ptr::null_mut();
    let mut length = 0;
    // SAFETY: the caller's; on success the pointer is to `length` bytes inside the object.
    unsafe {
        ((python.PyString_AsStringAndSize)(text, &mut start, &mut length) == 0)
            .then(|| std::slice::from_raw_parts(start.cast(), length as usize))
    }
}

/// Takes down and clears the exception that is set.
///
/// # Safety
/// As for [`run`].
unsafe fn raised(python: &Python) -> Failure {
    // SAFETY: the caller's; the three references that Fetch gives are given back.
    unsafe {
        let mut parts = [ptr::null_mut(); 3];
        let [kind, value, traceback] = &mut parts;
        (python.PyErr_Fetch)(kind, value, traceback);
        (python.PyErr_NormalizeException)(kind, value, traceback);
        let mut length = 0;
        for part in [*kind, *value] {
            let text = if part.is_null() {
                ptr::null_mut()
            } else {
                (python.PyObject_Str)(part)
            };
            if text.is_null() {
                (python.PyErr_Clear)();
                continue;
            }
            if let Some(bytes) = bytes(python, text) {
                let room = &mut (&mut (*EXCEPTION.0.get()))[length..];
                for (place, &byte) in room.iter_mut().zip(bytes.iter().chain(b" ")) {
                    *place = if (32..127).contains(&byte) {
                        byte
                    } else {
                        b'?'
                    };
                    length += 1;
                }
            }
            (python.Py_DecRef)(text);
        }
        EXCEPTION
            .1
            .store(length.saturating_sub(1), Ordering::SeqCst);
        for part in parts {
            if !part.is_null() {
                (python.Py_DecRef)(part);
            }
        }
        (python.PyErr_Clear)();
        Failure::Raised
    }
}
