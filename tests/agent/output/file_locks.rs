//! Who holds the lock on a file that a thread waits for.

use serde_json::json;
use tests::ask::{WAYS, full_answer, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::interpreters::Interpreter;
use tests::procfs::settle;
use tests::said::Said;
use tests::scratch::Scratch;

case!(who_holds_the_lock);
fn who_holds_the_lock(python: &Interpreter) {
    let folder = Scratch::new();
    let path = folder.display().to_string();
    let program = woken_target(python, "file_locks.py", &[&path]);
    settle(program.pid());
    let said = Said::by(&program);
    for via in WAYS {
        let out = full_answer(program.pid(), via);
        let document = document(program.pid(), via);
        for (what, command, own) in [
            ("flock", None, false),
            ("lockf", None, false),
            ("inherited", Some("sleep 1000"), false),
            ("own", None, true),
        ] {
            let wait = &thread(&document, said.ident(what))["waits_for"];
            let number = said.number(&format!("number {what}"));
            assert_eq!(wait["kind"], "file_lock", "{what} by {via}: {wait}");
            let descriptor = &wait["descriptors"][0];
            assert_eq!(descriptor["path"], format!("{path}/{what}"), "{descriptor}");
            let holders = &descriptor["held_by"];
            assert_eq!(holders["own"], own, "{what} by {via}: {holders}");
            let start = format!("  - waits for a lock on file {number} {path}/{what}, ");
            let line = out.lines().find(|line| line.starts_with(&start));
            let line = line.unwrap_or_else(|| panic!("{start}: {out}"));
            if own {
                assert_eq!(holders["processes"], json!([]));
                assert_eq!(line, format!("{start}which this process holds itself"));
                continue;
            }
            let child = said.number(&format!("child {what}"));
            assert_eq!(
                holders["processes"][0]["pid"], child,
                "{what} by {via}: {holders}"
            );
            assert_eq!(holders["processes"].as_array().unwrap().len(), 1);
            let words = format!("{start}held by PID {child} ({}", command.unwrap_or(""));
            assert!(line.starts_with(&words), "{words}: {line}");
        }
    }
    program.ends();
}
