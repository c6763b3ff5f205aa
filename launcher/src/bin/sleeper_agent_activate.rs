//! `sleeper_agent_activate PID…`: what is this Python program doing?

use std::process::ExitCode;

use launcher::options::activate::Arguments;
use launcher::report::diff;
use launcher::start;
use launcher::watch::{self, complain};

fn main() -> ExitCode {
    let arguments: Arguments = match start::arguments(1, 2) {
        Ok(arguments) => arguments,
        Err(status) => return ExitCode::from(status),
    };
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
