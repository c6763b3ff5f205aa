//! What `sa-run` checks before it becomes the command.
//!
//! Enters: a command line. Leaves: the file to execute, or why the loader would not
//! load the library into it. Nothing here changes the environment or starts a program.

pub mod command;
pub mod shebang;
