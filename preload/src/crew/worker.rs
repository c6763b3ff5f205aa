//! The worker: the thread that takes the GIL for an answer.
//!
//! It may wait for the GIL for ever: the thread that asked does not wait for it beyond the
//! deadline, and a worker that gets the GIL too late finds its request withdrawn, or another one
//! to serve, and goes back to sleep.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering;

use crate::agent::failure::Failure;
use crate::agent::progress::{BELL, Progress, now_at};
use crate::agent::threads::{self, Role};
use crate::agent::{bell, desk, panics};
use crate::collect::{answer, at_exit};
use crate::cpython::api::Python;
use crate::cpython::gil::Gil;
use crate::cpython::{find, thread_states};
use crate::crew::reader;
use crate::crew::with_gil::holding_gil;
use crate::system::futex;
use protocol::names::WORKER_THREAD;
use protocol::question::Question;

/// Stack sizes tried, in bytes. The snippet runs Python code, and so may a module's loader that
/// gives the source of a line.
const STACK_SIZES: [usize; 3] = [2 << 20, 1 << 20, 512 << 10];

/// Starts the worker, unless it is there; the error is an errno. See `crew::start`.
pub fn start() -> Result<(), c_int> {
    if threads::worker_ident() == 0 {
        BELL.store(0, Ordering::SeqCst);
        threads::forget(Role::Worker);
        panics::forget();
        threads::worker_has_started(threads::spawn(work, &STACK_SIZES)?);
    }
    Ok(())
}

/// In a forked child: the worker was the parent's. Or it has ended.
pub fn forget() {
    threads::forget(Role::Worker);
    now_at(Progress::Resting);
}

/// The worker's life.
extern "C-unwind" fn work(_: *mut c_void) -> *mut c_void {
    threads::begin(Role::Worker, WORKER_THREAD);
    let mut heard = 0;
    loop {
        futex::wait_while(&BELL, heard, None);
        // Before the desk is looked at: a request that comes after that look rings once more.
        heard = BELL.load(Ordering::SeqCst);
        if let Some(python) = find::found() {
            // SAFETY: a thread of ours that has no thread state and holds nothing.
            while unsafe { serve(python) } {}
        }
        now_at(Progress::Resting);
    }
}

/// Serves the request that is on the desk, in three steps: under the GIL it takes down where every
/// thread is; holding nothing it has lines of source read; then it makes the answer, under the GIL where the
/// interpreter is needed for that. Returns false if there is no request.
///
/// # Safety
/// On the worker, holding nothing.
unsafe fn serve(python: &'static Python) -> bool {
    if desk::request().is_none() {
        return false;
    }
    let asked = Asked(Cell::new(None));
    // Before it is us.
    let holder = thread_states::ident(python.current_thread_state());
    let is_wanted = || desk::request() == asked.0.get();
    // SAFETY: on the worker, which holds nothing.
    let collected = unsafe {
        holding_gil(python, |gil| {
            // Looked at only now: it may have waited long.
            let request = desk::request()?;
            asked.0.set(Some(request));
            let words = desk::words(request)?;
            // Words that this version does not know are answered with the plain state. Its number is
            // not the one that was asked for, and so nobody takes it for an answer to them.
            let question = Question::parse(words.as_bytes()).unwrap_or_default();
            // What the snippet keeps must not outlive the interpreter.
            if !at_exit::hook_exit(gil) {
                answer::forget();
            }
            Some(answer::collect(gil, &question, &is_wanted))
        })
    };
    let result = match collected {
        Ok(None) => return false,
        Ok(Some(Ok(collected))) => {
            now_at(Progress::ReadsFiles);
            let found = reader::read(&collected);
            let holder = holder.unwrap_or(0);
            match collected.needs_interpreter(&found) {
                // SAFETY: as above.
                true => unsafe {
                    let compose = |gil: &mut Gil| {
                        if !is_wanted() {
                            answer::discard(gil);
                            return Err(Failure::NoMemory);
                        }
                        answer::compose(gil, collected, &found, holder)
                    };
                    holding_gil(python, compose).and_then(|result| result)
                },
                false => answer::compose_natively(collected, &found, holder),
            }
        }
        Ok(Some(Err(failure))) | Err(failure) => Err(failure),
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
        bell::revive_worker();
    }
}
