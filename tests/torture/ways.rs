//! The ways in, and how to ask a process through one of them.

use crate::cores::Core;
use crate::said::Said;
use launcher::ask::allowance::Allowance;
use launcher::ask::{self, AskOptions};
use launcher::options::Via;
use launcher::state::answer::Answer;
use launcher::system::process::Process;
use protocol::question::Question;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tests::ended::Ended;
use tests::process::{Program, command};
use tests::procfs;
use tests::product::product;

/// A way in: how `sleeper_agent_activate` gets to a process.
#[derive(Debug)]
pub struct Way {
    /// Its name in tables and trials.
    pub name: &'static str,
    /// The arguments that choose it.
    pub arguments: &'static [&'static str],
    /// About how long an activation takes from its start until it reaches the program.
    pub before: Duration,
    /// How much longer than the agent's deadline an activation may take.
    pub patience: Duration,
    /// How many activations the full form makes through it, unless the environment says otherwise.
    pub activations: u64,
    /// The way in by which the runner itself asks steady programs in the full form, with the code of
    /// the command: starting a command takes longer than the answer, and a million starts take a day.
    pub from_within: Option<Via>,
    /// Whether programs are started without the agent, and `sa-load` brings it in before each question.
    pub loads: bool,
}

/// Every program is asked through every way in, on every build.
pub const WAYS: &[Way] = &[
    Way {
        name: "gdb",
        arguments: &["--via", "gdb"],
        before: Duration::from_millis(60),
        patience: PATIENCE,
        activations: 20_000,
        from_within: None,
        loads: false,
    },
    Way {
        name: "wake",
        arguments: &["--via", "wake"],
        before: Duration::from_millis(2),
        patience: PATIENCE,
        activations: 1_000_000,
        from_within: Some(Via::Wake),
        loads: false,
    },
    Way {
        name: "load",
        arguments: &[],
        before: Duration::from_millis(4),
        patience: PATIENCE,
        activations: 10_000,
        from_within: None,
        loads: true,
    },
];

/// The deadline of an agent whose program sets none.
const USUAL_DEADLINE: Duration = Duration::from_secs(3);

/// How much longer than the agent's deadline an activation may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Way {
    /// Asks a process once, on one core where that matters. Returns the outcome, or what went
    /// wrong, and how long the question took.
    pub fn ask(
        &self,
        pid: i32,
        deadline: Option<Duration>,
        core: Option<Core>,
    ) -> (Result<Said, String>, Duration) {
        let limit = deadline.unwrap_or(USUAL_DEADLINE) + self.patience;
        let begun = Instant::now();
        let mut command = command(&product().activate);
        command.args(self.arguments).arg(pid.to_string());
        let ended = ended_within(limit, command, core);
        let took = begun.elapsed();
        (ended.and_then(|ended| Said::of(&ended)), took)
    }
}

/// Runs one of the commands, on one core where that matters, and returns how it ended; or what it does if it has not
/// ended in time.
pub fn ended_within(
    limit: Duration,
    mut command: Command,
    core: Option<Core>,
) -> Result<Ended, String> {
    let begun = Instant::now();
    if let Some(core) = core {
        core.hold_foremost(&mut command);
    }
    let mut started = Program::start_without_input(&mut command);
    while !started.has_ended() {
        if begun.elapsed() > limit {
            let (out, err) = (started.out(), started.err());
            let what = format!("the command hangs: not ended after {limit:?}");
            let at = whereabouts(started.pid());
            return Err(format!(
                "{what}\n{at}--- its stdout\n{out}\n--- its stderr\n{err}"
            ));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(started.end_within(PATIENCE))
}

/// Asks a process once, without a command. Returns the same as [`Way::ask`].
pub fn ask_from_within(
    via: Via,
    question: Question,
    pid: i32,
    deadline: Option<Duration>,
) -> (Result<Said, String>, Duration) {
    let limit = deadline.unwrap_or(USUAL_DEADLINE) + PATIENCE;
    let begun = Instant::now();
    let options = AskOptions {
        question,
        via: Some(via),
        gdb: None,
        timeout: Some(limit),
        verbose: false,
        load: None,
    };
    let allowance = Allowance::new(options.time());
    allowance.begin();
    let answer = ask::ask(Process { pid }, &options, false, &allowance, |_| ());
    let took = begun.elapsed();
    let said = match answer {
        _ if took > limit => Err(format!("the answer took {took:?}")),
        Ok(Answer::Text(text)) => {
            let text = String::from_utf8_lossy(&text);
            Said::told(&text).map_err(|what| format!("the agent {what}\n{text}"))
        }
        Ok(Answer::State(state)) if state.threads.iter().all(|one| !one.frames.is_empty()) => {
            Ok(Said::Answered)
        }
        Ok(Answer::State(state)) => Err(format!("the agent told of no frames: {state:?}")),
        Ok(Answer::Reason(reason)) => Ok(Said::refused(&reason)),
        Err(trouble) => Ok(Said::refused(&trouble.to_string())),
    };
    (said, took)
}

/// The state of an activator, its worker and their children: what each waits for, and how long each has run.
fn whereabouts(activator: i32) -> String {
    let worker = procfs::worker(activator);
    let mut processes = vec![activator, worker];
    processes.extend(procfs::children(worker));
    processes.dedup();
    let tell = |pid: i32| {
        let of = |file: &str| procfs::read(pid, file).trim().to_owned();
        let threads = procfs::threads_with_states(pid).join(", ");
        let (wait, call, ran) = (of("wchan"), of("syscall"), of("schedstat"));
        format!("{pid}: {threads}; in {wait}, system call {call}; ran, waited, turns: {ran}\n")
    };
    processes.into_iter().map(tell).collect()
}
