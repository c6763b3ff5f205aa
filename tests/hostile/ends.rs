//! Programs whose first thread ends before the process, or without the C library: the process ends as without the
//! agent, although the agent's thread is left.

use std::time::{Duration, SystemTime};
use tests::ask::preloaded_python;
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::{Program, wait_until};
use tests::procfs::wait_agent;
use tests::product::product;

/// A program that has just begun to end in this way.
fn ending(python: &Interpreter, way: &str, with_agent: bool) -> Program {
    let mut command = match with_agent {
        true => preloaded_python(python),
        false => python.command(),
    };
    command.arg(product().hostile("ends.py"));
    let mut program = Program::start(command.arg(way)).ready();
    if with_agent {
        wait_agent(program.pid());
    }
    program.say("");
    program
}

/// Each has its status within this time: the agent's thread looks every 20 s whether the first thread is there.
const LONGEST: Duration = Duration::from_secs(60);

/// Whether all end as without the agent.
fn all_end(python: &Interpreter, ways: &[&str]) {
    let ending = |with_agent| {
        let programs = ways.iter().map(|way| ending(python, way, with_agent));
        programs.collect::<Vec<_>>()
    };
    let (bare, with_agent) = (ending(false), ending(true));
    for ((way, mut bare), mut with_agent) in ways.iter().zip(bare).zip(with_agent) {
        let wanted = bare.end_within(LONGEST);
        let ended = with_agent.end_within(LONGEST);
        assert_eq!(ended.status, wanted.status, "{way}");
        assert_eq!(ended.err(), wanted.err(), "{way}");
    }
}

case!(as_the_first_thread, OnlyOne);
/// The first thread ends without its destructors: nothing tells the agent.
fn as_the_first_thread(python: &Interpreter) {
    let ways = [
        "exits",
        "strict",
        "is_killed",
        "is_killed_with_all",
        "in_child",
        "from_thread",
        "is_outlived",
        // For root only: others end the same way at once.
        "without_proc",
    ];
    all_end(python, &ways);
}

case!(soon_after_the_last_thread, NoDebug);
/// The first thread has called `pthread_exit` long before the last one ends.
fn soon_after_the_last_thread(python: &Interpreter) {
    let program = ending(python, "ends_late", true);
    program.wait_lines("", 2);
    wait_until("the process ends", || program.has_ended());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs_f64();
    let out = program.out();
    let last = out.lines().last().and_then(|line| line.parse::<f64>().ok());
    let late = now - last.expect("the time at which the last thread ended");
    // It was more than a second when the agent looked once a second.
    assert!(late < 0.7, "it ended {late} s late");
    program.end().expect_code(0);
}
