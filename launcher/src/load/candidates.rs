//! Which threads of a program are tried, and in which order.

use std::collections::HashMap;

use crate::load::resting::{Doing, Safe, Wait, doing};
use crate::system::process::Process;
use crate::system::thread_status::ThreadStatus;

/// The most threads that are tried in one round: that wait, and that run.
const MOST: usize = 8;

/// What was seen of the threads so far.
#[derive(Default)]
pub struct Candidates {
    /// How often threads had waited at the last look.
    waits: HashMap<i32, u64>,
}

impl Candidates {
    /// The threads to try, best first: those that wait, the first thread last, as the program's signals come to it; then
    /// those that run.
    pub fn find(&mut self, process: Process) -> Vec<(i32, Option<Wait>)> {
        let mut waiting = Vec::new();
        let mut running = Vec::new();
        for thread in process.threads().unwrap_or_default() {
            match doing(process, thread) {
                Some(Doing::Waits(wait)) => match wait.safe(process) {
                    Safe::Yes => waiting.push((thread, Some(wait))),
                    Safe::IfFresh if self.has_waited_anew(process, thread) => {
                        waiting.push((thread, Some(wait)));
                    }
                    Safe::IfFresh | Safe::No => {}
                },
                Some(Doing::Runs) => running.push((thread, None)),
                None => {}
            }
        }
        waiting.sort_by_key(|(thread, _)| *thread == process.pid);
        waiting.truncate(MOST);
        running.truncate(MOST);
        waiting.extend(running);
        waiting
    }

    /// Whether a thread has begun to wait since the last look, some 2 ms ago.
    fn has_waited_anew(&mut self, process: Process, thread: i32) -> bool {
        let status = ThreadStatus::read(process, thread);
        let Some(now) = status.and_then(|status| status.waits()) else {
            return false;
        };
        let before = self.waits.insert(thread, now);
        before.is_some_and(|before| before != now)
    }
}
