//! Instructions, counted by callgrind. Each program runs twice, the second time for twice as long, so
//! that the cost of starting can be separated from the cost of running.

use std::time::Duration;
use tests::interpreters::Interpreter;
use tests::measured::verdict;
use tests::process::{command, run_within};
use tests::product::product;

/// Turns of the loop in the shorter run.
const TURNS: u64 = 1_000_000;

/// callgrind takes some fifty times as long as the program alone.
const LIMIT: Duration = Duration::from_secs(300);

const LOOP: &str = "import sys\n\
    def count(number):\n\
    \x20   while number:\n\
    \x20       number -= 1\n";

/// A program, and by how much the agent may slow its loop, in per cent.
struct Subject {
    name: &'static str,
    code: &'static str,
    most: f64,
}

const SUBJECTS: [Subject; 2] = [
    Subject {
        name: "one thread",
        code: "count(int(sys.argv[1]))\n",
        most: 1.0,
    },
    Subject {
        name: "a program that uses threads",
        code: "import thread\n\
            lock = thread.allocate_lock()\n\
            lock.acquire()\n\
            thread.start_new_thread(lock.release, ())\n\
            lock.acquire()\n\
            count(int(sys.argv[1]))\n",
        // Practically nothing: the counts are exact, but the system influences them.
        most: 0.02,
    },
];

/// The number of instructions of a run.
fn instructions(python: &Interpreter, code: &str, turns: u64, agent: bool) -> Result<u64, String> {
    let mut valgrind = command("valgrind");
    python.equip(&mut valgrind);
    if agent {
        valgrind.env("LD_PRELOAD", &product().library);
    }
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(&python.path)
        .args(["-E", "-S", "-c", &format!("{LOOP}{code}")])
        .arg(turns.to_string());
    let ended = run_within(&mut valgrind, LIMIT);
    let said = ended.err();
    let count = |line: &str| line.split_once("Collected : ")?.1.trim().parse().ok();
    let counted = said.lines().find_map(count);
    counted
        .filter(|_| ended.status.success())
        .ok_or_else(|| format!("valgrind counted nothing: {}\n{said}", ended.status))
}

/// Instructions per turn of the loop, and for all the rest.
fn cost(python: &Interpreter, code: &str, agent: bool) -> Result<(f64, f64), String> {
    let once = instructions(python, code, TURNS, agent)? as f64;
    let twice = instructions(python, code, 2 * TURNS, agent)? as f64;
    Ok(((twice - once) / TURNS as f64, 2.0 * once - twice))
}

/// Prints how many instructions the agent adds.
pub fn measure(python: &Interpreter) -> Result<(), String> {
    println!(
        "  {:<30}{:>12}{:>12}{:>10}{:>22}",
        "instructions a turn", "without", "with", "more", "more at the start"
    );
    for subject in SUBJECTS {
        let (without, start_without) = cost(python, subject.code, false)?;
        let (with, start_with) = cost(python, subject.code, true)?;
        let more = 100.0 * (with / without - 1.0);
        println!(
            "  {:<30}{without:>12.2}{with:>12.2}{more:>8.2} %{:>22.0}",
            subject.name,
            start_with - start_without
        );
        let most = subject.most;
        println!("  goal: at most {most} % more: {}", verdict(more <= most));
    }
    Ok(())
}
