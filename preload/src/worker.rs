//! The worker: the thread that takes the GIL for an answer.
//!
//! It may wait for the GIL for ever: the thread that asked does not wait for it beyond the
//! deadline, and a worker that gets the GIL too late finds its request withdrawn, or another one
//! to serve, and goes back to sleep.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::failure::Failure;
use crate::interface::WORKER_THREAD;
use crate::python::{self, PyThreadState, Python};
use crate::snippet;
use crate::{boot, desk, panics, park, reader, threads, undisturbed, wait};

/// Stack sizes tried, in bytes. The snippet runs Python code, and so may a module's loader that
/// gives the source of a line.
const STACK_SIZES: [usize; 3] = [2 << 20, 1 << 20, 512 << 10];

/// With less memory to be had, in bytes, it is not tried at all. Where its heap cannot grow, glibc
/// takes a megabyte at a time from the kernel (MMAP_AS_MORECORE_SIZE, malloc/malloc.c), and the
/// first answer needs more than one.
const MEMORY_TO_ANSWER: usize = 4 << 20;

/// And so much more for each thread. (With stacks of 30 frames an answer takes 8 kB for each.) It is
/// made sure of beforehand, as running out of it half-way is not safe: a call of a C function whose
/// arguments find no memory is made with none (Python/ceval.c of 2.6, `call_function`).
const MEMORY_PER_THREAD: usize = 32 << 10;

/// And for each object that greenlets are told by. (10,000 of gevent's, of which each has a waiter and a
/// timer beside it, take 2.5 kB each.)
const MEMORY_PER_OBJECT: usize = 4 << 10;

/// How many threads there were when they were last counted.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The worker (`pthread_t`); 0: none in this process.
static WORKER: AtomicUsize = AtomicUsize::new(0);

/// Its thread ID; 0: it has not got as far as telling.
static THREAD_ID: AtomicI32 = AtomicI32::new(0);

/// Counts the times the worker was called; it waits on this word.
static BELL: AtomicU32 = AtomicU32::new(0);

/// How far it has got with the present request: a [`Progress`].
static AT: AtomicU32 = AtomicU32::new(Progress::Resting as u32);

/// Starts the worker, unless it is there; the error is an errno. See `park::start`.
pub fn start() -> Result<(), c_int> {
    if WORKER.load(Ordering::SeqCst) == 0 {
        BELL.store(0, Ordering::SeqCst);
        THREAD_ID.store(0, Ordering::SeqCst);
        panics::forget();
        let thread = park::spawn(work, &STACK_SIZES)?;
        WORKER.store(thread as usize, Ordering::SeqCst);
    }
    Ok(())
}

/// Wakes the worker for the request on the desk. Any thread, interrupted or not.
pub fn call() {
    BELL.fetch_add(1, Ordering::SeqCst);
    wait::wake(&BELL);
}

/// Whether a thread identifier is the worker's. Any thread, interrupted or not.
pub fn is_worker(ident: usize) -> bool {
    ident != 0 && WORKER.load(Ordering::SeqCst) == ident
}

/// Its identifier; 0: none in this process.
pub fn ident() -> usize {
    WORKER.load(Ordering::SeqCst)
}

/// How far the worker has got with the present request.
#[derive(Clone, Copy)]
pub enum Progress {
    /// It has not woken yet.
    Resting,
    /// It waits for the GIL.
    WaitsForGil,
    /// It has the GIL, or had it: a module's loader that is asked for source may let go of it.
    HasGil,
    /// It reads source files, holding nothing.
    ReadsFiles,
}

/// How far the worker has got. Any thread, interrupted or not.
pub fn progress() -> Progress {
    let at = AT.load(Ordering::SeqCst);
    [
        Progress::WaitsForGil,
        Progress::HasGil,
        Progress::ReadsFiles,
    ]
    .into_iter()
    .find(|progress| *progress as u32 == at)
    .unwrap_or(Progress::Resting)
}

/// On the worker, or in a forked child on the only thread.
fn now_at(progress: Progress) {
    AT.store(progress as u32, Ordering::SeqCst);
}

/// Whether the worker is still there: code of the program's that runs on it, such as a module's
/// loader that is asked for source lines, may end any thread it runs on.
///
/// Any thread, interrupted or not.
pub fn is_alive() -> bool {
    let thread = THREAD_ID.load(Ordering::SeqCst);
    // SAFETY: signal 0 is never sent, it only asks whether there is such a thread in this process.
    WORKER.load(Ordering::SeqCst) != 0
        && (thread == 0
            || unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) } == 0)
}

/// Its thread ID; 0 if it is not there (yet).
pub fn thread_id() -> i32 {
    THREAD_ID.load(Ordering::SeqCst)
}

/// Whether this is the worker. Any thread.
pub fn is_this_one() -> bool {
    let worker = THREAD_ID.load(Ordering::SeqCst);
    // SAFETY: has no conditions.
    worker != 0 && worker == unsafe { libc::gettid() }
}

/// In a forked child: the worker was the parent's. Or it has ended.
pub fn forget() {
    WORKER.store(0, Ordering::SeqCst);
    THREAD_ID.store(0, Ordering::SeqCst);
    now_at(Progress::Resting);
}

/// The worker's life.
extern "C-unwind" fn work(_: *mut c_void) -> *mut c_void {
    // SAFETY: has no conditions.
    THREAD_ID.store(unsafe { libc::gettid() }, Ordering::SeqCst);
    park::name_this_thread(WORKER_THREAD);
    let mut heard = 0;
    loop {
        wait::wait_while(&BELL, heard, None);
        // Before the desk is looked at: a request that comes after that look rings once more.
        heard = BELL.load(Ordering::SeqCst);
        if let Some(python) = python::found() {
            // SAFETY: a thread of ours that has no thread state and holds nothing.
            while unsafe { serve(python) } {}
        }
        now_at(Progress::Resting);
    }
}

/// Serves the request that is on the desk, in three steps: under the GIL it takes down where every
/// thread is; holding nothing it reads lines of source; under the GIL again it makes the text.
/// Returns false if there is no request.
///
/// # Safety
/// On the worker, holding nothing.
unsafe fn serve(python: &'static Python) -> bool {
    if desk::request().is_none() {
        return false;
    }
    let asked = Asked(Cell::new(None));
    // Before it is us.
    let holder = threads::ident(python.current_thread_state());
    // SAFETY: passed on. What was collected is used and given back under the GIL only, but for the
    // names of files, which stay where they are.
    let result = unsafe {
        let collected = holding_gil(python, || {
            // Looked at only now: it may have waited long.
            let request = desk::request()?;
            asked.0.set(Some(request));
            let wanted = desk::wanted(request)?;
            // What the snippet keeps must not outlive the interpreter.
            if !boot::hook_exit(python) {
                snippet::forget();
            }
            Some(snippet::collect(python, request, &wanted))
        });
        match collected {
            Ok(None) => return false,
            Ok(Some(Ok(mut collected))) => {
                now_at(Progress::ReadsFiles);
                let found = reader::read(&mut collected);
                holding_gil(python, || {
                    if desk::request() == asked.0.get() {
                        snippet::compose(python, collected, &found, holder.unwrap_or(0))
                    } else {
                        snippet::discard(python, collected);
                        Err(Failure::NoMemory)
                    }
                })
                .and_then(|result| result)
            }
            Ok(Some(Err(failure))) | Err(failure) => Err(failure),
        }
    };
    // In an interpreter that is being taken apart nothing is as the snippet expects it.
    let result = match result {
        Err(Failure::Raised) if !python.initialized() => Err(Failure::ShuttingDown),
        result => result,
    };
    now_at(Progress::Resting);
    if let Some(request) = asked.0.get().or_else(desk::request) {
        desk::publish(request, result.map_err(|failure| failure as u32));
    }
    true
}

/// The request that the worker is at. If a panic ends that thread (`panics.rs`), who asked is told, and
/// the next question finds another worker; if code of the program's does, it is as if nobody was there.
struct Asked(Cell<Option<u32>>);

impl Drop for Asked {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        now_at(Progress::Resting);
        forget();
        if let Some(request) = self.0.get().or_else(desk::request) {
            desk::publish(request, Err(Failure::Panicked as u32));
        }
        park::revive_worker();
    }
}

/// The GIL, while the worker has it with a thread state of its own. If a panic ends that thread, the
/// program goes on.
struct Holding {
    python: &'static Python,
    thread: *mut PyThreadState,
    /// The thread state that stood in its place before.
    former: *mut PyThreadState,
}

impl Holding {
    /// Lets go of it.
    ///
    /// # Safety
    /// On the worker, which has it, with this thread state in place. Once.
    unsafe fn end(&self) {
        let python = self.python;
        // SAFETY: the caller's.
        unsafe {
            if python.initialized() {
                (python.PyThreadState_Clear)(self.thread);
                (python.PyThreadState_Swap)(ptr::null_mut());
                (python.PyThreadState_Delete)(self.thread);
                if !self.former.is_null() {
                    (python.PyThreadState_Swap)(self.former);
                }
            } else {
                // `Py_Finalize` began while a module's loader let go of the GIL, and may hold the lock
                // of the list of thread states while it waits for the GIL: it frees this one itself.
                (python.PyThreadState_Swap)(self.former);
            }
            (python.PyEval_ReleaseLock)();
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // Code of the program's that ends this thread may have let go of the GIL, and answers for it.
        let python = self.python;
        if std::thread::panicking() && python.current_thread_state() == self.thread as usize {
            // SAFETY: the panic is one of ours, which has come while we held the GIL; nothing of ours
            // goes on with it.
            unsafe {
                undisturbed::leave(python);
                self.end();
            }
        }
    }
}

/// Runs `work` with the GIL and a thread state of its own; an error if the interpreter is ending.
///
/// The bare lock is taken first, without a thread state. While it waits, which may be until the
/// process ends, the interpreter's lists hold nothing of ours that `Py_Finalize` could free under
/// us; and the thread state is allocated with the GIL held, as debug builds need it.
///
/// # Safety
/// On the worker, holding nothing.
unsafe fn holding_gil<R>(python: &'static Python, work: impl FnOnce() -> R) -> Result<R, Failure> {
    now_at(Progress::WaitsForGil);
    // SAFETY: the boot has made the lock. Every call below is made holding the GIL, which is
    // released exactly once. If the process forks meanwhile, the child has no such thread, and
    // CPython gives it a new GIL; if it exits, this thread ends wherever it is.
    unsafe {
        (python.PyEval_AcquireLock)();
        // Once `Py_Finalize` has begun, the lists of thread states must be left alone.
        let interpreter = python.main_interpreter();
        if !python.initialized() || interpreter.is_null() {
            (python.PyEval_ReleaseLock)();
            return Err(Failure::ShuttingDown);
        }
        now_at(Progress::HasGil);
        // Out of memory, making a thread state ends the process ("Couldn't create autoTLSkey
        // mapping", Python/pystate.c), and the parser writes to the program's standard error.
        let thread = if has_memory_for(THREADS.load(Ordering::Relaxed)) {
            (python.PyThreadState_New)(interpreter)
        } else {
            ptr::null_mut()
        };
        if thread.is_null() {
            (python.PyEval_ReleaseLock)();
            return Err(Failure::NoMemory);
        }
        // Programs that use PyEval_ReleaseLock themselves leave a thread state in place.
        let former = (python.PyThreadState_Swap)(thread);
        let holding = Holding {
            python,
            thread,
            former,
        };
        let result = work();
        holding.end();
        // The rest is for a panic.
        std::mem::forget(holding);
        Ok(result)
    }
}

/// Whether the kernel gives as much memory as it takes to answer for so many threads. Not asked of
/// `malloc`, which would keep blocks of that size on its heap from then on, the program's too
/// (mallopt(3), M_MMAP_THRESHOLD).
///
/// On the worker.
pub fn has_memory_for(threads: usize) -> bool {
    THREADS.store(threads, Ordering::Relaxed);
    has_memory(MEMORY_TO_ANSWER + threads * MEMORY_PER_THREAD)
}

/// As above, for so many objects that greenlets are told by: themselves, and what they wait for.
pub fn has_memory_for_greenlets(objects: usize) -> bool {
    has_memory(MEMORY_TO_ANSWER + objects * MEMORY_PER_OBJECT)
}

fn has_memory(size: usize) -> bool {
    // SAFETY: a new private mapping, given back untouched.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let start = libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0);
        start != libc::MAP_FAILED && libc::munmap(start, size) == 0
    }
}
