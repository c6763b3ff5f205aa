//! Off-CPU times: how long the threads of a process have not run.
//!
//! The kernel shows when each thread last ran (`se.exec_start` in `/proc/PID/task/TID/sched`,
//! kernel/sched/debug.c), but by the clock of its processor, which leaves out the time in interrupts
//! (`rq_clock_task`, kernel/sched/core.c). To read such a clock, we run on that processor for a moment
//! and look at our own `se.exec_start`.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use rustix::fs::{Mode, OFlags, openat};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

use crate::system::namespace;
use crate::system::proc_file;
use crate::system::process::Process;

/// If the clocks differ by at most so many milliseconds, it does not matter on which processor a thread was;
const TOLERATED: f64 = 50.0;

/// nor does it if they differ by at most this part of the off-CPU time.
const TOLERATED_PART: f64 = 0.02;

/// The most bytes of a status that are read: the groups before these numbers may be 65,536, of any process in a
/// namespace of its own.
const LONGEST_STATUS: usize = 16 << 10;

/// The threads whose times are read are at most so many: each takes 10 to 20 µs.
const MOST_THREADS: usize = 32_768;

/// The clocks of more processors than this are not compared.
const MOST_COMPARED: usize = 8;

/// The off-CPU times of the threads in seconds, by TID in the process's own PID namespace, as far as they
/// can be known. A thread that runs has about 0. If the processors' clocks differ by little, compared with
/// such a time, the time may be too long by that difference, and takes half as many files to read. Threads
/// that it has not come to by `until` are left out.
pub fn of(process: Process, until: Instant) -> HashMap<i32, f64> {
    let mut times = HashMap::new();
    let Ok(folder) = File::open(process.path("task")) else {
        return times;
    };
    let mut clocks = Clocks::default();
    let nested = match inner_number(&process.path("status")) {
        Some(number) => number != process.pid,
        // Linux before 4.1 does not say which numbers the threads have in another namespace.
        None if namespace::is_other(process, process.pid, "pid") => return times,
        None => false,
    };
    // SAFETY: takes no pointer.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    let compared = usize::try_from(count)
        .ok()
        .and_then(|count| clocks.compared(count));
    let threads = process.threads().unwrap_or_default();
    for number in threads.into_iter().take(MOST_THREADS) {
        if Instant::now() > until {
            break;
        }
        let mut room = [0; 512];
        let mut time = || {
            let then = last_run(start_of(&folder, number, "sched", &mut room)?)?;
            // The thread is about to run, on another processor than before (`migrate_task_rq_fair`,
            // kernel/sched/fair.c, and since 6.3 `enqueue_entity`).
            if then <= 0.0 {
                return Some(0.0);
            }
            let since = |clock: f64| (clock + since_start() - then).max(0.0);
            if let Some((latest, spread)) = compared
                && spread <= TOLERATED.max(since(latest) * TOLERATED_PART)
            {
                return Some(since(latest) / 1e3);
            }
            let stat = start_of(&folder, number, "stat", &mut room)?;
            if runs(stat) {
                return Some(0.0);
            }
            Some(since(clocks.of(resting_on(stat)?)?) / 1e3)
        };
        let inner = match nested {
            true => inner_number(&process.path(&format!("task/{number}/status"))),
            false => Some(number),
        };
        times.extend(inner.zip(time()));
    }
    times
}

/// The first half kilobyte of a thread's file, in one read: a process may have thousands of threads, each
/// with two files to read. `folder` is the process's `task`.
fn start_of<'a>(
    folder: &File,
    thread: i32,
    file: &str,
    room: &'a mut [u8; 512],
) -> Option<&'a [u8]> {
    let mut path = [0; 64];
    write!(&mut path[..], "{thread}/{file}\0").ok()?;
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(folder, path, flags, Mode::empty()).ok()?;
    let count = rustix::io::read(file, room.as_mut_slice()).ok()?;
    Some(&room[..count])
}

/// The TID in the innermost PID namespace.
fn inner_number(status: &Path) -> Option<i32> {
    let status = proc_file::read(status, LONGEST_STATUS).ok()?;
    let status = String::from_utf8_lossy(&status.bytes);
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().last()?.parse().ok()
}

/// The fields of a thread's `stat` after its name, which may contain anything (proc_pid_stat(5)).
fn fields(stat: &[u8]) -> Option<&str> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    str::from_utf8(&stat[end + 1..]).ok()
}

/// Whether a thread runs or is runnable, from its `stat`.
fn runs(stat: &[u8]) -> bool {
    fields(stat).is_some_and(|fields| fields.starts_with(" R "))
}

/// The processor that a thread last ran on, from its `stat`.
fn resting_on(stat: &[u8]) -> Option<usize> {
    // Field 39; the first here is the third, after a space.
    fields(stat)?.split(' ').nth(37)?.parse().ok()
}

/// `se.exec_start`, in milliseconds.
fn last_run(sched: &[u8]) -> Option<f64> {
    let mut lines = sched.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.starts_with(b"se.exec_start"))?;
    let line = str::from_utf8(line).ok()?;
    line.split_once(':')?.1.trim().parse().ok()
}

/// Milliseconds since the first call.
fn since_start() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3
}

/// The processors' clocks at the start (see [`since_start`]); `None` for a processor that we may not run
/// on.
#[derive(Default)]
struct Clocks(HashMap<usize, Option<f64>>);

impl Clocks {
    fn of(&mut self, processor: usize) -> Option<f64> {
        let clock = self.0.entry(processor);
        *clock.or_insert_with(|| read_clock(processor))
    }

    /// The latest of the clocks, and how far behind it the others are at most; `None` if a clock is unknown,
    /// or if there are too many.
    fn compared(&mut self, count: usize) -> Option<(f64, f64)> {
        if !(1..=MOST_COMPARED).contains(&count) {
            return None;
        }
        let clocks: Vec<f64> = (0..count).map_while(|one| self.of(one)).collect();
        let latest = clocks.iter().copied().fold(f64::MIN, f64::max);
        let spread = clocks
            .iter()
            .map(|clock| latest - clock)
            .fold(0.0, f64::max);
        (clocks.len() == count).then_some((latest, spread))
    }
}

/// A processor's clock at the start, in milliseconds.
fn read_clock(processor: usize) -> Option<f64> {
    // Only this thread moves, and it then gets back the processors it may run on.
    let before = sched_getaffinity(None).ok()?;
    let mut there = CpuSet::new();
    if processor >= CpuSet::MAX_CPU {
        return None;
    }
    there.set(processor);
    sched_setaffinity(None, &there).ok()?;
    // Linux before 3.17 has no /proc/thread-self.
    let thread = gettid().as_raw_pid();
    let clock = fs::read(format!("/proc/self/task/{thread}/sched"));
    let now = since_start();
    let _ = sched_setaffinity(None, &before);
    let then = last_run(&clock.ok()?)?;
    (then > 0.0).then_some(then - now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn reads_the_kernels_files() {
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let stat = |state| format!("7 (a) b) {state} {}\n", fields.join(" "));
        assert_eq!(resting_on(stat("S").as_bytes()), Some(39));
        assert_eq!(
            [stat("S"), stat("R")].map(|stat| runs(stat.as_bytes())),
            [false, true]
        );
        assert_eq!(resting_on(b"7 (a) S 4"), None);
        let sched = b"\xff (1, #threads: 1)\n---\nse.exec_start   :   12.345678\nse.vruntime : 3\n";
        assert_eq!(last_run(sched), Some(12.345_678));
    }

    #[test]
    fn measures_how_long_a_thread_has_slept() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let thread = rustix::thread::gettid().as_raw_pid();
            send.send(thread).expect("it is received");
            std::thread::sleep(Duration::from_secs(60));
        });
        let sleeper = receive.recv().expect("a TID");
        std::thread::sleep(Duration::from_millis(700));
        // Some kernels are built without this file.
        if fs::exists("/proc/self/sched").is_ok_and(|there| there) {
            let seconds = of(us, Instant::now() + Duration::from_secs(60))[&sleeper];
            assert!((0.6..5.0).contains(&seconds), "{seconds}");
        }
    }

    #[test]
    fn clocks_are_compared_where_all_are_known() {
        let compared = |clocks: &[f64]| {
            let clocks = clocks.iter().map(|&clock| Some(clock)).enumerate();
            let mut clocks = Clocks(clocks.collect());
            clocks.compared(clocks.0.len())
        };
        assert_eq!(compared(&[7.0, 57.0, 9.0]), Some((57.0, 50.0)));
        assert_eq!(compared(&[7.0]), Some((7.0, 0.0)));
        assert_eq!(compared(&[7.0; MOST_COMPARED + 1]), None);
        let mut forbidden = Clocks(HashMap::from([(0, Some(7.0)), (1, None)]));
        assert_eq!(forbidden.compared(2), None);
    }
}
