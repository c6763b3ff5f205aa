//! How much of a processor threads use, over a short look.

use std::thread;
use std::time::{Duration, Instant};

use crate::system::proc_file::{self, SHORT};
use crate::system::process::{Process, ticks};

/// How long a look takes. The kernel counts a running thread's time at each tick, every 4 ms mostly, every 10 at
/// worst (`proc_pid_schedstat`, fs/proc/base.c; `task_tick_fair`, kernel/sched/fair.c).
const LOOK: Duration = Duration::from_millis(50);

/// For each thread the part of a processor that it uses from now on, during [`LOOK`]: 1 if it runs all the time,
/// `None` if that is not known. Takes no time if there is no thread.
pub fn of(threads: &[(Process, i32)]) -> Vec<Option<f64>> {
    if threads.is_empty() {
        return Vec::new();
    }
    let used = || {
        threads
            .iter()
            .map(|&(process, thread)| used(process, thread))
    };
    let begun = Instant::now();
    let before: Vec<Option<Duration>> = used().collect();
    thread::sleep(LOOK);
    let after: Vec<Option<Duration>> = used().collect();
    let seconds = begun.elapsed().as_secs_f64();
    let pairs = before.into_iter().zip(after);
    let shares = pairs.map(|(before, after)| {
        let more = after?.saturating_sub(before?);
        Some(more.as_secs_f64() / seconds)
    });
    shares.collect()
}

/// How long a thread has had a processor.
fn used(process: Process, thread: i32) -> Option<Duration> {
    let read = |file: &str| {
        let read = proc_file::read(process.path(&format!("task/{thread}/{file}")), SHORT).ok()?;
        Some(String::from_utf8_lossy(&read.bytes).into_owned())
    };
    // Nanoseconds, if the kernel counts them (Documentation/scheduler/sched-stats.rst); they are never 0 then.
    let counted = read("schedstat");
    let counted = counted.and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    if let Some(nanoseconds) = counted.filter(|&one: &u64| one > 0) {
        return Some(Duration::from_nanos(nanoseconds));
    }
    // Fields 14 and 15, in ticks (proc_pid_stat(5)); the first behind the name is the third.
    let stat = read("stat")?;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields = fields.split_ascii_whitespace().skip(11).take(2);
    let times = fields.map(|field| field.parse::<u64>().ok());
    Some(ticks(times.sum::<Option<u64>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::sync::{Arc, mpsc};

    #[test]
    fn tells_who_is_busy() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let (send, receive) = mpsc::channel();
        let done = Arc::new(AtomicBool::new(false));
        let busy = {
            let (send, done) = (send.clone(), done.clone());
            thread::spawn(move || {
                let _ = send.send(rustix::thread::gettid().as_raw_pid());
                while !done.load(Relaxed) {
                    black_box(());
                }
            })
        };
        let one = receive.recv().expect("a TID");
        thread::spawn(move || {
            let _ = send.send(rustix::thread::gettid().as_raw_pid());
            thread::sleep(Duration::from_secs(60));
        });
        let other = receive.recv().expect("a TID");
        let shares = of(&[(us, one), (us, other), (us, -1)]);
        done.store(true, Relaxed);
        let _ = busy.join();
        let [Some(busy), Some(idle), None] = shares[..] else {
            panic!("{shares:?}");
        };
        assert!(busy > idle && idle < 0.1, "{shares:?}");
        assert!(of(&[]).is_empty());
    }
}
