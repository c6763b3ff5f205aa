//! Takes the GIL for a while, with a thread state of the agent's own.

use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::agent::failure::Failure;
use crate::agent::progress::{Progress, now_at};
use crate::cpython::api::{PyThreadState, Python};
use crate::cpython::gil::Gil;
use crate::crew::gil_wait::{self, GivenUp};
use crate::script::undisturbed;
use crate::system::memory_budget::{THREADS, has_memory_for};

/// The GIL, while the worker has it with a thread state of its own. If a panic ends that thread, the
/// program goes on.
struct Holding {
    python: &'static Python,
    thread: *mut PyThreadState,
    /// The thread state that stood in its place before.
    former: *mut PyThreadState,
}

impl Holding {
    /// Takes the GIL, and makes a thread state; an error if the interpreter is ending.
    ///
    /// The bare lock is taken first, without a thread state. While it waits, which may be until the process
    /// ends, the interpreter's lists hold nothing of ours that `Py_Finalize` could free under us; and the
    /// thread state is allocated with the GIL held, as debug builds need it.
    ///
    /// # Safety
    /// On the worker, holding nothing.
    unsafe fn begin(python: &'static Python, waits: Waits) -> Result<Self, NoGil> {
        // SAFETY: the boot has made the lock. If the process forks meanwhile, the child has no such thread,
        // and CPython gives it a new GIL; if it exits, this thread ends wherever it is. The caller promises the rest.
        unsafe {
            match waits {
                Waits::ForEver => (python.PyEval_AcquireLock)(),
                Waits::WhileItMoves => gil_wait::take(python).map_err(NoGil::GivenUp)?,
            }
        }
        // SAFETY: this thread has the lock. Once `Py_Finalize` has begun, the lists of thread states must
        // be left alone. The memory is made sure of, as making a thread state without ends the process
        // ("Couldn't create autoTLSkey mapping", Python/pystate.c), and the parser writes to the program's
        // standard error. On the way out the lock is released.
        unsafe {
            let interpreter = python.main_interpreter();
            if !python.initialized() || interpreter.is_null() {
                (python.PyEval_ReleaseLock)();
                return Err(NoGil::Failed(Failure::ShuttingDown));
            }
            now_at(Progress::HasGil);
            let thread = match has_memory_for(THREADS.load(Ordering::Relaxed)) {
                true => (python.PyThreadState_New)(interpreter),
                false => ptr::null_mut(),
            };
            if thread.is_null() {
                (python.PyEval_ReleaseLock)();
                return Err(NoGil::Failed(Failure::NoMemory));
            }
            // Programs that use PyEval_ReleaseLock themselves leave a thread state in place.
            let former = (python.PyThreadState_Swap)(thread);
            Ok(Holding {
                python,
                thread,
                former,
            })
        }
    }

    /// Lets go of it.
    ///
    /// # Safety
    /// On the worker, which has it, with this thread state in place. Once.
    unsafe fn end(&self) {
        let python = self.python;
        // SAFETY: this thread holds the GIL, with a thread state that nobody else knows of.
        unsafe {
            if python.initialized() {
                (python.PyThreadState_Clear)(self.thread);
                (python.PyThreadState_Swap)(ptr::null_mut());
                (python.PyThreadState_Delete)(self.thread);
                if !self.former.is_null() {
                    (python.PyThreadState_Swap)(self.former);
                }
            } else {
                // `Py_Finalize` began while a module's loader let go of the GIL, and may hold the lock of
                // the list of thread states while it waits for the GIL: it frees this one itself.
                (python.PyThreadState_Swap)(self.former);
            }
            (python.PyEval_ReleaseLock)();
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // SAFETY: a panic is one of ours, on the worker; nothing of ours goes on with the GIL.
            unsafe { let_go(self.python) };
        }
    }
}

/// The thread state with which the worker has the GIL, and the one that stood in its place; null: it has it not.
static HELD: [AtomicPtr<PyThreadState>; 2] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];

/// Lets go of the GIL after a panic, if the worker has it. Code of the program's that ends the worker may have let
/// go of the GIL, and answers for it.
///
/// # Safety
/// On the worker, which does nothing with the GIL any more.
pub unsafe fn let_go(python: &'static Python) {
    let [thread, former] = HELD
        .each_ref()
        .map(|held| held.swap(ptr::null_mut(), Ordering::SeqCst));
    if !thread.is_null() && python.current_thread_state() == thread as usize {
        // SAFETY: this thread holds the GIL, as its state is still in place; the caller promises the rest.
        unsafe {
            undisturbed::leave(&mut Gil::assume(python));
            let holding = Holding {
                python,
                thread,
                former,
            };
            ManuallyDrop::new(holding).end();
        }
    }
}

/// How long it waits for the GIL.
#[derive(Clone, Copy)]
pub enum Waits {
    /// As long as it takes.
    ForEver,
    /// Until a thread keeps it and does not move.
    WhileItMoves,
}

/// Why there is no GIL to be had.
pub enum NoGil {
    /// The interpreter is ending, or memory is out.
    Failed(Failure),
    /// It was not waited for any longer.
    GivenUp(GivenUp),
}

impl From<Failure> for NoGil {
    fn from(failure: Failure) -> Self {
        NoGil::Failed(failure)
    }
}

/// Runs `work` with the GIL, and a thread state of this thread's own.
///
/// # Safety
/// On the worker, holding nothing.
pub unsafe fn holding_gil<R>(
    python: &'static Python,
    waits: Waits,
    work: impl for<'gil> FnOnce(&mut Gil<'gil>) -> R,
) -> Result<R, NoGil> {
    now_at(Progress::WaitsForGil);
    // In a child that code of the program's forked on the former worker, the mark is still the parent's.
    HELD[0].store(ptr::null_mut(), Ordering::SeqCst);
    // SAFETY: the worker holds nothing. It then holds the GIL until `end`, and `work` cannot keep the token
    // beyond that.
    unsafe {
        let holding = Holding::begin(python, waits)?;
        for (held, state) in HELD.iter().zip([holding.thread, holding.former]) {
            held.store(state, Ordering::SeqCst);
        }
        let result = work(&mut Gil::assume(python));
        HELD[0].store(ptr::null_mut(), Ordering::SeqCst);
        holding.end();
        // The rest is for a panic.
        std::mem::forget(holding);
        Ok(result)
    }
}
