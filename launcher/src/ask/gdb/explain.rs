//! What to say where gdb does not do what it should.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::ask::gdb::driver::Failure;
use crate::system::interrupt;
use crate::trouble::Trouble;

/// No debugger could be started in the question's time.
pub fn without_place(time: Duration) -> Trouble {
    if interrupt::asked_to_stop().is_some() {
        return stopped_by_us();
    }
    Trouble::new(
        format!(
            "no debugger was free for it within {} s",
            time.as_secs_f64()
        ),
        "give it more time with --timeout, or ask for fewer processes at once",
    )
}

/// gdb could not be started.
pub fn not_started(gdb: &Path, error: &io::Error) -> Trouble {
    let gdb = gdb.display();
    match error.raw_os_error() {
        // Not what exec says of a file.
        Some(
            libc::EAGAIN | libc::ENOMEM | libc::ENOSYS | libc::EPERM | libc::EMFILE | libc::ENFILE,
        ) => Trouble::new(
            format!("the system starts no process for {gdb} ({error})"),
            "look at the limits on processes, memory and files (`ulimit -a`), or ask --via wake",
        )
        .of_the_debugger(),
        _ => Trouble::new(
            format!("{gdb} cannot be run ({error})"),
            "give --gdb the path of an executable gdb",
        ),
    }
}

/// gdb was not ready, or ended, or refused a command, within the question's time.
pub fn not_ready(gdb: &Path, time: Duration, failure: Failure) -> Trouble {
    let gdb = gdb.display();
    match failure {
        Failure::Refused(message) => Trouble::new(
            format!("gdb refused: {message}"),
            "see with -v what gdb does, or give another with --gdb",
        ),
        Failure::Late => Trouble::new(
            format!(
                "gdb was not ready within {} s, and has been ended",
                time.as_secs_f64()
            ),
            "give it more time with --timeout, or see with -v what it does",
        ),
        Failure::Interrupted => stopped_by_us(),
        Failure::Ended(words) if words.is_empty() => Trouble::new(
            format!("{gdb} ended before it did anything"),
            "check that it is a gdb, or give another with --gdb",
        ),
        Failure::Ended(words) => Trouble::new(
            format!("{gdb} ended, saying: {words}"),
            "check that it is a gdb that works, or give another with --gdb",
        ),
    }
}

/// A signal stopped this command before it asked.
pub fn stopped_by_us() -> Trouble {
    Trouble::plain("this command was told to stop before it asked")
}
