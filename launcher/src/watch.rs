//! One look at the processes, and the next: the loop of `sleeper_agent_activate`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use crate::ask::{self, Manner};
use crate::find::chosen::{self, Asked};
use crate::find::target::Alive;
use crate::options::{Choice, Format};
use crate::printable::Printable;
use crate::report::Report;
use crate::report::movement::Movements;
use crate::state::answer::Answer;
use crate::system::idle_times;
use crate::system::process::Process;
use crate::trouble::Trouble;

/// Asks one process. That it is done in another way than usual is said, for each reason once.
pub fn answer_of(
    process: Process,
    manner: &Manner,
    notes: &Mutex<HashSet<String>>,
) -> Result<Answer, Trouble> {
    let note = |why: &Trouble| {
        let what = why.what();
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.insert(what.to_owned()) {
            let what = Printable(what);
            complain(format_args!(
                "{process}: asked without a debugger, as {what}"
            ));
        }
    };
    ask::ask(process, manner, note)
}

/// An answer, for the next look to be compared with.
pub struct Look {
    /// The process that gave it.
    pub alive: Alive,
    report: Report,
    /// What had moved, if it was not the first.
    movements: Option<Movements>,
}

/// Asks, and makes the state of the answer, in a format; `last` is the look before, if there was one.
pub fn state_of(
    process: Process,
    command: Vec<String>,
    format: Format,
    last: Option<&Look>,
    ask: impl FnOnce() -> Result<Answer, Trouble>,
) -> Result<(Vec<u8>, Option<Look>), Trouble> {
    if format == Format::Plain {
        return match ask()? {
            Answer::Text(text) => Ok((text, None)),
            answer => Report::new(process, command, answer, &HashMap::new())
                .map(|report| (report.full().into_bytes(), None)),
        };
    }
    let alive = Alive::exists(process).ok();
    let time = SystemTime::now();
    // Meanwhile, as it takes as long; and our question wakes threads that slept.
    let (answer, times) = thread::scope(|scope| {
        let builder = thread::Builder::new().name("idle-times".to_owned());
        let times = builder.spawn_scoped(scope, || idle_times::of(process));
        (ask(), times.ok().and_then(|times| times.join().ok()))
    });
    let report = Report::new(process, command, answer?, &times.unwrap_or_default())?.asked_at(time);
    let movements =
        last.map(|last| Movements::between(&last.report, &report, last.movements.as_ref()));
    let text = match (format, &movements) {
        (Format::Json, _) => report.json(),
        (_, Some(movements)) => report.full_since(movements),
        (_, None) => report.full(),
    };
    let look = alive.map(|alive| Look {
        alive,
        report,
        movements,
    });
    Ok((text.into_bytes(), look))
}

/// Whom to ask at the next look: all that have answered and have not ended, and who has come since.
pub fn asked_again(choice: &Choice, last: &mut HashMap<i32, Look>) -> Vec<Asked> {
    last.retain(|_, look| {
        let there = look.alive.status().is_some();
        if !there {
            complain(format_args!("{}: it has ended", look.alive.process));
        }
        there
    });
    // What was wrong with the choice has been told.
    let mut asked = chosen::chosen(choice, |_, _| ());
    for one in &mut asked {
        let look = last.get(&one.process.pid);
        one.known = one.known.or(look.map(|look| look.alive));
    }
    asked.retain(|one| one.known.is_some());
    for look in last.values() {
        let process = look.alive.process;
        if asked.iter().all(|one| one.process != process) {
            let known = Some(look.alive);
            asked.push(Asked { process, known });
        }
    }
    asked
}

/// Writes a line about what went wrong on standard error, in one piece.
pub fn complain(line: fmt::Arguments) {
    // In one piece, as we may be killed. With nobody to read it there is nothing to be done.
    let line = format!("sleeper_agent_activate: {line}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
