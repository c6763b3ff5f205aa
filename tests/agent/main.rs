//! The agent on every real interpreter of this machine: one trial for each case and interpreter.
//!
//! A case stands in the folder of its subject; each folder's `mod.rs` names the subject. One line above
//! a case's function registers it (see `tests::cases`).

mod commands;
mod concurrency;
mod failures;
mod harmless;
mod hosts;
mod output;
mod ways_in;

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::cases::run()
}
