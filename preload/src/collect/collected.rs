//! What is taken down in the first step under the GIL and outlives it, and what is found by reading.

use crate::collect::places::Places;
use crate::collect::stacks::Calls;
use crate::collect::variables::Variables;
use crate::files::native_stacks;
use crate::files::sources::{Lines, SearchPath};
use protocol::state::CutPart;

/// What was taken down of all threads, in copies.
#[derive(Default)]
pub struct Collected {
    /// The places that threads are at.
    pub places: Places,
    /// Where their files are looked for.
    pub path: SearchPath,
    /// The identifiers of the threads that the kernel is asked about.
    pub idents: Vec<usize>,
    /// Which of them have their native stacks read.
    pub native: native_stacks::Wanted,
    /// `Question::number` of what was asked.
    pub question: u64,
    /// Whether an object of the interpreter's is kept for it too.
    pub keeps: bool,
    /// The stacks, each once.
    pub stacks: Vec<Calls>,
    /// Of each thread its identifier and the index of its stack, in order; and of what else has a stack.
    pub threads: Vec<(i64, usize)>,
    /// What the answer is made of.
    pub rest: Rest,
    /// Why it was read from memory, without the GIL, if it was.
    pub from_memory: Option<String>,
}

/// What an answer is made of beside the stacks.
#[derive(Default)]
pub enum Rest {
    /// The snippet has taken it down, and makes the text.
    #[default]
    OfSnippet,
    /// Nothing: it is the plain text.
    Plain,
    /// It is a state.
    State(Box<State>),
}

/// A state, but for its stacks, its lines of source and what the kernel says.
#[derive(Default)]
pub struct State {
    /// `sys.version`, as it stands in the document.
    pub version: Vec<u8>,
    /// The details of threads, as they stand in the document.
    pub details: Vec<u8>,
    /// Greenlets and generators, likewise; `None` if they were not asked for.
    pub suspended: Option<Vec<u8>>,
    /// The variables of frames, where they are wanted.
    pub variables: Variables,
    /// The locks and semaphores of multiprocessing, likewise; empty if they were not looked for.
    pub process_locks: Vec<u8>,
    /// The parts that there was no time for.
    pub cut: Vec<CutPart>,
}

impl Collected {
    /// Whether the interpreter is needed to make the answer.
    pub fn needs_interpreter(&self, found: &Found) -> bool {
        let is_from_memory = self.from_memory.is_some();
        !is_from_memory && self.needs_any(found)
    }

    fn needs_any(&self, found: &Found) -> bool {
        self.keeps
            || matches!(self.rest, Rest::OfSnippet)
            || found.lines.iter().count() < self.places.len()
    }
}

/// What was found by reading.
#[derive(Default)]
pub struct Found {
    /// Lines of source.
    pub lines: Lines,
    /// What the kernel says of the threads ([`crate::files::tasks::describe`]); empty if it is not asked.
    pub tasks: Vec<u8>,
    /// Native stacks ([`crate::files::native_stacks::describe`]); empty if none are wanted.
    pub native: Vec<u8>,
}
