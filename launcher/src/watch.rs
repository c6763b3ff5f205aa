//! Round after round of questions: the life of `sleeper_agent_activate`.
//!
//! One round chooses the processes, asks them side by side and prints each answer as it comes. Without
//! `--watch` there is one round. With it the next round compares every answer with the last of the same
//! process.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use crate::ask::allowance::Allowance;
use crate::ask::{self, AskOptions, side_by_side};
use crate::find::chosen::{self, Chosen};
use crate::find::order;
use crate::find::target::Alive;
use crate::options::activate::Arguments;
use crate::options::{Choice, Format};
use crate::printable::Printable;
use crate::report::movement::Movements;
use crate::report::{Report, terminal};
use crate::state::answer::Answer;
use crate::system::process::Process;
use crate::system::{idle_times, interrupt};
use crate::trouble::Trouble;
use protocol::question::Question;

/// Processes asked at a time. To wait for an answer takes a thread, and next to nothing besides; how many
/// debuggers run at once has a limit of its own ([`ask::allowance`]).
const AT_A_TIME: usize = 1024;

/// The most processes that are asked through gdb before a signal is tried, where the user leaves that open.
const FEW: usize = 8;

/// Asks the processes that the arguments choose, once or, with `--watch`, until they have ended or we
/// are told to stop. Prints the answers; returns the exit status.
pub fn run(arguments: Arguments) -> ExitCode {
    let mut failed = false;
    let mut fail = |whom: &dyn fmt::Display, trouble: &Trouble| {
        complain(format_args!("{whom}: {trouble}"));
        failed = true;
    };
    let pause = arguments.watch;
    let (choice, asking) = Asking::new(arguments);
    let asking = Arc::new(asking);
    let mut chosen = chosen::chosen(&choice, &mut fail);
    // From here on we may hold a program, and must let it go before we end.
    interrupt::watch();
    let mut last: HashMap<i32, Arc<Look>> = HashMap::new();
    let mut stuck = Vec::new();
    loop {
        let begun = Instant::now();
        let (looks, heard) = Asking::round(&asking, chosen, &last, &mut stuck, &mut fail);
        let Some(pause) = pause.filter(|_| heard) else {
            // The looks may hold millions of frames, which the end of this process frees faster.
            std::mem::forget(looks);
            break;
        };
        for look in looks {
            last.insert(look.alive.process.pid, Arc::new(look));
        }
        if last.is_empty() {
            // No process has answered.
            break;
        }
        interrupt::sleep_until(begun + pause);
        chosen = chosen_again(&choice, &mut last);
        // Each of these keeps a thread of ours.
        chosen.retain(|one| !stuck.contains(&one.process));
        if chosen.is_empty() || interrupt::asked_to_stop().is_some() {
            break;
        }
    }
    match interrupt::asked_to_stop() {
        Some(signal) => ExitCode::from(128 + signal as u8),
        None if failed => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

/// A process to ask, and its last answer.
struct Task {
    chosen: Chosen,
    last: Option<Arc<Look>>,
}

/// What came of it: the heading, and the text to print or why there is none.
type Asked = (Option<String>, Result<(Vec<u8>, Option<Look>), Trouble>);

/// What stays the same from round to round.
struct Asking {
    options: AskOptions,
    format: Format,
    /// Whether each state stands under a heading.
    headed: bool,
    coloured: bool,
    /// The reasons for asking without a debugger that the user has read.
    notes: Mutex<HashSet<String>>,
}

impl Asking {
    /// Takes the arguments apart: which processes to ask, and how.
    fn new(arguments: Arguments) -> (Choice, Asking) {
        let format = arguments.format();
        let choice = arguments.choice;
        let finds = choice.all || !choice.children.is_empty();
        let headed = match format {
            Format::Plain => choice.pids.len() > 1 || finds,
            Format::Full => true,
            Format::Json => false,
        };
        let question = arguments.variables.add_to(Question {
            state: format != Format::Plain,
            greenlets: arguments.greenlets,
            hold: arguments.hold,
            ..Question::default()
        });
        let asking = Asking {
            options: AskOptions {
                question,
                via: arguments.via,
                gdb: arguments.gdb,
                timeout: arguments.timeout,
                verbose: arguments.verbose,
            },
            format,
            headed,
            coloured: format == Format::Full && terminal::has_colours(),
            notes: Mutex::new(HashSet::new()),
        };
        (choice, asking)
    }

    /// Asks every chosen process and prints its answer. Returns the answers for the next round, and
    /// whether all of them could be written: if nobody reads them, another round is in vain. Adds the
    /// processes that keep a thread of ours to `stuck`.
    fn round(
        asking: &Arc<Asking>,
        chosen: Vec<Chosen>,
        last: &HashMap<i32, Arc<Look>>,
        stuck: &mut Vec<Process>,
        fail: &mut impl FnMut(&dyn fmt::Display, &Trouble),
    ) -> (Vec<Look>, bool) {
        let (mut looks, mut heard) = (Vec::new(), true);
        let signal_first = chosen.len() > FEW;
        let tasks = order::in_turn(chosen).into_iter().map(|chosen| Task {
            last: last.get(&chosen.process.pid).cloned(),
            chosen,
        });
        let ask = {
            let asking = asking.clone();
            move |task: &Task, allowance: &Allowance| asking.ask(task, signal_first, allowance)
        };
        let late = |task: &Task, allowance: &Allowance| {
            let process = task.chosen.process;
            stuck.push(process);
            let heading = asking.headed.then(|| process.to_string());
            (heading, Err(stuck_in(allowance)))
        };
        let done = |task: &Task, (heading, state): Asked| match state {
            Ok((state, look)) => {
                looks.extend(look);
                if let Err(trouble) = terminal::print(heading.as_deref(), &state, asking.coloured) {
                    heard = false;
                    fail(&task.chosen.process, &trouble);
                }
            }
            Err(_) if task.chosen.is_gone() => {}
            Err(trouble) => fail(&task.chosen.process, &trouble),
        };
        let time = asking.options.time();
        side_by_side::each(tasks.collect(), AT_A_TIME, time, ask, late, done);
        (looks, heard)
    }

    /// Asks a process.
    fn ask(&self, task: &Task, signal_first: bool, allowance: &Allowance) -> Asked {
        let process = task.chosen.process;
        // The command line is read first: by the time of the answer it may have changed or be gone.
        let command = process.command_line();
        let heading = self.headed.then(|| terminal::heading(process, &command));
        let state = self.state_of(task, command, signal_first, allowance);
        (heading, state)
    }

    /// Asks a process and formats its answer.
    fn state_of(
        &self,
        task: &Task,
        command: Vec<String>,
        signal_first: bool,
        allowance: &Allowance,
    ) -> Result<(Vec<u8>, Option<Look>), Trouble> {
        let process = task.chosen.process;
        let answer_of = || self.answer_of(process, signal_first, allowance);
        if self.format == Format::Plain {
            return match answer_of()? {
                Answer::Text(text) => Ok((text, None)),
                answer => {
                    let times = HashMap::new();
                    let report = Report::new(process, command, answer, &times, allowance.until())?;
                    Ok((report.full().into_bytes(), None))
                }
            };
        }
        let alive = Alive::exists(process).ok();
        let time = SystemTime::now();
        // The idle times are read beside the question, as both take equally long, and as the question
        // wakes threads that slept.
        let (answer, times) = thread::scope(|scope| {
            let builder = thread::Builder::new().name("idle-times".to_owned());
            let until = allowance.until();
            let times = builder.spawn_scoped(scope, move || idle_times::of(process, until));
            let answer = answer_of();
            (answer, times.ok().and_then(|times| times.join().ok()))
        });
        let times = times.unwrap_or_default();
        let report = Report::new(process, command, answer?, &times, allowance.until())?;
        let report = report.asked_at(time);
        let last = task.last.as_deref();
        let movements =
            last.map(|last| Movements::between(&last.report, &report, last.movements.as_ref()));
        let text = match (self.format, &movements) {
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

    /// Asks a process. If that takes another way than the usual one, prints why, once per reason.
    fn answer_of(
        &self,
        process: Process,
        signal_first: bool,
        allowance: &Allowance,
    ) -> Result<Answer, Trouble> {
        ask::ask(process, &self.options, signal_first, allowance, |why| {
            let what = why.what();
            let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
            if notes.insert(what.to_owned()) {
                let what = Printable(what);
                complain(format_args!(
                    "{process}: asked without a debugger, as {what}"
                ));
            }
        })
    }
}

/// The trouble of a process that keeps the thread that asks it.
fn stuck_in(allowance: &Allowance) -> Trouble {
    Trouble::new(
        format!(
            "it was not looked at to the end within {} s, as Linux does not show its files in /proc in time",
            allowance.time().as_secs_f64()
        ),
        "look at the process by other means (`ps`, `gdb -p`)",
    )
}

/// A process's answer, kept for comparison with the next.
struct Look {
    alive: Alive,
    report: Report,
    /// What had moved since the answer before, if there was one.
    movements: Option<Movements>,
}

/// The processes for the next round: those that have answered and still run, and those that the choice
/// finds by now.
fn chosen_again(choice: &Choice, last: &mut HashMap<i32, Arc<Look>>) -> Vec<Chosen> {
    last.retain(|_, look| {
        let there = look.alive.status().is_some();
        if !there {
            complain(format_args!("{}: it has ended", look.alive.process));
        }
        there
    });
    // The first round has reported what is wrong with the choice.
    let mut chosen = chosen::chosen(choice, |_, _| ());
    for one in &mut chosen {
        let look = last.get(&one.process.pid);
        one.known = one.known.or(look.map(|look| look.alive));
    }
    chosen.retain(|one| one.known.is_some());
    for look in last.values() {
        let process = look.alive.process;
        if chosen.iter().all(|one| one.process != process) {
            let known = Some(look.alive);
            chosen.push(Chosen { process, known });
        }
    }
    chosen
}

/// Writes one line on standard error.
pub fn complain(line: fmt::Arguments) {
    // A single write: this process may be killed. If nobody can read the line, nothing is left to do.
    let line = format!("sleeper_agent_activate: {line}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}
