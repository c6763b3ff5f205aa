//! The reader: the thread that reads source files and `/proc` for the worker.
//!
//! It never runs Python, so it can have a table of descriptors of its own: if the program forks, or closes
//! and opens descriptors, while the reader reads, it meets none of the agent's. (The worker cannot have
//! one: a finalizer of the program that runs there needs the program's descriptors.)

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use crate::agent::panics;
use crate::agent::threads::{self, Role};
use crate::collect::collected::{Collected, Found};
use crate::files::sources::Lines;
use crate::files::tasks;
use crate::system::{descriptor_table, futex};
use protocol::names::READER_THREAD;

/// Stack sizes tried, in bytes. A chunk of a file and a path stand on it.
const STACK_SIZES: [usize; 2] = [256 << 10, 1 << 20];

/// What the reader does, as one of the states below. Both the worker and the reader wait on this futex.
static STATE: AtomicU32 = AtomicU32::new(NOT_THERE);
const NOT_THERE: u32 = 0;
const RESTING: u32 = 1;
const CALLED: u32 = 2;
const DONE: u32 = 3;

/// What to read. It stands on the stack of the worker, which waits until it is read.
static JOB: AtomicPtr<Job> = AtomicPtr::new(ptr::null_mut());
struct Job {
    collected: *const Collected,
    found: Found,
}

/// Starts the reader, unless it is there; the error is an errno. See `crew::start`.
pub fn start() -> Result<(), c_int> {
    if STATE.load(Ordering::SeqCst) != NOT_THERE {
        return Ok(());
    }
    STATE.store(RESTING, Ordering::SeqCst);
    let started = threads::spawn(serve, &STACK_SIZES).map(drop);
    if started.is_err() {
        STATE.store(NOT_THERE, Ordering::SeqCst);
    }
    started
}

/// In a forked child: the reader was the parent's.
pub fn forget() {
    STATE.store(NOT_THERE, Ordering::SeqCst);
    threads::forget(Role::Reader);
}

/// Has the reader read the source lines and thread details for what was collected; without a reader, the
/// worker reads itself. On the worker, holding nothing. It may take for ever.
pub fn read(collected: &Collected) -> Found {
    let mut job = Job {
        collected,
        found: Found::default(),
    };
    JOB.store(&mut job, Ordering::SeqCst);
    let free = STATE.compare_exchange(RESTING, CALLED, Ordering::SeqCst, Ordering::SeqCst);
    if free.is_err() {
        // SAFETY: the job is this thread's local, and no reader will take it: `STATE` is not `CALLED`.
        return unsafe { read_all(job.collected, false) };
    }
    futex::wake(&STATE);
    while STATE.load(Ordering::SeqCst) == CALLED {
        futex::wait_while(&STATE, CALLED, None);
    }
    STATE.store(RESTING, Ordering::SeqCst);
    job.found
}

/// The reader's life.
extern "C-unwind" fn serve(_: *mut c_void) -> *mut c_void {
    threads::begin(Role::Reader, READER_THREAD);
    // Whether this thread has a table of descriptors of its own; `None` before it has tried.
    let mut own = None;
    loop {
        let at = STATE.load(Ordering::SeqCst);
        if at != CALLED {
            futex::wait_while(&STATE, at, None);
            continue;
        }
        // It tries at the first job only: in a forked child that closes a large table it takes long.
        let have_own = || panics::caught(descriptor_table::have_own).unwrap_or(false);
        let own = *own.get_or_insert_with(have_own);
        let job = JOB.load(Ordering::SeqCst);
        // SAFETY: the worker, on whose stack the job stands, waits and touches neither the job nor what
        // it points to until `STATE` is `DONE`. A forked child has neither thread, and forgets the job.
        unsafe { (*job).found = read_all((*job).collected, own) };
        STATE.store(DONE, Ordering::SeqCst);
        futex::wake(&STATE);
    }
}

/// Reads all of it. `own`: whether this thread has a table of descriptors of its own.
///
/// # Safety
/// `collected` is alive, and no other thread changes it.
unsafe fn read_all(collected: *const Collected, own: bool) -> Found {
    let read = || {
        panics::may_come("reading");
        // SAFETY: the caller promises that it is alive and unchanged meanwhile.
        let collected = unsafe { &*collected };
        Found {
            lines: Lines::read(&mut collected.places.wanted(), &collected.path),
            tasks: match collected.idents.is_empty() {
                true => Vec::new(),
                false => tasks::describe(&collected.idents, own),
            },
        }
    };
    panics::caught(read).unwrap_or_default()
}
