//! Stacks and their frames.

use std::sync::Arc;

/// A stack, outermost frame first. Many threads often share one.
pub type Stack = Arc<Vec<Frame>>;

/// An entry of a stack.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// A frame.
    At(Arc<Place>),
    /// Stands for frames that are missing, and says why.
    Mark(String),
}

/// A line of source that a frame is at.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The file name that the code was compiled with.
    pub file: String,
    /// The number of the line, from 1; 0 if it could not be read.
    pub line: i64,
    /// The name of the function.
    pub function: String,
    /// The text of the line; empty if it is not available.
    pub source: String,
}
