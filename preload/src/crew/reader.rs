//! The reader: the thread that reads source files and `/proc` for the worker.
//!
//! It never runs Python, so it can have a table of descriptors of its own: if the program forks, or closes
//! and opens descriptors, while the reader reads, it meets none of the agent's. (The worker cannot have
//! one: a finalizer of the program that runs there needs the program's descriptors.) Where it cannot have one, a task
//! aside that has one does its work (`system/aside.rs`). Where there is none either, nothing is read, and the answer
//! says so: to close a file in the program's table would drop the program's locks on it.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::agent::panics;
use crate::agent::threads::{self, Begins, Role};
use crate::collect::collected::{Collected, Found};
use crate::crew::nap;
use crate::files::sources::Lines;
use crate::files::{native_stacks, tasks};
use crate::system::{aside, descriptor_table, futex};
use protocol::names::READER_THREAD;

/// Stack sizes tried, in bytes. A chunk of a file and a path stand on it.
const STACK_SIZES: [usize; 2] = [256 << 10, 1 << 20];

/// What the reader does, as one of the states below. The worker waits on this futex.
static STATE: AtomicU32 = AtomicU32::new(NOT_THERE);
const NOT_THERE: u32 = 0;
const READS: u32 = 1;

/// What to read. It stands on the stack of the worker, which waits until it is read.
struct Job {
    collected: *const Collected,
    found: Found,
}

/// In a forked child: the reader was the parent's.
pub fn forget() {
    STATE.store(NOT_THERE, Ordering::SeqCst);
}

/// Has a reader read the source lines and thread details for what was collected; where none can be started,
/// a task aside. On the worker, holding nothing. It may take for ever.
pub fn read(collected: &Collected) -> Found {
    let mut job = Job {
        collected,
        found: Found::default(),
    };
    STATE.store(READS, Ordering::SeqCst);
    // SAFETY: the job is this thread's local, and stays until the reader is done with it.
    let started = threads::spawn_with(serve, (&raw mut job).cast(), Begins::AtWork, &STACK_SIZES);
    if started.is_err() {
        STATE.store(NOT_THERE, Ordering::SeqCst);
        // SAFETY: no other thread has the job.
        return unsafe { read_aside(job.collected) };
    }
    while STATE.load(Ordering::SeqCst) == READS {
        futex::wait_while(&STATE, READS, None);
    }
    job.found
}

/// The reader's life: one job.
extern "C-unwind" fn serve(job: *mut c_void) -> *mut c_void {
    nap::answer_first();
    threads::begin(Role::Reader, READER_THREAD);
    let own = panics::caught(descriptor_table::have_own).unwrap_or(false);
    // SAFETY: the worker, on whose stack the job stands, waits and touches neither the job nor what it points
    // to until `STATE` says that it is read. A forked child has neither thread.
    unsafe {
        let job: *mut Job = job.cast();
        (*job).found = match own {
            true => read_all((*job).collected),
            false => read_aside((*job).collected),
        };
    }
    threads::forget(Role::Reader);
    STATE.store(NOT_THERE, Ordering::SeqCst);
    futex::wake(&STATE);
    ptr::null_mut()
}

/// Has a task aside read all of it, and waits.
///
/// # Safety
/// As for [`read_all`].
unsafe fn read_aside(collected: *const Collected) -> Found {
    // SAFETY: the caller promises what `read_all` requires. This thread waits for the task.
    let found = aside::work(|| unsafe { read_all(collected) });
    found.flatten().unwrap_or_else(|| {
        // SAFETY: the caller promises that it is alive and unchanged.
        let places = unsafe { &(*collected).places };
        Found {
            lines: Lines::unread(&places.wanted()),
            ..Found::default()
        }
    })
}

/// Reads all of it. On a thread or a task with a table of descriptors of its own.
///
/// # Safety
/// `collected` is alive, and no other thread changes it.
unsafe fn read_all(collected: *const Collected) -> Found {
    let read = || {
        panics::may_come("reading");
        // SAFETY: the caller promises that it is alive and unchanged meanwhile.
        let collected = unsafe { &*collected };
        Found {
            lines: Lines::read(&mut collected.places.wanted(), &collected.path),
            tasks: match collected.idents.is_empty() {
                true => Vec::new(),
                false => tasks::describe(&collected.idents),
            },
            native: native_stacks::describe(&collected.idents, &collected.native),
        }
    };
    panics::caught(read).unwrap_or_default()
}
