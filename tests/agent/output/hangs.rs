//! Programs that hang: the answer names the cause.

use serde_json::{Value, json};
use tests::ask::{WAYS, full_answer, woken_target};
use tests::case;
use tests::document::document;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;

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
