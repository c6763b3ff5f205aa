//! A command's time and peak memory.

use crate::ended::Ended;
use crate::process::Program;
use crate::procfs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How a command ended, and what it took.
#[derive(Debug)]
pub struct Bounded {
    /// How it ended.
    pub ended: Ended,
    /// From its start to its end.
    pub took: Duration,
    /// The most memory it had resident, in bytes. What it takes in its last millisecond may be missing.
    pub peak: u64,
}

/// Runs a command to its end, and watches its memory meanwhile. Fails if it has not ended within `limit`.
#[track_caller]
pub fn bounded(command: &mut Command, limit: Duration) -> Bounded {
    let began = Instant::now();
    let mut program = Program::start(command);
    let mut peak = 0;
    while !program.has_ended() && began.elapsed() < limit {
        peak = peak.max(peak_of(program.pid()));
        thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed();
    let ended = program.end_within(Duration::from_millis(100));
    Bounded { ended, took, peak }
}

/// The signals by which a user or a terminal asks a command to stop.
pub const STOPPING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Sends a command each of these signals a while after it was started, and checks that it ends at once.
#[track_caller]
pub fn ends_at_once(asking: &mut Command, what: &str) {
    for signal in STOPPING {
        ends_at_once_by(signal, Duration::from_millis(700), asking, what);
    }
}

/// The same with one signal, which comes after this time.
#[track_caller]
pub fn ends_at_once_by(signal: i32, after: Duration, asking: &mut Command, what: &str) {
    let mut asking = Program::start(asking);
    thread::sleep(after);
    assert!(!asking.has_ended(), "{what}: {}", asking.err());
    asking.signal(signal);
    let begun = Instant::now();
    let ended = asking.end_within(Duration::from_secs(20));
    let took = begun.elapsed();
    assert!(
        took < Duration::from_millis(950),
        "{what}, signal {signal}: it took {took:?}"
    );
    ended.expect_code(128 + signal);
    assert!(asking.has_closed_its_output(), "{what}: its output is open");
}

/// The most memory that a command has had resident so far, in bytes: that of its process, and of the other one that does
/// its work. 0 where there is none.
pub fn peak_of(command: i32) -> u64 {
    let worker = procfs::worker(command);
    let own = match worker == command {
        true => 0,
        false => peak_of_one(command),
    };
    own + peak_of_one(worker)
}

/// `VmHWM` in a process's status, in bytes; 0 where there is none.
fn peak_of_one(pid: i32) -> u64 {
    let value = procfs::status(pid, "VmHWM");
    let kilobytes = value.strip_suffix("kB").unwrap_or("0").trim();
    kilobytes.parse::<u64>().unwrap_or(0) * 1024
}
