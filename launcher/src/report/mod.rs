//! Reports: one process's state in the formats `full`, for people, and `json`, for programs.
//!
//! Enters: an [`Answer`], and the process that gave it. Leaves: text. [`Report::new`] adds what the
//! kernel lists outside of the process ([`resolve`]); then [`full`] and [`json`] write it, [`movement`]
//! compares it with an earlier one, [`snapshot`] and [`diff`] read and compare those in files, and
//! [`terminal`] prints. What stands above all states is the [`verdict`], for which states wait for others
//! ([`together`]).
//!
//! Programs read these formats. The lines of `full` and the keys of `json` stay as they are;
//! `launcher/schema/state.json` describes the latter, and [`json::VERSION`] changes with any meaning in
//! it. Text that comes from a program passes through [`crate::printable::Printable`] before it is
//! written. A report may be long: it goes out in parts as it is made ([`page`]).

pub mod between_processes;
pub mod colours;
mod comparison;
pub mod diff;
mod fold;
pub mod frames;
pub mod full;
pub mod idle;
pub mod json;
mod json_circles;
pub mod json_frames;
pub mod json_suspended;
mod lock_holders;
mod lock_places;
pub mod movement;
mod native_lines;
mod other_ends;
pub mod page;
mod parts;
pub mod resolve;
mod room;
pub mod snapshot;
mod snapshot_text;
mod snapshot_threads;
pub mod suspended;
pub mod terminal;
pub mod together;
pub mod verdict;
mod waits;
mod wakers;

use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::find::no_agent;
use crate::native;
use crate::secrets::Secrets;
use crate::state::answer::Answer;
use crate::state::frame::Frame;
use crate::state::thread::Thread;
use crate::state::{State, text};
use crate::system::process::{CommandLine, Process};
use crate::trouble::Trouble;

/// Said where an answer has no line of source, and the agent is under a filter.
const FILTERED: &str = "Lines of source, and what the kernel says of threads, may be missing: the agent is under a \
                        filter of system calls (seccomp), as its program has fenced itself in";

/// Whether no frame of any thread has its line of source.
fn has_no_source(state: &State) -> bool {
    let frames = || state.threads.iter().flat_map(|thread| thread.frames.iter());
    let has_source = |frame: &Frame| matches!(frame, Frame::At(place) if !place.source.is_empty());
    frames().next().is_some() && !frames().any(has_source)
}

/// The state of one process, at one moment.
#[derive(Debug)]
pub struct Report {
    pub(crate) process: Process,
    /// Its command line.
    pub(crate) command: Vec<String>,
    /// When it was asked, in seconds since 1970, if that is known.
    pub(crate) time: Option<f64>,
    /// Why there is nothing but stacks, or not even those, if so.
    pub(crate) note: Option<String>,
    pub(crate) state: State,
    /// What is hidden of it.
    pub(crate) secrets: Secrets,
}

impl Report {
    /// A report of what this process answered. `command` is its command line; `times` says, by TID,
    /// how long its threads have been off the CPU, in seconds ([`crate::system::idle_times`]). What looks
    /// like one of the `secrets` is not shown. `native` says which native frames are shown. What the kernel lists is looked up as far as that is done by
    /// `until`.
    pub fn new(
        process: Process,
        command: CommandLine,
        answer: Answer,
        times: &HashMap<i32, f64>,
        secrets: &Secrets,
        native: native::Asked,
        until: Instant,
    ) -> Result<Report, Trouble> {
        let (note, mut state) = match answer {
            Answer::State(mut state) => (state.from_memory.take(), *state),
            Answer::Text(text) => text::parse(&text),
            Answer::Reason(reason) if idle::is_idle(&reason) => {
                (Some(reason), idle::state(process))
            }
            Answer::Reason(reason) if reason == no_agent::NOT_PYTHON => {
                return Err(Trouble::new(reason, no_agent::below_it(process)));
            }
            Answer::Reason(reason) => return Err(Trouble::plain(reason)),
        };
        native::look_up(process, &mut state, native, until);
        if note.is_some() {
            state.name_who_keeps_gil();
        }
        let mut shown: Vec<&mut Thread> =
            state.threads.iter_mut().chain(&mut state.others).collect();
        let tasks = shown.iter_mut().filter_map(|one| one.task.as_mut());
        for task in tasks.filter(|task| !task.runs) {
            task.seconds = times.get(&task.number).copied();
        }
        resolve::look_up(process, shown, secrets, until);
        lock_places::look_up(process, &mut state.process_locks, &state.threads, until);
        let has_details = note.is_none() || state.holder.is_some();
        if has_details && has_no_source(&state) && no_agent::is_filtered(process) {
            state.left_out.push(FILTERED.to_owned());
        }
        Ok(Report {
            process,
            command: secrets.command_line(command.arguments()),
            time: None,
            note,
            state,
            secrets: secrets.clone(),
        })
    }

    /// The same report, of a process that was asked at this time.
    pub fn asked_at(self, time: SystemTime) -> Report {
        let time = time.duration_since(UNIX_EPOCH).ok();
        Report {
            time: time.map(|time| time.as_millis() as f64 / 1e3),
            ..self
        }
    }

    /// Forgets all but what the next report on the process is compared with. Returns whether that takes no
    /// more memory than this, in bytes, and there is as much.
    pub fn shrink(&mut self, most: usize) -> bool {
        self.state.shrink();
        self.state.memory.taken() <= most && self.state.memory.keep()
    }

    /// Whether this thread held the GIL when it was asked for.
    pub fn held_gil(&self, thread: &Thread) -> bool {
        self.state.holder == Some(thread.ident)
    }
}
