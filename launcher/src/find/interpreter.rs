//! The interpreter in a process's memory, found without any symbol: static and stripped programs have none.
//!
//! CPython keeps its first interpreter's state in a static variable (`interp_head`, Python/pystate.c, 2.6 and 2.7). A word
//! in the data of the program, or of a file named after Python, is that if it leads to what looks like one: a list of
//! threads whose first names this interpreter as its own, and a dictionary of modules. Python 3's threads begin otherwise.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use crate::system::maps::{self, Region};
use crate::system::memory::{read_memory, read_memory_into, read_word};
use crate::system::process::Process;
use protocol::layout::{
    INTERPRETER_MODULES, INTERPRETER_NEXT, INTERPRETER_THREADS, THREAD_FRAME, THREAD_IDENT,
    THREAD_INTERPRETER, TYPE_FLAGS, TYPE_NAME, WORD,
};

/// The most data that is searched, in bytes. CPython's own has some 400 kB.
const MOST_DATA: u64 = 16 << 20;

/// The longest time for the search. Each word that may be an address costs system calls.
const LONGEST: Duration = Duration::from_millis(500);

/// How many words are looked at between two looks at the clock.
const AT_A_TIME: usize = 1024;

/// The most interpreters of a process.
const MOST_INTERPRETERS: usize = 1000;

/// Py_TPFLAGS_HAVE_RICHCOMPARE (Include/object.h, 2.6 and 2.7).
const HAS_RICH_COMPARISON: u64 = 1 << 5;

/// The sizes of PyObject_HEAD, in bytes: of usual builds and of debug builds.
const HEADS: [u64; 2] = [2 * WORD as u64, 4 * WORD as u64];

/// What is found in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreters {
    /// The addresses of their states (`PyInterpreterState`).
    pub states: Vec<u64>,
    /// The size of PyObject_HEAD, in bytes.
    pub head: u64,
}

/// The interpreters of CPython 2.6 or 2.7 in a process; `None` if there are none.
///
/// # Errors
/// That we may not read its memory.
pub fn find(process: Process) -> io::Result<Option<Interpreters>> {
    let memory = Memory::of(process)?;
    let mut states = BTreeSet::new();
    let mut head = None;
    let mut left = MOST_DATA;
    let until = Instant::now() + LONGEST;
    for (at, region) in memory.regions.iter().enumerate() {
        if !memory.may_hold_variables(at) {
            continue;
        }
        let length = (region.end - region.start).min(left);
        left -= length;
        // What the kernel will not show holds no variable of Python's.
        let bytes = match read_memory(process.pid, region.start, length as usize) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Err(error),
            bytes => bytes.unwrap_or_default(),
        };
        let words = bytes
            .chunks_exact(WORD)
            .filter_map(|word| word.try_into().ok());
        for (number, word) in words.map(u64::from_ne_bytes).enumerate() {
            let is_late = number % AT_A_TIME == 0 && Instant::now() > until;
            if is_late || states.len() == MOST_INTERPRETERS {
                break;
            }
            if memory.may_point(word)
                && !states.contains(&word)
                && let Some(size) = memory.interpreter(word)
            {
                head = Some(size);
                memory.follow(word, &mut states);
            }
        }
    }
    Ok(head.map(|head| Interpreters {
        states: states.into_iter().collect(),
        head,
    }))
}

struct Memory {
    process: Process,
    regions: Vec<Region>,
    /// The program's path, as its mappings have it.
    program: String,
}

impl Memory {
    fn of(process: Process) -> io::Result<Memory> {
        let program = std::fs::read_link(process.path("exe")).unwrap_or_default();
        Ok(Memory {
            process,
            regions: maps::regions(process)?,
            program: program.to_string_lossy().into_owned(),
        })
    }

    /// Whether the variables of the program, or of a library of Python's, may be in this mapping: its data, or the
    /// zeros behind it.
    fn may_hold_variables(&self, at: usize) -> bool {
        let is_of_python = |name: &str| {
            let file = name.rsplit('/').next().unwrap_or_default();
            !name.is_empty() && (name == self.program || file.contains("python"))
        };
        let region = &self.regions[at];
        let is_behind = || {
            let before = at
                .checked_sub(1)
                .and_then(|before| self.regions.get(before));
            region.name.is_empty()
                && before.is_some_and(|one| {
                    one.end == region.start && one.write && is_of_python(&one.name)
                })
        };
        region.read && region.write && (is_of_python(&region.name) || is_behind())
    }

    /// Whether a word may be the address of what changes.
    fn may_point(&self, word: u64) -> bool {
        let at = self.regions.partition_point(|one| one.end <= word);
        word.is_multiple_of(WORD as u64)
            && self
                .regions
                .get(at)
                .is_some_and(|one| one.start <= word && one.read && one.write)
    }

    fn words<const COUNT: usize>(&self, address: u64) -> Option<[u64; COUNT]> {
        let mut words = [0; COUNT];
        let mut bytes = [0; 256];
        let bytes = bytes.get_mut(..COUNT * WORD)?;
        read_memory_into(self.process.pid, address, bytes).ok()?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(WORD)) {
            *word = u64::from_ne_bytes(bytes.try_into().ok()?);
        }
        Some(words)
    }

    /// The size of PyObject_HEAD, if there is an interpreter's state at this address.
    fn interpreter(&self, address: u64) -> Option<u64> {
        const FIRST: usize = INTERPRETER_MODULES / WORD + 1;
        let state: [u64; FIRST] = self.words(address)?;
        let [next, threads, modules] =
            [INTERPRETER_NEXT, INTERPRETER_THREADS, INTERPRETER_MODULES].map(|at| state[at / WORD]);
        let may_end = |word| word == 0 || self.may_point(word);
        if !may_end(next) || !self.may_point(threads) || !self.may_point(modules) {
            return None;
        }
        let thread: [u64; THREAD_IDENT / WORD + 1] = self.words(threads)?;
        let is_its_own = thread[THREAD_INTERPRETER / WORD] == address
            && may_end(thread[THREAD_FRAME / WORD])
            && thread[THREAD_IDENT / WORD] != 0;
        is_its_own
            .then(|| self.head_of_dictionary(modules))
            .flatten()
    }

    /// The size of PyObject_HEAD, if there is a dictionary at this address.
    fn head_of_dictionary(&self, object: u64) -> Option<u64> {
        HEADS.into_iter().find(|&head| {
            kind_of(self.process, object, head).is_some_and(|kind| {
                type_name_is(self.process, kind, head, b"dict\0") && self.is_of_python_2(kind, head)
            })
        })
    }

    /// Whether this type has a flag that no type of Python 3 has, whose first versions had the same lists.
    fn is_of_python_2(&self, kind: u64, head: u64) -> bool {
        let flags = kind.checked_add(head + (WORD + TYPE_FLAGS) as u64);
        flags
            .and_then(|at| read_word(self.process.pid, at))
            .is_some_and(|flags| flags & HAS_RICH_COMPARISON != 0)
    }

    /// Adds an interpreter, and those behind it in the list.
    fn follow(&self, first: u64, states: &mut BTreeSet<u64>) {
        let mut state = first;
        while self.may_point(state) && states.len() < MOST_INTERPRETERS && states.insert(state) {
            let next = state.checked_add(INTERPRETER_NEXT as u64);
            state = next
                .and_then(|at| read_word(self.process.pid, at))
                .unwrap_or(0);
        }
    }
}

/// The address of the type of the object at this address. `head` is the size of PyObject_HEAD.
pub fn kind_of(process: Process, object: u64, head: u64) -> Option<u64> {
    read_word(process.pid, object.checked_add(head - WORD as u64)?)
}

/// Whether the type at this address has this name, which ends in NUL.
pub fn type_name_is(process: Process, kind: u64, head: u64, name: &[u8]) -> bool {
    // PyObject_VAR_HEAD comes first.
    let name_at = kind.checked_add(head + (WORD + TYPE_NAME) as u64);
    let name_at = name_at.and_then(|at| read_word(process.pid, at));
    let read = name_at.and_then(|at| read_memory(process.pid, at, name.len()).ok());
    read.is_some_and(|read| read == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_none_in_this_process() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert_eq!(find(us).expect("our own memory"), None);
    }
}
