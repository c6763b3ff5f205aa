//! Where the kernel gives the agent no empty table of descriptors, it opens nothing in the program's all the same: the
//! program finds its numbers free, and keeps the locks that closing a file would drop.

use std::path::Path;
use tests::ask::{WAYS, full_answer, preloaded_python, woken};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::{self, Program};
use tests::procfs::settle;
use tests::product::product;

/// Filters that leave no way but copies of the table: an old kernel; `close_range` refused, and `unshare` too, as
/// containers' filters do.
const FILTERS: [&[&str]; 3] = [
    &["old=313"],
    &["refuse=436:1"],
    &["refuse=436:1", "refuse=272:1"],
];

/// How often a program is asked by each way.
const TIMES: usize = 15;

/// From here on users have no processes.
const NOBODYS: i32 = 100_000;

/// Starts the program under these filters, and has it take these steps.
fn filtered(python: &Interpreter, filters: &[&str], steps: &str) -> Program {
    let mut command = python.command();
    let library: &Path = &product().library;
    command.env("WALLS_LIBRARY", library);
    command.arg(product().hostile("walls.py"));
    command.args(filters).arg(format!("execute={steps}"));
    let program = Program::start(&mut command).ready();
    settle(program.pid());
    program
}

/// Asks it by each way: the answers are whole.
fn ask(program: &Program, times: usize, how: &str) {
    for via in WAYS {
        for _ in 0..times {
            let answer = full_answer(program.pid(), via);
            assert!(!program.has_ended(), "{how}, {via}: {}", program.err());
            assert!(
                answer.contains("line = sys.stdin.readline().strip()\n"),
                "{how}, {via}: {answer}"
            );
            assert!(answer.contains(", TID "), "{how}, {via}: {answer}");
        }
    }
}

fn goes_on(mut program: Program, how: &str) {
    program.say("");
    let ended = program.end();
    assert_eq!(ended.err(), "", "{how}");
    ended.expect_code(7);
}

/// Has it take one more step, which must succeed.
fn does(program: &mut Program, step: &str, how: &str) {
    program.say(step);
    let said = |program: &Program| {
        let out = program.out();
        out.lines()
            .any(|line| line.starts_with(&format!("{step} ")))
    };
    process::wait_until("it has taken the step", || {
        said(program) || program.has_ended()
    });
    let out = program.out();
    assert!(out.ends_with(&format!("{step} done\n")), "{how}: {out}");
}

case!(numbers);
/// A thread of the program's frees a number and takes it again, all the time.
fn numbers(python: &Interpreter) {
    for filters in FILTERS {
        let how = filters.join(", ");
        let program = filtered(python, filters, "numbers");
        ask(&program, TIMES, &how);
        goes_on(program, &how);
    }
}

case!(locks);
/// The program holds a lock on its own source, which the agent reads.
fn locks(python: &Interpreter) {
    for filters in FILTERS {
        let how = filters.join(", ");
        let mut program = filtered(python, filters, "lock");
        ask(&program, 2, &how);
        does(&mut program, "has_lock", &how);
        goes_on(program, &how);
    }
}

case!(locks_without_a_reader, Root);
/// The program's user has so many threads that the agent can start none to read files: the answer says so.
fn locks_without_a_reader(python: &Interpreter) {
    let mut command = preloaded_python(python);
    command.arg(product().hostile("walls.py"));
    let mut program = woken(&mut command);
    does(&mut program, "lock", "");
    // The program's thread, and the agent's parked thread, answerer and worker.
    let user = NOBODYS + program.pid();
    does(&mut program, &format!("processes=4:{user}"), "");
    for via in WAYS {
        let answer = full_answer(program.pid(), via);
        assert!(
            answer
                .contains("(source not read: the agent could start no thread that reads files)\n"),
            "{via}: {answer}"
        );
    }
    does(&mut program, "has_lock", "");
    goes_on(program, "");
}
