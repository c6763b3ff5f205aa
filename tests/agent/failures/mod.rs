//! Failures: the agent lacks what it needs, memory is corrupt, gdb or the command is killed. Each
//! time there is an answer or one clear line, and the program carries on.

mod corrupt;
mod faults;
mod mortal;
mod two_processes;
