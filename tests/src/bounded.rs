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

/// `VmHWM` in a process's status, in bytes; 0 where there is none.
fn peak_of(pid: i32) -> u64 {
    let value = procfs::status(pid, "VmHWM");
    let kilobytes = value.strip_suffix("kB").unwrap_or("0").trim();
    kilobytes.parse::<u64>().unwrap_or(0) * 1024
}
