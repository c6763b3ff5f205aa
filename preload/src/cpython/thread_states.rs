//! The interpreter's thread states, read without a lock, and without those of dead threads.
//!
//! In a forked child CPython 2 keeps the thread states of the parent's threads for ever (Python/ceval.c,
//! `PyEval_ReInitThreads`, 2.6 and 2.7, makes new locks and no more). They stand for threads that do not
//! exist; and since a new thread often gets a dead one's identifier, `sys._current_frames()` may show a
//! dead thread's frames in place of a live one's.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::agent::hold;
use crate::cpython::api::{PyObject, Python};
use crate::cpython::gil::Gil;
use crate::cpython::guarded_frame;
use crate::cpython::object::{Frame, Object};
use crate::system::memory::{Lap, read, read_words};
use protocol::layout::{
    INTERPRETER_NEXT, INTERPRETER_THREADS, THREAD_DEPTH, THREAD_DICTIONARY, THREAD_FRAME,
    THREAD_IDENT, THREAD_NEXT, WORD,
};

/// No more threads are read, so that a list which changes as fast as it is read has an end.
const MOST_THREADS: usize = 100_000;

/// Lets this thread go on as if it had made all but so many of the calls within each other that it is
/// allowed; returns how many it has made.
pub fn leave_calls(gil: &mut Gil, calls: i32) -> i32 {
    // SAFETY: the field is the thread's own, which is this one's (Python/ceval.c,
    // `_Py_CheckRecursiveCall`).
    unsafe {
        let depth = made_calls(gil);
        let before = depth.read();
        depth.write(((gil.Py_GetRecursionLimit)() - calls).max(before));
        before
    }
}

/// Sets back what [`leave_calls`] has returned.
pub fn set_calls(gil: &mut Gil, calls: i32) {
    // SAFETY: the field is the thread's own, which is this one's.
    unsafe { made_calls(gil).write(calls) }
}

fn made_calls(gil: &Gil) -> *mut i32 {
    (gil.current_thread_state() + THREAD_DEPTH) as *mut i32
}

/// How many interpreters' lists of threads are remembered over a fork.
const MOST_REMEMBERED: usize = 16;

/// In a forked child: for each interpreter, the first thread state in its list that was the parent's alone.
/// New ones are put in front, and CPython never frees this one, so all from here on are the parent's, but
/// for that of the thread that forked. 0: unused.
static FIRST_DEAD: [AtomicUsize; MOST_REMEMBERED] =
    [const { AtomicUsize::new(0) }; MOST_REMEMBERED];

/// In a forked child: the thread states of the thread that forked. 0: unused.
static SURVIVORS: [AtomicUsize; MOST_REMEMBERED] = [const { AtomicUsize::new(0) }; MOST_REMEMBERED];

/// What has been read of a thread state.
#[derive(Clone, Copy)]
pub struct Thread {
    /// The thread's identifier (`pthread_t`).
    pub ident: usize,
    /// The address of the innermost frame (`PyFrameObject *`); 0: the thread runs no Python.
    pub frame: usize,
    /// The address of the thread state (`PyThreadState *`).
    address: usize,
}

/// The identifier of the thread whose state this is.
pub fn ident(thread: usize) -> Option<usize> {
    read(thread.checked_add(THREAD_IDENT)?)
}

/// The address of the innermost frame of the thread whose state this is.
pub fn frame(thread: usize) -> Option<usize> {
    read(thread.checked_add(THREAD_FRAME)?)
}

/// The last instruction of the frame at this address, if there is one; -1 for none. Any thread.
pub fn last_instruction(python: &Python, frame: usize) -> Option<i32> {
    match frame {
        0 => Some(-1),
        _ => guarded_frame::Frame::read(python, frame).map(|frame| frame.last_instruction),
    }
}

/// The address of the dictionary in which extension modules keep things of a thread
/// (`PyThreadState_GetDict`); 0: it has none.
pub fn dictionary(thread: Thread) -> usize {
    let place = thread.address.checked_add(THREAD_DICTIONARY);
    place.and_then(read).unwrap_or(0)
}

/// The address of the main interpreter, the last in the list; `None` if there is none. Any thread: it reads memory.
pub fn main_interpreter(python: &Python) -> Option<usize> {
    // SAFETY: the function returns a static variable (Python/pystate.c), and takes no lock.
    let mut interpreter = unsafe { (python.PyInterpreterState_Head)() } as usize;
    let mut interpreters = Lap::default();
    while interpreter != 0 && !interpreters.is_closed_by(interpreter) {
        match read::<usize>(interpreter.wrapping_add(INTERPRETER_NEXT))? {
            0 => return Some(interpreter),
            next => interpreter = next,
        }
    }
    None
}

/// Whether this process is a forked child whose list of threads still has the parent's.
pub fn has_dead() -> bool {
    FIRST_DEAD[0].load(Ordering::Relaxed) != 0
}

/// What a checked read costs, in steps of [`hold`]: a system call.
const STEPS: usize = 100;

/// Whether a thread with this identifier was one of the parent's, which the fork left behind.
pub fn was_left_behind(python: &Python, ident: usize) -> bool {
    let mut found = false;
    if has_dead() {
        for_each_state(python, &mut |state| {
            found |= !state.live && state.thread.ident == ident;
            !found && hold::spend(STEPS)
        });
    }
    found
}

/// Calls `each` for every live thread of every interpreter, until it returns false. Returns false if the
/// lists could not be followed to their ends.
///
/// Any thread, interrupted or not: a read that cannot succeed fails instead of faulting. The lists may be
/// changing meanwhile, unless the caller holds the GIL.
pub fn for_each(python: &Python, each: &mut dyn FnMut(Thread) -> bool) -> bool {
    for_each_state(python, &mut |state| !state.live || each(state.thread))
}

/// The identifier and the innermost frame of every live thread that runs Python, until `each` returns
/// false, or the time for the answer is used up ([`hold`]).
pub fn for_each_frame<'g>(gil: &'g Gil, each: &mut dyn FnMut(usize, Frame<'g>) -> bool) {
    // Of each state, also a dead one.
    for_each_state(gil, &mut |state| {
        let thread = state.thread;
        if !hold::spend(STEPS) || !state.live {
            return !hold::is_over();
        }
        if !guarded_frame::is_frame(gil, thread.frame) {
            return true;
        }
        // SAFETY: a thread keeps the frames that it is in, and none goes on while the GIL is held here.
        let frame = unsafe { Frame::assume(Object::existing(thread.frame as *mut PyObject)) };
        each(thread.ident, frame)
    });
}

/// The innermost frame of every thread state that has one, also of those that a fork has left behind, until
/// `each` returns false, or the time for the answer is used up.
pub fn for_each_frame_of_any<'g>(gil: &'g Gil, each: &mut dyn FnMut(Frame<'g>) -> bool) {
    for_each_state(gil, &mut |state| {
        let frame = state.thread.frame;
        if !hold::spend(STEPS) || !guarded_frame::is_frame(gil, frame) {
            return !hold::is_over();
        }
        // SAFETY: as in `for_each_frame`; what a fork has left behind stays as it was.
        each(unsafe { Frame::assume(Object::existing(frame as *mut PyObject)) })
    });
}

/// Whether the calling thread holds the GIL.
///
/// By the identifier in the current thread state, not by `PyGILState_GetThisThreadState`: that takes a
/// lock of CPython 2's own (`keymutex`, Python/thread.c), which the interrupted thread may be holding.
pub fn this_thread_holds_gil(python: &Python) -> bool {
    let current = python.current_thread_state();
    current != 0 && ident(current) == Some(Python::this_thread_ident() as usize)
}

/// A thread state in an interpreter's list.
struct State {
    interpreter: usize,
    live: bool,
    thread: Thread,
}

fn for_each_state(python: &Python, each: &mut dyn FnMut(State) -> bool) -> bool {
    // SAFETY: the function returns a static variable (Python/pystate.c), and takes no lock.
    let mut interpreter = unsafe { (python.PyInterpreterState_Head)() } as usize;
    let mut interpreters = Lap::default();
    let mut whole = true;
    let mut count = 0;
    while interpreter != 0 {
        let head = read::<usize>(interpreter.wrapping_add(INTERPRETER_THREADS));
        let Some(mut address) = head.filter(|_| !interpreters.is_closed_by(interpreter)) else {
            return false;
        };
        let mut live = true;
        let mut threads = Lap::default();
        while address != 0 {
            count += 1;
            let mut words = [0; THREAD_IDENT / WORD + 1];
            if !read_words(address, &mut words)
                || threads.is_closed_by(address)
                || count > MOST_THREADS
            {
                whole = false;
                break;
            }
            let [next, frame, ident] =
                [THREAD_NEXT, THREAD_FRAME, THREAD_IDENT].map(|at| words[at / WORD]);
            live &= !holds(&FIRST_DEAD, address);
            if !each(State {
                interpreter,
                live: live || holds(&SURVIVORS, address),
                thread: Thread {
                    ident,
                    frame,
                    address,
                },
            }) {
                return whole;
            }
            address = next;
        }
        match read::<usize>(interpreter.wrapping_add(INTERPRETER_NEXT)) {
            Some(next) => interpreter = next,
            None => return false,
        }
    }
    whole
}

/// In a forked child, on its only thread, before any other is started: notes which thread states are those
/// of the parent's threads. Only reads memory.
pub fn note_fork(python: &Python) {
    let this_thread = Python::this_thread_ident() as usize;
    let (mut dead, mut alive) = (Remembered::new(), Remembered::new());
    let mut seen = 0;
    for_each_state(python, &mut |state| {
        if state.live && state.thread.ident == this_thread {
            alive.add(state.thread.address);
        } else if state.interpreter != seen {
            dead.add(state.thread.address);
            seen = state.interpreter;
        }
        true
    });
    dead.store(&FIRST_DEAD);
    alive.store(&SURVIVORS);
}

/// What is found of a thread by its identifier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The process's first thread.
    First,
    /// Another thread of the program's.
    Other,
    /// There is no such thread of the program's.
    None,
}

/// More thread states than this are not looked at, as that would hold the program up.
const MOST_LOOKED_AT: usize = 10_000;

/// In a process that may have been forked before the agent came: notes the same by which threads are there. `find` says
/// what an identifier is of, and `threads` how many threads the program has.
///
/// A state that no thread is there for is not always a dead thread's: a program may have made it on another thread than
/// the one that runs with it. So something is noted only where it is what a fork leaves: each of the threads has a state,
/// and of those that are listed behind a dead one, only the first thread, which has forked, is there. Returns false if it
/// should be looked at again.
///
/// On a thread of the agent's, which holds the GIL: meanwhile no thread state comes or goes.
pub fn note_late(gil: &Gil, find: &dyn Fn(usize) -> Found, threads: usize) -> bool {
    let own = gil.thread_state();
    let mut states: Vec<(State, Found)> = Vec::new();
    let mut has_room = true;
    let is_whole = for_each_state(gil, &mut |state| {
        has_room = states.len() < MOST_LOOKED_AT && states.try_reserve(1).is_ok();
        if has_room && state.thread.address != own {
            let found = find(state.thread.ident);
            states.push((state, found));
        }
        has_room
    });
    let mut newest: Vec<(usize, usize, usize)> = Vec::new();
    if !has_room || !is_whole || newest.try_reserve_exact(states.len()).is_err() {
        return states.len() >= MOST_LOOKED_AT;
    }
    newest.extend(
        states
            .iter()
            .filter(|(_, found)| *found != Found::None)
            .map(|(state, _)| (0, state.thread.ident, 0)),
    );
    newest.sort_unstable();
    newest.dedup();
    if newest.len() != threads {
        return false;
    }
    // A new thread may have got the identifier of a dead one, whose state stands behind its own. The first thread has not.
    newest.clear();
    let running = states.iter().enumerate();
    let running =
        running.filter(|(_, (state, found))| state.thread.frame != 0 && *found == Found::Other);
    newest.extend(running.map(|(at, (state, _))| (state.interpreter, state.thread.ident, at)));
    newest.sort_unstable();
    for pair in newest.windows(2) {
        let [before, (interpreter, ident, at)] = [pair[0], pair[1]];
        if (before.0, before.1) == (interpreter, ident) {
            states[at].1 = Found::None;
        }
    }
    let (mut dead, mut alive) = (Remembered::new(), Remembered::new());
    let (mut seen, mut is_behind) = (0, false);
    for (state, found) in &states {
        if seen != state.interpreter {
            (seen, is_behind) = (state.interpreter, false);
        }
        match (is_behind, found) {
            // One without a frame shows nothing, and may belong to whoever next gets its identifier.
            (false, Found::None) if state.thread.frame != 0 => {
                is_behind = true;
                dead.add(state.thread.address);
            }
            (true, Found::First) => alive.add(state.thread.address),
            (true, Found::Other) => return true,
            _ => {}
        }
    }
    if dead.are_all && alive.are_all {
        dead.store(&FIRST_DEAD);
        alive.store(&SURVIVORS);
    }
    true
}

/// Addresses to be remembered.
struct Remembered {
    all: [usize; MOST_REMEMBERED],
    count: usize,
    /// Whether there was room for all.
    are_all: bool,
}

impl Remembered {
    fn new() -> Remembered {
        Remembered {
            all: [0; MOST_REMEMBERED],
            count: 0,
            are_all: true,
        }
    }

    fn add(&mut self, address: usize) {
        match self.all.get_mut(self.count) {
            Some(place) => {
                *place = address;
                self.count += 1;
            }
            None => self.are_all = false,
        }
    }

    fn store(&self, places: &[AtomicUsize; MOST_REMEMBERED]) {
        for (place, address) in places.iter().zip(self.all) {
            place.store(address, Ordering::Relaxed);
        }
    }
}

/// After `Py_Finalize`: the lists are gone.
pub fn forget() {
    for place in FIRST_DEAD.iter().chain(&SURVIVORS) {
        place.store(0, Ordering::Relaxed);
    }
}

fn holds(places: &[AtomicUsize; MOST_REMEMBERED], address: usize) -> bool {
    places
        .iter()
        .any(|place| place.load(Ordering::Relaxed) == address)
}
