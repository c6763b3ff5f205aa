//! The snippet: `py-shim/sleeper_agent.py`, carried in the library, run under the GIL.

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_long};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::answer::Heap;
use crate::python::{Py_file_input, PyObject, Python};
use crate::{threads, walk};

/// The text of the shim, NUL-terminated.
const TEXT: &str = concat!(include_str!("../../py-shim/sleeper_agent.py"), "\0");

/// The snippet's functions, and the collector's; null until first needed in an interpreter's
/// life. Read and written only by who holds the GIL.
static COLLECT: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static READ: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static COMPOSE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_ENABLED: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_DISABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static GC_ENABLE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// Whether the program's garbage collector is stopped by us.
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

/// What importing linecache may bring along, in a program that has not even `site`.
const OURS: [&[u8]; 16] = [
    b"linecache",
    b"gc",
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
    for object in [
        &COLLECT,
        &READ,
        &COMPOSE,
        &GC_ENABLED,
        &GC_DISABLE,
        &GC_ENABLE,
    ] {
        object.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// Runs the snippet; the text is on the heap.
///
/// # Safety
/// On the worker, holding the GIL with a thread state of its own, no exception set.
pub unsafe fn run(python: &Python) -> Result<*const c_char, Failure> {
    // SAFETY: the caller's. Every object made here is given back here; no exception stays set.
    unsafe {
        prepare(python)?;
        let frames = if threads::has_dead() {
            live_frames(python)?
        } else {
            ptr::null_mut()
        };
        let collected = alone(python, || call(python, &COLLECT, [frames, ptr::null_mut()]));
        if collected.is_null() {
            return Err(raised(python));
        }
        (python.Py_IncRef)(collected);
        let sources =
            keeping_exc_info(python, || call(python, &READ, [collected, ptr::null_mut()]));
        if sources.is_null() {
            (python.Py_DecRef)(collected);
            return Err(raised(python));
        }
        let text = alone(python, || call(python, &COMPOSE, [collected, sources]));
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
/// As for [`run`].
unsafe fn alone(python: &Python, part: impl FnOnce() -> *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's. The counter is a plain int that only the GIL's holder minds.
    unsafe {
        python._Py_Ticker.write_volatile(c_int::MAX);
        let stopped = is_true(python, call(python, &GC_ENABLED, [ptr::null_mut(); 2]));
        if stopped {
            GC_STOPPED.store(true, Ordering::Relaxed);
            is_true(python, call(python, &GC_DISABLE, [ptr::null_mut(); 2]));
        }
        let result = part();
        restart_collector(python);
        python._Py_Ticker.write_volatile(0);
        result
    }
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
            is_true(python, call(python, &GC_ENABLE, [ptr::null_mut(); 2]));
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
/// As for [`run`].
unsafe fn keeping_exc_info(python: &Python, part: impl FnOnce() -> *mut PyObject) -> *mut PyObject {
    const NAMES: [&CStr; 3] = [c"exc_type", c"exc_value", c"exc_traceback"];
    // SAFETY: the caller's. What `PySys_GetObject` gives is borrowed, so a reference is held.
    // Setting to null deletes.
    unsafe {
        let before = NAMES.map(|name| (python.PySys_GetObject)(name.as_ptr().cast_mut()));
        for object in before {
            if !object.is_null() {
                (python.Py_IncRef)(object);
            }
        }
        let result = part();
        let kind = (python.PySys_GetObject)(NAMES[0].as_ptr().cast_mut());
        let value = (python.PySys_GetObject)(NAMES[1].as_ptr().cast_mut());
        // As our own reset leaves them; anything else is another thread's doing.
        if kind != before[0] && value.is_null() {
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
            if !failed && walk::is_frame(python, thread.frame) {
                let ident = (python.PyInt_FromLong)(thread.ident as c_long);
                failed = ident.is_null()
                    || (python.PyDict_SetItem)(frames, ident, thread.frame as *mut PyObject) != 0;
                if !ident.is_null() {
                    (python.Py_DecRef)(ident);
                }
            }
            !failed
        });
        if failed {
            (python.Py_DecRef)(frames);
            return Err(raised(python));
        }
        Ok(frames)
    }
}

/// Compiles the snippet, once, in a namespace of its own that no module list knows.
///
/// # Safety
/// As for [`run`].
unsafe fn prepare(python: &Python) -> Result<(), Failure> {
    // SAFETY: the caller's; references are given back, but for the functions that are kept.
    unsafe {
        find_collector(python);
        if !COLLECT.load(Ordering::Relaxed).is_null() {
            return Ok(());
        }
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
            for (name, place) in [
                (c"_read", &READ),
                (c"_compose", &COMPOSE),
                (c"_collect", &COLLECT),
            ] {
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
        Ok(())
    }
}

/// Finds the garbage collector's switches, unless that is done, or another thread is importing:
/// the next question tries again.
///
/// # Safety
/// As for [`run`].
unsafe fn find_collector(python: &Python) {
    if !GC_ENABLE.load(Ordering::Relaxed).is_null() {
        return;
    }
    // SAFETY: the caller's; the functions' references are kept, and keep the module's.
    unsafe {
        if let Ok(collector) = module(python, c"gc", ptr::null_mut()) {
            for (name, place) in [
                (c"isenabled", &GC_ENABLED),
                (c"disable", &GC_DISABLE),
                (c"enable", &GC_ENABLE),
            ] {
                let function = (python.PyObject_GetAttrString)(collector, name.as_ptr());
                place.store(function, Ordering::Relaxed);
            }
            (python.Py_DecRef)(collector);
            (python.PyErr_Clear)();
        }
    }
}

/// Imports a module (a new reference) without waiting for the import lock, and without leaving
/// anything in `sys.modules` that was not there.
///
/// What had to be imported is kept in `keep`, if that is not null: a module that is let go of
/// takes its functions' globals with it.
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
        // Fails at once if another thread is importing (Python/import.c, 2.6 and 2.7).
        let module = (python.PyImport_ImportModuleNoBlock)(name.as_ptr());
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

/// Calls a function with the arguments that are not null, whose references it takes over. Null
/// if the function is not there, or raises.
///
/// # Safety
/// As for [`run`].
unsafe fn call(
    python: &Python,
    function: &AtomicPtr<PyObject>,
    arguments: [*mut PyObject; 2],
) -> *mut PyObject {
    let function = function.load(Ordering::Relaxed);
    let given = arguments.iter().take_while(|argument| !argument.is_null());
    // SAFETY: the caller's; a tuple's item takes over the reference.
    unsafe {
        let tuple = (python.PyTuple_New)(given.clone().count() as isize);
        if function.is_null() || tuple.is_null() {
            given.for_each(|&argument| (python.Py_DecRef)(argument));
            if !tuple.is_null() {
                (python.Py_DecRef)(tuple);
            }
            return ptr::null_mut();
        }
        for (index, &argument) in given.enumerate() {
            (python.PyTuple_SetItem)(tuple, index as isize, argument);
        }
        let result = (python.PyObject_CallObject)(function, tuple);
        (python.Py_DecRef)(tuple);
        result
    }
}

/// Whether an object, whose reference it takes over, is true. Clears the exception, if it is null.
///
/// # Safety
/// As for [`run`].
unsafe fn is_true(python: &Python, object: *mut PyObject) -> bool {
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
