//! Which processes are to be asked: by their numbers, by their tree, or all that there are.

use std::fmt::Display;

use crate::find::carriers::{self, Carrier};
use crate::find::target::{self, Alive};
use crate::options::Choice;
use crate::system::process::Process;
use crate::trouble::Trouble;

/// A process to ask.
pub struct Asked {
    /// The process.
    pub process: Process,
    /// Where it was not named, but found, or has answered before.
    pub known: Option<Alive>,
}

impl Asked {
    /// Whether it was known, and has ended since: then there is nothing to tell of it.
    pub fn is_gone(&self) -> bool {
        self.known.is_some_and(|known| known.status().is_none())
    }
}

/// The processes of this choice as they are now, each once. What is wrong with one that was named is
/// told, and the others are asked.
pub fn chosen(choice: &Choice, mut fail: impl FnMut(&dyn Display, &Trouble)) -> Vec<Asked> {
    let mut asked: Vec<Asked> = Vec::new();
    let mut add = |process: Process, known: Option<Alive>| {
        if asked.iter().all(|one| one.process != process) {
            asked.push(Asked { process, known });
        }
    };
    for typed in &choice.pids {
        match target::parse_pid(typed) {
            Ok(process) => add(process, None),
            Err(trouble) => fail(&format_args!("PID {typed}"), &trouble),
        }
    }
    let mut add_found = |found: Vec<Carrier>| {
        for one in found {
            add(one.alive.process, Some(one.alive));
        }
    };
    for typed in &choice.children {
        match target::parse_pid(typed).and_then(carriers::tree) {
            Ok(found) => add_found(found),
            Err(trouble) => fail(&format_args!("PID {typed}"), &trouble),
        }
    }
    if choice.all {
        match carriers::all() {
            Ok(found) if found.is_empty() => fail(&"--all", &nobody()),
            Ok(found) => add_found(found),
            Err(trouble) => fail(&"--all", &trouble),
        }
    }
    asked
}

fn nobody() -> Trouble {
    Trouble::new(
        "no program of yours carries a sleeper agent",
        "start one with `sa-run COMMAND`, or let it `import sleeper_agent`; root sees everyone's",
    )
}
