//! The program that is asked, and what it notices of that.

use std::fs;
use tests::ask::target;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs;

/// What happened to the program in a span.
pub struct Noticed {
    /// The longest gap, in seconds, between two beats of its heartbeat.
    pub held_up: f64,
    /// By how many bytes its memory grew at most. A few hundred thousand are its own: what the
    /// heartbeat takes down, and how roughly some kernels count.
    pub grown: u64,
}

/// tests/targets/heartbeat.py, running.
pub struct Subject {
    program: Program,
    /// How often it was watched.
    turns: usize,
}

impl Subject {
    /// Starts it and waits until it is ready, and the agent in it.
    pub fn start(python: &Interpreter, threads: usize, busy: bool) -> Subject {
        let mut start = target(python, "heartbeat.py");
        start.args([&threads.to_string(), "30"]);
        if busy {
            start.arg("busy");
        }
        let program = Program::start(&mut start).ready();
        procfs::wait_agent(program.pid());
        Subject { program, turns: 0 }
    }

    /// Its process ID.
    pub fn pid(&self) -> i32 {
        self.program.pid()
    }

    /// Watches it while `work` is done, and returns what that comes to beside what was noticed.
    /// If it comes to nothing, so does this: whoever was killed while asking may have left the
    /// program in any state.
    pub fn watch<R>(&mut self, work: impl FnOnce() -> Option<R>) -> Option<(R, Noticed)> {
        self.turns += 1;
        self.program.say("begin");
        self.program.wait_lines("begun", self.turns);
        // Sets the peak back to what there is now: proc_pid_clear_refs(5).
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
