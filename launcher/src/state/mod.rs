//! The state of a process: what an agent answered, as values that a report can be made of.
//!
//! Enters: the bytes of an answer, whoever wrote them: nothing in them is taken for granted. Leaves:
//! [`answer::Answer`], and in it a [`State`]; [`wait_graph::WaitGraph`] finds who waits for whom in it.
//!
//! The format of the bytes is [`protocol::state`]; change it there. [`document`] reads it, within a
//! [`budget`]. Nothing here asks the process or
//! the kernel, and nothing here knows how a state is shown, but for short phrases such as
//! [`wait::Wait::words`].

pub mod answer;
pub mod budget;
pub(crate) mod circles;
pub mod coroutines;
pub mod descriptor;
pub mod document;
pub mod frame;
pub mod greenlet_wait;
pub mod greenlets;
pub mod kernel;
mod large;
pub mod native;
pub mod other_end;
pub mod process_lock;
pub mod search;
pub mod suspended;
pub mod text;
pub mod thread;
pub mod variables;
pub mod wait;
pub mod wait_graph;

use crate::state::budget::Memory;
use crate::state::coroutines::Coroutines;
use crate::state::greenlets::Greenlets;
use crate::state::native::RawStack;
use crate::state::process_lock::ProcessLock;
use crate::state::search::Search;
use crate::state::thread::Thread;
use crate::state::variables::StackVariables;
use protocol::state::{CutPart, WaitKind};

/// Why something is missing that there was no time for.
pub const NO_TIME: &str =
    "as the time was used up for which a question may hold the program up (--hold allows more)";

/// The state of a process.
#[derive(Debug)]
pub struct State {
    /// `sys.version`; empty if it is not known.
    pub python: String,
    /// Why it was read from memory, without the GIL, if it was.
    pub from_memory: Option<String>,
    /// The identifier of the thread that held the GIL when it was asked for, if one did.
    pub holder: Option<u64>,
    /// The threads that run Python code, by identifier.
    pub threads: Vec<Thread>,
    /// The other threads, without identifiers: where no thread runs Python code, and where their native stacks are
    /// known.
    pub others: Vec<Thread>,
    /// Native stacks that nobody has looked at yet.
    pub raw_stacks: Vec<RawStack>,
    /// Whether some variables are missing, for lack of room or time.
    pub is_cut: bool,
    /// The parts that are not whole, as the time was used up for which an answer may hold the program up.
    pub cut: Vec<CutPart>,
    /// What this command had no memory for, in words: lines without their ends.
    pub left_out: Vec<String>,
    /// The locks and semaphores of multiprocessing.
    pub process_locks: Vec<ProcessLock>,
    /// The greenlets.
    pub greenlets: Search<Greenlets>,
    /// The suspended generators.
    pub coroutines: Search<Coroutines>,
    /// The memory that all of it takes.
    pub memory: Memory,
}

impl State {
    /// A state of these threads, of which nothing else is known.
    pub fn of_threads(threads: Vec<Thread>) -> State {
        State {
            python: String::new(),
            from_memory: None,
            holder: None,
            threads,
            others: Vec::new(),
            raw_stacks: Vec::new(),
            is_cut: false,
            cut: Vec::new(),
            left_out: Vec::new(),
            process_locks: Vec::new(),
            greenlets: Search::NotAsked,
            coroutines: Search::NotAsked,
            memory: Memory::default(),
        }
    }

    /// Names who has the GIL to those who wait for it: where a thread keeps it. (Elsewhere it has been let go since.)
    pub fn name_who_keeps_gil(&mut self) {
        let holder = self.holder;
        let waits = self.threads.iter_mut();
        let waits = waits.filter_map(|one| Some((one.ident, one.wait.as_mut()?)));
        for (ident, wait) in waits.filter(|(_, wait)| wait.kind == WaitKind::Gil) {
            wait.owner = holder.filter(|&holder| holder != ident);
        }
    }

    /// All threads that are shown.
    pub fn shown(&self) -> impl Iterator<Item = &Thread> {
        self.threads.iter().chain(&self.others)
    }

    /// Python's version, such as 2.7.18, if it is known.
    pub fn version(&self) -> Option<&str> {
        self.python.split_whitespace().next()
    }

    /// Forgets all but what the next state of the process is compared with.
    pub fn shrink(&mut self) {
        for thread in &mut self.threads {
            thread.variables = StackVariables::default();
        }
        self.greenlets = Search::NotAsked;
        self.coroutines = Search::NotAsked;
    }
}
