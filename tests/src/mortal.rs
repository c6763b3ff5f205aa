//! The target `mortal.py`, which checks its own data, and checks that it carries on whatever happens
//! while it is asked.

use crate::ask::{activate, woken_target};
use crate::interpreters::Interpreter;
use crate::process::{PATIENCE, Program, wait_until};
use crate::procfs::{self, thread_named};
use protocol::names::{PARKED_THREAD, THREAD_HEADING};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A program that checks its own data, with checks that it carries on.
pub struct Mortal {
    /// The running program.
    pub program: Program,
    /// Its process ID.
    pub pid: i32,
    parked: i32,
    asked: usize,
    /// How long an activation takes here.
    pub life: Duration,
}

impl Mortal {
    /// Starts it and asks it twice.
    #[track_caller]
    pub fn start(python: &Interpreter) -> Mortal {
        let program = woken_target(python, "mortal.py", &[]);
        let pid = program.pid();
        let mut mortal = Mortal {
            program,
            pid,
            parked: thread_named(pid, PARKED_THREAD).expect("a parked thread"),
            asked: 0,
            life: Duration::ZERO,
        };
        mortal.answers();
        mortal.answers();
        mortal
    }

    /// The process that traces its parked thread; 0 if there is none.
    pub fn tracer(&self) -> i32 {
        // The kernel names a thread of the tracer. That thread may have ended since, and its number may
        // belong to one of our own threads by now: numbers are soon reused here.
        let number = |pid, key| procfs::status(pid, key).parse().unwrap_or(0);
        match number(self.parked, "TracerPid") {
            0 => 0,
            thread => match number(thread, "Tgid") {
                tracer if tracer == std::process::id() as i32 => 0,
                tracer => tracer,
            },
        }
    }

    /// Whether it is stopped, as by SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        // The parked thread first: its stop may have become a stop of the whole process.
        [self.parked, self.pid].map(procfs::state).contains(&'T')
    }

    /// Checks that it is neither traced nor stopped, and that each of its threads does its work.
    #[track_caller]
    pub fn goes_on(&mut self, after: &str) {
        let stopped = self.goes_on_or_is_stopped(after);
        assert!(!stopped, "it was left stopped by {after}");
    }

    /// Like [`Mortal::goes_on`], but accepts a stopped program, and continues it. Returns whether it
    /// was stopped.
    #[track_caller]
    pub fn goes_on_or_is_stopped(&mut self, after: &str) -> bool {
        assert!(!self.program.has_ended(), "{after}: {}", self.told());
        // While the thread is awake, a stop may still be pending.
        wait_until(&format!("its thread rests after {after}"), || {
            ['S', 'T', ' '].contains(&procfs::state(self.parked))
        });
        self.program.say("how");
        self.asked += 1;
        let begun = Instant::now();
        let mut stopped_since = None;
        let mut was_stopped = false;
        while self.is_stopped() || self.program.out().matches("rounds ").count() < self.asked {
            assert!(!self.program.has_ended(), "{after}: {}", self.told());
            assert!(
                begun.elapsed() < PATIENCE,
                "stuck after {after}: {}",
                self.told()
            );
            stopped_since = self
                .is_stopped()
                .then(|| stopped_since.unwrap_or_else(Instant::now));
            // A short stop does not count.
            if stopped_since
                .is_some_and(|since: Instant| since.elapsed() > Duration::from_millis(500))
            {
                was_stopped = true;
                self.program.signal(libc::SIGCONT);
            }
            sleep(Duration::from_millis(2));
        }
        assert_eq!(self.tracer(), 0, "it is still traced after {after}");
        was_stopped
    }

    /// Asks it, and checks that it answers as usual.
    #[track_caller]
    pub fn answers(&mut self) {
        let begun = Instant::now();
        let ended = activate([self.pid]);
        self.life = begun.elapsed();
        ended.expect_code(0);
        assert!(is_whole(&ended.out()), "{}", ended.out());
        assert_eq!(ended.err(), "");
    }

    /// Ends it, and checks that it finds its data intact.
    #[track_caller]
    pub fn ends_intact(mut self) {
        self.program.say("end");
        let ended = self.program.end();
        ended.expect_code(7);
        assert!(ended.out().ends_with("\nintact\n"), "{ended:?}");
        assert_eq!(ended.err(), "");
    }

    fn told(&self) -> String {
        let out = self.program.out();
        format!(
            "{:?} {:?} {}{}",
            self.program.status(),
            procfs::threads_with_states(self.pid),
            &out[out.len().saturating_sub(500)..],
            self.program.err()
        )
    }
}

/// Whether a text is the whole state: the main thread and the five worker threads.
pub fn is_whole(text: &str) -> bool {
    text.starts_with(THREAD_HEADING) && text.matches(THREAD_HEADING).count() == 6
}
