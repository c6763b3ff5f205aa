//! The agent's cost to a program that nobody asks: at its start, while it runs, and asleep.

mod asleep;
mod forking;
mod instructions;
mod starting;

use std::process::ExitCode;
use tests::interpreters;
use tests::product;

fn main() -> ExitCode {
    let python = product::find().and_then(|_| interpreters::to_measure());
    let measured = python.and_then(|python| {
        println!("on {} ({})", python.path.display(), python.full_version);
        starting::measure(&python);
        asleep::measure(&python);
        forking::measure(&python);
        instructions::measure(&python)
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cannot measure: {why}");
            ExitCode::FAILURE
        }
    }
}
