//! Kernels that are older than system calls which the agent would like: a filter answers ENOSYS above the last call
//! that such a kernel has. A program that starts under it, and one that comes under it later, is answered by each
//! way in.

use std::path::Path;
use tests::ask::{WAYS, full_answer, preloaded_python, woken};
use tests::case;
use tests::confined::LAST_CALLS;
use tests::interpreters::Interpreter;
use tests::process::{self, Program};
use tests::procfs::settle;
use tests::product::product;

fn answers_and_goes_on(mut program: Program, which: &str) {
    settle(program.pid());
    for via in WAYS {
        let answer = full_answer(program.pid(), via);
        assert!(!program.has_ended(), "{which}, {via}");
        assert!(answer.contains(", in wait\n"), "{which}, {via}: {answer}");
        assert!(answer.contains(", TID "), "{which}, {via}: {answer}");
        assert!(
            !answer.contains("Read from memory"),
            "{which}, {via}: {answer}"
        );
    }
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.err(), "", "{which}");
}

case!(from_the_start, OnlyOne);
fn from_the_start(python: &Interpreter) {
    for last in LAST_CALLS {
        let mut command = python.command();
        let library: &Path = &product().library;
        command.env("WALLS_LIBRARY", library);
        command.arg(product().hostile("walls.py"));
        let step = format!("old={last}");
        let program = Program::start(command.args([&step, "execute="])).ready();
        answers_and_goes_on(program, &step);
    }
}

case!(later, OnlyOne);
fn later(python: &Interpreter) {
    for last in LAST_CALLS {
        let mut command = preloaded_python(python);
        let mut program = woken(command.arg(product().hostile("walls.py")));
        let step = format!("old={last}");
        program.say(&step);
        process::wait_until("the filter is there", || {
            program.out().contains(&format!("{step} done\n"))
        });
        answers_and_goes_on(program, &step);
    }
}
