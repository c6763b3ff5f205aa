//! The cost of a sleeping agent: threads, memory, and how often it wakes by itself.

use std::thread::sleep;
use std::time::Duration;
use tests::ask::{activate, bare_target, target};
use tests::interpreters::Interpreter;
use tests::measured::{median, verdict};
use tests::process::Program;
use tests::procfs::{settle, status, switches, tasks, wait_agent};

/// How often a program is started to measure its memory.
const STARTS: usize = 7;

/// How long a program is watched.
const WATCHED: Duration = Duration::from_secs(60);

fn start(python: &Interpreter, agent: bool) -> Program {
    let mut command = match agent {
        true => target(python, "single.py"),
        false => bare_target(python, "single.py"),
    };
    let program = Program::start(command.arg("sleeping")).ready();
    if agent {
        wait_agent(program.pid());
    }
    settle(program.pid());
    program
}

/// Measures and prints the cost.
pub fn measure(python: &Interpreter) {
    let fields = ["VmRSS", "RssAnon", "RssFile"];
    let mut seen: [[Vec<f64>; 4]; 2] = Default::default();
    for _ in 0..STARTS {
        for (agent, seen) in [false, true].into_iter().zip(&mut seen) {
            let program = start(python, agent);
            for (field, seen) in fields.iter().zip(seen.iter_mut()) {
                let text = status(program.pid(), field);
                seen.push(text.trim_end_matches(" kB").parse().unwrap());
            }
            seen[3].push(tasks(program.pid()).len() as f64);
        }
    }
    let [without, with] = seen.map(|seen| seen.map(median));
    println!(
        "  {:<30}{:>12}{:>12}{:>12}",
        "asleep", "without", "with", "more"
    );
    let names = ["resident memory", "  of its own", "  of files", "threads"];
    for (number, name) in names.iter().enumerate() {
        let unit = if number < 3 { " kB" } else { "" };
        let shown = [
            without[number],
            with[number],
            with[number] - without[number],
        ];
        let [a, b, c] = shown.map(|value| format!("{value:.0}{unit}"));
        println!("  {name:<30}{a:>12}{b:>12}{c:>12}");
    }

    let program = start(python, true);
    for via in ["gdb", "wake"] {
        activate(["--via", via, &program.pid().to_string()]).expect_code(0);
    }
    settle(program.pid());
    let before = switches(program.pid());
    sleep(WATCHED);
    let counted = |switches: &[String]| -> u64 {
        let words = switches.iter().flat_map(|line| line.split_whitespace());
        words.filter_map(|word| word.parse::<u64>().ok()).sum()
    };
    let woken = counted(&switches(program.pid())) - counted(&before);
    // It looks every 20 s whether the first thread has ended.
    let seconds = WATCHED.as_secs();
    println!(
        "  goal: it wakes at most every 20 s; in {seconds} s it woke {woken} times: {}",
        verdict(woken <= seconds / 20)
    );
}
