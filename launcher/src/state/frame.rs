//! A frame of a stack: where it stands in the source.

use std::sync::Arc;

/// A stack, outermost frame first. Many threads are often in the same.
pub type Stack = Arc<Vec<Frame>>;

/// What stands in a stack.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A frame.
    At(Arc<Place>),
    /// Not a frame: a word on what is missing here.
    Mark(String),
}

/// Where a frame is.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The name of the file that its code came from.
    pub file: String,
    /// The line.
    pub line: i64,
    /// The name of its function.
    pub function: String,
    /// That line's text; empty if it is not to be had.
    pub source: String,
}
