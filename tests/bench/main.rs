//! How long an answer takes and how long the program is held up for it, beside plain gdb as the
//! original used it, and py-spy: all in one run, turn by turn, medians.
//!
//! Two measures of the hold-up, taken in separate turns so that neither disturbs the other:
//! *stopped*, how long the main thread was seen stopped by a tracer (from outside, by reading
//! its state without pause), and *held up*, the time that a Python thread of the program itself
//! missed, whoever took it: a debugger, or an agent holding the GIL.

mod sampler;

use sampler::Sampler;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::target;
use tests::interpreters::{self, Interpreter};
use tests::process::{Program, command, run};
use tests::procfs::wait_agent;
use tests::product::{self, product};

/// A way of asking, and how to see from its output how many threads it told of.
struct Way {
    name: &'static str,
    command: Box<dyn Fn(i32) -> Command>,
    heading: &'static str,
}

/// What one way of asking costs: medians, in seconds.
struct Cost {
    name: &'static str,
    answer: f64,
    stopped: f64,
    held_up: f64,
}

/// `sleeper_agent_activate` by a way in.
fn activate(name: &'static str, via: &'static str) -> Way {
    Way {
        name,
        command: Box::new(move |pid| {
            let mut ask = command(&product().activate);
            ask.args(["--via", via, &pid.to_string()]);
            ask
        }),
        heading: "### Thread ",
    }
}

fn ways() -> Vec<Way> {
    let mut ways = vec![
        activate("activate --via wake", "wake"),
        activate("activate --via gdb", "gdb"),
        Way {
            name: "plain gdb",
            command: Box::new(|pid| {
                let mut ask = command("gdb");
                let line = "printf \"%s\", sleeper_agent_state()";
                ask.args(["-p", &pid.to_string(), "-batch", "-ex", line]);
                ask
            }),
            heading: "### Thread ",
        },
    ];
    let py_spy: PathBuf = product().root.join(".tools/py-spy/bin/py-spy");
    if py_spy.exists() {
        ways.push(Way {
            name: "py-spy dump",
            command: Box::new(move |pid| {
                let mut ask = command(&py_spy);
                ask.args(["dump", "--pid", &pid.to_string()]);
                ask
            }),
            heading: "Thread ",
        });
    } else {
        println!("py-spy dump: skipped, it is not installed (run `make bench`)");
    }
    ways
}

/// Asks once and checks the answer; returns how long it took.
fn ask(way: &Way, pid: i32, threads: usize) -> f64 {
    let begun = Instant::now();
    let ended = run(&mut (way.command)(pid));
    let took = begun.elapsed().as_secs_f64();
    let out = ended.out();
    let told = out
        .lines()
        .filter(|line| line.starts_with(way.heading))
        .count();
    assert!(
        told >= threads,
        "{} told of {told} threads, not {threads}:\n{out}\n{}",
        way.name,
        ended.err()
    );
    took
}

/// Lets the program count what it misses while something is done.
fn held_up(program: &mut Program, turn: usize, work: impl FnOnce()) -> f64 {
    program.say("begin");
    sleep(Duration::from_millis(20));
    work();
    program.say("end");
    let line = program.wait_lines("held ", turn + 1).remove(turn);
    let (_, total) = line.split_once(' ').unwrap();
    total.parse().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(python: &Interpreter, threads: usize, turns: usize) -> Vec<Cost> {
    let mut start = target(python, "heartbeat.py");
    let mut program = Program::start(start.args([&threads.to_string(), "30"])).ready();
    let pid = program.pid();
    wait_agent(pid);
    let ways = ways();
    let mut idle = Vec::new();
    let mut seen: Vec<[Vec<f64>; 3]> = ways.iter().map(|_| Default::default()).collect();
    let mut count = 0;
    for turn in 0..=turns {
        let nobody = held_up(&mut program, count, || sleep(Duration::from_millis(200)));
        count += 1;
        if turn > 0 {
            idle.push(nobody);
        }
        for (way, seen) in ways.iter().zip(&mut seen) {
            let mut answer = 0.0;
            let held = held_up(&mut program, count, || answer = ask(way, pid, threads));
            count += 1;
            let sampler = Sampler::start(pid);
            ask(way, pid, threads);
            let stopped = sampler.stop();
            // The first turn fills caches.
            if turn > 0 {
                seen[0].push(answer);
                seen[1].push(stopped);
                seen[2].push(held);
            }
            sleep(Duration::from_millis(20));
        }
    }
    println!(
        "(in 0.2 s in which nobody asked, the same program missed {:.1} ms)",
        median(idle) * 1e3
    );
    ways.iter()
        .zip(seen)
        .map(|(way, [answer, stopped, held_up])| Cost {
            name: way.name,
            answer: median(answer),
            stopped: median(stopped),
            held_up: median(held_up),
        })
        .collect()
}

fn show(costs: &[Cost], goal: f64) {
    let line = |name: &str, cells: [String; 3]| {
        println!(
            "  {name:<24}{:>12}{:>14}{:>14}",
            cells[0], cells[1], cells[2]
        );
    };
    line("", ["answer".into(), "stopped".into(), "held up".into()]);
    for cost in costs {
        let cells = [cost.answer, cost.stopped, cost.held_up];
        line(
            cost.name,
            cells.map(|value| format!("{:.1} ms", value * 1e3)),
        );
    }
    let [own, by_gdb, plain, others @ ..] = costs else {
        return;
    };
    for cost in &costs[1..] {
        let name = format!("{} / wake", cost.name);
        let ratios = [
            cost.answer / own.answer,
            cost.stopped / own.stopped,
            cost.held_up / own.held_up,
        ];
        let show = |ratio: f64| {
            if ratio.is_finite() {
                format!("{ratio:.1}")
            } else {
                "no stop".to_owned()
            }
        };
        line(&name, ratios.map(show));
    }
    // The harder of the two measures counts: what the program itself missed.
    let plain = plain.held_up / by_gdb.held_up;
    let met = |met| if met { "met" } else { "MISSED" };
    println!(
        "  goal: through gdb, held up at most 1/{goal} of plain gdb: 1/{plain:.1}, {}",
        met(plain >= goal)
    );
    if let [py_spy, ..] = others {
        println!(
            "  goal: held up for less time than by py-spy: {}",
            met(own.held_up < py_spy.held_up && by_gdb.held_up < py_spy.held_up)
        );
    }
}

fn main() -> ExitCode {
    let python = match product::find().and_then(|_| interpreters::to_measure()) {
        Ok(python) => python,
        Err(why) => {
            eprintln!("cannot measure: {why}");
            return ExitCode::FAILURE;
        }
    };
    println!("on {} ({})", python.path.display(), python.full_version);
    for (threads, turns, goal) in [(10, 11, 20.0), (500, 5, 25.0)] {
        println!("\n{threads} threads of 30 frames, medians of {turns} turns");
        show(&measure(&python, threads, turns), goal);
    }
    ExitCode::SUCCESS
}
