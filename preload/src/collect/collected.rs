//! What is taken down in the first step under the GIL and outlives it, and what is found by reading.

use crate::collect::places::Places;
use crate::collect::variables::Variables;
use crate::files::sources::{Lines, SearchPath};
use protocol::marshal::MarshalWriter;

/// What was taken down of all threads, in copies.
pub struct Collected {
    /// The places that threads are at.
    pub places: Places,
    /// Where their files are looked for.
    pub path: SearchPath,
    /// The identifiers of the threads that the kernel is asked about.
    pub idents: Vec<usize>,
    /// `Question::number` of what was asked.
    pub question: u64,
    /// Whether an object of the interpreter's is kept for it too.
    pub keeps: bool,
    /// The rest of it where it is a state, and not the plain text.
    pub state: Option<State>,
}

/// A state, but for its lines of source and what the kernel says.
pub struct State {
    /// The document, begun ([`crate::collect::document`]); `None` where no thread runs Python.
    pub document: Option<MarshalWriter>,
    /// The variables of frames, where they are wanted.
    pub variables: Variables,
}

impl Collected {
    /// Whether the interpreter is needed to make the answer.
    pub fn needs_interpreter(&self, found: &Found) -> bool {
        self.keeps || self.state.is_none() || found.lines.iter().count() < self.places.len()
    }
}

/// What was found by reading.
#[derive(Default)]
pub struct Found {
    /// Lines of source.
    pub lines: Lines,
    /// What the kernel says of the threads ([`crate::files::tasks::describe`]); empty if it is not asked.
    pub tasks: Vec<u8>,
}
