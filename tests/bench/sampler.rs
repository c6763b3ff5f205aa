//! Watches from outside how long a process's main thread is stopped by a tracer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread that reads the state over and over, until it is told to stop.
pub struct Sampler {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Sampler {
    /// Begins to watch.
    pub fn start(pid: i32) -> Sampler {
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        let stat = File::open(format!("/proc/{pid}/task/{pid}/stat")).unwrap();
        let thread = std::thread::spawn(move || {
            let mut stopped = Duration::ZERO;
            let mut before = Instant::now();
            while !told.load(Ordering::Relaxed) {
                let state = state(&stat);
                let now = Instant::now();
                if matches!(state, b't' | b'T') {
                    stopped += now - before;
                }
                before = now;
            }
            stopped
        });
        Sampler { done, thread }
    }

    /// Ends watching; returns for how many seconds the thread was stopped.
    pub fn stop(self) -> f64 {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().as_secs_f64()
    }
}

/// The letter behind the name in parentheses.
fn state(stat: &File) -> u8 {
    let mut text = [0; 128];
    let length = stat.read_at(&mut text, 0).unwrap_or(0);
    let end = text[..length].iter().rposition(|&byte| byte == b')');
    end.and_then(|at| text.get(at + 2).copied()).unwrap_or(0)
}
