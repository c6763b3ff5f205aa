//! Stacks that no thread runs at the moment: greenlets and generators.
//!
//! Enters: the collector's list of objects, with the GIL held. Leaves: stacks and what they wait for,
//! as Python objects for `collect`. The Python texts beside the Rust files run in the program's
//! interpreter, so they look names up through `lookups` and never through the program's classes.

pub mod greenlets;
pub mod lookups;
