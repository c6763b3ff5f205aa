//! Who waits for whom.

use crate::Case;
use crate::Need::Nothing;
use crate::cases_full::{WAYS, document, thread};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::ask::{activate, target};
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::{settle, wait_agent};

pub const CASES: &[Case] = &[
    ("what_is_waited_for", Nothing, what_is_waited_for),
    ("deadlock_comes_first", Nothing, deadlock_comes_first),
    (
        "no_deadlock_where_none_is",
        Nothing,
        no_deadlock_where_none_is,
    ),
];

/// How many threads `waits.py` starts.
const COUNT: usize = 18;

/// `waits.py`, and the identifiers of its threads.
fn waits(python: &Interpreter) -> (Program, BTreeMap<String, u64>) {
    let program = Program::start(&mut target(python, "waits.py")).ready();
    wait_agent(program.pid());
    let lines = program.wait_lines("thread ", COUNT);
    let threads = lines.iter().map(|line| {
        let (what, ident) = line.split_once(' ').unwrap();
        (what.to_owned(), ident.parse().unwrap())
    });
    let threads = threads.collect();
    settle(program.pid());
    (program, threads)
}

fn what_is_waited_for(python: &Interpreter) {
    let (mut program, threads) = waits(python);
    for via in WAYS {
        let document = document(program.pid(), via);
        let wait = |what: &str| thread(&document, threads[what])["waits_for"].clone();
        let ident = |what: &str| Value::from(threads[what]);
        for (what, kind, holders, candidates) in [
            ("one", "rlock", vec![ident("two")], vec![]),
            ("two", "lock", vec![ident("three")], vec![]),
            ("three", "lock", vec![ident("one")], vec![]),
            ("lock_of_object", "lock", vec![], vec![]),
            ("lock_in_closure", "lock", vec![], vec![]),
            ("lock_of_somebody", "lock", vec![], vec![ident("keeper")]),
            ("condition", "condition", vec![], vec![]),
            ("condition_limited", "condition", vec![], vec![]),
            (
                "condition_taken",
                "lock",
                vec![ident("condition_taker")],
                vec![],
            ),
            ("event", "event", vec![], vec![]),
            ("semaphore", "semaphore", vec![], vec![]),
            ("queue_get", "queue_get", vec![], vec![]),
            ("queue_put", "queue_put", vec![], vec![]),
            ("queue_join", "queue_join", vec![], vec![]),
            ("join", "thread", vec![ident("one")], vec![]),
            ("keeper", "sleep", vec![], vec![]),
            ("condition_taker", "sleep", vec![], vec![]),
        ] {
            let wait = wait(what);
            assert_eq!(wait["kind"], kind, "{what}: {wait}");
            assert_eq!(wait["holders"], Value::from(holders), "{what}: {wait}");
            assert_eq!(
                wait["candidates"],
                Value::from(candidates),
                "{what}: {wait}"
            );
        }
        assert_eq!(wait("lock_in_long_code"), Value::Null);
        assert_eq!(wait("one")["count"], 2);
        assert_eq!(wait("condition")["limited"], false);
        assert_eq!(wait("condition_limited")["limited"], true);
        assert_eq!(wait("semaphore")["value"], 0);
        let sizes = |what: &str| json!([wait(what)["size"], wait(what)["most"]]);
        assert_eq!(sizes("queue_get"), json!([0, 0]));
        assert_eq!(sizes("queue_put"), json!([2, 2]));
        assert_eq!(wait("join")["thread"], ident("one"));
        assert_eq!(wait("keeper")["seconds"], 1000.0);
        // The same lock is the same for all.
        let held = &thread(&document, threads["one"])["holds"];
        assert_eq!(held[0]["id"], wait("three")["id"], "{held}");
        assert!(held[0]["file"].as_str().unwrap().ends_with("waits.py"));
        let main = document["threads"].as_array().unwrap();
        let main = main.iter().find(|one| one["main"] == true).unwrap();
        assert_eq!(main["waits_for"]["kind"], "read");
        assert_eq!(document["deadlocks"], json!([circle(&threads)]));
    }
    program.say("");
    program.end().expect_code(7);
}

/// One waits for two, two for three, three for one: from the lowest identifier on.
fn circle(threads: &BTreeMap<String, u64>) -> Vec<u64> {
    let mut circle = ["one", "two", "three"].map(|what| threads[what]);
    let lowest = (0..3).min_by_key(|&at| circle[at]).unwrap();
    circle.rotate_left(lowest);
    circle.to_vec()
}

fn deadlock_comes_first(python: &Interpreter) {
    let (mut program, threads) = waits(python);
    for via in WAYS {
        let ended = activate(["--format", "full", "--via", via, &program.pid().to_string()]);
        ended.expect_code(0);
        let out = ended.out();
        let (before, after) = out.split_once("\n\n### Thread ").expect("threads");
        let (_, deadlock) = before
            .split_once("\nDeadlock: 3 threads wait for each other:\n")
            .unwrap_or_else(|| panic!("no deadlock: {out}"));
        for (what, next, thing, line) in [
            ("one", "two", "RLock", "second.acquire()"),
            ("two", "three", "lock", "with third:"),
            ("three", "one", "lock", "with first:"),
        ] {
            let start = format!("  thread {} \"{what}\" waits for {thing} 0x", threads[what]);
            let end = format!(", held by thread {} \"{next}\"\n", threads[next]);
            let (_, rest) = deadlock.split_once(&start).expect("its line");
            let (_, rest) = rest.split_once(&end).expect("who holds it");
            let mut lines = rest.lines();
            assert!(
                lines.next().unwrap().ends_with(&format!(", in {what}")),
                "{out}"
            );
            assert_eq!(lines.next().unwrap().trim(), line, "{out}");
        }
        let line = "\n  - waits for room in Queue 0x";
        assert!(after.contains(line), "{out}");
        let keeper = threads["keeper"];
        let unknown =
            format!(", whose holder is not known; in a variable of thread {keeper} \"keeper\"\n");
        assert!(after.contains(&unknown), "{out}");
    }
    program.say("");
    program.end().expect_code(7);
}

/// Whatever it is in the midst of; and none of its own code runs for it.
fn no_deadlock_where_none_is(python: &Interpreter) {
    let mut program = Program::start(&mut target(python, "hustle.py")).ready();
    wait_agent(program.pid());
    for _ in 0..60 {
        let document = document(program.pid(), "wake");
        assert_eq!(document["note"], Value::Null);
        assert_eq!(document["deadlocks"], json!([]), "{document:#}");
        for thread in document["threads"].as_array().unwrap() {
            // Who waits for a condition has let go of its lock.
            let condition = thread["waits_for"]["kind"] == "condition";
            assert!(!condition || thread["holds"] == json!([]), "{thread}");
        }
    }
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.out(), "ready\nran []\n");
}
