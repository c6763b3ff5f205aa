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

use libtest_mimic::Arguments;
use std::process::ExitCode;
use tests::{cases, interpreters, process, product, trials};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    process::signals_as_usual();
    process::descriptors_as_usual();
    trials::keep_panics();
    if let Err(why) = product::find() {
        eprintln!("cannot test: {why}");
        return ExitCode::FAILURE;
    }
    let found = interpreters::find();
    found.announce();
    if let Some(why) = found.trouble() {
        eprintln!("cannot test: {why}");
        return ExitCode::FAILURE;
    }
    libtest_mimic::run(&arguments, cases::trials(&found)).exit_code()
}
