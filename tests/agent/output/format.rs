//! The plain text, byte by byte, through every way in.

use std::fs;
use tests::ask::{importing, manual_state, place_shim, state, target, woken};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;
use tests::scratch::Scratch;

/// A program that has written down its expected state, and that state.
fn known(python: &Interpreter, folder: &Scratch) -> (Program, String) {
    let file = folder.join("expected");
    let program = woken(target(python, "known_stack.py").arg(&file));
    settle(program.pid());
    let expected = String::from_utf8(fs::read(&file).unwrap()).unwrap();
    assert_eq!(expected.matches("### Thread ").count(), 7);
    assert!(expected.contains("threading.py"), "{expected}");
    (program, expected)
}

/// Checks that the program has carried on undisturbed and ends as usual.
fn ends_well(mut program: Program) {
    program.say("it");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.out(), "ready\nwent on with it\n");
    assert_eq!(ended.err(), "");
}

case!(activator);
fn activator(python: &Interpreter) {
    let folder = Scratch::new();
    let (program, expected) = known(python, &folder);
    assert_eq!(state(program.pid()), expected);
    ends_well(program);
}

case!(manual_gdb_line);
fn manual_gdb_line(python: &Interpreter) {
    let folder = Scratch::new();
    let (program, expected) = known(python, &folder);
    assert_eq!(manual_state(program.pid()), expected);
    ends_well(program);
}

case!(asked_again_and_again);
fn asked_again_and_again(python: &Interpreter) {
    let folder = Scratch::new();
    let (program, expected) = known(python, &folder);
    for turn in 0..10 {
        let text = if turn % 3 == 2 {
            manual_state(program.pid())
        } else {
            state(program.pid())
        };
        assert_eq!(text, expected, "at turn {turn}");
    }
    ends_well(program);
}

case!(documented_session);
/// The original's documented session, typed into an interactive interpreter.
fn documented_session(python: &Interpreter) {
    let folder = Scratch::new();
    place_shim(python, &folder);
    for preload in [false, true] {
        let mut command = importing(python, preload, &folder);
        let mut program = Program::start(command.arg("-i"));
        program.say("import sleeper_agent");
        program.say("sleeper_agent._get_state_info()");
        program.say("sleeper_agent._sleeper_agent_activation.sleeper_agent_state()");
        program.say(
            "sleeper_agent._sleeper_agent_activation.sleeper_agent_state() \
             == sleeper_agent._get_state_info()",
        );
        let ended = program.end();
        ended.expect_code(0);
        let out = ended.out();
        let answers: Vec<&str> = out
            .lines()
            .map(|line| line.trim_start_matches(">>> "))
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(
            answers.len(),
            3,
            "preload {preload}: {out}\n{}",
            ended.err()
        );
        for text in &answers[..2] {
            let rest = text.strip_prefix("'### Thread ").expect(text);
            let (ident, rest) = rest.split_once(':').unwrap();
            assert!(ident.parse::<u64>().is_ok(), "{text}");
            assert_eq!(rest, "\\n  File \"<stdin>\", line 1, in <module>\\n'");
        }
        assert_eq!(answers[2], "True");
    }
}
