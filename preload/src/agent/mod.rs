//! The agent's own state: its stage of life, its threads, the request on the desk, the last answer.
//!
//! Enters: what the rooms above store. Leaves: state that any thread may read at any moment, also one
//! that a debugger interrupted. So nothing here takes a lock, and nothing here knows of Python's
//! objects. Every static either survives a `fork` or is reset by `crew::after_fork`.

pub mod bell;
pub mod desk;
pub mod failure;
pub mod hold;
pub mod page;
pub mod panics;
pub mod progress;
pub mod stage;
pub mod threads;
