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
use std::time::{Duration, Instant, SystemTime};

use crate::ask::allowance::Allowance;
use crate::ask::{self, AskOptions, side_by_side};
use crate::find::carriers::{self, Whom};
use crate::find::chosen::{self, Chosen};
use crate::find::library::{self, Library};
use crate::find::order;
use crate::find::target::{self, Alive};
use crate::native;
use crate::options::activate::Arguments;
use crate::options::extent::Extent;
use crate::options::{Choice, Format, Via};
use crate::printable::Printable;
use crate::report::movement::Movements;
use crate::report::together::{Held, Together};
use crate::report::{Report, page, terminal};
use crate::secrets::Secrets;
use crate::state::answer::Answer;
use crate::state::budget::AnswerBytes;
use crate::system::process::{CommandLine, Process};
use crate::system::{idle_times, interrupt, own_limits, standard_output, supervisor};
use crate::trouble::Trouble;
use protocol::question::Question;

/// Processes asked at a time, if there are descriptors for as many. To wait for an answer takes a thread, and next to nothing besides; how many
/// debuggers run at once has a limit of its own ([`ask::allowance`]).
const AT_A_TIME: usize = 1024;

/// The most processes that are asked through gdb before a signal is tried, where the user leaves that open.
const FEW: usize = 8;

/// Asks the processes that the arguments choose, once or, with `--watch`, until they have ended or we
/// are told to stop. Prints the answers; returns the exit status.
pub fn run(arguments: Arguments) -> ExitCode {
    own_limits::share_memory();
    // From here on we may be held up by whom we look at, and may hold a program, which must be let go before we end.
    supervisor::start();
    let status = look(arguments);
    if interrupt::asked_to_stop().is_some() {
        // The questions under way are left alone.
        supervisor::note_stuck();
    }
    supervisor::leave(status);
    ExitCode::from(status)
}

/// Looks at the processes that the arguments choose, and returns the exit status.
fn look(arguments: Arguments) -> u8 {
    // Those that keep a thread of ours.
    let mut stuck = Vec::new();
    let mut failed = false;
    let mut fail = |whom: &dyn fmt::Display, trouble: &Trouble| {
        complain(format_args!("{whom}: {trouble}"));
        failed = true;
    };
    let pause = arguments.watch;
    let library = match arguments.load.then(library::own).transpose() {
        Ok(library) => library,
        Err(trouble) => {
            complain(format_args!("{trouble}"));
            return 1;
        }
    };
    let whom = match library {
        Some(_) => Whom::Pythons,
        None => Whom::Carriers,
    };
    let (choice, asking) = Asking::new(arguments, library);
    let asking = Arc::new(asking);
    let mut last: HashMap<i32, Look> = HashMap::new();
    let mut begun = Instant::now();
    let mut chosen = chosen::chosen(&choice, whom, &mut fail);
    loop {
        let (looks, heard) = Asking::round(&asking, chosen, begun, &last, &mut stuck, &mut fail);
        let Some(pause) = pause.filter(|_| heard) else {
            break;
        };
        for look in looks {
            last.insert(look.alive.process.pid, look);
        }
        if last.is_empty() {
            // No process has answered.
            break;
        }
        interrupt::sleep_until(begun + pause);
        begun = Instant::now();
        chosen = chosen_again(&choice, whom, &mut last);
        // Each of these keeps a thread of ours.
        chosen.retain(|one| !stuck.contains(&one.process));
        if chosen.is_empty() || interrupt::asked_to_stop().is_some() {
            break;
        }
    }
    match interrupt::asked_to_stop() {
        Some(signal) => 128 + signal as u8,
        None => u8::from(failed || standard_output::is_broken()),
    }
}

/// Says what could not be written, unless whoever read it has enough of it.
fn fail_unless_unheard(
    fail: &mut impl FnMut(&dyn fmt::Display, &Trouble),
    process: Process,
    trouble: &Trouble,
) {
    if !standard_output::is_broken() {
        fail(&process, trouble);
    }
}

/// What stays the same from round to round.
struct Asking {
    options: AskOptions,
    /// What is hidden.
    secrets: Secrets,
    /// Which native frames are shown.
    native: native::Asked,
    /// Whether another round follows.
    watches: bool,
    format: Format,
    /// How much of each state is shown.
    extent: Extent,
    /// Whether each state stands under a heading.
    headed: bool,
    coloured: bool,
    /// How many processes are asked side by side.
    at_a_time: usize,
    /// The reasons for asking without a debugger that the user has read.
    notes: Mutex<HashSet<String>>,
}

impl Asking {
    /// Takes the arguments apart: which processes to ask, and how.
    fn new(arguments: Arguments, load: Option<Library>) -> (Choice, Asking) {
        let format = arguments.format();
        let choice = arguments.choice;
        let headed = match format {
            Format::Plain => choice.named().len() > 1 || choice.finds(),
            Format::Full => true,
            Format::Json => false,
        };
        let question = arguments.variables.add_to(Question {
            state: format != Format::Plain,
            greenlets: arguments.greenlets,
            native: arguments.native,
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
                load,
            },
            secrets: Secrets::of(&question),
            native: native::Asked {
                all: arguments.native,
                may_hold: arguments.via != Some(Via::Wake),
            },
            watches: arguments.watch.is_some(),
            format,
            extent: arguments.extent,
            headed,
            coloured: format == Format::Full && terminal::has_colours(),
            at_a_time: own_limits::questions_at_a_time(AT_A_TIME),
            notes: Mutex::new(HashSet::new()),
        };
        (choice, asking)
    }

    /// Asks every chosen process and prints its answer. Returns the answers for the next round, and
    /// whether all of them could be written: if nobody reads them, another round is in vain. Adds the
    /// processes that keep a thread of ours to `stuck`. The round began with the search for the processes.
    fn round(
        asking: &Arc<Asking>,
        chosen: Vec<Chosen>,
        begun: Instant,
        last: &HashMap<i32, Look>,
        stuck: &mut Vec<Process>,
        fail: &mut impl FnMut(&dyn fmt::Display, &Trouble),
    ) -> (Vec<Look>, bool) {
        let (mut looks, mut heard) = (Vec::new(), true);
        let (mut answered, mut gone) = (false, None);
        let count = chosen.len();
        // An agent that has just been brought in listens, and a debugger takes longer.
        let signal_first = count > FEW || asking.options.load.is_some();
        let ask = {
            let asking = asking.clone();
            move |one: &Chosen, allowance: &Allowance| {
                // The command line is read first: by the time of the answer it may have changed or be gone.
                let command = one.process.command_line();
                asking.state_of(one.process, command, signal_first, allowance)
            }
        };
        let late = |one: &Chosen, allowance: &Allowance| {
            supervisor::note_stuck();
            stuck.push(one.process);
            Err(stuck_in(allowance))
        };
        let most = page::share_of(count);
        let (mut together, mut open) = (Together::default(), count);
        let mut done = |done: Option<(&Chosen, Result<Told, Trouble>)>| {
            if let Some((one, state)) = done {
                open -= 1;
                answered |= state.is_ok();
                match state {
                    Ok(Told::Report(alive, report)) if asking.format == Format::Full => {
                        let last = last.get(&one.process.pid);
                        let movements = last.and_then(|last| last.movements_to(&report));
                        together.take(Held {
                            alive,
                            report,
                            movements,
                        });
                    }
                    Ok(told) => {
                        if let Err(trouble) = asking.print(&told, most) {
                            heard = false;
                            fail_unless_unheard(fail, one.process, &trouble);
                        }
                        let look = || Look::of(told.into_held()?, count);
                        looks.extend(asking.watches.then(look).flatten());
                    }
                    Err(_) if one.is_gone() => gone = Some(one.process),
                    Err(trouble) => fail(&one.process, &trouble),
                }
            }
            if open == 0 || together.are_due() || interrupt::asked_to_stop().is_some() {
                let unheard = |process: Process, trouble: &Trouble| {
                    heard = false;
                    fail_unless_unheard(fail, process, trouble);
                };
                let printed = together.print(open, &asking.extent, asking.coloured, most, unheard);
                let printed = printed.into_iter().filter(|_| asking.watches);
                looks.extend(printed.filter_map(|held| Look::of(held, count)));
            }
        };
        let time = asking.options.time();
        let chosen = order::in_turn(chosen);
        // Who has held the search up does so a second time.
        let spent = match carriers::have_kept_us_waiting() {
            true => begun.elapsed().min(time / 2),
            false => Duration::ZERO,
        };
        side_by_side::each(
            chosen,
            asking.at_a_time,
            (time, spent),
            ask,
            late,
            &mut done,
        );
        // A signal may have ended it before all had answered.
        done(None);
        if let Some(process) = gone.filter(|_| last.is_empty() && !answered) {
            // There is nothing else to say.
            fail(&process, &target::exited());
        }
        (looks, heard)
    }

    /// Asks a process, whose command line this is.
    fn state_of(
        &self,
        process: Process,
        command: CommandLine,
        signal_first: bool,
        allowance: &Allowance,
    ) -> Result<Told, Trouble> {
        let answer_of = || self.answer_of(process, signal_first, allowance);
        let report = |command, answer, times: &HashMap<i32, f64>| {
            let until = allowance.until();
            Report::new(
                process,
                command,
                answer,
                times,
                &self.secrets,
                self.native,
                until,
            )
        };
        if self.format == Format::Plain {
            return match answer_of()? {
                Answer::Text(text) => {
                    let command = self.secrets.command_line(command.arguments());
                    let heading = terminal::heading(process, &command);
                    Ok(Told::Text(self.headed.then_some(heading), text))
                }
                answer => report(command, answer, &HashMap::new())
                    .map(|report| Told::Report(None, Box::new(report))),
            };
        }
        let alive = Alive::exists(process).ok();
        let time = SystemTime::now();
        // The idle times are read beside the question, as both take equally long, and as the question
        // wakes threads that slept.
        let (answer, times) = thread::scope(|scope| {
            let builder = thread::Builder::new().name("idle-times".to_owned());
            let until = allowance.until();
            let read = move || idle_times::of(process, until);
            match builder.spawn_scoped(scope, read) {
                Ok(times) => (answer_of(), times.join().unwrap_or_default()),
                // The system grants no thread.
                Err(_) => {
                    let times = read();
                    (answer_of(), times)
                }
            }
        });
        let report = report(command, answer?, &times)?;
        Ok(Told::Report(alive, Box::new(report.asked_at(time))))
    }

    /// Prints an answer that waits for no other, as much of it as this many bytes.
    fn print(&self, told: &Told, most: u64) -> Result<(), Trouble> {
        match (told, self.format) {
            (Told::Text(heading, text), _) => terminal::print_text(heading.as_deref(), text, most),
            (Told::Report(_, report), Format::Json) => terminal::print_json(report, most),
            (Told::Report(_, report), _) => {
                terminal::print_full((report, &[]), None, &self.extent, self.coloured, most)
            }
        }
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

/// What a process has answered.
enum Told {
    /// Text in the plain format, and the heading to print above it.
    Text(Option<String>, AnswerBytes),
    /// A state; and the process, if it was still there.
    Report(Option<Alive>, Box<Report>),
}

impl Told {
    /// A state that has been printed; `None` for a text.
    fn into_held(self) -> Option<Held> {
        match self {
            Told::Text(..) => None,
            Told::Report(alive, report) => Some(Held {
                alive,
                report,
                movements: None,
            }),
        }
    }
}

/// The memory for the states that the next round is compared with, of all processes together, in bytes.
const KEPT: usize = 48 << 20;

/// A process's answer, kept for comparison with the next.
struct Look {
    alive: Alive,
    /// `None` if it was too large.
    report: Option<Report>,
    /// What had moved since the answer before, if there was one.
    movements: Option<Movements>,
}

impl Look {
    /// What is kept of a state for the next round, in which so many processes are asked; `None` if the process was
    /// not there any more.
    fn of(held: Held, count: usize) -> Option<Look> {
        let Held {
            alive,
            mut report,
            movements,
        } = held;
        let alive = alive?;
        let keeps = report.shrink(KEPT / count.max(1));
        if !keeps {
            let process = alive.process;
            complain(format_args!(
                "{process}: its state is too large to be compared with the next"
            ));
        }
        Some(Look {
            alive,
            report: keeps.then_some(*report),
            movements: movements.filter(|_| keeps),
        })
    }

    /// How its threads have moved since, if that is known.
    fn movements_to(&self, report: &Report) -> Option<Movements> {
        let before = self.movements.as_ref();
        Some(Movements::between(self.report.as_ref()?, report, before))
    }
}

/// The processes for the next round: those that have answered and still run, and those that the choice
/// finds by now.
fn chosen_again(choice: &Choice, whom: Whom, last: &mut HashMap<i32, Look>) -> Vec<Chosen> {
    last.retain(|_, look| {
        let there = look.alive.status().is_some();
        if !there {
            complain(format_args!("{}: it has ended", look.alive.process));
        }
        there
    });
    // The first round has reported what is wrong with the choice.
    let mut chosen = chosen::chosen(choice, whom, |_, _| ());
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
    let line = format!("sleeper_agent_activate: {}\n", Printable(&line.to_string()));
    let _ = io::stderr().write_all(line.as_bytes());
}
