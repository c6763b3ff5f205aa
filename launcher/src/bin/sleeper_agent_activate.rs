//! `sleeper_agent_activate PID…`: what is this Python program doing? And `sa-load PID…`, a script that starts this command
//! with a first argument of its own: as a file of its own it would be another 1.7 MB.

use std::process::ExitCode;

use launcher::bring_in;
use launcher::options::activate::Arguments;
use launcher::options::load;
use launcher::report::diff;
use launcher::start;
use launcher::watch::{self, complain};

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    if words.nth(1).is_some_and(|first| first == load::AS_SA_LOAD) {
        return match start::arguments_of::<load::Arguments>(words, 1, 2) {
            Ok(arguments) => bring_in::run(arguments),
            Err(status) => ExitCode::from(status),
        };
    }
    let arguments: Arguments = match start::arguments(1, 2) {
        Ok(arguments) => arguments,
        Err(status) => return ExitCode::from(status),
    };
    let [old, new] = &arguments.diff[..] else {
        return watch::run(arguments);
    };
    match diff::show(old, new, &arguments.extent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            complain(format_args!("{line}"));
            ExitCode::FAILURE
        }
    }
}
