//! Which signal an agent's sleeping thread waits for, as its status shows it.

use crate::system::process::Process;
use crate::system::{maps, proc_file};

/// The signal that musl keeps for itself, besides 32 and 33: no program can block it by the library's functions
/// (SIGSYNCCALL, src/internal/pthread_impl.h and src/signal/sigfillset.c).
const OF_MUSL: i32 = 34;

/// Whether a process runs on musl, or may.
fn is_on_musl(process: Process) -> bool {
    let mut found = false;
    let read = proc_file::lines(process.path("maps"), maps::MOST_TEXT, |line| {
        found |= line.windows(8).any(|word| word == b"/ld-musl");
    });
    found || read.is_err()
}

/// The signal that a thread of a process waits for, by the text of its status; `None` if it waits for none now.
pub fn signal_in(status: &str, process: Process) -> Option<i32> {
    // While it blocks all others, nobody handles musl's signal, which would end the program.
    let is_handled = |signal: &i32| *signal != OF_MUSL || !is_on_musl(process);
    open_signal(status).filter(is_handled)
}

/// The one real-time signal that the text of a thread's status shows as not blocked, if there is one; or the
/// other, where that of musl's is not blocked either.
fn open_signal(status: &str) -> Option<i32> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))?;
    let blocked = u64::from_str_radix(mask.trim(), 16).ok()?;
    // Signal 32 is bit 31. glibc uses 32 and 33 itself.
    let open = !blocked >> 33 << 33;
    let others = open & !(1 << (OF_MUSL - 1));
    let open = if others == 0 { open } else { others };
    (open.count_ones() == 1).then(|| open.trailing_zeros() as i32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_signal_that_is_waited_for() {
        let with = |blocked: u64| format!("Name:\tx\nSigBlk:\t{blocked:016x}\nSigIgn:\t0\n");
        let faults = 0b1_0000_1101_1000_u64;
        assert_eq!(open_signal(&with(!faults & !(1 << 57))), Some(58));
        assert_eq!(open_signal(&with(!faults & !(1 << 63))), Some(64));
        assert_eq!(open_signal(&with(!faults & !(3 << 31))), None);
        assert_eq!(open_signal(&with(!faults & !(3 << 57))), None);
        assert_eq!(open_signal(&with(!0)), None);
        // musl leaves signal 34 open.
        assert_eq!(
            open_signal(&with(!faults & !(7 << 31) & !(1 << 57))),
            Some(58)
        );
        assert_eq!(open_signal(&with(!faults & !(1 << 33))), Some(34));
        assert_eq!(open_signal("Name:\tx\n"), None);
    }

    #[test]
    fn we_are_not_on_musl() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert_eq!(is_on_musl(us), cfg!(target_env = "musl"));
    }
}
