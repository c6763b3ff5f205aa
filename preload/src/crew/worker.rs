//! The worker: the thread that takes the GIL and makes the answer. It is started when it is called, or a moment
//! before, and ends when there is nothing left to do.
//!
//! It may wait for the GIL for ever: the asking thread waits only until the deadline. A worker that gets
//! the GIL too late finds the request withdrawn and goes back to sleep, or finds a newer one and serves it.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::ptr;

use crate::agent::failure::{self, Failure};
use crate::agent::progress::{self, Progress, now_at};
use crate::agent::threads::{self, Begins, Role};
use crate::agent::{desk, panics};
use crate::collect::collected::Collected;
use crate::collect::{answer, at_exit, from_memory};
use crate::cpython::api::Python;
use crate::cpython::gil::Gil;
use crate::cpython::{find, layout_check, thread_states};
use crate::crew::gil_wait::{GivenUp, Keeper};
use crate::crew::with_gil::{self, NoGil, Waits, holding_gil};
use crate::crew::{late, nap, reader};
use crate::script::undisturbed;
use crate::system::futex::Instant;
use crate::system::identity::this_thread_id;
use protocol::names::WORKER_THREAD;
use protocol::question::Question;

/// Stack sizes tried, in bytes. Python code runs on it: the snippet, and a module's loader that gives
/// source lines.
const STACK_SIZES: [usize; 3] = [2 << 20, 1 << 20, 512 << 10];

/// Has a worker serve the request on the desk. If there is one, it sees the request before it ends. Any
/// thread, interrupted or not: only threads of the agent's that share the program's table of descriptors start a
/// worker themselves, as the worker has to share it too.
pub fn call() {
    // One that ends just now has yet to look whether there is a request.
    if threads::has(Role::Worker) && !threads::forget_dead_worker() {
        desk::wake_worker();
        return;
    }
    let this = this_thread_id();
    if [Role::Parked, Role::BellAnswerer]
        .map(threads::id_of)
        .contains(&this)
    {
        start();
    } else {
        progress::call_parked();
    }
}

/// Starts a worker, unless it is there. Where that fails, the request on the desk fails too.
///
/// On the parked thread or the bell's answerer, which hold nothing and may allocate: where a debugger calls a
/// function on the parked thread, it was asleep.
pub fn start() {
    start_for(ptr::null_mut());
}

/// Starts a worker, unless it is there, for a request that is about to come. It waits for that for a short while.
///
/// On the parked thread.
pub fn start_early() {
    start_for(ptr::without_provenance_mut(1));
}

/// How long the worker waits for a request that is about to come, in nanoseconds.
const COMING: u64 = 100_000_000;

fn start_for(early: *mut c_void) {
    if !threads::take_place(Role::Worker) {
        return;
    }
    panics::forget();
    if let Err(error) = threads::spawn_with(work, early, Begins::AtWork, &STACK_SIZES) {
        threads::forget(Role::Worker);
        failure::keep_error(error);
        fail(Failure::NoThread);
    }
}

/// Answers the request on the desk, if there is one, that there is no worker. On a thread that starts workers.
pub fn fail(failure: Failure) {
    if let Some(request) = desk::request() {
        desk::publish(request, Err(failure as u32));
    }
}

/// In a forked child, where the worker was the parent's.
pub fn forget() {
    now_at(Progress::Resting);
}

/// The worker's life. `early` is null if its request is on the desk already.
extern "C-unwind" fn work(early: *mut c_void) -> *mut c_void {
    nap::answer_first();
    threads::begin(Role::Worker, WORKER_THREAD);
    if !early.is_null() {
        desk::await_request(Instant::now().after(COMING));
    }
    if !panics::lived(serve_all) {
        // Nothing was dropped on the way out.
        if let Some(python) = find::found() {
            // SAFETY: on the worker, which has left what it did.
            unsafe { with_gil::let_go(python) };
        }
        now_at(Progress::Resting);
        fail(Failure::Panicked);
        threads::forget(Role::Worker);
        if desk::request().is_some() {
            progress::call_parked();
        }
    }
    ptr::null_mut()
}

/// Serves until no request is left.
fn serve_all() {
    loop {
        let place = Place(Cell::new(None));
        if let Some(python) = find::found() {
            // SAFETY: on the worker, which holds nothing and has no thread state between two requests.
            while unsafe { serve(python, &place) } {}
        }
        std::mem::forget(place);
        threads::forget(Role::Worker);
        // Whoever laid down a request before that has seen a worker, and called none.
        if desk::request().is_none() || !threads::take_place(Role::Worker) {
            return;
        }
        threads::begin(Role::Worker, WORKER_THREAD);
    }
}

/// The worker's place, and the request that it serves. Code of the program's may run on the worker, such as a
/// module's loader that is asked for source, and may end the thread, as a panic does: dropping this frees the
/// place.
struct Place(Cell<Option<u32>>);

impl Drop for Place {
    fn drop(&mut self) {
        threads::forget(Role::Worker);
        // Whoever has laid down another request meanwhile has seen a worker, and called none.
        if desk::request().is_some_and(|request| Some(request) != self.0.get()) {
            progress::call_parked();
        }
    }
}

/// Serves the request on the desk in three steps: under the GIL it takes down where every thread is;
/// holding nothing, it has the reader read source lines; then it makes the answer, under the GIL if that
/// needs the interpreter. Returns false if there is no request.
///
/// # Safety
/// On the worker, holding nothing.
unsafe fn serve(python: &'static Python, place: &Place) -> bool {
    if desk::request().is_none() {
        return false;
    }
    let served = Served(Cell::new(None));
    // Looked up before this thread itself holds the GIL.
    let mut holder = thread_states::ident(python.current_thread_state());
    let is_wanted = || desk::request() == served.0.get();
    let first_step = |may_pause: bool, waits: Waits| {
        let work = |gil: &mut Gil| {
            // Another request may have come while this thread waited for the GIL.
            let request = desk::request();
            let Some(words) = request.and_then(desk::words) else {
                return Ok(FirstStep::NoRequest);
            };
            served.0.set(request);
            place.0.set(request);
            layout_check::learn_late(gil);
            late::look(gil);
            // Words that this version does not know get the plain state. It bears the plain question's
            // number, so the command sees that it is no answer to its question.
            let question = Question::parse(words.as_bytes()).unwrap_or_default();
            // What the snippet keeps in the interpreter must not outlive it, so without the exit hook nothing
            // of it stays.
            if !at_exit::hook_exit(gil) {
                answer::forget();
            }
            if answer::prepare(gil, &question)? && may_pause {
                return Ok(FirstStep::Prepared);
            }
            answer::collect(gil, &question, &is_wanted).map(FirstStep::Collected)
        };
        // SAFETY: the caller promises what `holding_gil` requires: on the worker, holding nothing.
        unsafe { holding_gil(python, waits, work) }.and_then(|result| Ok(result?))
    };
    let mut waits = Waits::WhileItMoves;
    let reached = loop {
        let mut reached = first_step(true, waits);
        if let Ok(FirstStep::Prepared) = reached {
            // The interpreter may end now, so this thread has no thread state meanwhile.
            undisturbed::give_a_moment();
            reached = first_step(false, waits);
        }
        let mut keeper = match reached {
            Err(NoGil::GivenUp(GivenUp::Kept(keeper))) => keeper,
            Err(NoGil::GivenUp(GivenUp::NotWanted)) => break Ok(FirstStep::NoRequest),
            Err(NoGil::Failed(failure)) => break Err(failure),
            Ok(step) => break Ok(step),
        };
        if keeper.may_starve() && !is_kept(&mut keeper) {
            continue;
        }
        match read_memory(python, keeper, &served) {
            Some(Ok(step)) if keeper.stands(python) => {
                holder = Some(keeper.ident);
                place.0.set(served.0.get());
                break Ok(step);
            }
            // It has moved meanwhile, so the GIL may be had, and what was read may be torn.
            Some(Ok(_)) => {}
            // It cannot be read, or there is no memory for that.
            Some(Err(_)) | None => waits = Waits::ForEver,
        }
    };
    let result = match reached {
        Ok(FirstStep::NoRequest | FirstStep::Prepared) => {
            now_at(Progress::Resting);
            return false;
        }
        Ok(FirstStep::Collected(collected)) => {
            now_at(Progress::ReadsFiles);
            let found = reader::read(&collected);
            let holder = holder.unwrap_or(0);
            match collected.needs_interpreter(&found) {
                // SAFETY: still on the worker, which let go of the GIL at the end of the first step.
                true => {
                    let mut collected = Some(collected);
                    let mut compose = |gil: &mut Gil| match collected.take() {
                        Some(collected) if is_wanted() => {
                            answer::compose(gil, collected, &found, holder, &is_wanted)
                        }
                        _ => {
                            answer::discard(gil);
                            Err(Failure::NoMemory)
                        }
                    };
                    // SAFETY: still on the worker, which let go of the GIL at the end of the first step.
                    let composed = unsafe { compose_with_gil(python, &mut compose) };
                    match (composed, collected) {
                        (Some(result), _) => result,
                        // A thread keeps the GIL: without what only the interpreter knows.
                        (None, Some(collected)) => {
                            answer::compose_natively(collected, &found, holder)
                        }
                        (None, None) => Err(Failure::NoMemory),
                    }
                }
                false => answer::compose_natively(collected, &found, holder),
            }
        }
        Err(failure) => Err(failure),
    };
    // While the interpreter is being taken apart, the snippet may raise for that reason alone.
    let result = match result {
        Err(Failure::Raised) if !python.initialized() => Err(Failure::ShuttingDown),
        result => result,
    };
    now_at(Progress::Resting);
    if let Some(request) = served.0.get().or_else(desk::request) {
        desk::publish(request, result.map_err(|failure| failure as u32));
    }
    true
}

/// Makes the answer under the GIL; `None` where a thread keeps that for long.
///
/// # Safety
/// On the worker, holding nothing.
unsafe fn compose_with_gil(
    python: &'static Python,
    compose: &mut dyn FnMut(&mut Gil) -> Result<*const c_char, Failure>,
) -> Option<Result<*const c_char, Failure>> {
    /// How often it is waited for until somebody keeps it.
    const WAITS: usize = 6;
    let mut is_prepared = false;
    for _ in 0..WAITS {
        let work = |gil: &mut Gil| match is_prepared {
            true => compose(gil).map(Some),
            false => match answer::prepare_to_compose(gil)? {
                true => Ok(None),
                false => compose(gil).map(Some),
            },
        };
        // SAFETY: the caller promises what it requires.
        match unsafe { holding_gil(python, Waits::WhileItMoves, work) } {
            Ok(Ok(Some(text))) => return Some(Ok(text)),
            Ok(Ok(None)) => {
                is_prepared = true;
                undisturbed::give_a_moment();
            }
            Ok(Err(failure)) | Err(NoGil::Failed(failure)) => return Some(Err(failure)),
            Err(NoGil::GivenUp(GivenUp::Kept(_))) => {}
            Err(NoGil::GivenUp(GivenUp::NotWanted)) => return Some(Err(Failure::NoMemory)),
        }
    }
    None
}

/// Whether a thread that does not move is kept where it is, and has not merely got no processor for a while: then it goes
/// on, and the GIL is waited for. On the worker, holding nothing.
fn is_kept(keeper: &mut Keeper) -> bool {
    let mut of_one = Collected::default();
    if of_one.idents.try_reserve(1).is_ok() {
        of_one.idents.push(keeper.ident);
    }
    keeper.sleeps(&reader::read(&of_one).tasks).unwrap_or(true)
}

/// Takes down from memory what the request on the desk asks for. `None` where objects cannot be read so.
fn read_memory(
    python: &'static Python,
    keeper: Keeper,
    served: &Served,
) -> Option<Result<FirstStep, Failure>> {
    let request = desk::request();
    let Some(words) = request.and_then(desk::words) else {
        return Some(Ok(FirstStep::NoRequest));
    };
    served.0.set(request);
    let question = Question::parse(words.as_bytes()).unwrap_or_default();
    let collected = from_memory::collect(python, &question, keeper.ident, keeper.to_string())?;
    Some(collected.map(FirstStep::Collected))
}

/// How far the first step under the GIL has got.
#[expect(
    clippy::large_enum_variant,
    reason = "where there is no memory for a box, the process would end"
)]
enum FirstStep {
    /// Nobody waits for an answer any more.
    NoRequest,
    /// Our Python text is compiled. That took milliseconds, so others come first.
    Prepared,
    /// All is taken down.
    Collected(Collected),
}

/// The request that the worker serves. If a panic ends the worker (`agent/panics.rs`), dropping this
/// publishes the failure. If code of the program ends the worker, nothing is
/// published, and the asking thread waits until its deadline.
struct Served(Cell<Option<u32>>);

impl Drop for Served {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        if let Some(request) = self.0.get().or_else(desk::request) {
            desk::publish(request, Err(Failure::Panicked as u32));
        }
    }
}
