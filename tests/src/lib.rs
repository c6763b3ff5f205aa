//! The base of tests and benchmarks: the interpreters of this machine, the product under test,
//! processes that always end, and the ways to ask a program for its state.
//!
//! Everything here panics when something is wrong; the trial's runner reports it.

pub mod ask;
pub mod bounded;
pub mod cases;
pub mod compile;
pub mod confined;
pub mod document;
pub mod ended;
pub mod everyone;
pub mod fakes;
pub mod gil;
pub mod interpreters;
pub mod measured;
pub mod mortal;
pub mod moving;
pub mod outcomes;
pub mod packages;
pub mod process;
pub mod procfs;
pub mod product;
pub mod rounds;
pub mod said;
pub mod scratch;
pub mod stage;
pub mod stream;
pub mod terminal;
pub mod trials;
pub mod users;
pub mod variables;
