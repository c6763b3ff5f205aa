//! Which processes to ask: named by PID, found below a process, or all that carry an agent.

use regex_lite::Regex;
use std::fmt::Display;

use crate::find::carriers::{self, Carrier, Whom};
use crate::find::target::{self, Alive};
use crate::options::Choice;
use crate::system::process::Process;
use crate::trouble::Trouble;

/// A process to ask.
pub struct Chosen {
    /// The process.
    pub process: Process,
    /// Set if the process was found rather than named, or has answered before.
    pub known: Option<Alive>,
}

impl Chosen {
    /// Whether the process was known and has ended since: then it is skipped.
    pub fn is_gone(&self) -> bool {
        self.known.is_some_and(|known| known.status().is_none())
    }
}

/// The processes that match the choice now, each once. `fail` takes what is wrong with a part of the
/// choice; the other parts are followed nevertheless. `whom` is who is found, where none is named.
pub fn chosen(
    choice: &Choice,
    whom: Whom,
    mut fail: impl FnMut(&dyn Display, &Trouble),
) -> Vec<Chosen> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut add = |process: Process, known: Option<Alive>| {
        if chosen.iter().all(|one| one.process != process) {
            chosen.push(Chosen { process, known });
        }
    };
    for typed in choice.named() {
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
    for typed in choice.roots() {
        match target::parse_pid(typed).and_then(|root| carriers::tree(root, whom)) {
            Ok(found) => add_found(found),
            Err(trouble) => fail(&format_args!("PID {typed}"), &trouble),
        }
    }
    for pattern in &choice.name {
        match carriers::all(whom).and_then(|all| matching(pattern, all)) {
            Ok(found) => add_found(found),
            Err(trouble) => fail(&format_args!("--name {pattern}"), &trouble),
        }
    }
    if choice.all {
        match carriers::all(whom) {
            Ok(found) if found.is_empty() => fail(&"--all", &none_found()),
            Ok(found) => add_found(found),
            Err(trouble) => fail(&"--all", &trouble),
        }
    }
    chosen
}

/// Those of which the command line matches a regular expression.
fn matching(pattern: &str, mut all: Vec<Carrier>) -> Result<Vec<Carrier>, Trouble> {
    let expression = Regex::new(pattern).map_err(|error| {
        Trouble::new(
            format!("this is no regular expression ({error})"),
            "put a backslash before characters that are meant as they are, as for `pgrep -f`",
        )
    })?;
    all.retain(|one| expression.is_match(&one.command.arguments().join(" ")));
    if all.is_empty() {
        return Err(Trouble::new(
            "no program of yours that carries a sleeper agent has such a command line",
            "`sa-list` shows all of them; with --load those without an agent are found, too",
        ));
    }
    Ok(all)
}

fn none_found() -> Trouble {
    Trouble::new(
        "no program of yours carries a sleeper agent",
        "start one with `sa-run COMMAND`, or bring it in with `sa-load`; root sees everyone's",
    )
}
