//! The program that is asked, and what it notices.

use std::fs;
use std::process::Command;
use tests::ask::{bare_target, target};
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs;

/// What happened to the program during a span.
pub struct Noticed {
    /// The longest gap, in seconds, between two beats of its heartbeat.
    pub held_up: f64,
    /// How many bytes its memory grew at most. A few hundred thousand are the program's own: the
    /// heartbeat's records, and the rough counting of some kernels.
    pub grown: u64,
}

/// tests/targets/heartbeat.py, running.
pub struct Subject {
    program: Program,
    /// How often it has been watched.
    turns: usize,
}

impl Subject {
    /// Starts it and waits until the program and its agent are ready.
    pub fn start(python: &Interpreter, threads: usize, busy: bool) -> Subject {
        let subject = Subject::begin(target(python, "heartbeat.py"), threads, busy);
        procfs::wait_agent(subject.pid());
        subject
    }

    /// The same without an agent.
    pub fn start_bare(python: &Interpreter, threads: usize, busy: bool) -> Subject {
        Subject::begin(bare_target(python, "heartbeat.py"), threads, busy)
    }

    fn begin(mut start: Command, threads: usize, busy: bool) -> Subject {
        start.args([&threads.to_string(), "30"]);
        if busy {
            start.arg("busy");
        }
        let program = Program::start(&mut start).ready();
        Subject { program, turns: 0 }
    }

    /// Its process ID.
    pub fn pid(&self) -> i32 {
        self.program.pid()
    }

    /// Watches it while `work` runs, and returns the result of `work` with what the program noticed.
    /// Returns `None` if `work` does: a command killed while asking may have left the program in any
    /// state.
    pub fn watch<R>(&mut self, work: impl FnOnce() -> Option<R>) -> Option<(R, Noticed)> {
        self.turns += 1;
        self.program.say("begin");
        self.program.wait_lines("begun", self.turns);
        // Resets the peak to the present value: proc_pid_clear_refs(5).
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
        let before = self.memory("VmRSS");
        let done = work()?;
        let grown = self.memory("VmHWM").saturating_sub(before);
        self.program.say("end");
        let line = self.program.wait_lines("held ", self.turns).pop().unwrap();
        let (longest, _) = line.split_once(' ').unwrap();
        let held_up = longest.parse().unwrap();
        Some((done, Noticed { held_up, grown }))
    }

    /// A value of /proc/PID/status, in bytes; 0 if the program is gone.
    fn memory(&self, key: &str) -> u64 {
        let text = procfs::status(self.pid(), key);
        let number = text.strip_suffix(" kB").unwrap_or("0");
        number.trim().parse::<u64>().unwrap() * 1024
    }
}
