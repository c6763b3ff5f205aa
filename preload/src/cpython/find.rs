//! Finds the interpreter in this process, at load time or when the agent is first asked.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::cpython::api::Python;
use crate::system::loaded_objects;

/// Why the interpreter in this process cannot be served.
pub static UNUSABLE: std::sync::OnceLock<&'static str> = std::sync::OnceLock::new();

/// Looks for an interpreter that came after the constructor ran.
///
/// On the asking thread, interrupted or not: see `late.rs`.
pub fn find_late() -> Interpreter {
    if let Some(what) = UNUSABLE.get() {
        return Interpreter::Unusable(what);
    }
    match loaded_objects::object_defining(c"Py_GetVersion") {
        Some(object) => find(&|name| object.address_of(name)),
        None => Interpreter::Absent,
    }
}

/// The API of the interpreter in this process, once found. Never freed: other threads may be
/// using it at any time, and a process finds one interpreter in its life.
static FOUND: AtomicPtr<Python> = AtomicPtr::new(ptr::null_mut());

/// Whether there is an interpreter that the agent can work with.
pub enum Interpreter {
    /// CPython 2.6 or 2.7, and everything the agent needs of it.
    Usable(&'static Python),
    /// None in this process.
    Absent,
    /// One, but not for us: what it is, or what it lacks.
    Unusable(&'static str),
}

/// The interpreter found earlier by [`find`].
pub fn found() -> Option<&'static Python> {
    // SAFETY: the pointer is null or came from a leaked Python that is never changed.
    unsafe { FOUND.load(Ordering::Acquire).as_ref() }
}

/// Looks the interpreter up with `find` (symbol to address), and keeps it if it is usable.
///
/// Allocates nothing, and takes no lock beyond what `find` takes. Runs at load time, before
/// `Py_Initialize`, or later on any thread: nothing is called but `Py_GetVersion`, which only
/// formats a constant (Python/getversion.c, 2.6 and 2.7).
pub fn find(find: &dyn Fn(&'static CStr) -> Option<usize>) -> Interpreter {
    use std::cell::UnsafeCell;
    use std::mem::MaybeUninit;
    use std::sync::atomic::AtomicBool;

    struct Place(UnsafeCell<MaybeUninit<Python>>, AtomicBool);
    // SAFETY: written once, by the one thread that flips the flag, before FOUND points at it.
    unsafe impl Sync for Place {}
    static PLACE: Place = Place(
        UnsafeCell::new(MaybeUninit::uninit()),
        AtomicBool::new(false),
    );

    let Some(version) = find(c"Py_GetVersion") else {
        return Interpreter::Absent;
    };
    // SAFETY: `const char *Py_GetVersion(void)` in every CPython; it returns a static string.
    let version = unsafe {
        let version = std::mem::transmute::<usize, extern "C" fn() -> *const c_char>(version)();
        CStr::from_ptr(version).to_bytes()
    };
    if !(version.starts_with(b"2.7") || version.starts_with(b"2.6")) {
        return Interpreter::Unusable(
            "only CPython 2.6 and 2.7 are supported, and this is another",
        );
    }
    let python = match Python::look_up(find, version.starts_with(b"2.6")) {
        Ok(python) => python,
        Err(symbol) => return Interpreter::Unusable(symbol),
    };
    if !PLACE.1.swap(true, Ordering::AcqRel) {
        // SAFETY: the flag was just flipped by us, so nobody else writes, and nobody reads
        // before the pointer is published.
        unsafe {
            (*PLACE.0.get()).write(python);
            FOUND.store((*PLACE.0.get()).as_mut_ptr(), Ordering::Release);
        }
    }
    match found() {
        Some(python) => Interpreter::Usable(python),
        // Another thread is looking at this very moment.
        None => Interpreter::Absent,
    }
}
