//! What the commands make their other formats of: names of threads, their numbers, what the kernel
//! says of them. Made by `facts.py` under the GIL, and by the reader without it.

use std::ffi::CStr;
use std::io::Write;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::failure::Failure;
use crate::memory::read;
use crate::message::FACTS;
use crate::python::{self, PyObject, Python};
use crate::system_calls::{self, Call};
use crate::{carried, gil, kernel_file, undisturbed, variables, worker};

/// The text of the Python half, NUL-terminated: one text, as if it stood in one file.
const TEXT: &str = concat!(
    include_str!("facts.py"),
    "\n\n",
    include_str!("waits.py"),
    "\n\n",
    include_str!("calls.py"),
    "\0"
);

/// Its functions; null until first needed in an interpreter's life. Read and written only by who
/// holds the GIL.
pub static MORE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
/// As above.
pub static TELL: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for object in [&MORE, &TELL] {
        object.store(ptr::null_mut(), Ordering::Relaxed);
    }
    variables::forget();
}

/// Compiles the Python half, once.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn prepare(python: &Python) -> Result<(), Failure> {
    if !MORE.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    // SAFETY: the caller's; references are given back, but for the functions that are kept.
    unsafe {
        let functions = [(c"_tell", &TELL), (c"_more", &MORE)];
        let add = |namespace| variables::put_in(python, namespace);
        undisturbed::prepared(python, || {
            carried::compile(python, (TEXT, c"facts.py"), &[c"sys"], add, &functions)
        })
    }
}

/// The answer that is made of what `_tell` has returned, whose reference it takes over: an empty one,
/// if there is no thread. Null, with an exception set, if there is no memory.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn written(python: &Python, told: *mut PyObject) -> *mut PyObject {
    if told.is_null() {
        return told;
    }
    // SAFETY: the caller's. By itself and not by the module, which may have to be imported, and then
    // another thread may hold the lock for that. It knows the kinds that are in it, and runs no code
    // of theirs (Python/marshal.c).
    unsafe {
        let mut words = ptr::null_mut();
        if told == python._Py_NoneStruct {
            words = (python.PyString_FromStringAndSize)(ptr::null(), 0);
        } else {
            let start = FACTS.as_ptr().cast();
            let mut start = (python.PyString_FromStringAndSize)(start, FACTS.len() as isize);
            let rest = (python.PyMarshal_WriteObjectToString)(told, 0);
            if !rest.is_null() && !start.is_null() {
                // Sets `start` to null where it fails.
                (python.PyString_Concat)(&mut start, rest);
                std::mem::swap(&mut words, &mut start);
            }
            (python.Py_DecRef)(rest);
            (python.Py_DecRef)(start);
        }
        (python.Py_DecRef)(told);
        words
    }
}

/// Where a thread's number (TID) stands behind its identifier, the address of glibc's `struct
/// pthread` (nptl/descr.h): it differs from version to version. 0: it is not known (yet).
static NUMBER_AT: AtomicUsize = AtomicUsize::new(0);

/// How far it is looked for, in bytes: the structure is larger than that in all versions.
const LONGEST_WAY: usize = 0x600;

/// The number of the thread with this identifier, if it is there.
fn number(ident: usize) -> Option<i32> {
    read::<i32>(ident.checked_add(number_at()?)?).filter(|&number| number > 0)
}

/// Looks where it stands in two of our own threads, whose numbers are known. On the reader.
fn number_at() -> Option<usize> {
    let known = NUMBER_AT.load(Ordering::Relaxed);
    if known != 0 {
        return Some(known);
    }
    // SAFETY: has no conditions.
    let this_one = unsafe { libc::gettid() };
    let ours = [
        (Python::this_thread_ident() as usize, this_one),
        (worker::ident(), worker::thread_id()),
    ];
    let stands = |at: usize| {
        let mut ours = ours.iter();
        ours.all(|&(ident, number)| read::<i32>(ident.wrapping_add(at)) == Some(number))
    };
    let mut places = (1..LONGEST_WAY / 4).map(|word| 4 * word);
    // The worker itself reads where there is no reader: that is one thread, and one is too few.
    let at = places
        .find(|&at| stands(at))
        .filter(|_| ours[0] != ours[1])?;
    NUMBER_AT.store(at, Ordering::Relaxed);
    Some(at)
}

/// What the kernel says of the threads with these identifiers: for each a line of its identifier, its
/// number, and what `/proc/PID/task/TID/syscall` has, which nobody else may be allowed to read; behind
/// that what [`system_calls::describe`] tells of descriptors. Before them, if it is known, a line with
/// the address that a thread waits for the GIL on. As much as there is memory for.
///
/// On the reader, holding nothing: it reads a small file for each thread.
pub fn tasks(idents: &[usize]) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(gil) = python::found().and_then(gil::semaphore)
        && text.try_reserve(32).is_ok()
    {
        let _ = writeln!(text, "gil {gil:#x}");
    }
    for &ident in idents {
        let Some(number) = number(ident) else {
            continue;
        };
        let mut line = [0; 256];
        let line = system_call(number, &mut line).unwrap_or_default();
        let mut room = [0; 4096];
        let mut waited: &[u8] = &[];
        let mut restarted = None;
        if let Some(mut call) = Call::parse(line) {
            restarted = call.restarted();
            if let Some(number) = restarted {
                call = call.under(number);
            }
            waited = system_calls::describe(number, &call, &mut room);
        }
        // It may have gone on meanwhile.
        let mut again = [0; 256];
        if !waited.is_empty() && system_call(number, &mut again) != Some(line) {
            waited = &[];
        }
        if text.try_reserve(512 + waited.len()).is_err() {
            break;
        }
        let _ = write!(text, "{ident} {number} ");
        let line = line.trim_ascii_end();
        match (restarted, line.iter().position(|&byte| byte == b' ')) {
            (Some(number), Some(space)) => {
                let _ = write!(text, "{number}");
                text.extend_from_slice(&line[space..]);
            }
            _ => text.extend_from_slice(line),
        }
        text.extend_from_slice(waited);
        text.push(b'\n');
    }
    text
}

fn system_call(number: i32, room: &mut [u8]) -> Option<&[u8]> {
    let mut path = [0_u8; 64];
    write!(&mut path[..], "/proc/self/task/{number}/syscall\0").ok()?;
    kernel_file::read(CStr::from_bytes_until_nul(&path).ok()?, room)
}
