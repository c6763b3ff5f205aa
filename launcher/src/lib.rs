//! The commands around `libsleeper.so`, and the map of their code.
//!
//! **Entry points.** `bin/sleeper_agent_activate.rs` asks processes what they are doing:
//! start reading at [`watch::run`], or, under the name `sa-load`, at [`bring_in::run`]. `bin/sa-run.rs` becomes a command with the library in it, and
//! `bin/sa-list.rs` lists the processes that carry an agent.
//!
//! **The life of a question.** [`options`] reads the command line. [`find::chosen`] turns it into
//! processes. [`watch`] asks each of them by [`ask::ask`], several side by side: [`find::target`] and
//! [`find::agent`] look from outside whether the process can be asked, [`ask::gdb`] or [`ask::wake`]
//! carries the question to the agent and brings the bytes of its answer, and [`state::answer`] parses
//! them. A [`report`] then writes the state in one of the formats.
//!
//! **The folders**, each of which imports only what stands below it:
//!
//! | | |
//! |---|---|
//! | [`start`] | the command line, or what is said instead |
//! | [`watch`] | round after round of questions |
//! | [`bring_in`] | the library brought into program after program |
//! | [`report`] | a state as text for people, and as JSON |
//! | [`load`] | the library brought into one program, by one of its threads |
//! | [`ask`] | one question to one process, through gdb or by a signal |
//! | [`native`] | the C functions that threads are in, and what they wait for there |
//! | [`state`] | the answer: threads, frames, waits, variables |
//! | [`find`] | which processes to ask, and where their agents are |
//! | [`run`] | what `sa-run` checks before it becomes a command |
//! | [`system`] | the kernel's interfaces, and everything `unsafe` |
//! | [`options`], [`trouble`], [`printable`], [`secrets`], [`duration`] | command lines, error messages, text |
//!
//! What the commands and the library must agree on is the crate `protocol`.

pub mod ask;
pub mod bring_in;
pub mod duration;
pub mod find;
pub mod load;
pub mod native;
pub mod options;
pub mod printable;
pub mod report;
pub mod run;
pub mod secrets;
pub mod start;
pub mod state;
pub mod system;
pub mod trouble;
pub mod watch;
