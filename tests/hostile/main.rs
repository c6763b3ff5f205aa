//! Processes that mean harm: against whoever asks them, against others who ask, and programs that fence
//! themselves in. Each trial starts such a process and then does what a user would do beside it.
//!
//! A case is registered by one line above its function (see `tests::cases`). The small programs stand in
//! `programs/`; cases compile those in C on the spot.

mod answers;
mod commands_on_old_kernels;
mod debugger;
mod descriptors;
mod ends;
mod files;
mod filters;
mod freezes;
mod keepers;
mod memory;
mod numbers;
mod old_kernels;
mod shown;
mod sizes;
mod snapshots;
mod starved;
mod waits;
mod walls;
mod withheld;

use std::process::ExitCode;

fn main() -> ExitCode {
    tests::cases::run()
}
