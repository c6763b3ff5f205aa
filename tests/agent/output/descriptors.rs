//! What threads wait for according to the kernel: descriptors, children, the GIL; and the import lock.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::ask::{WAYS, answer, full_answer, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;
use tests::said::Said;
use tests::scratch::Scratch;

/// A target that is ready, and what it has printed about itself.
fn started(python: &Interpreter, name: &str, arguments: &[&str]) -> (Program, Said) {
    let program = woken_target(python, name, arguments);
    let said = Said::by(&program);
    (program, said)
}

case!(descriptors);
fn descriptors(python: &Interpreter) {
    let folder = Scratch::new();
    let path = folder.display().to_string();
    let (program, said) = started(python, "descriptors.py", &[&path]);
    settle(program.pid());
    for via in WAYS {
        let document = document(program.pid(), via);
        assert_eq!(document["note"], Value::Null);
        let wait = |what: &str| thread(&document, said.ident(what))["waits_for"].clone();
        let unknown = Value::Null;
        for (what, kind, limited) in [
            ("recv", "read", &unknown),
            ("recv_limited", "read", &json!(true)),
            ("send", "write", &unknown),
            ("send_limited", "write", &json!(true)),
            ("accept", "accept", &unknown),
            ("accept_limited", "accept", &json!(true)),
            ("connect", "connect", &unknown),
            ("connect_limited", "connect", &json!(true)),
        ] {
            let wait = wait(what);
            let peer = match kind {
                "accept" => Value::Null,
                _ => said.text(&format!("peer {what}")).into(),
            };
            let one = json!([{
                "number": said.number(&format!("number {what}")), "ways": [kind], "type": "tcp",
                "local": said.text(&format!("at {what}")), "peer": peer, "path": null,
                "other_end": null, "held_by": null
            }]);
            assert_eq!(wait["descriptors"], one, "{what} by {via}: {wait}");
            assert_eq!(wait["kind"], kind, "{what} by {via}: {wait}");
            assert_eq!(wait["limited"], *limited, "{what} by {via}: {wait}");
            assert_eq!(wait["others"], 0, "{what} by {via}: {wait}");
        }
        let fifo = format!("{path}/a fifo\\012");
        let socket = format!("{path}/a socket");
        // Nobody but the program itself could write to it.
        let own = json!({ "processes": [], "more": 0, "own": true, "complete": true });
        for (what, kind, shape, local, path, other_end) in [
            (
                "udp",
                "read",
                "udp",
                Some(said.text("at udp")),
                None,
                &unknown,
            ),
            ("unix", "accept", "unix", Some(&*socket), None, &unknown),
            ("pair", "read", "unix", None, None, &own),
            ("pipe", "read", "pipe", None, None, &own),
            ("fifo", "read", "fifo", None, Some(&*fifo), &own),
        ] {
            let one = json!([{
                "number": said.number(&format!("number {what}")), "ways": [kind], "type": shape,
                "local": local, "peer": null, "path": path, "other_end": other_end,
                "held_by": null
            }]);
            let wait = wait(what);
            assert_eq!(wait["descriptors"], one, "{what} by {via}: {wait}");
            assert_eq!(wait["kind"], kind, "{what} by {via}: {wait}");
        }
        let both = |what: &str, ways: [&[&str]; 2]| {
            let told = wait(what)["descriptors"].clone();
            let told: BTreeMap<u64, &Value> = told
                .as_array()
                .unwrap()
                .iter()
                .map(|one| (one["number"].as_u64().unwrap(), one))
                .collect();
            assert_eq!(told.len(), 2, "{what}: {told:?}");
            for (which, ways) in ["first", "second"].into_iter().zip(ways) {
                let one = told[&said.number(&format!("number {which}"))];
                assert_eq!(one["ways"], json!(ways), "{what} by {via}: {one}");
                assert_eq!(one["local"], said.text(&format!("at {which}")), "{one}");
                assert_eq!(one["peer"], said.text(&format!("peer {which}")), "{one}");
            }
        };
        both("select", [&["read", "urgent"], &["read"]]);
        both("poll", [&["read", "urgent"]; 2]);
        both("epoll", [&["read"]; 2]);
        let shape = |what: &str| {
            let wait = wait(what);
            let listed = wait["descriptors"].as_array().unwrap().len();
            json!([wait["kind"], listed, wait["others"], wait["limited"]])
        };
        assert_eq!(shape("select"), json!(["poll", 2, 0, false]));
        assert_eq!(shape("select_limited"), json!(["read", 1, 0, true]));
        assert_eq!(shape("poll"), json!(["poll", 2, 0, false]));
        assert_eq!(shape("poll_many"), json!(["poll", 16, 4, true]));
        assert_eq!(shape("epoll"), json!(["epoll", 2, 0, false]));
        assert_eq!(wait("epoll")["epoll"], said.number("number epoll"));
        let child = wait("child");
        let told = json!([child["kind"], child["child"], child["command"]]);
        assert_eq!(
            told,
            json!(["child", said.number("number child"), "sleep 1000"])
        );
        assert_eq!(document["deadlocks"], json!([]));
    }
    program.ends();
}

case!(descriptors_in_words);
fn descriptors_in_words(python: &Interpreter) {
    let folder = Scratch::new();
    let path = folder.display().to_string();
    let (program, said) = started(python, "descriptors.py", &[&path]);
    settle(program.pid());
    for via in WAYS {
        // Some are alike, and would stand in one entry.
        let out = answer(program.pid(), &["--format", "full", "--each", "--via", via]);
        let socket = |what: &str| {
            let [at, peer] = ["at", "peer"].map(|which| said.text(&format!("{which} {what}")));
            format!(
                "socket {}, tcp {at} -> {peer}",
                said.number(&format!("number {what}"))
            )
        };
        for (what, words) in [
            ("recv", format!("data on {}", socket("recv"))),
            (
                "send_limited",
                format!(
                    "room to write to {}, for a limited time",
                    socket("send_limited")
                ),
            ),
            (
                "accept",
                format!(
                    "a connection to socket {}, tcp {}",
                    said.number("number accept"),
                    said.text("at accept")
                ),
            ),
            (
                "connect",
                format!("the connection of {}", socket("connect")),
            ),
            (
                "fifo",
                format!(
                    "data on FIFO {} {path}/a fifo\\012, which nobody else has open for writing",
                    said.number("number fifo")
                ),
            ),
            (
                "child",
                format!(
                    "the end of child process {} (sleep 1000)",
                    said.number("number child")
                ),
            ),
        ] {
            let (_, stack) = out
                .split_once(&format!("\n### Thread {} ", said.ident(what)))
                .unwrap_or_else(|| panic!("{what}: {out}"));
            let told = stack.lines().nth(1).unwrap();
            assert_eq!(told, format!("  - waits for {words}"), "{what} by {via}");
        }
        let epoll = format!(
            "any of 2 descriptors that epoll {} watches: ",
            said.number("number epoll")
        );
        for words in [&*epoll, "any of 20 descriptors: ", "; and 16 more, for a"] {
            assert!(out.contains(words), "{words}: {out}");
        }
    }
    program.ends();
}

case!(import_lock);
/// A module waits for a thread while it is imported, and the thread waits for the import lock.
fn import_lock(python: &Interpreter) {
    let (program, said) = started(python, "importing.py", &["deadlock"]);
    settle(program.pid());
    let [main, statement] = ["main", "statement"].map(|what| said.ident(what));
    for via in WAYS {
        let document = document(program.pid(), via);
        for what in ["statement", "function", "lock"] {
            let wait = &thread(&document, said.ident(what))["waits_for"];
            assert_eq!(wait["kind"], "import", "{what} by {via}: {document:#}");
            assert_eq!(wait["holders"], json!([main]), "{what} by {via}: {wait}");
        }
        let circle = json!([[main.min(statement), main.max(statement)]]);
        assert_eq!(document["deadlocks"], circle, "{via}");
        let out = full_answer(program.pid(), via);
        let line = format!(
            "  thread {statement} \"statement\" waits for the import lock, held by thread {main} "
        );
        assert!(out.contains(&line), "{line}: {out}");
    }
}

case!(import_lock_of_nobody);
/// Where the holder of the import lock is unknown, the answer names none.
fn import_lock_of_nobody(python: &Interpreter) {
    let (program, said) = started(python, "importing.py", &["taken"]);
    settle(program.pid());
    for via in WAYS {
        let document = document(program.pid(), via);
        let statement = thread(&document, said.ident("statement"));
        assert_eq!(statement["system_call"], "futex", "{statement}");
        assert_eq!(statement["waits_for"], Value::Null, "{statement}");
        assert_eq!(document["deadlocks"], json!([]));
    }
}

/// How often a program is asked, at most, until the answers have shown what is expected.
const MOST_QUESTIONS: usize = 60;

case!(gil);
/// One computing thread holds the GIL; the others wait for it, or have just woken up to try again.
fn gil(python: &Interpreter) {
    let (program, said) = started(python, "contending.py", &[]);
    for via in WAYS {
        let mut times = 0;
        for _ in 0..MOST_QUESTIONS {
            let document = document(program.pid(), via);
            assert_eq!(document["note"], Value::Null);
            let kind = |what: &str| {
                let thread = thread(&document, said.ident(what));
                let kind = thread["waits_for"]["kind"].as_str().unwrap_or_default();
                assert!(kind != "gil" || thread["held_gil"] == false, "{thread}");
                kind.to_owned()
            };
            assert_eq!(kind("lock"), "lock");
            for what in ["first", "second", "third"] {
                let kind = kind(what);
                assert!(["", "gil"].contains(&&*kind), "{what}: {document:#}");
                times += usize::from(kind == "gil");
            }
            if times >= 3 {
                break;
            }
        }
        assert!(times >= 3, "{times} by {via}");
    }
}
