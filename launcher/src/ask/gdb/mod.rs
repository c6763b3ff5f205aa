//! The way through gdb: rings the bell in the agent's own thread, and fetches the answer from memory.
//!
//! Enters: a target that may be traced. Leaves: the bytes of an answer. gdb calls nothing in the
//! process, so that it may be killed at any moment; the guardian sets going what it leaves stopped.

pub mod driver;
pub mod explain;
pub mod fetch;
pub mod guardian;
pub mod lines;
pub mod mi;
pub mod way;
