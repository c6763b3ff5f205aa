//! Processes that mean harm: against whoever asks them, against others who ask, and programs that fence
//! themselves in. Each trial starts such a process and then does what a user would do beside it.
//!
//! A case is registered by one line above its function (see `tests::cases`). The small programs stand in
//! `programs/`; cases compile those in C on the spot.

mod answers;
mod commands_on_old_kernels;
mod debugger;
mod files;
mod filters;
mod freezes;
mod keepers;
mod memory;
mod old_kernels;
mod shown;
mod sizes;
mod starved;
mod waits;
mod walls;

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
