//! From the question to the answer.
//!
//! Enters: a question, on any thread, in any state. Leaves: the text of an answer, by the deadline.
//! The thread that asks takes no lock and allocates nothing: the worker does the work, and where it
//! cannot, the thread that asks reads the stacks from memory itself.

pub mod request;
pub mod ring;
pub mod walk;
