//! Who waits for whom.

use serde_json::{Value, json};
use tests::ask::{WAYS, full_answer, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;
use tests::said::Said;

/// `waits.py`, once all its threads wait, and what it says of them.
fn waits(python: &Interpreter) -> (Program, Said) {
    let program = woken_target(python, "waits.py", &[]);
    settle(program.pid());
    let said = Said::by(&program);
    (program, said)
}

case!(what_is_waited_for);
fn what_is_waited_for(python: &Interpreter) {
    let (program, said) = waits(python);
    for via in WAYS {
        let document = document(program.pid(), via);
        let wait = |what: &str| thread(&document, said.ident(what))["waits_for"].clone();
        let ident = |what: &str| Value::from(said.ident(what));
        let main = document["threads"].as_array().unwrap().iter();
        let main = main.clone().find(|one| one["main"] == true).unwrap()["ident"].clone();
        for (what, kind, holders, candidates) in [
            ("one", "rlock", vec![ident("two")], vec![]),
            ("two", "lock", vec![ident("three")], vec![]),
            ("three", "lock", vec![ident("one")], vec![]),
            ("lock_of_object", "lock", vec![main.clone()], vec![]),
            (
                "lock_in_closure",
                "lock",
                vec![ident("lock_in_closure")],
                vec![],
            ),
            ("lock_in_long_code", "lock", vec![main.clone()], vec![]),
            ("lock_of_somebody", "lock", vec![ident("keeper")], vec![]),
            ("lock_of_keeper", "lock", vec![], vec![ident("keeper")]),
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
        for (what, certainty) in [
            ("one", json!("held")),
            ("two", json!("held")),
            ("condition_taken", json!("held")),
            ("lock_in_closure", json!("very likely held")),
            ("lock_of_somebody", json!("very likely held")),
            ("lock_of_keeper", Value::Null),
            ("join", Value::Null),
        ] {
            assert_eq!(wait(what)["certainty"], certainty, "{what}");
        }
        let part = &wait("condition_taken")["part"];
        assert_eq!([&part["name"], &part["class"]], ["lock", "Condition"]);
        assert_eq!(wait("one")["count"], 2);
        assert_eq!(wait("condition")["limited"], false);
        assert_eq!(wait("condition_limited")["limited"], true);
        assert_eq!(wait("semaphore")["value"], 0);
        let sizes = |what: &str| json!([wait(what)["size"], wait(what)["most"]]);
        assert_eq!(sizes("queue_get"), json!([0, 0]));
        assert_eq!(sizes("queue_put"), json!([2, 2]));
        assert_eq!(wait("join")["thread"], ident("one"));
        assert_eq!(wait("keeper")["seconds"], 1000.0);
        // The same lock has the same id in every thread.
        let held = &thread(&document, said.ident("one"))["holds"];
        assert_eq!(held[0]["id"], wait("three")["id"], "{held}");
        assert!(held[0]["file"].as_str().unwrap().ends_with("waits.py"));
        let main = document["threads"].as_array().unwrap();
        let main = main.iter().find(|one| one["main"] == true).unwrap();
        assert_eq!(main["waits_for"]["kind"], "read");
        assert_eq!(document["deadlocks"], json!([circle(&said)]));
    }
    program.ends();
}

/// The cycle one, two, three, each waiting for the next, from the lowest identifier on.
fn circle(said: &Said) -> Vec<u64> {
    let mut circle = ["one", "two", "three"].map(|what| said.ident(what));
    let lowest = (0..3).min_by_key(|&at| circle[at]).unwrap();
    circle.rotate_left(lowest);
    circle.to_vec()
}

case!(deadlock_comes_first);
fn deadlock_comes_first(python: &Interpreter) {
    let (program, said) = waits(python);
    for via in WAYS {
        let out = full_answer(program.pid(), via);
        let (before, after) = out.split_once("\n\n### Thread ").expect("threads");
        let (_, deadlock) = before
            .split_once("\nDeadlock: 3 threads wait for each other:\n")
            .unwrap_or_else(|| panic!("no deadlock: {out}"));
        for (what, next, thing, line) in [
            ("one", "two", "RLock", "second.acquire()"),
            ("two", "three", "lock", "with third:"),
            ("three", "one", "lock", "with first:"),
        ] {
            let start = format!(
                "  thread {} \"{what}\" waits for {thing} 0x",
                said.ident(what)
            );
            let end = format!(", held by thread {} \"{next}\"\n", said.ident(next));
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
        let keeper = said.ident("keeper");
        let unknown =
            format!(", whose holder is not known; in a variable of thread {keeper} \"keeper\"\n");
        assert!(after.contains(&unknown), "{out}");
        let likely = format!(", very likely held by thread {keeper} \"keeper\"\n");
        assert!(after.contains(&likely), "{out}");
    }
    program.ends();
}

case!(no_deadlock_where_none_is);
/// Whatever the program is doing, no deadlock is reported; and none of its own code runs.
fn no_deadlock_where_none_is(python: &Interpreter) {
    let program = woken_target(python, "hustle.py", &[]);
    for _ in 0..60 {
        let document = document(program.pid(), "wake");
        assert_eq!(document["note"], Value::Null);
        assert_eq!(document["deadlocks"], json!([]), "{document:#}");
        for thread in document["threads"].as_array().unwrap() {
            // A thread that waits for a condition has released its lock.
            let condition = thread["waits_for"]["kind"] == "condition";
            assert!(!condition || thread["holds"] == json!([]), "{thread}");
        }
    }
    let ended = program.ends();
    assert_eq!(ended.out(), "ready\nran []\n");
}
