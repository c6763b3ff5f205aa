//! No question holds the program up for longer than 150 ms.
//!
//! The program measures its own longest gap between two heartbeats while it is asked. On a loaded machine a gap
//! may be long for other reasons, so the smallest of several questions counts: a question whose work has no
//! limit takes that long each time.

use tests::ask::{activate, preloaded_python, woken};
use tests::case;
use tests::document::document_with;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::product::product;

/// The longest time, in seconds.
const LONGEST: f64 = 0.15;

/// How often a program is asked, until one question has held it up for no longer than that.
const TRIES: usize = 6;

/// All of each value that may be asked for.
const ALL_OF_VALUES: [&str; 7] = [
    "--locals",
    "--value-length",
    "1000000",
    "--value-items",
    "1000000",
    "--value-depth",
    "20",
];

/// Starts `programs/frozen.py` with this memory.
#[track_caller]
fn frozen(python: &Interpreter, kind: &str) -> Program {
    woken(
        preloaded_python(python)
            .arg(product().hostile("frozen.py"))
            .arg(kind),
    )
}

/// Asks the program until a question has held it up for no longer than is allowed; fails if none has.
#[track_caller]
fn holds_up_shortly(program: &mut Program, options: &[&str]) {
    let mut held = Vec::new();
    for _ in 0..TRIES {
        let lines = held.len() + 1;
        program.say("begin");
        program.wait_lines("begun", lines);
        let pid = program.pid().to_string();
        activate([options, &["--via", "wake", &pid]].concat()).expect_code(0);
        program.say("end");
        let line = program
            .wait_lines("held ", lines)
            .pop()
            .expect("it has said so");
        let seconds = line
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse().ok());
        held.push(seconds.expect("a number of seconds"));
        if held.last() <= Some(&LONGEST) {
            return;
        }
    }
    panic!("{options:?} held the program up for {held:?} s");
}

/// The parts that the answer says are cut.
#[track_caller]
fn cut(program: &Program, options: &[&str]) -> Vec<String> {
    let document = document_with(program.pid(), &[options, &["--via", "wake"]].concat());
    let cut = document["cut"].as_array().expect("a list").iter();
    cut.map(|part| part.as_str().expect("a word").to_owned())
        .collect()
}

/// Ends a program.
fn end(mut program: Program) {
    program.say("enough");
    program.end().expect_code(7);
}

case!(hollow_containers);
/// A dictionary and a set that once were large have millions of empty slots.
fn hollow_containers(python: &Interpreter) {
    let mut program = frozen(python, "hollow");
    holds_up_shortly(&mut program, &["--locals"]);
    end(program);
}

case!(huge_values, OnlyOne);
/// As much of each value as may be asked for.
fn huge_values(python: &Interpreter) {
    for kind in ["huge", "nested"] {
        let mut program = frozen(python, kind);
        holds_up_shortly(&mut program, &ALL_OF_VALUES);
        end(program);
    }
}

case!(long_keys, OnlyOne);
fn long_keys(python: &Interpreter) {
    let mut program = frozen(python, "keys");
    holds_up_shortly(&mut program, &["--locals"]);
    end(program);
}

case!(thousands_of_cells, OnlyOne);
fn thousands_of_cells(python: &Interpreter) {
    let mut program = frozen(python, "cells");
    holds_up_shortly(&mut program, &["--locals"]);
    end(program);
}

case!(many_global_names, OnlyOne);
fn many_global_names(python: &Interpreter) {
    let mut program = frozen(python, "globals_of");
    holds_up_shortly(&mut program, &["--globals"]);
    assert!(cut(&program, &["--globals"]).contains(&"variables".to_owned()));
    end(program);
}

case!(long_tables_of_lines, OnlyOne);
fn long_tables_of_lines(python: &Interpreter) {
    let mut program = frozen(python, "lines");
    for format in ["plain", "full"] {
        holds_up_shortly(&mut program, &["--format", format]);
    }
    end(program);
}

case!(deep_stacks, OnlyOne);
/// The shallow stacks are whole all the same.
fn deep_stacks(python: &Interpreter) {
    let mut program = frozen(python, "deep");
    for format in ["plain", "full"] {
        holds_up_shortly(&mut program, &["--format", format]);
    }
    let document = document_with(program.pid(), &["--via", "wake"]);
    let threads = document["threads"].as_array().expect("a list").iter();
    let is_whole = |thread: &&serde_json::Value| {
        let frames = thread["frames"].as_array().expect("a list");
        frames.iter().all(|frame| frame["mark"].is_null())
    };
    // The main thread, the heartbeat, and the one that only waits.
    assert_eq!(threads.filter(is_whole).count(), 3);
    end(program);
}

case!(variables_of_many_threads);
/// What was cut is said once for each thread, and an option allows more.
fn variables_of_many_threads(python: &Interpreter) {
    let mut program = frozen(python, "threads");
    holds_up_shortly(&mut program, &["--locals"]);
    let document = document_with(program.pid(), &["--locals", "--via", "wake"]);
    let threads = document["threads"].as_array().expect("a list");
    assert!(threads.len() >= 302, "{}", threads.len());
    let late = threads.iter().filter(|one| one["variables_cut"] == true);
    let late = late.count();
    assert!(
        late > 0 && late < threads.len(),
        "{late} of {}",
        threads.len()
    );
    assert_eq!(document["variables_cut"], true);
    let parts = document["cut"].as_array().expect("a list");
    assert!(parts.iter().any(|part| part == "variables"), "{parts:?}");
    let document = document_with(
        program.pid(),
        &["--locals", "--hold", "2000", "--via", "wake"],
    );
    let threads = document["threads"].as_array().expect("a list").iter();
    let late_of_more = threads.filter(|one| one["variables_cut"] == true).count();
    assert!(late_of_more < late, "{late_of_more}, {late}");
    end(program);
}

case!(millions_of_objects, OnlyOne);
/// The search for generators goes through all objects.
fn millions_of_objects(python: &Interpreter) {
    let mut program = frozen(python, "objects");
    holds_up_shortly(&mut program, &["--greenlets"]);
    end(program);
}

case!(lattice_of_classes, OnlyOne);
/// There are millions of ways from an old-style class to its base.
fn lattice_of_classes(python: &Interpreter) {
    let mut program = frozen(python, "classes");
    holds_up_shortly(&mut program, &["--greenlets"]);
    end(program);
}
