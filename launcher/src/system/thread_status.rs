//! What the kernel says of one thread, whole: what is behind the list of groups too (`/proc/PID/task/TID/status`).

use crate::system::proc_file;
use crate::system::process::Process;

/// The most bytes that are read. There may be 65,536 groups.
const WHOLE: usize = 1 << 20;

/// The text of a thread's status.
#[derive(Clone, Debug)]
pub struct ThreadStatus {
    text: String,
}

impl ThreadStatus {
    /// That of a thread; `None` if it has ended.
    pub fn read(process: Process, thread: i32) -> Option<ThreadStatus> {
        let path = process.path(&format!("task/{thread}/status"));
        let status = proc_file::read(path, WHOLE).ok()?;
        Some(ThreadStatus::of(&String::from_utf8_lossy(&status.bytes)))
    }

    /// That with this text.
    pub fn of(text: &str) -> ThreadStatus {
        ThreadStatus {
            text: text.to_owned(),
        }
    }

    /// The value of a line that begins with this name and a colon.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines();
        Some(
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
                .trim(),
        )
    }

    /// A letter, as [`crate::system::process::Status::state`].
    pub fn state(&self) -> Option<char> {
        self.value("State")?.chars().next()
    }

    /// How often the thread has given up the processor by itself: it changes with each wait.
    pub fn waits(&self) -> Option<u64> {
        self.value("voluntary_ctxt_switches")?.parse().ok()
    }

    /// How often the thread has left the processor, if it is off it now and waits. A thread for which this is the same
    /// at two moments has not run between them: whatever it did, it would have to leave the processor again.
    pub fn rest(&self) -> Option<u64> {
        let taken: u64 = self.value("nonvoluntary_ctxt_switches")?.parse().ok()?;
        matches!(self.state()?, 'S' | 'D').then_some(self.waits()?.checked_add(taken)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, waits: u64, taken: u64) -> ThreadStatus {
        ThreadStatus::of(&format!(
            "Name:\tx\nState:\t{state}\nGroups:\t1 2 3\nvoluntary_ctxt_switches:\t{waits}\n\
             nonvoluntary_ctxt_switches:\t{taken}\n"
        ))
    }

    #[test]
    fn a_thread_rests_only_while_it_waits() {
        assert_eq!(status("S (sleeping)", 7, 9).rest(), Some(16));
        assert_eq!(status("R (running)", 7, 9).rest(), None);
        assert_eq!(status("R (running)", 7, 9).waits(), Some(7));
        assert_eq!(
            ThreadStatus::of("Name:\tx\nState:\tS (sleeping)\n").rest(),
            None
        );
    }

    #[test]
    fn reads_this_thread() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let this = rustix::thread::gettid().as_raw_pid();
        let status = ThreadStatus::read(us, this).expect("this thread has a status");
        assert_eq!(status.state(), Some('R'));
        assert!(status.waits().is_some());
        assert!(ThreadStatus::read(us, i32::MAX).is_none());
    }
}
