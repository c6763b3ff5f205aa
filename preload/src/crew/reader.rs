//! The reader: the thread that reads files for the worker, of source and of `/proc`.
//!
//! It never runs Python, so it can have a table of descriptors of its own: a program that forks,
//! or closes and opens descriptors, at that moment meets none of ours. (The worker cannot: a
//! finalizer of the program's that runs there must find the program's descriptors.)

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

/// Stack sizes tried, in bytes. A piece of a file and a path are on it.
const STACK_SIZES: [usize; 2] = [256 << 10, 1 << 20];

/// What it is at: one of these. The worker and it wait on this word.
static AT: AtomicU32 = AtomicU32::new(NOBODY);
const NOBODY: u32 = 0;
const RESTING: u32 = 1;
const ASKED: u32 = 2;
const DONE: u32 = 3;

/// What to read, on the stack of the worker, which waits for it.
static JOB: AtomicPtr<Job> = AtomicPtr::new(ptr::null_mut());
struct Job {
    collected: *const Collected,
    found: Found,
}

/// Starts the reader, unless it is there. See `crew::start`; without it the worker reads by
/// itself.
pub fn start() -> Result<(), c_int> {
    if AT.load(Ordering::SeqCst) != NOBODY {
        return Ok(());
    }
    AT.store(RESTING, Ordering::SeqCst);
    let started = threads::spawn(serve, &STACK_SIZES).map(drop);
    if started.is_err() {
        AT.store(NOBODY, Ordering::SeqCst);
    }
    started
}

/// In a forked child: the reader was the parent's.
pub fn forget() {
    AT.store(NOBODY, Ordering::SeqCst);
    threads::forget(Role::Reader);
}

/// Reads what is missing to what was collected. On the worker, holding nothing; it may take for ever.
pub fn read(collected: &Collected) -> Found {
    let mut job = Job {
        collected,
        found: Found::default(),
    };
    JOB.store(&mut job, Ordering::SeqCst);
    let free = AT.compare_exchange(RESTING, ASKED, Ordering::SeqCst, Ordering::SeqCst);
    if free.is_err() {
        // SAFETY: nobody else knows of the job.
        return unsafe { find(job.collected, false) };
    }
    futex::wake(&AT);
    while AT.load(Ordering::SeqCst) == ASKED {
        futex::wait_while(&AT, ASKED, None);
    }
    AT.store(RESTING, Ordering::SeqCst);
    job.found
}

/// The reader's life.
extern "C-unwind" fn serve(_: *mut c_void) -> *mut c_void {
    threads::begin(Role::Reader, READER_THREAD);
    // Whether it has a table of descriptors of its own, once that has been tried.
    let mut own = None;
    loop {
        let at = AT.load(Ordering::SeqCst);
        if at != ASKED {
            futex::wait_while(&AT, at, None);
            continue;
        }
        // Not before there is something to read: a forked child's table may be large.
        let have_own = || panics::caught(descriptor_table::have_own).unwrap_or(false);
        let own = *own.get_or_insert_with(have_own);
        let job = JOB.load(Ordering::SeqCst);
        // SAFETY: the worker waits for us, and touches it only when told.
        unsafe { (*job).found = find((*job).collected, own) };
        AT.store(DONE, Ordering::SeqCst);
        futex::wake(&AT);
    }
}

/// # Safety
/// What was collected is the caller's alone, and alive.
unsafe fn find(collected: *const Collected, own: bool) -> Found {
    let find = || {
        panics::may_come("reading");
        // SAFETY: the caller's.
        let collected = unsafe { &*collected };
        Found {
            lines: Lines::read(&mut collected.places.wanted(), &collected.path),
            tasks: match collected.idents.is_empty() {
                true => Vec::new(),
                false => tasks::of(&collected.idents, own),
            },
        }
    };
    panics::caught(find).unwrap_or_default()
}
