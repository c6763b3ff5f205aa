//! `sleeper_agent_activate PID…`: what is this Python program doing?

use clap::Parser;
use std::process::ExitCode;

use launcher::options::activate::Arguments;
use launcher::report::diff;
use launcher::watch::{self, complain};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let [old, new] = &arguments.diff[..] else {
        return watch::run(arguments);
    };
    match diff::show(old, new) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            complain(format_args!("{line}"));
            ExitCode::FAILURE
        }
    }
}
