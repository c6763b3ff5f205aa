//! Answers from memory, where a thread keeps the GIL in C code: they have what others have.

use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{WALK_HEADING, WAYS, activate, answer, target, woken};
use tests::case;
use tests::document::document_with;
use tests::interpreters::Interpreter;
use tests::process::Program;

/// Well before the deadline of 3 s, also on a loaded machine; on an idle one it takes a tenth.
const SOON: Duration = Duration::from_millis(2500);

#[track_caller]
fn keeps(python: &Interpreter, arguments: &[&str]) -> Program {
    let program = woken(target(python, "gil_kept.py").args(arguments));
    sleep(Duration::from_millis(600));
    program
}

#[track_caller]
fn named<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut threads = document["threads"].as_array().unwrap().iter();
    let thread = threads.find(|one| one["name"] == name);
    thread.unwrap_or_else(|| panic!("no {name}: {document}"))
}

#[track_caller]
fn soon(pid: i32, options: &[&str]) -> Value {
    let begun = Instant::now();
    let document = document_with(pid, options);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    document
}

case!(computes_in_c);
fn computes_in_c(python: &Interpreter) {
    let program = keeps(python, &["regex"]);
    for via in WAYS {
        let document = soon(program.pid(), &["--locals", "--via", via]);
        let note = document["note"].as_str().expect("a note");
        assert!(
            note.contains("keeps the GIL and computes in C code ("),
            "{note}"
        );
        let keeper = named(&document, "keeper");
        assert_eq!(
            (&keeper["held_gil"], &keeper["daemon"]),
            (&true.into(), &true.into())
        );
        assert!(
            keeper["tid"]
                .as_i64()
                .is_some_and(|tid| tid > i64::from(program.pid()))
        );
        let frames = keeper["frames"].as_array().unwrap();
        let clean = frames.iter().find(|frame| frame["function"] == "clean");
        let clean = clean.unwrap_or_else(|| panic!("{document}"));
        assert_eq!(clean["source"], "return re.sub(pattern, '', html)");
        let locals = clean["locals"].to_string();
        assert!(
            locals.contains("(a+)+$") && locals.contains("'page 4711'"),
            "{locals}"
        );
        let waiting = named(&document, "waiting 0");
        assert_eq!(waiting["held_gil"], false);
        assert_eq!(waiting["waits_for"]["kind"], "lock", "{waiting}");
        let locals = waiting["frames"].to_string();
        for value in [
            "u'w\\\\xe4hrend'",
            "(1180591620717411303424L, -3, 2.5, set(['member']))",
        ] {
            assert!(locals.contains(value), "{value}: {locals}");
        }
        assert_eq!(named(&document, "MainThread")["main"], true);
    }
    let begun = Instant::now();
    let text = answer(program.pid(), &[]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(text.starts_with(WALK_HEADING), "{text}");
    assert!(
        text.contains(", in clean\n    return re.sub(pattern, '', html)\n"),
        "{text}"
    );
}

case!(sleeps_in_c);
fn sleeps_in_c(python: &Interpreter) {
    let program = keeps(python, &["mutex"]);
    let document = soon(program.pid(), &["--greenlets"]);
    let note = document["note"].as_str().expect("a note");
    assert!(
        note.contains("keeps the GIL and sleeps in C code (in futex)"),
        "{note}"
    );
    assert!(
        note.ends_with("; greenlets and generators are not looked for"),
        "{note}"
    );
    let keeper = named(&document, "keeper");
    let source = keeper["frames"].as_array().unwrap().last().unwrap()["source"].clone();
    assert_eq!(source, "keeping.pthread_mutex_lock(mutex)");
    assert_eq!(keeper["system_call"], "futex");
}

case!(of_many_threads);
fn of_many_threads(python: &Interpreter) {
    let program = keeps(python, &["many", "500"]);
    let document = soon(program.pid(), &[]);
    assert_eq!(document["threads"].as_array().unwrap().len(), 502);
    for number in [0, 250, 499] {
        let waiting = named(&document, &format!("waiting {number}"));
        assert_eq!(waiting["waits_for"]["kind"], "lock", "{waiting}");
        assert!(waiting["tid"].is_number(), "{waiting}");
    }
}

case!(who_moves_is_waited_for);
fn who_moves_is_waited_for(python: &Interpreter) {
    let program = keeps(python, &["moving"]);
    for _ in 0..3 {
        let document = document_with(program.pid(), &["--via", "wake"]);
        assert_eq!(document["note"], Value::Null);
        assert_eq!(document["threads"].as_array().unwrap().len(), 3);
    }
}

case!(corrupt_objects);
/// What is no object is marked in its place, and harms nobody.
fn corrupt_objects(python: &Interpreter) {
    let program = keeps(python, &["corrupt"]);
    let begun = Instant::now();
    let ended = activate([
        "--format",
        "full",
        "--locals",
        "--via",
        "wake",
        &program.pid().to_string(),
    ]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    ended.expect_code(0);
    let out = ended.out();
    for line in [
        "      gone = <unreadable at 0x",
        "texttexttext",
        " (35184372088832 in all)\n",
        "      huge = (",
        "      cut = {... 1 more: unreadable}",
        "      shown = <__main__.Shown at 0x",
        "        .inside = 'an attribute'",
        "  - waits for lock ",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let ended = program.ends();
    assert_eq!(
        (ended.out().as_str(), ended.err().as_str()),
        ("ready\nwent on\n", "")
    );
}
