//! Finds the interpreter in this process, when the library is loaded or when the agent is first asked.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::cpython::api::Python;
use crate::system::{c_library, loaded_objects};

/// Why the interpreter in this process cannot be served.
pub static UNUSABLE: std::sync::OnceLock<&'static str> = std::sync::OnceLock::new();

/// Looks for an interpreter that was loaded after the constructor had run.
///
/// On the asking thread, interrupted or not: see `system/loaded_objects.rs`.
pub fn find_late() -> Interpreter {
    if let Some(what) = UNUSABLE.get() {
        return Interpreter::Unusable(what);
    }
    match loaded_objects::object_defining(c"Py_GetVersion") {
        Some(object) => find(&|name| object.address_of(name), &loaded_objects::address_of),
        None => Interpreter::Absent,
    }
}

/// The API of the interpreter in this process, once it has been found. It is never freed: other threads
/// may be using it at any time, and a process finds one interpreter in its life.
static FOUND: AtomicPtr<Python> = AtomicPtr::new(ptr::null_mut());

/// Whether there is an interpreter that the agent can work with.
pub enum Interpreter {
    /// CPython 2.6 or 2.7, with everything that the agent needs of it.
    Usable(&'static Python),
    /// There is none in this process.
    Absent,
    /// There is one that the agent cannot work with: what it is, or what it lacks.
    Unusable(&'static str),
}

/// Knows the address of a symbol.
pub type Find<'a> = &'a dyn Fn(&'static CStr) -> Option<usize>;

/// Whether an interpreter was found whose C library has no threads.
static LACKS_THREADS: AtomicBool = AtomicBool::new(false);

/// Whether [`find`] has found an interpreter that is usable but for its C library.
pub fn lacks_threads() -> bool {
    LACKS_THREADS.load(Ordering::Relaxed)
}

/// The interpreter that [`find`] has found, if it has.
pub fn found() -> Option<&'static Python> {
    // SAFETY: the pointer is null, or points to a `Python` that stays where it is and never changes.
    unsafe { FOUND.load(Ordering::Acquire).as_ref() }
}

/// Looks the interpreter up by `find`, which knows the addresses of symbols, and the C library by `find_in_all`,
/// which knows those of all objects. Keeps the interpreter if it is usable.
///
/// Allocates nothing, and takes no lock beyond what these two take. Runs when the library is loaded, before
/// `Py_Initialize`, or later on any thread: it calls nothing but `Py_GetVersion`, which only formats a
/// constant (Python/getversion.c, 2.6 and 2.7).
pub fn find(find: Find, find_in_all: Find) -> Interpreter {
    use std::cell::UnsafeCell;
    use std::mem::MaybeUninit;

    struct Place(UnsafeCell<MaybeUninit<Python>>, AtomicBool);
    // SAFETY: the one thread that flips the flag writes it, once, before FOUND points to it.
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
    if let Err(what) = c_library::learn(find_in_all) {
        LACKS_THREADS.store(true, Ordering::Relaxed);
        return Interpreter::Unusable(what);
    }
    if !PLACE.1.swap(true, Ordering::AcqRel) {
        // SAFETY: this thread has just flipped the flag, so nobody else writes, and nobody reads before
        // the pointer is published.
        unsafe {
            (*PLACE.0.get()).write(python);
            FOUND.store((*PLACE.0.get()).as_mut_ptr(), Ordering::Release);
        }
    }
    match found() {
        Some(python) => Interpreter::Usable(python),
        // Another thread is looking it up at this very moment.
        None => Interpreter::Absent,
    }
}
