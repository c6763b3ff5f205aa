//! The questions that each installation has to answer.

use crate::installation::Installation;
use std::time::{Duration, Instant};
use tests::ask::WALK_HEADING;
use tests::process::{Program, run};
use tests::procfs::settle;

/// A question: its name in the table, the options, and what the answer must contain.
pub struct Question {
    /// Its name in the table.
    pub name: &'static str,
    options: &'static [&'static str],
    contains: &'static [&'static str],
    needs_greenlet: bool,
}

/// All questions to the target `one_of_each.py`.
pub const QUESTIONS: [Question; 5] = [
    Question {
        name: "wake",
        options: &["--via", "wake"],
        contains: &[", in waits_for_lock\n    lock.acquire()\n", ", in main\n"],
        needs_greenlet: false,
    },
    Question {
        name: "gdb",
        options: &["--via", "gdb"],
        contains: &[", in waits_for_lock\n    lock.acquire()\n", ", in main\n"],
        needs_greenlet: false,
    },
    Question {
        name: "full",
        options: &["--via", "wake", "--format", "full"],
        contains: &[
            "\"shepherd\", daemon",
            "  - waits for lock 0x",
            "\"MainThread\"",
        ],
        needs_greenlet: false,
    },
    Question {
        name: "locals",
        options: &["--via", "wake", "--locals"],
        contains: &["number_of_sheep = 4242\n"],
        needs_greenlet: false,
    },
    Question {
        name: "greenlets",
        options: &["--via", "wake", "--greenlets"],
        contains: &[
            "1 suspended greenlet",
            ", in suspended_here\n    back.switch()\n",
        ],
        needs_greenlet: true,
    },
];

/// What came of a question: the time from the command's start to its end, or why it was not asked.
pub type Outcome = Result<Duration, &'static str>;

/// Runs the target under an installation, asks every question, and checks that the program ends well.
#[track_caller]
pub fn ask_all(of: &Installation) -> Vec<Outcome> {
    let program = of.run("one_of_each.py");
    settle(program.pid());
    let outcomes = QUESTIONS.iter().map(|one| ask(of, &program, one)).collect();
    is_listed(of, &program);
    let ended = program.ends();
    assert_eq!(ended.err(), "", "{}", of.name);
    outcomes
}

#[track_caller]
fn ask(of: &Installation, program: &Program, question: &Question) -> Outcome {
    if question.needs_greenlet && of.greenlet.is_none() {
        return Err("no greenlet");
    }
    if question.name == "gdb" && !has_gdb(of) {
        return Err("no gdb");
    }
    let mut activate = of.command("sleeper_agent_activate");
    activate
        .args(question.options)
        .arg(program.pid().to_string());
    let begun = Instant::now();
    let ended = run(&mut activate);
    let took = begun.elapsed();
    ended.expect_code(0);
    let (out, name) = (ended.out(), question.name);
    assert_eq!(ended.err(), "", "{}, {name}: {out}", of.name);
    assert!(!out.contains(WALK_HEADING), "{}, {name}: {out}", of.name);
    for words in question.contains {
        assert!(
            out.contains(words),
            "{}, {name}: no {words:?} in {out}",
            of.name
        );
    }
    Ok(took)
}

/// Whether the system has a gdb.
pub fn has_gdb(of: &Installation) -> bool {
    let mut gdb = of.program("gdb");
    gdb.stdout(std::process::Stdio::null());
    gdb.arg("--version")
        .status()
        .is_ok_and(|ended| ended.success())
}

#[track_caller]
fn is_listed(of: &Installation, program: &Program) {
    let listed = run(&mut of.command("sa-list"));
    listed.expect_code(0);
    let pid = program.pid().to_string();
    let out = listed.out();
    let mut lines = out.lines();
    assert!(
        lines.any(|line| line.split_whitespace().next() == Some(&pid)),
        "{}: no {pid} in {out}",
        of.name
    );
}
