//! What came of one activation, and whether it is right.

use crate::header::{Life, Tortured};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::ask::WALK_HEADING;
use tests::interface::THREAD_HEADING;
use tests::process::Ended;

/// What an activation brought. Anything else that may come of one is a loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// The state.
    Answered,
    /// The state without the GIL, and why.
    FromMemory(String),
    /// Nothing, and why.
    Refused(String),
}

/// Reasons that say no more than that a process has just begun, is ending, has become another, or
/// is in somebody else's hands: always right where processes come and go.
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
    // `site` has not come that far.
    "linecache is not imported, and could not be",
    // It has not got a thread of its own yet, and the program's first one was sent round.
    "the calling thread holds the GIL",
];

/// Reasons of an activation that found no process any more.
const TOO_LATE: &[&str] = &[
    "no such process",
    "it has ended (a zombie)",
    // The number is another's by now.
    "this is a thread of process",
];

/// The text with each number as one `#`, so that reasons can be compared and counted.
pub fn normalised(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        let digit = |c: char| c.is_ascii_digit() || c == '#';
        if !digit(next) {
            result.push(next);
            continue;
        }
        result.push('#');
        loop {
            while rest.next_if(|&c| digit(c)).is_some() {}
            // A decimal point has a digit on either side.
            let mut ahead = rest.clone();
            if ahead.next() != Some('.') || !ahead.next().is_some_and(digit) {
                break;
            }
            rest.next();
        }
    }
    result
}

impl Said {
    /// What an ended activator said; a description of it where that is nothing it should say.
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

    /// What a text tells; what is strange about it where that is no state.
    pub fn told(text: &str) -> Result<Said, &'static str> {
        let first = text.lines().next().unwrap_or_default();
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

    /// Nothing, for this reason.
    pub fn refused(reason: &str) -> Said {
        Said::Refused(normalised(reason))
    }

    /// Why there was no answer in full.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Said::Answered => None,
            Said::FromMemory(reason) | Said::Refused(reason) => Some(reason),
        }
    }

    /// Whether it found no process any more.
    pub fn too_late(&self) -> bool {
        matches!(self, Said::Refused(reason) if is_one_of(reason, TOO_LATE))
    }

    /// Whether it is right for this program; `main` if the process asked is the one that the
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

/// Stands before the reason for reading from memory, where nothing was found there.
const NO_FRAMES: &str = "no Python frames were found in memory; ";

fn is_one_of(reason: &str, list: &[&str]) -> bool {
    let reason = reason.strip_prefix(NO_FRAMES).unwrap_or(reason);
    list.iter().any(|known| reason.starts_with(known))
}

/// Whether a line can be one of a state's.
fn belongs(line: &str) -> bool {
    // The last two are marks of a text that says itself that it is not whole.
    let starts = [
        "  ",
        THREAD_HEADING,
        WALK_HEADING,
        "... cut here",
        "... the list of threads could not be followed",
    ];
    line.is_empty() || starts.iter().any(|start| line.starts_with(start))
}

/// What came of all activations of one program.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The state, in full.
    pub answered: u64,
    /// Asked when there was no process any more.
    pub too_late: u64,
    /// Read from memory: how often for which reason.
    pub from_memory: BTreeMap<String, u64>,
    /// Refused: how often for which reason.
    pub refused: BTreeMap<String, u64>,
    /// The longest that one took.
    pub worst: Duration,
}

impl Tally {
    /// Takes one down. Returns whether it counts as an activation.
    pub fn take(&mut self, said: &Said, took: Duration) -> bool {
        self.worst = self.worst.max(took);
        if said.too_late() {
            self.too_late += 1;
            return false;
        }
        // What to do about it, behind the semicolon, does not belong into a table.
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

    /// Adds another's.
    pub fn add(&mut self, other: &Tally) {
        self.answered += other.answered;
        self.too_late += other.too_late;
        self.worst = self.worst.max(other.worst);
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

/// How often all of these reasons were given.
pub fn count(reasons: &BTreeMap<String, u64>) -> u64 {
    reasons.values().sum()
}
