//! The worker: a short-lived thread that takes the GIL for an answer.
//!
//! There is at most one. It may wait for the GIL for ever: the thread that asked does not wait
//! for it beyond the deadline, and a worker that gets the GIL too late finds its request
//! withdrawn, or another one to serve, and leaves.

use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::answer::Heap;
use crate::interface::WORKER_THREAD;
use crate::python::{self, Python};
use crate::snippet::{self, Failure};
use crate::{boot, park, request};

/// Stack sizes tried, in bytes. The snippet runs Python code, and so may a module's loader that
/// gives the source of a line.
const STACK_SIZES: [usize; 3] = [2 << 20, 1 << 20, 512 << 10];

/// Whether there is a worker.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// The worker (`pthread_t`), while it is there.
static WORKER: AtomicUsize = AtomicUsize::new(0);

/// Whether the worker has got the GIL for the present request.
static HAS_GIL: AtomicBool = AtomicBool::new(false);

/// The last answer: its text, or null and why there is none.
static TEXT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());
static FAILURE: AtomicU32 = AtomicU32::new(0);
static ERRNO: AtomicI32 = AtomicI32::new(0);

/// The answer before, kept until the next one: somebody may still be copying it.
static FORMER: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

const NO_THREAD: u32 = 1;
const NO_MEMORY: u32 = 2;
const SHUTTING_DOWN: u32 = 3;
const RAISED: u32 = 4;
const NO_MODULES: u32 = 5;

/// Why the worker has no answer.
pub enum Error {
    /// The thread could not be started: an errno.
    NoThread(c_int),
    /// `malloc` failed.
    NoMemory,
    /// The interpreter is being taken apart.
    ShuttingDown,
    /// The snippet raised an exception; its text.
    Raised(&'static str),
    /// What the snippet needs cannot be imported now.
    NoModules,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThread(error) => {
                write!(
                    out,
                    "the agent could not start its worker ({})",
                    park::Why(*error)
                )
            }
            Self::NoMemory => write!(out, "there was no memory for the answer"),
            Self::ShuttingDown => write!(out, "the interpreter is shutting down"),
            Self::Raised(what) => write!(out, "the agent's snippet failed: {what}"),
            Self::NoModules => write!(
                out,
                "linecache is not imported, and cannot be while another thread is importing"
            ),
        }
    }
}

/// Sees to it that a worker is there to serve the request on the desk.
///
/// On the parked thread only: it allocates.
pub fn call() {
    if PRESENT.swap(true, Ordering::SeqCst) {
        // It looks at the desk once more before it leaves.
        return;
    }
    if let Err(error) = park::spawn(work, &STACK_SIZES) {
        PRESENT.store(false, Ordering::SeqCst);
        if let Some(request) = request::wanted() {
            ERRNO.store(error, Ordering::SeqCst);
            publish(request, Err(NO_THREAD));
        }
    }
}

/// Whether a thread identifier is the worker's. Any thread, interrupted or not.
pub fn is_worker(ident: usize) -> bool {
    ident != 0 && WORKER.load(Ordering::SeqCst) == ident
}

/// How far the worker has got with the present request.
pub enum Progress {
    /// There is none, or it has not run yet.
    NotStarted,
    /// It waits for the GIL.
    WaitsForGil,
    /// It has, or had, the GIL: the snippet lets go of it while it reads files.
    HasGil,
}

/// How far the worker has got. Any thread, interrupted or not.
pub fn progress() -> Progress {
    if HAS_GIL.load(Ordering::SeqCst) {
        Progress::HasGil
    } else if WORKER.load(Ordering::SeqCst) != 0 {
        Progress::WaitsForGil
    } else {
        Progress::NotStarted
    }
}

/// The answer to a request that was delivered. On the thread that asked.
pub fn answer() -> Result<*const c_char, Error> {
    let text = TEXT.load(Ordering::SeqCst);
    if !text.is_null() {
        return Ok(text);
    }
    Err(match FAILURE.load(Ordering::SeqCst) {
        NO_THREAD => Error::NoThread(ERRNO.load(Ordering::SeqCst)),
        SHUTTING_DOWN => Error::ShuttingDown,
        RAISED => Error::Raised(snippet::last_exception()),
        NO_MODULES => Error::NoModules,
        _ => Error::NoMemory,
    })
}

/// In a forked child: the worker was the parent's.
pub fn forget() {
    PRESENT.store(false, Ordering::SeqCst);
    WORKER.store(0, Ordering::SeqCst);
    HAS_GIL.store(false, Ordering::SeqCst);
}

/// The worker's life.
extern "C" fn work(_: *mut c_void) -> *mut c_void {
    park::name_this_thread(WORKER_THREAD);
    WORKER.store(Python::this_thread_ident() as usize, Ordering::SeqCst);
    loop {
        if let Some(python) = python::found() {
            let _ = std::panic::catch_unwind(|| {
                // SAFETY: a thread of ours that has no thread state and holds nothing.
                while unsafe { serve(python) } {}
            });
        }
        WORKER.store(0, Ordering::SeqCst);
        PRESENT.store(false, Ordering::SeqCst);
        // A request that came while we were leaving found us present, and nobody else comes.
        if request::wanted().is_none() || PRESENT.swap(true, Ordering::SeqCst) {
            return ptr::null_mut();
        }
        WORKER.store(Python::this_thread_ident() as usize, Ordering::SeqCst);
    }
}

/// Takes the GIL and serves the request that is on the desk by then; false if there is none.
///
/// The bare lock is taken first, without a thread state. While it waits, which may be until the
/// process ends, the interpreter's lists hold nothing of ours that `Py_Finalize` could free under
/// us; and the thread state is allocated with the GIL held, as debug builds need it.
///
/// # Safety
/// On the worker, holding nothing.
unsafe fn serve(python: &'static Python) -> bool {
    if request::wanted().is_none() {
        return false;
    }
    // SAFETY: the boot has made the lock. Every call below is made holding the GIL, which is
    // released exactly once. If the process forks meanwhile, the child has no such thread, and
    // CPython gives it a new GIL; if it exits, this thread ends wherever it is.
    unsafe {
        (python.PyEval_AcquireLock)();
        // Looked at only now: it may have waited long. Once `Py_Finalize` has begun, the lists
        // of thread states must be left alone.
        let request = request::wanted();
        let interpreter = python.main_interpreter();
        let (Some(request), true, false) = (request, python.initialized(), interpreter.is_null())
        else {
            (python.PyEval_ReleaseLock)();
            if let Some(request) = request {
                publish(request, Err(SHUTTING_DOWN));
            }
            return false;
        };
        HAS_GIL.store(true, Ordering::SeqCst);
        // What the snippet keeps must not outlive the interpreter.
        if !boot::hook_exit(python) {
            snippet::forget();
        }
        let thread = (python.PyThreadState_New)(interpreter);
        if thread.is_null() {
            (python.PyEval_ReleaseLock)();
            HAS_GIL.store(false, Ordering::SeqCst);
            publish(request, Err(NO_MEMORY));
            return true;
        }
        // Programs that use PyEval_ReleaseLock themselves leave a thread state in place.
        let former = (python.PyThreadState_Swap)(thread);
        let result = snippet::run(python);
        if python.initialized() {
            (python.PyThreadState_Clear)(thread);
            (python.PyThreadState_Swap)(ptr::null_mut());
            (python.PyThreadState_Delete)(thread);
            if !former.is_null() {
                (python.PyThreadState_Swap)(former);
            }
        } else {
            // `Py_Finalize` began while the snippet let go of the GIL, and may hold the lock of
            // the list of thread states while it waits for the GIL: it frees this one itself.
            (python.PyThreadState_Swap)(former);
        }
        (python.PyEval_ReleaseLock)();
        HAS_GIL.store(false, Ordering::SeqCst);
        publish(
            request,
            result.map_err(|failure| match failure {
                Failure::NoMemory => NO_MEMORY,
                Failure::NoModules => NO_MODULES,
                Failure::Raised => RAISED,
            }),
        );
    }
    true
}

/// Lays down an answer and tells who asked; throws it away if they have given up.
///
/// On the worker, or where there is none.
fn publish(request: u32, result: Result<*const c_char, u32>) {
    let text = result.unwrap_or(ptr::null());
    FAILURE.store(result.err().unwrap_or(0), Ordering::SeqCst);
    let before = TEXT.swap(text.cast_mut(), Ordering::SeqCst);
    if request::deliver(request) {
        let former = FORMER.swap(before, Ordering::SeqCst);
        // SAFETY: two answers old, so given up; it came from `Heap`, or is null.
        unsafe { Heap::free(former) };
    } else {
        TEXT.store(before, Ordering::SeqCst);
        // SAFETY: nobody was told of it.
        unsafe { Heap::free(text) };
    }
}
