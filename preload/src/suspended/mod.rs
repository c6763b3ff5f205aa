//! Stacks that no thread runs at the moment: suspended greenlets and generators.
//!
//! Enters: the frames of threads, with the GIL held; the objects are those that the garbage collector lists.
//! Leaves: a [`greenlets::Suspended`]: innermost frames for `collect` to take stacks down from, and what is
//! known of their owners, written for the document.
//!
//! May not be touched: the program's objects. The Python texts beside the Rust files run in the program's
//! interpreter; they look attributes up through `lookups` and never through the program's classes.

pub mod greenlets;
pub mod lookups;
