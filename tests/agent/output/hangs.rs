//! Programs that hang: the answer names the cause.

use serde_json::{Value, json};
use tests::ask::{WAYS, full_answer, woken_target};
use tests::case;
use tests::document::document;
use tests::interpreters::Interpreter;
use tests::packages;
use tests::process::Program;
use tests::procfs::{settle, wait_agent};

/// `hangs.py HOW`, once it hangs.
fn hangs(python: &Interpreter, how: &str) -> Program {
    let program = woken_target(python, "hangs.py", &[how]);
    settle(program.pid());
    program
}

/// The document of a program with one thread that waits for itself, and what that waits for.
#[track_caller]
fn waits_for_itself(pid: i32, via: &str) -> Value {
    let document = document(pid, via);
    let thread = &document["threads"][0];
    let wait = thread["waits_for"].clone();
    assert_eq!(wait["holders"], json!([thread["ident"]]), "{document:#}");
    assert_eq!(document["deadlocks"], json!([[thread["ident"]]]));
    wait
}

case!(nested_with);
fn nested_with(python: &Interpreter) {
    let program = hangs(python, "nested_with");
    for via in WAYS {
        let wait = waits_for_itself(program.pid(), via);
        assert_eq!(wait["kind"], "lock", "{wait}");
        let out = full_answer(program.pid(), via);
        let line = format!(
            " \"MainThread\" waits for lock {:#x}, which it holds itself\n",
            wait["id"].as_u64().expect("an address")
        );
        let deadlock = "\nDeadlock: a thread waits for itself:\n  thread ";
        assert!(out.contains(&line) && out.contains(deadlock), "{out}");
    }
}

/// The thread of this name.
#[track_caller]
fn named<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut threads = document["threads"].as_array().unwrap().iter();
    let found = threads.find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no thread {name}: {document:#}"))
}

/// Waits until each of these threads waits for a lock; returns the document.
#[track_caller]
fn until_they_wait(pid: i32, names: &[&str]) -> Value {
    for _ in 0..100 {
        let document = document(pid, "wake");
        let threads = document["threads"].as_array().unwrap();
        let waits = |name: &&str| {
            let mut threads = threads.iter();
            let thread = threads.find(|one| one["name"] == **name);
            thread.is_some_and(|one| {
                ["lock", "rlock"].contains(&one["waits_for"]["kind"].as_str().unwrap_or_default())
            })
        };
        if names.iter().all(waits) {
            return document;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("they do not wait");
}

case!(two_locks_in_opposite_order);
fn two_locks_in_opposite_order(python: &Interpreter) {
    for how in ["abba_in_loop", "abba"] {
        let program = woken_target(python, "hangs.py", &[how]);
        let document = until_they_wait(program.pid(), &["a", "b"]);
        let [a, b] = ["a", "b"].map(|name| named(&document, name));
        for (one, other) in [(a, b), (b, a)] {
            let wait = &one["waits_for"];
            assert_eq!(wait["holders"], json!([other["ident"]]), "{document:#}");
            assert_eq!(wait["certainty"], "very likely held");
        }
        assert_eq!(document["deadlocks"].as_array().unwrap().len(), 1);
        let out = full_answer(program.pid(), "wake");
        assert!(
            out.contains("\nDeadlock: 2 threads wait for each other:\n"),
            "{out}"
        );
        assert!(out.contains(", very likely held by thread "), "{out}");
    }
}

case!(no_deadlock_is_made_up);
/// A lock that was released, or that another thread is to release, makes no circle.
fn no_deadlock_is_made_up(python: &Interpreter) {
    for (how, names) in [
        ("no_abba", &["a", "b"][..]),
        ("lock_as_signal", &["MainThread"]),
    ] {
        let program = woken_target(python, "hangs.py", &[how]);
        if how == "lock_as_signal" {
            let document = until_they_wait(program.pid(), names);
            assert_eq!(document["deadlocks"], json!([]), "{document:#}");
        } else {
            settle(program.pid());
            assert_eq!(document(program.pid(), "wake")["deadlocks"], json!([]));
        }
    }
}

case!(reused_ident);
fn reused_ident(python: &Interpreter) {
    let program = woken_target(python, "hangs.py", &["reused_ident"]);
    let document = until_they_wait(program.pid(), &["victim", "innocent"]);
    let wait = &named(&document, "victim")["waits_for"];
    assert_eq!(wait["holders"], json!([]), "{document:#}");
    let gone = wait["gone"].as_str().unwrap_or_default();
    assert!(["ended", "replaced"].contains(&gone), "{wait}");
    assert_eq!(document["deadlocks"], json!([]));
    let out = full_answer(program.pid(), "wake");
    let mut lines = out.lines();
    let line = lines
        .find(|line| line.contains("waits for RLock"))
        .expect("its line");
    assert!(
        line.ends_with(", which has ended") && !line.contains("innocent"),
        "{out}"
    );
}

case!(a_queue_is_entered_again);
fn a_queue_is_entered_again(python: &Interpreter) {
    for (how, name) in [
        ("queue_reentered", "worker"),
        ("signal_reenters", "MainThread"),
    ] {
        let program = woken_target(python, "hangs.py", &[how]);
        let document = until_they_wait(program.pid(), &[name]);
        let thread = named(&document, name);
        let wait = &thread["waits_for"];
        assert_eq!(wait["holders"], json!([thread["ident"]]), "{document:#}");
        assert_eq!(wait["certainty"], "held");
        assert_eq!(
            [&wait["part"]["name"], &wait["part"]["class"]],
            ["mutex", "Queue"]
        );
        assert_eq!(document["deadlocks"], json!([[thread["ident"]]]));
        let out = full_answer(program.pid(), "wake");
        let start = " waits for the mutex of Queue 0x";
        let mut lines = out.lines().filter(|line| line.contains(start));
        assert!(
            lines.any(|line| line.ends_with(", which it holds itself")),
            "{out}"
        );
    }
}

case!(left_behind_by_a_fork);
fn left_behind_by_a_fork(python: &Interpreter) {
    let program = woken_target(python, "hangs.py", &["log_lock_over_fork"]);
    let said = || {
        program
            .out()
            .lines()
            .find_map(|line| Some(line.strip_prefix("child ")?.parse().unwrap()))
    };
    let mut child = said();
    while child.is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
        child = said();
    }
    let child: i32 = child.unwrap();
    wait_agent(child);
    settle(child);
    let document = until_they_wait(child, &["MainThread"]);
    let wait = &named(&document, "MainThread")["waits_for"];
    assert_eq!(
        (&wait["gone"], &wait["holders"]),
        (&json!("fork"), &json!([])),
        "{wait}"
    );
    let out = full_answer(child, "wake");
    let owner = wait["owner"].as_u64().unwrap();
    let end = format!(", held by thread {owner}, which the fork left behind\n");
    assert!(
        out.contains(&end) && out.contains(" waits for the lock of StreamHandler 0x"),
        "{out}"
    );
}

case!(native_lock_before_patch, Packages);
fn native_lock_before_patch(python: &Interpreter) {
    let arguments = ["native_lock_before_patch"];
    let (program, _) = packages::woken_with(python, "gevent", "hangs.py", &arguments);
    let wait = waits_for_itself(program.pid(), "wake");
    assert_eq!(
        (&wait["kind"], &wait["certainty"]),
        (&json!("lock"), &json!("held"))
    );
}
