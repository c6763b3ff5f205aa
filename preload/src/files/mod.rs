//! What the reader reads from files, without the GIL.
//!
//! Enters: names of source files, and identifiers of threads. Leaves: source lines, the threads' system calls with
//! the descriptors they wait for, and their native stacks. Only the reader runs this, or a task in its place, in a
//! table of descriptors of its own and holding nothing, so a slow disk delays nothing but the answer. Nothing here may
//! run Python or touch its objects.

pub mod native_stacks;
pub mod sources;
pub mod system_calls;
pub mod tasks;
