//! The snippet: `py-shim/sleeper_agent.py`, carried in the library, run under the GIL.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_long};
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::answer::Heap;
use crate::python::{Py_file_input, PyObject, Python};
use crate::{imports, layout, threads, undisturbed};

/// The text of the shim, NUL-terminated.
const TEXT: &str = concat!(include_str!("../../py-shim/sleeper_agent.py"), "\0");

/// The snippet's functions; null until first needed in an interpreter's life. Read and written only
/// by who holds the GIL.
static COLLECT: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static READ: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static COMPOSE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
/// Why there is no text.
#[derive(Clone, Copy)]
pub enum Failure {
    /// No memory for the copy.
    NoMemory,
    /// The modules it needs cannot be had without waiting.
    NoModules,
    /// It raised: see [`last_exception`].
    Raised,
    /// The interpreter is being taken apart.
    ShuttingDown,
}

impl Failure {
    /// From the number that `as` gives.
    pub fn from_code(code: u32) -> Self {
        [Self::NoModules, Self::Raised, Self::ShuttingDown]
            .into_iter()
            .find(|failure| *failure as u32 == code)
            .unwrap_or(Self::NoMemory)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => write!(out, "there was no memory for the answer"),
            Self::NoModules => write!(
                out,
                "linecache is not imported, and cannot be while another thread is importing"
            ),
            Self::Raised => write!(out, "the agent's snippet failed: {}", last_exception()),
            Self::ShuttingDown => write!(out, "the interpreter is shutting down"),
        }
    }
}

/// The text of the last exception.
struct Exception(UnsafeCell<[u8; 256]>, AtomicUsize);
// SAFETY: written by the worker only, before it publishes the failure; read after that.
unsafe impl Sync for Exception {}
static EXCEPTION: Exception = Exception(UnsafeCell::new([0; 256]), AtomicUsize::new(0));

/// What the snippet last raised, cut to a line. On the thread that was told of it.
fn last_exception() -> &'static str {
    // SAFETY: only the next request's worker writes again, and the desk is still claimed.
    let bytes = unsafe { &*EXCEPTION.0.get() };
    let length = EXCEPTION.1.load(Ordering::SeqCst).min(bytes.len());
    std::str::from_utf8(&bytes[..length]).unwrap_or("an exception that is not text")
}

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for function in [&COLLECT, &READ, &COMPOSE] {
        function.store(ptr::null_mut(), Ordering::Relaxed);
    }
    undisturbed::forget();
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
        let collected =
            undisturbed::alone(python, || call(python, &COLLECT, [frames, ptr::null_mut()]));
        if collected.is_null() {
            return Err(raised(python));
        }
        (python.Py_IncRef)(collected);
        let sources = undisturbed::keeping_exc_info(python, || {
            call(python, &READ, [collected, ptr::null_mut()])
        });
        if sources.is_null() {
            (python.Py_DecRef)(collected);
            return Err(raised(python));
        }
        let text = undisturbed::alone(python, || call(python, &COMPOSE, [collected, sources]));
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
            if !failed && layout::is_frame(python, thread.frame) {
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
        undisturbed::find_collector(python);
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
            let module = imports::module(python, name, namespace)?;
            (python.PyDict_SetItemString)(namespace, name.as_ptr(), module);
            (python.Py_DecRef)(module);
        }
        Ok(())
    }
}

/// Calls a function with the arguments that are not null, whose references it takes over. Null
/// if the function is not there, or raises.
///
/// # Safety
/// As for [`run`].
pub unsafe fn call(
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

/// Takes down and clears the exception that is set.
///
/// # Safety
/// As for [`run`].
pub unsafe fn raised(python: &Python) -> Failure {
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
