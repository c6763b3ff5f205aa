//! What is read from files, without the GIL.
//!
//! Enters: file names and thread numbers. Leaves: source lines, and what the kernel says of threads.
//! Only the reader runs this, in a table of descriptors of its own: a slow disk holds up nobody else.

pub mod sources;
pub mod system_calls;
pub mod tasks;
