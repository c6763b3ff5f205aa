//! The outcome of one activation, and whether it is right.

use crate::header::{Life, Tortured};
use crate::loads::Loads;
use crate::reasons::normalised;
use protocol::names::{NO_FRAMES, OTHER_HEADING, THREAD_HEADING};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::ask::WALK_HEADING;
use tests::ended::Ended;

/// The outcome of an activation. Any other outcome is a loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The state.
    Answered,
    /// The state without the GIL, and why.
    FromMemory(String),
    /// Nothing, and why.
    Refused(String),
}

/// Reasons that only say that a process has just begun, is ending, has executed another program, or
/// is traced by another process: always right where processes come and go.
const COMES_AND_GOES: &[&str] = &[
    "it exited while it was being asked",
    "its main thread has ended while others run on",
    "it replaced its program (exec) while it was being asked",
    "its program has only just started",
    "there is no sleeper agent in it",
    "its agent has no thread that waits for a wake-up signal",
    "its agent has not started",
    "the interpreter is not initialised yet",
    "the interpreter is shutting down",
    "the interpreter has been shut down",
    "no thread is running Python code at the moment",
    "the agent starts when this program next runs Python code",
    "it is being traced by PID",
    "it is stopped",
    "the agent is just starting",
    // `site` has not got that far.
    "linecache is not imported, and could not be imported",
    // The agent has no thread yet, and gdb diverted the program's first thread.
    "the calling thread holds the GIL",
];

/// Reasons of an activation that came after the process had ended.
const TOO_LATE: &[&str] = &[
    "no such process",
    "it has ended (a zombie)",
    // The number belongs to another thread by now.
    "this is a thread of process",
];

impl Said {
    /// What an ended activator said, or a description of it if it should not say that.
    pub fn of(ended: &Ended) -> Result<Said, String> {
        let (out, err) = (ended.out(), ended.err());
        let strange = |what: &str| {
            let status = ended.status;
            Err(format!(
                "the activator {what}, {status}\n--- its stdout\n{out}\n--- its stderr\n{err}"
            ))
        };
        match ended.status.code() {
            Some(0) if !err.is_empty() => strange("complained"),
            Some(0) => Said::told(&out).or_else(strange),
            Some(1) if out.is_empty() => {
                let reason = err.lines().find_map(|line| {
                    let (_, rest) = line.split_once(": PID ")?;
                    Some(rest.split_once(": ")?.1)
                });
                match reason {
                    Some(reason) => Ok(Said::refused(reason)),
                    None => strange("gave no reason"),
                }
            }
            _ => strange("failed"),
        }
    }

    /// The outcome that a text shows, or what is strange about the text if it is not a state.
    pub fn told(text: &str) -> Result<Said, &'static str> {
        let first = text.lines().next().unwrap_or_default();
        if let Some(reason) = text
            .lines()
            .find_map(|line| line.strip_prefix("No stacks: "))
        {
            return match text.lines().any(|line| line.starts_with(OTHER_HEADING)) {
                true => Ok(Said::refused(reason)),
                false => Err("told of no thread"),
            };
        }
        if !text.lines().any(|line| line.starts_with(THREAD_HEADING)) {
            return Err("told of no thread");
        }
        if !text.lines().all(belongs) {
            return Err("told what is no stack");
        }
        if first.starts_with(THREAD_HEADING) {
            return Ok(Said::Answered);
        }
        let Some(tail) = first.strip_prefix(WALK_HEADING) else {
            return Err("told something else before");
        };
        let reason = tail.split_once(": ").map_or(tail, |(_, reason)| reason);
        Ok(Said::FromMemory(normalised(reason)))
    }

    /// No state, for this reason.
    pub fn refused(reason: &str) -> Said {
        Said::Refused(normalised(reason))
    }

    /// The reason why there was no full answer.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Said::Answered => None,
            Said::FromMemory(reason) | Said::Refused(reason) => Some(reason),
        }
    }

    /// Whether the process had already ended.
    pub fn too_late(&self) -> bool {
        matches!(self, Said::Refused(reason) if is_one_of(reason, TOO_LATE))
    }

    /// Whether it is right for this program; `main` if the asked process is the process that the
    /// runner started.
    pub fn is_right(&self, tortured: &Tortured, main: bool) -> bool {
        let Some(reason) = self.reason() else {
            return true;
        };
        let passes = tortured.life == Life::Brief || !main;
        tortured.may_say.iter().any(|text| reason.contains(text))
            || passes && (is_one_of(reason, COMES_AND_GOES) || self.too_late())
    }
}

fn is_one_of(reason: &str, list: &[&str]) -> bool {
    let reason = reason.strip_prefix(NO_FRAMES).unwrap_or(reason);
    list.iter().any(|known| reason.starts_with(known))
}

/// Whether a line can belong to a state.
fn belongs(line: &str) -> bool {
    // The last two mark a text that itself says that it is incomplete.
    let starts = [
        "  ",
        THREAD_HEADING,
        WALK_HEADING,
        "... cut here",
        "... the list of threads could not be followed",
    ];
    line.is_empty() || starts.iter().any(|start| line.starts_with(start))
}

/// The outcomes of all activations of one program.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The state, in full.
    pub answered: u64,
    /// Asked after the process had ended.
    pub too_late: u64,
    /// Read from memory: how often for each reason.
    pub from_memory: BTreeMap<String, u64>,
    /// Refused: how often for each reason.
    pub refused: BTreeMap<String, u64>,
    /// The longest duration of an activation.
    pub worst: Duration,
    /// The loads before them, where the program was started without the agent.
    pub loads: Loads,
}

impl Tally {
    /// Records an outcome. Returns whether it counts as an activation.
    pub fn take(&mut self, said: &Said, took: Duration) -> bool {
        self.worst = self.worst.max(took);
        if said.too_late() {
            self.too_late += 1;
            return false;
        }
        // The advice after the semicolon does not belong into a table.
        let short = |reason: &str| {
            let (first, rest) = match reason.strip_prefix(NO_FRAMES) {
                Some(rest) => (NO_FRAMES, rest),
                None => ("", reason),
            };
            first.to_owned() + rest.split("; ").next().unwrap_or_default()
        };
        match said {
            Said::Answered => self.answered += 1,
            Said::FromMemory(reason) => *self.from_memory.entry(short(reason)).or_default() += 1,
            Said::Refused(reason) => *self.refused.entry(short(reason)).or_default() += 1,
        }
        true
    }

    /// All activations that found a process.
    pub fn activations(&self) -> u64 {
        self.answered + count(&self.from_memory) + count(&self.refused)
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        self.answered += other.answered;
        self.too_late += other.too_late;
        self.worst = self.worst.max(other.worst);
        self.loads.add(&other.loads);
        for (mine, theirs) in [
            (&mut self.from_memory, &other.from_memory),
            (&mut self.refused, &other.refused),
        ] {
            for (reason, times) in theirs {
                *mine.entry(reason.clone()).or_default() += times;
            }
        }
    }
}

/// How often these reasons were given, all together.
pub fn count(reasons: &BTreeMap<String, u64>) -> u64 {
    reasons.values().sum()
}
