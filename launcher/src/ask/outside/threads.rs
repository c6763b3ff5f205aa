//! The thread states of an interpreter, without those of dead threads.
//!
//! In a forked child CPython 2 keeps the thread states of the parent's threads for ever (`PyEval_ReInitThreads`,
//! Python/ceval.c, 2.6 and 2.7). A thread's identifier is the address of the C library's structure for it, and that holds
//! the thread's ID: so it shows whether there is such a thread.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::system::memory::{read_memory, read_word};
use crate::system::process::Process;
use protocol::layout::{INTERPRETER_THREADS, THREAD_FRAME, THREAD_IDENT, THREAD_NEXT, WORD};

/// No more threads are read, so that a list which changes as fast as it is read has an end.
const MOST_THREADS: usize = 20_000;

/// How much of a thread's structure is searched for its ID, in bytes.
const STRUCTURE: usize = 0x400;

/// Where the ID stands in `struct pthread` of glibc (nptl/descr.h), and of musl (src/internal/pthread_impl.h).
const KNOWN: [usize; 3] = [0x2d0, 0x30, 0x38];

/// A thread state.
#[derive(Clone, Copy, Debug)]
pub struct Thread {
    /// The address of the thread state (`PyThreadState`).
    pub state: u64,
    /// The thread's identifier.
    pub ident: u64,
    /// The address of its innermost frame; 0: it runs no Python.
    pub frame: u64,
    /// The address of its interpreter's state.
    interpreter: u64,
    /// The thread's ID, if it is known.
    pub number: Option<i32>,
}

/// The threads of a process.
pub struct Threads {
    /// Those that are there, as far as that is known.
    pub alive: Vec<Thread>,
    /// Whether the lists could be followed to their ends.
    pub are_all: bool,
}

impl Threads {
    /// Those of interpreters with these states.
    pub fn of(process: Process, interpreters: &[u64]) -> Threads {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        let mut are_all = true;
        for interpreter in interpreters {
            let first = interpreter.wrapping_add(INTERPRETER_THREADS as u64);
            let mut next = read_word(process.pid, first).unwrap_or(0);
            while next != 0 {
                let thread = match seen.insert(next) && all.len() < MOST_THREADS {
                    true => read_state(process, *interpreter, next),
                    false => None,
                };
                let Some((thread, behind)) = thread else {
                    are_all = false;
                    break;
                };
                all.push(thread);
                next = behind;
            }
        }
        Threads {
            alive: alive(process, all),
            are_all,
        }
    }
}

/// A thread state, and the address of the next.
fn read_state(process: Process, interpreter: u64, address: u64) -> Option<(Thread, u64)> {
    let bytes = read_memory(process.pid, address, THREAD_IDENT + WORD).ok()?;
    let word = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let thread = Thread {
        state: address,
        ident: word(THREAD_IDENT)?,
        frame: word(THREAD_FRAME)?,
        interpreter,
        number: None,
    };
    Some((thread, word(THREAD_NEXT)?))
}

/// Those threads whose structures hold the ID of a thread of the process; all, if that cannot be told.
fn alive(process: Process, all: Vec<Thread>) -> Vec<Thread> {
    // By their IDs in the process's own PID namespace.
    let numbers = process.threads().unwrap_or_default();
    let numbers: HashMap<i32, i32> = numbers
        .into_iter()
        .map(|pid| {
            let status = Process { pid }.status().ok();
            (
                status.and_then(|status| status.innermost).unwrap_or(pid),
                pid,
            )
        })
        .collect();
    let structures: Vec<Vec<u8>> = all
        .iter()
        .map(|thread| read_memory(process.pid, thread.ident, STRUCTURE).unwrap_or_default())
        .collect();
    let number_at = |structure: &[u8], at: usize| {
        let bytes = structure.get(at..)?.first_chunk()?;
        numbers.get(&i32::from_ne_bytes(*bytes)).copied()
    };
    // Where the most threads have IDs that differ.
    let places = (0..STRUCTURE).step_by(4).map(|at| {
        let found = structures
            .iter()
            .filter_map(|structure| number_at(structure, at));
        (
            found.collect::<HashSet<i32>>().len(),
            KNOWN.contains(&at),
            Reverse(at),
        )
    });
    let Some((1.., _, Reverse(best))) = places.max() else {
        return all;
    };
    let with_numbers = all
        .into_iter()
        .zip(&structures)
        .map(|(thread, structure)| Thread {
            number: number_at(structure, best),
            ..thread
        });
    // A new thread may have got the identifier of a dead one, whose state stands behind its own.
    let mut seen = HashSet::new();
    let is_newest = |thread: &Thread| {
        thread.number.is_some()
            && (thread.frame == 0 || seen.insert((thread.interpreter, thread.ident)))
    };
    with_numbers.filter(is_newest).collect()
}
