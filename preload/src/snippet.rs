//! The snippet: `py-shim/sleeper_agent.py`, carried in the library, run under the GIL.

use std::ffi::{c_char, c_long};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::answer::Heap;
use crate::failure::{Failure, raised};
use crate::python::{Py_file_input, PyObject, Python};
use crate::sources::{Lines, Place, SearchPath};
use crate::{imports, layout, stacks, threads, undisturbed};

/// The text of the shim, NUL-terminated.
const TEXT: &str = concat!(include_str!("../../py-shim/sleeper_agent.py"), "\0");

/// The snippet's functions; null until first needed in an interpreter's life. Read and written only
/// by who holds the GIL.
static COLLECT: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static READ: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
static COMPOSE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// What was taken down last, until it is made use of. Where the GIL comes back without the memory
/// that it takes to do so, the next question gives it back.
static UNUSED: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for object in [&COLLECT, &READ, &COMPOSE, &UNUSED] {
        object.store(ptr::null_mut(), Ordering::Relaxed);
    }
    undisturbed::forget();
}

/// What was taken down of all threads.
pub struct Collected {
    /// What the snippet made; the reference is ours.
    object: *mut PyObject,
    /// The places whose lines of source are wanted, file by file; fewer, where there is no
    /// memory. The names of files stay where they are in the interpreter's objects: they never
    /// change, and live as long as the object above, also while the GIL is not held.
    pub places: Vec<Place<'static>>,
    /// Where their files are looked for.
    pub path: SearchPath,
}

/// Takes down where every thread is.
///
/// # Safety
/// On the worker, holding the GIL with a thread state of its own, no exception set.
pub unsafe fn collect(python: &Python) -> Result<Collected, Failure> {
    // SAFETY: the caller's. Every object made here is given back here; no exception stays set.
    unsafe {
        let unused = UNUSED.swap(ptr::null_mut(), Ordering::Relaxed);
        if !unused.is_null() {
            (python.Py_DecRef)(unused);
        }
        prepare(python)?;
        let none = ptr::null_mut();
        let mut frames = none;
        if threads::has_dead() {
            frames = undisturbed::alone(python, || live_frames(python));
            if frames.is_null() {
                return Err(raised(python));
            }
        }
        let object = undisturbed::alone(python, || call(python, &COLLECT, [frames, none]));
        if object.is_null() {
            return Err(raised(python));
        }
        UNUSED.store(object, Ordering::Relaxed);
        let places = places(python, object);
        let path = search_path(python, object);
        Ok(Collected {
            object,
            places,
            path,
        })
    }
}

/// See [`Collected::places`].
///
/// # Safety
/// As for [`collect`]; `collected` outlives what is returned.
unsafe fn places(python: &Python, collected: *mut PyObject) -> Vec<Place<'static>> {
    let mut places = Vec::new();
    // SAFETY: the caller's; all that is got here is borrowed from `collected`, a tuple of lists of
    // tuples that nobody else knows of.
    unsafe {
        let list = (python.PyTuple_GetItem)(collected, 1);
        let order = (python.PyTuple_GetItem)(collected, 2);
        let count = (python.PyList_Size)(order);
        if places.try_reserve_exact(count.max(0) as usize).is_ok() {
            for position in 0..count {
                let index = (python.PyInt_AsLong)((python.PyList_GetItem)(order, position));
                let place = (python.PyList_GetItem)(list, index as isize);
                if let Some(file) = bytes(python, (python.PyTuple_GetItem)(place, 0)) {
                    places.push(Place {
                        file,
                        line: (python.PyInt_AsLong)((python.PyTuple_GetItem)(place, 2)),
                        index: index as usize,
                        has_loader: (python.PyObject_IsTrue)((python.PyTuple_GetItem)(place, 3))
                            != 0,
                    });
                }
            }
        }
        (python.PyErr_Clear)();
    }
    places
}

/// A copy of what was taken down of `sys.path`.
///
/// # Safety
/// As for [`collect`]; `collected` is what the snippet made.
unsafe fn search_path(python: &Python, collected: *mut PyObject) -> SearchPath {
    // SAFETY: the caller's; what is got here of `collected` is borrowed from it, and a list of `str`
    // that nobody else knows of. The version is looked at, and nothing of the program's runs.
    unsafe {
        let version = (python.PySys_GetObject)(c"version".as_ptr().cast_mut());
        let is_2_6 = !version.is_null()
            && bytes(python, version).is_some_and(|version| version.starts_with(b"2.6"));
        let mut path = SearchPath::new(is_2_6);
        let folders = (python.PyTuple_GetItem)(collected, 3);
        for position in 0..(python.PyList_Size)(folders) {
            if let Some(folder) = bytes(python, (python.PyList_GetItem)(folders, position)) {
                path.add(folder);
            }
        }
        (python.PyErr_Clear)();
        path
    }
}

/// Finds the lines of source that are missing, and makes the text; it is on the heap.
///
/// # Safety
/// As for [`collect`].
pub unsafe fn compose(
    python: &Python,
    collected: Collected,
    lines: &Lines,
) -> Result<*const c_char, Failure> {
    let wanted = collected.places.len();
    let collected = collected.object;
    UNUSED.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: the caller's. Every object made here is given back here; no exception stays set.
    unsafe {
        let known = undisturbed::alone(python, || dictionary(python, lines));
        if known.is_null() {
            (python.Py_DecRef)(collected);
            return Err(raised(python));
        }
        (python.Py_IncRef)(collected);
        let read = || call(python, &READ, [collected, known]);
        let sources = if wanted > 0 && lines.iter().count() == wanted {
            undisturbed::alone(python, read)
        } else {
            // It asks linecache, which does input and output.
            undisturbed::keeping_exc_info(python, read)
        };
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

/// Gives back what was taken down, where nobody waits for it any more.
///
/// # Safety
/// As for [`collect`].
pub unsafe fn discard(python: &Python, collected: Collected) {
    UNUSED.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: the caller's.
    unsafe { (python.Py_DecRef)(collected.object) };
}

/// The lines that were found, by their places' numbers; null, with an exception set, if there is
/// no memory.
///
/// # Safety
/// As for [`collect`].
unsafe fn dictionary(python: &Python, lines: &Lines) -> *mut PyObject {
    // SAFETY: the caller's; the dictionary takes references of its own.
    unsafe {
        let known = (python.PyDict_New)();
        for (index, line) in lines.iter().take_while(|_| !known.is_null()) {
            let line =
                (python.PyString_FromStringAndSize)(line.as_ptr().cast(), line.len() as isize);
            let failed = line.is_null() || !put(python, known, index as c_long, line);
            if !line.is_null() {
                (python.Py_DecRef)(line);
            }
            if failed {
                (python.Py_DecRef)(known);
                return ptr::null_mut();
            }
        }
        known
    }
}

/// What `sys._current_frames()` would be, but for the threads that a fork has left behind; null,
/// with an exception set, if there is no memory.
///
/// # Safety
/// As for [`collect`].
unsafe fn live_frames(python: &Python) -> *mut PyObject {
    // SAFETY: the caller's; it holds the GIL, so the frames found are alive. The dictionary
    // takes references of its own.
    unsafe {
        let frames = (python.PyDict_New)();
        if frames.is_null() {
            return frames;
        }
        let mut failed = false;
        threads::for_each(python, &mut |thread| {
            let frame = thread.frame as *mut PyObject;
            failed = layout::is_frame(python, thread.frame)
                && !put(python, frames, thread.ident as c_long, frame);
            !failed
        });
        if failed {
            (python.Py_DecRef)(frames);
            return ptr::null_mut();
        }
        frames
    }
}

/// Puts an object into a dictionary under a number; false, with an exception set, if there is no
/// memory.
///
/// # Safety
/// As for [`collect`]; the objects are alive.
unsafe fn put(
    python: &Python,
    dictionary: *mut PyObject,
    number: c_long,
    object: *mut PyObject,
) -> bool {
    // SAFETY: the caller's; the dictionary takes references of its own.
    unsafe {
        let number = (python.PyInt_FromLong)(number);
        if number.is_null() {
            return false;
        }
        let done = (python.PyDict_SetItem)(dictionary, number, object) == 0;
        (python.Py_DecRef)(number);
        done
    }
}

/// Compiles the snippet, once, in a namespace of its own that no module list knows.
///
/// # Safety
/// As for [`collect`].
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
            if !stacks::put_in_place(python, namespace) {
                return Err(raised(python));
            }
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
/// As for [`collect`].
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
/// As for [`collect`].
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
