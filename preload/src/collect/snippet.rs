//! The snippet: `py-shim/sleeper_agent.py`, carried in the library, run under the GIL.

use std::ffi::{c_char, c_long};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::agent::failure::Failure;
use crate::agent::page::Heap;
use crate::collect::collected::{Collected, Found};
use crate::collect::lock_frames::Noted;
use crate::collect::variables::{self, Values};
use crate::collect::{document, stacks, thread_details};
use crate::cpython::api::{PyObject, Python};
use crate::cpython::glue::{bytes, call};
use crate::cpython::{guarded_frame, thread_states};
use crate::files::sources::Lines;
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::script::{compile, undisturbed};
use crate::suspended::greenlets;
use protocol::question::Question;
use protocol::state::VERSION_LINE;

/// The text of the shim, NUL-terminated.
const TEXT: &str = concat!(include_str!("../../../py-shim/sleeper_agent.py"), "\0");

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
    thread_details::forget();
    greenlets::forget();
    stacks::forget();
}

/// Takes down where every thread is, for this request.
///
/// # Safety
/// On the worker, holding the GIL with a thread state of its own, no exception set.
pub unsafe fn collect(
    python: &Python,
    request: u32,
    wanted: &Question,
) -> Result<Collected, Failure> {
    // SAFETY: the caller's. Every object made here is given back here; no exception stays set.
    unsafe {
        let unused = UNUSED.swap(ptr::null_mut(), Ordering::Relaxed);
        if !unused.is_null() {
            (python.Py_DecRef)(unused);
        }
        prepare(python)?;
        let mut arguments: [*mut PyObject; 2] = [python._Py_NoneStruct; 2];
        // Objects that are laid out otherwise are not looked into: there is the text alone.
        let objects = Objects::known(python).filter(|_| wanted.facts);
        let facts = objects.is_some();
        if facts {
            if !undisturbed::can_stop_collector(python) {
                return Err(Failure::NoCollector);
            }
            thread_details::prepare(python)?;
            arguments[1] = thread_details::MORE.load(Ordering::Relaxed);
        }
        let also_greenlets = facts && wanted.greenlets;
        if also_greenlets {
            greenlets::prepare(python)?;
        }
        for argument in arguments {
            (python.Py_IncRef)(argument);
        }
        // Beside them are the frames of greenlets put: none of ours may be among them.
        if thread_states::has_dead() || also_greenlets {
            let frames = undisturbed::alone(python, || live_frames(python));
            if frames.is_null() {
                let failure = raised(python);
                for argument in arguments {
                    (python.Py_DecRef)(argument);
                }
                return Err(failure);
            }
            (python.Py_DecRef)(std::mem::replace(&mut arguments[0], frames));
        }
        // Of greenlets it leaves out what there is no sense in, by way of an `except` clause.
        let collect = || {
            let [frames, more] = arguments;
            if !also_greenlets {
                return call(python, &COLLECT, &[frames, more]);
            }
            let collect = COLLECT.load(Ordering::Relaxed);
            (python.Py_IncRef)(collect);
            call(python, &greenlets::COLLECT, &[collect, more, frames])
        };
        let mut values = Ok(Values::default());
        let object = undisturbed::alone(python, || {
            let object = match also_greenlets {
                true => undisturbed::keeping_exc_info(python, collect),
                false => collect(),
            };
            if facts && (wanted.locals || wanted.globals) && !object.is_null() {
                values = variables::take(python, wanted);
            }
            object
        });
        // Of no use any more, if it was not asked for.
        drop(Noted::take());
        if object.is_null() {
            return Err(raised(python));
        }
        let mut values = match values {
            Ok(values) => values,
            Err(failure) => {
                (python.Py_DecRef)(object);
                return Err(failure);
            }
        };
        UNUSED.store(object, Ordering::Relaxed);
        if wanted.repr {
            undisturbed::keeping_exc_info(python, || {
                values.ask_objects(python, request, wanted.length);
                ptr::null_mut()
            });
        }
        let values = values.finish();
        Ok(Collected::of(
            python,
            object,
            objects,
            (wanted.number(), values),
        ))
    }
}

/// Finds the lines of source that are missing, and makes the answer; it is on the heap. `holder` is
/// the identifier of the thread that held the GIL when it was asked for, or 0.
///
/// # Safety
/// As for [`collect`].
pub unsafe fn compose(
    python: &Python,
    collected: Collected,
    found: &Found,
    holder: usize,
) -> Result<*const c_char, Failure> {
    let wanted = collected.places.len();
    let facts = collected.idents.is_some();
    let (values, question) = (collected.values, collected.question);
    let collected = collected.object;
    let heap = |pieces: &[&[u8]]| {
        let copy = Heap::copy(pieces, question);
        match copy.is_null() {
            true => Err(Failure::NoMemory),
            false => Ok(copy),
        }
    };
    UNUSED.store(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: the caller's. Every object made here is given back here; no exception stays set.
    unsafe {
        let known = undisturbed::alone(python, || dictionary(python, &found.lines));
        if known.is_null() {
            (python.Py_DecRef)(collected);
            return Err(raised(python));
        }
        (python.Py_IncRef)(collected);
        let read = || call(python, &READ, &[collected, known]);
        let sources = if wanted > 0 && found.lines.iter().count() == wanted {
            undisturbed::alone(python, read)
        } else {
            // It asks linecache, which does input and output.
            undisturbed::keeping_exc_info(python, read)
        };
        if sources.is_null() {
            (python.Py_DecRef)(collected);
            return Err(raised(python));
        }
        if let Some(objects) = Objects::known(python).filter(|_| facts) {
            let parts = [collected, sources];
            let document = document::of(objects, parts, &found.tasks, holder);
            parts.into_iter().for_each(|one| (python.Py_DecRef)(one));
            let document = document?;
            return match document.is_empty() {
                true => heap(&[]),
                false => heap(&[VERSION_LINE, &document, &values]),
            };
        }
        let text = undisturbed::alone(python, || call(python, &COMPOSE, &[collected, sources]));
        if text.is_null() {
            return Err(raised(python));
        }
        let copy = match bytes(python, text) {
            Some(text) => heap(&[text]),
            None => Err(raised(python)),
        };
        (python.Py_DecRef)(text);
        copy
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
        thread_states::for_each(python, &mut |thread| {
            let frame = thread.frame as *mut PyObject;
            failed = guarded_frame::is_frame(python, thread.frame)
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

/// Compiles the snippet, once.
///
/// # Safety
/// As for [`collect`].
unsafe fn prepare(python: &Python) -> Result<(), Failure> {
    // SAFETY: the caller's.
    unsafe {
        undisturbed::find_collector(python);
        if !COLLECT.load(Ordering::Relaxed).is_null() {
            return Ok(());
        }
        let functions = [
            (c"_read", &READ),
            (c"_compose", &COMPOSE),
            (c"_collect", &COLLECT),
        ];
        undisturbed::prepared(python, || {
            compile::compile(
                python,
                (TEXT, c"sleeper_agent.py"),
                &[c"sys", c"linecache"],
                |namespace| stacks::put_in_place(python, namespace),
                &functions,
            )
        })
    }
}
