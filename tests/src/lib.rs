//! What tests and benchmarks stand on: the interpreters of this machine, the product under
//! test, processes that always end, and the ways to ask a program for its state.
//!
//! Everything here panics when something isn't as it must be; a trial's runner reports it.

pub use protocol::{message, names as interface, question as wanted};

pub mod ask;
pub mod compile;
pub mod interpreters;
pub mod process;
pub mod procfs;
pub mod product;
pub mod scratch;
pub mod terminal;
