//! A program that was started without the agent: how long it takes to bring the agent in and to have the first answer,
//! and how long that holds the program up. Each time in a fresh program.

use std::thread::sleep;
use std::time::Duration;

use tests::interpreters::Interpreter;
use tests::measured::{median, verdict};
use tests::process::command;
use tests::scratch::Scratch;

use crate::asking::{Asked, ask};
use crate::report::seconds;
use crate::subject::Subject;
use crate::ways::{PY_SPY, WAKE, Way, activate};

/// How many programs are started for each way.
const PROGRAMS: usize = 15;

/// The threads of these programs, beside the main thread and the heartbeat.
const THREADS: usize = 10;

/// Brings the agent in and asks.
const LOAD: &str = "activate --load";

/// gdb as it comes, which has no agent to call: it attaches, lists the threads, and lets go.
const BARE_GDB: &str = "gdb, info threads";

/// What one way has cost, program by program.
#[derive(Default)]
struct Costs {
    answers: Vec<f64>,
    held_up: Vec<f64>,
    nobody: Vec<f64>,
}

fn worst(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}

/// Measures it on idle programs and on busy ones, beside the other ways among these, and prints it.
pub fn measure(python: &Interpreter, ways: &[Way]) {
    let way = |name: &str| ways.iter().find(|way| way.name == name);
    let load = activate(LOAD, &["--load"]);
    let gdb = Way {
        name: BARE_GDB,
        command: Box::new(|pid| {
            let mut ask = command("gdb");
            ask.args(["-p", &pid.to_string(), "-batch", "-ex", "info threads"]);
            ask
        }),
        heading: None,
        once_from: usize::MAX,
    };
    let folder = Scratch::new();
    for busy in [false, true] {
        let kind = if busy {
            "one of them computing"
        } else {
            "idle"
        };
        println!(
            "\nstarted without the agent, {THREADS} threads, {kind}; {PROGRAMS} programs for each way"
        );
        let compared = [Some(&load), way(PY_SPY), Some(&gdb)];
        for way in compared.into_iter().flatten() {
            let costs = of_way(python, way, busy, &folder);
            println!(
                "  {:20} answer {:>9}, at worst {:>9}; held up {:>9}, at worst {:>9}; nobody {:>8}, at worst {:>8}",
                way.name,
                seconds(median(costs.answers.iter().copied())),
                seconds(worst(&costs.answers)),
                seconds(median(costs.held_up.iter().copied())),
                seconds(worst(&costs.held_up)),
                seconds(median(costs.nobody.iter().copied())),
                seconds(worst(&costs.nobody)),
            );
            if way.name == LOAD {
                check(&costs, busy);
            }
        }
        if let Some(wake) = way(WAKE) {
            check_later(python, (&load, wake), busy, &folder);
        }
    }
}

fn of_way(python: &Interpreter, way: &Way, busy: bool, folder: &Scratch) -> Costs {
    let mut costs = Costs::default();
    for _ in 0..PROGRAMS {
        let mut subject = Subject::start_bare(python, THREADS, busy);
        let pid = subject.pid();
        let asked = subject.watch(|| ask(way, pid, THREADS, folder));
        let (Asked { took, .. }, noticed) = asked.expect("an answer in time");
        costs.answers.push(took);
        costs.held_up.push(noticed.held_up);
        let alone = subject.watch(|| {
            sleep(Duration::from_secs_f64(took));
            Some(())
        });
        costs
            .nobody
            .extend(alone.map(|(_, noticed)| noticed.held_up));
    }
    costs
}

fn check(costs: &Costs, busy: bool) {
    let answer = median(costs.answers.iter().copied());
    let most = if busy { 0.1 } else { 0.03 };
    let met = verdict(answer <= most);
    println!("    goal: answer within {}: {met}", seconds(most));
    let nobody = median(costs.nobody.iter().copied());
    let more = median(costs.held_up.iter().copied()) - nobody;
    let met = verdict(more <= 0.001);
    println!(
        "    goal: held up 1 ms more than when nobody asks: {}, {met}",
        seconds(more)
    );
    let more = worst(&costs.held_up) - worst(&costs.nobody);
    let met = verdict(more <= 0.01);
    println!("    goal: at worst 10 ms more: {}, {met}", seconds(more));
}

/// Compares later questions with those to a program that was started with the agent, turn by turn.
fn check_later(python: &Interpreter, (load, wake): (&Way, &Way), busy: bool, folder: &Scratch) {
    let loaded = Subject::start_bare(python, THREADS, busy);
    ask(load, loaded.pid(), THREADS, folder).expect("an answer in time");
    let preloaded = Subject::start(python, THREADS, busy);
    let mut times = [Vec::new(), Vec::new()];
    for turn in 0..=2 * PROGRAMS {
        for (subject, times) in [&loaded, &preloaded].into_iter().zip(&mut times) {
            let asked = ask(wake, subject.pid(), THREADS, folder).expect("an answer in time");
            if turn > 0 {
                times.push(asked.took);
            }
        }
    }
    let [after, before] = times.map(median);
    let met = verdict(after <= 1.1 * before);
    println!(
        "    goal: later questions as fast as with sa-run: {} and {}, {met}",
        seconds(after),
        seconds(before)
    );
}
