//! The interpreter's list of threads, read without a lock, and without the dead.
//!
//! CPython 2 keeps the thread states of the parent's threads in a forked child, for ever
//! (Python/ceval.c, `PyEval_ReInitThreads`, 2.6 and 2.7, makes new locks and no more). They
//! stand for threads that are not there; and since a new thread often gets a dead one's
//! identifier, `sys._current_frames()` may show a dead thread's frames in place of a live one's.
//!
//! Layouts: Include/pystate.h of CPython 2.6 and 2.7, the same in both and in debug builds.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::memory::read;
use crate::python::Python;

const WORD: usize = size_of::<usize>();

/// Bounds, so that a torn list ends.
const MOST_INTERPRETERS: usize = 1_000;
const MOST_THREADS: usize = 100_000;

/// PyInterpreterState: next, tstate_head.
const INTERPRETER_NEXT: usize = 0;
const INTERPRETER_THREADS: usize = WORD;

/// PyThreadState: next, interp, frame; thread_id comes after three ints, two function pointers
/// and nine object pointers, two ints and one more object pointer.
const THREAD_NEXT: usize = 0;
const THREAD_FRAME: usize = 2 * WORD;
const THREAD_IDENT: usize = 18 * WORD;

/// In a forked child: the first thread state of the list that was the parent's alone. New ones
/// are put in front, and this one is never freed, so all from here on are the parent's, but for
/// the one of the thread that forked. 0: there are none.
static FIRST_DEAD: AtomicUsize = AtomicUsize::new(0);

/// In a forked child: the identifier of the thread that forked.
static SURVIVOR: AtomicUsize = AtomicUsize::new(0);

/// A thread state, as it was when it was read.
#[derive(Clone, Copy)]
pub struct Thread {
    /// Its identifier (`pthread_t`).
    pub ident: usize,
    /// Its innermost frame, a `PyFrameObject *`; 0: it runs no Python.
    pub frame: usize,
}

/// The identifier of the thread whose state this is.
pub fn ident(thread: usize) -> Option<usize> {
    read(thread.checked_add(THREAD_IDENT)?)
}

/// Whether this process is a forked child whose list of threads holds the parent's.
pub fn has_dead() -> bool {
    FIRST_DEAD.load(Ordering::Relaxed) != 0
}

/// Calls `each` for every live thread of every interpreter.
///
/// Any thread, interrupted or not: every read is one that fails instead of faulting. The list
/// may be changing meanwhile, unless the caller holds the GIL.
pub fn for_each(python: &Python, each: &mut dyn FnMut(Thread)) {
    let mut dead = false;
    for_each_state(python, &mut |state, thread| {
        dead |= state == FIRST_DEAD.load(Ordering::Relaxed);
        if !dead || thread.ident == SURVIVOR.load(Ordering::Relaxed) {
            each(thread);
        }
    });
}

fn for_each_state(python: &Python, each: &mut dyn FnMut(usize, Thread)) {
    // SAFETY: returns a static variable (Python/pystate.c); takes no lock.
    let mut interpreter = unsafe { (python.PyInterpreterState_Head)() } as usize;
    for _ in 0..MOST_INTERPRETERS {
        let Some(mut state) = read::<usize>(interpreter.wrapping_add(INTERPRETER_THREADS)) else {
            return;
        };
        for _ in 0..MOST_THREADS {
            let (Some(next), Some(frame), Some(ident)) = (
                read::<usize>(state.wrapping_add(THREAD_NEXT)),
                read::<usize>(state.wrapping_add(THREAD_FRAME)),
                ident(state),
            ) else {
                break;
            };
            each(state, Thread { ident, frame });
            state = next;
        }
        match read::<usize>(interpreter.wrapping_add(INTERPRETER_NEXT)) {
            Some(next) if next != 0 => interpreter = next,
            _ => return,
        }
    }
}

/// In a forked child, on its only thread, before any other is started: takes down which thread
/// states are the dead parent's. Only reads memory.
pub fn note_fork(python: &Python) {
    let survivor = Python::this_thread_ident() as usize;
    let mut first = 0;
    for_each_state(python, &mut |state, thread| {
        if first == 0 && thread.ident != survivor {
            first = state;
        }
    });
    SURVIVOR.store(survivor, Ordering::Relaxed);
    FIRST_DEAD.store(first, Ordering::Relaxed);
}

/// After `Py_Finalize`: the list is gone.
pub fn forget() {
    FIRST_DEAD.store(0, Ordering::Relaxed);
}
