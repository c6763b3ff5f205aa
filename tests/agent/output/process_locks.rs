//! Locks and semaphores of multiprocessing.

use serde_json::json;
use tests::ask::{WAYS, full_answer, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::interpreters::Interpreter;
use tests::procfs::settle;
use tests::said::Said;

case!(process_locks);
fn process_locks(python: &Interpreter) {
    let program = woken_target(python, "process_locks.py", &[]);
    settle(program.pid());
    let said = Said::by(&program);
    let ident = |what: &str| said.ident(what);
    let unknown = ", held by a process that is gone or not known".to_owned();
    for via in WAYS {
        let out = full_answer(program.pid(), via);
        let document = document(program.pid(), via);
        for (what, kind, noun, holders, held) in [
            ("dead", "process_lock", "lock", json!([]), unknown.clone()),
            (
                "elsewhere",
                "process_lock",
                "lock",
                json!([]),
                unknown.clone(),
            ),
            (
                "own",
                "process_lock",
                "lock",
                json!([ident("main")]),
                format!(", held by thread {} ", ident("main")),
            ),
            (
                "again",
                "process_rlock",
                "RLock",
                json!([ident("holder")]),
                format!(", held by thread {} \"holder\"", ident("holder")),
            ),
            (
                "semaphore",
                "process_semaphore",
                "semaphore",
                json!([]),
                String::new(),
            ),
            (
                "limited",
                "process_lock",
                "lock",
                json!([ident("main")]),
                format!(", for a limited time, held by thread {} ", ident("main")),
            ),
        ] {
            let wait = &thread(&document, ident(what))["waits_for"];
            assert_eq!(wait["kind"], kind, "{what} by {via}: {wait}");
            assert_eq!(wait["value"], 0, "{what} by {via}: {wait}");
            assert_eq!(wait["holders"], holders, "{what} by {via}: {wait}");
            assert_eq!(
                wait["limited"],
                what == "limited",
                "{what} by {via}: {wait}"
            );
            let id = wait["id"].as_u64().unwrap();
            let line = format!("  - waits for multiprocessing {noun} {id:#x}, value 0{held}");
            let found = out.lines().any(|one| one.starts_with(&line));
            assert!(found, "{what} by {via}: {line}: {out}");
        }
        assert_eq!(document["deadlocks"], json!([]));
    }
    program.ends();
}
