//! One process's state in the formats `full`, for people, and `json`, for programs.

pub mod diff;
pub mod frames;
pub mod full;
pub mod json;
pub mod movement;
pub mod resolve;
pub mod snapshot;
pub mod suspended;
pub mod terminal;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::state::answer::Answer;
use crate::state::thread::Thread;
use crate::state::{Facts, text};
use crate::system::process::Process;
use crate::trouble::Trouble;

/// Changes whenever the meaning of anything in the JSON document does;
/// `launcher/schema/state.json` describes it.
pub const VERSION: u32 = 1;

/// What is told of one process.
#[derive(Debug)]
pub struct Report {
    pub(crate) process: Process,
    /// Its command line.
    pub(crate) command: Vec<String>,
    /// When it was asked, in seconds since 1970, if that is known.
    pub(crate) time: Option<f64>,
    /// Why it is less than it could be.
    pub(crate) note: Option<String>,
    pub(crate) facts: Facts,
}

impl Report {
    /// Of this process, which has given this answer. `command` is its command line, and `times` say
    /// for how long its threads have not run ([`crate::system::idle_times`]).
    pub fn new(
        process: Process,
        command: Vec<String>,
        answer: Answer,
        times: &HashMap<i32, f64>,
    ) -> Result<Report, Trouble> {
        let (note, mut facts) = match answer {
            Answer::Facts(facts) => (None, facts),
            Answer::State(text) => text::parse(&String::from_utf8_lossy(&text)),
            Answer::Reason(reason) => return Err(Trouble::plain(reason)),
        };
        for task in facts.threads.iter_mut().filter_map(|one| one.task.as_mut()) {
            let seconds = times.get(&task.number).copied();
            task.seconds = seconds.filter(|_| !task.runs);
        }
        resolve::look_up(process, &mut facts.threads);
        for wait in facts.threads.iter_mut().filter_map(|one| one.wait.as_mut()) {
            wait.name_child(process);
        }
        Ok(Report {
            process,
            command,
            time: None,
            note,
            facts,
        })
    }

    /// The same, of a process that was asked at this time.
    pub fn asked_at(self, time: SystemTime) -> Report {
        let time = time.duration_since(UNIX_EPOCH).ok();
        Report {
            time: time.map(|time| time.as_millis() as f64 / 1e3),
            ..self
        }
    }

    /// The process, and its command line.
    pub fn of(&self) -> (Process, &[String]) {
        (self.process, &self.command)
    }

    /// Whether it held the GIL when it was asked for.
    pub fn held_gil(&self, thread: &Thread) -> bool {
        self.facts.holder == Some(thread.ident)
    }
}
