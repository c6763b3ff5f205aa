//! From the question to the answer, on the asking thread.
//!
//! Enters: a question, on any thread, in any state. Leaves: the text of an answer, by the deadline.
//! The asking thread may have been interrupted anywhere, so nothing here takes a lock, allocates or runs
//! Python. The worker makes the answer; where it cannot, the asking thread reads the stacks from memory.

pub mod request;
pub mod ring;
pub mod walk;
