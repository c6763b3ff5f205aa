//! What `sa-run` has to know of a command before it becomes that command.
//!
//! Enters: a command line. Leaves: the file to execute, or why the loader would not take the library along.

pub mod command;
pub mod shebang;
