//! For how long the threads of a process have not run.
//!
//! The kernel tells when each last did (`se.exec_start` in `/proc/PID/task/TID/sched`,
//! kernel/sched/debug.c), but by a clock that each processor has of its own, which leaves out what
//! interrupts took (`rq_clock_task`, kernel/sched/core.c). So we run on every processor in question
//! for a moment, and look at ourselves.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::process::Process;

/// The time in seconds, by number (TID) in the process's own PID namespace; of those threads of which
/// it can be known. Of what runs it is 0.
pub fn of(process: Process) -> HashMap<i32, f64> {
    let mut clocks = Clocks::default();
    let nested = inner_number(&process.path("status")).is_some_and(|number| number != process.pid);
    let mut times = HashMap::new();
    for entry in fs::read_dir(process.path("task")).into_iter().flatten() {
        let number = entry.map(|entry| entry.file_name());
        let Some(number) = number.ok().and_then(|name| name.to_str()?.parse().ok()) else {
            continue;
        };
        let of_task = |file: &str| process.path(&format!("task/{number}/{file}"));
        let mut time = || {
            let stat = start_of(&of_task("stat"))?;
            if runs(&stat) {
                return Some(0.0);
            }
            let processor = resting_on(&stat)?;
            let then = last_run(&start_of(&of_task("sched"))?)?;
            Some((clocks.of(processor)? - then).max(0.0) / 1e3)
        };
        let inner = match nested {
            true => inner_number(&of_task("status")),
            false => Some(number),
        };
        times.extend(inner.zip(time()));
    }
    times
}

/// The first half kilobyte of a file, in one read: there are two for each of maybe thousands of
/// threads.
fn start_of(path: &Path) -> Option<String> {
    let mut bytes = [0; 512];
    let count = File::open(path).ok()?.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

/// The last of the numbers that a thread has, one for each PID namespace.
fn inner_number(status: &Path) -> Option<i32> {
    let status = fs::read_to_string(status).ok()?;
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().last()?.parse().ok()
}

/// Whether a thread runs, or could, from its `stat` (proc_pid_stat(5)).
fn runs(stat: &str) -> bool {
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with("R "))
}

/// The processor that a thread last ran on, from its `stat`.
fn resting_on(stat: &str) -> Option<usize> {
    let (_, rest) = stat.rsplit_once(") ")?;
    // Field 39; the first here is the third.
    rest.split(' ').nth(36)?.parse().ok()
}

/// `se.exec_start`, in milliseconds.
fn last_run(sched: &str) -> Option<f64> {
    let mut lines = sched.lines();
    let line = lines.find(|line| line.starts_with("se.exec_start"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

/// The clocks of the processors; `None` for one that we may not run on.
#[derive(Default)]
struct Clocks(HashMap<usize, Option<f64>>);

impl Clocks {
    fn of(&mut self, processor: usize) -> Option<f64> {
        let clock = self.0.entry(processor);
        *clock.or_insert_with(|| read_clock(processor))
    }
}

/// In milliseconds.
fn read_clock(processor: usize) -> Option<f64> {
    // SAFETY: plain bits, for which zeroes are a value; the kernel reads and writes so many bytes.
    // This thread alone moves, and may run again where it could before.
    unsafe {
        let size = size_of::<libc::cpu_set_t>();
        let mut before: libc::cpu_set_t = std::mem::zeroed();
        let mut there: libc::cpu_set_t = std::mem::zeroed();
        if processor >= 8 * size || libc::sched_getaffinity(0, size, &mut before) != 0 {
            return None;
        }
        libc::CPU_SET(processor, &mut there);
        if libc::sched_setaffinity(0, size, &there) != 0 {
            return None;
        }
        let clock = start_of(Path::new("/proc/thread-self/sched"));
        libc::sched_setaffinity(0, size, &before);
        last_run(&clock?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn reads_what_the_kernel_tells() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let stat = |state| format!("7 (a) b) {state} {}\n", fields.join(" "));
        assert_eq!(resting_on(&stat("S")), Some(39));
        assert_eq!(
            [stat("S"), stat("R")].map(|stat| runs(&stat)),
            [false, true]
        );
        assert_eq!(resting_on("7 (a) S 4"), None);
        let sched = "x (1, #threads: 1)\n---\nse.exec_start   :   12.345678\nse.vruntime : 3\n";
        assert_eq!(last_run(sched), Some(12.345_678));
    }

    #[test]
    fn tells_how_long_a_thread_has_slept() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: has no conditions.
            tell.send(unsafe { libc::gettid() }).expect("it is heard");
            std::thread::sleep(Duration::from_secs(60));
        });
        let sleeper = told.recv().expect("it told");
        std::thread::sleep(Duration::from_millis(700));
        // A kernel may be built so that it does not tell.
        if fs::exists("/proc/self/sched").is_ok_and(|there| there) {
            let seconds = of(us)[&sleeper];
            assert!((0.6..5.0).contains(&seconds), "{seconds}");
        }
    }
}
