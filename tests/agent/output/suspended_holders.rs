//! Locks that suspended greenlets and generators hold, and deadlocks with them.

use serde_json::{Value, json};
use tests::ask::{WAYS, answer, full_answer, full_answer_with_greenlets, woken_target};
use tests::case;
use tests::document::{document, document_with_greenlets, thread};
use tests::interpreters::Interpreter;
use tests::packages::woken_with;
use tests::procfs::settle;
use tests::said::Said;

/// The entry of a suspended greenlet.
#[track_caller]
fn suspended(document: &Value, id: u64) -> &Value {
    let all = document["greenlets"]["suspended"].as_array().unwrap();
    let found = all.iter().find(|one| one["id"] == id);
    found.unwrap_or_else(|| panic!("no {id}: {document:#}"))
}

/// A circle of greenlets from its lowest address on, as it stands in a document.
fn circle<const N: usize>(said: &Said, names: [&str; N]) -> Value {
    let mut ids = names.map(|name| said.number(&format!("greenlet {name}")));
    let lowest = (0..N).min_by_key(|&at| ids[at]).unwrap();
    ids.rotate_left(lowest);
    Value::from(ids.map(|id| json!({"greenlet": id})).to_vec())
}

case!(greenlets_in_circles, Packages);
fn greenlets_in_circles(python: &Interpreter) {
    let (program, said) = woken_with(python, "gevent", "greenlet_circles.py", &["patched"]);
    for via in WAYS {
        let document = document_with_greenlets(program.pid(), via);
        let of = |what: &str| suspended(&document, said.number(&format!("greenlet {what}")));
        for (what, kind, thing, holder) in [
            ("first", "rlock", Some("rlock"), "second"),
            ("second", "semaphore", Some("once"), "third"),
            ("third", "rlock", Some("rlock_of_gevent"), "fourth"),
            ("fourth", "lock", Some("lock"), "first"),
            ("outside", "lock", Some("lock"), "first"),
            ("waits_for_limited", "lock", None, "limited"),
            ("limited", "lock", None, "outside"),
            ("wants_shared", "semaphore", Some("shared"), "has_shared"),
            ("has_shared", "lock", None, "wants_shared"),
        ] {
            let wait = &of(what)["waits_for"];
            assert_eq!(wait["kind"], kind, "{what}: {wait}");
            if let Some(thing) = thing {
                assert_eq!(wait["id"], said.number(&format!("thing {thing}")), "{wait}");
            }
            let holder = said.number(&format!("greenlet {holder}"));
            assert_eq!(
                wait["holders"],
                json!([{"greenlet": holder}]),
                "{what}: {wait}"
            );
            assert_eq!(wait["limited"], what == "limited", "{what}: {wait}");
        }
        let mut circles = [
            circle(&said, ["first", "second", "third", "fourth"]),
            circle(&said, ["joins_joined", "joined"]),
        ];
        circles.sort_by_key(|circle| circle[0]["greenlet"].as_u64());
        assert_eq!(document["circles"], json!(circles));
        assert_eq!(document["deadlocks"], json!([]));
        let out = full_answer_with_greenlets(program.pid(), via);
        for words in [
            "\nDeadlock: 4 greenlets wait for each other:\n",
            "\nDeadlock: 2 greenlets wait for each other:\n",
        ] {
            assert!(out.contains(words), "{out}");
        }
        let first = said.number("greenlet first");
        let (_, rest) = out.split_once("\nDeadlock: 4 ").unwrap();
        let line = format!(
            "  greenlet {first:#x} (Greenlet, runs takes) waits for RLock {:#x}, held by greenlet {:#x} (Greenlet, \
             runs takes), suspended at ",
            said.number("thing rlock"),
            said.number("greenlet second"),
        );
        let (_, rest) = rest
            .split_once(&line)
            .unwrap_or_else(|| panic!("{line}: {out}"));
        let lines: Vec<&str> = rest.lines().take(3).collect();
        assert!(lines[0].contains("greenlet_circles.py:"), "{out}");
        assert!(lines[1].ends_with(", in takes"), "{out}");
        assert_eq!(lines[2].trim(), "with second:", "{out}");
    }
    program.ends();
}

case!(a_lock_of_the_interpreters_own, Packages);
/// The thread waits for a greenlet of its own, which it cannot run meanwhile.
fn a_lock_of_the_interpreters_own(python: &Interpreter) {
    let (program, said) = woken_with(python, "gevent", "greenlet_circles.py", &["native"]);
    let (main, holds) = (said.ident("main"), said.number("greenlet holds"));
    for via in WAYS {
        let document = document_with_greenlets(program.pid(), via);
        let wait = &thread(&document, main)["waits_for"];
        assert_eq!(wait["id"], said.number("thing native"), "{document:#}");
        assert_eq!(
            document["circles"],
            json!([[{"thread": main}, {"greenlet": holds}]])
        );
        assert_eq!(document["deadlocks"], json!([[main]]));
        let out = full_answer_with_greenlets(program.pid(), via);
        let words = "\nDeadlock: a thread waits for what only it can resume:\n";
        assert!(out.contains(words), "{out}");
        let held = format!(", held by greenlet {holds:#x} (Greenlet, runs holds), suspended at ");
        assert!(out.contains(&held), "{out}");
        // Without a search for greenlets it is known that it is one, and where.
        let out = full_answer(program.pid(), via);
        let held = ", held by a greenlet in holds, suspended at ";
        assert!(out.contains(held), "{out}");
    }
    program.ends();
}

case!(held_over_yield_of_twisted, Packages);
fn held_over_yield_of_twisted(python: &Interpreter) {
    held_over_yield(python, "twisted", "twisted");
    held_over_yield(python, "twisted-15", "twisted");
}

case!(held_over_yield_of_tornado, Packages);
fn held_over_yield_of_tornado(python: &Interpreter) {
    held_over_yield(python, "tornado-4", "tornado");
    held_over_yield(python, "tornado-5", "tornado");
}

fn held_over_yield(python: &Interpreter, set: &str, library: &str) {
    let (program, said) = woken_with(python, set, "held_over_yield.py", &[library]);
    let main = said.ident("main");
    for via in WAYS {
        let document = document(program.pid(), via);
        let thread = thread(&document, main);
        let holders = thread["suspended_holders"].as_array().unwrap();
        let [holder] = &holders[..] else {
            panic!("{set}: {thread:#}");
        };
        assert_eq!(thread["waits_for"]["id"], said.number("thing lock"));
        assert_eq!(holder["function"], "keeps", "{set}: {holder}");
        assert_eq!(
            (&holder["generator"], &holder["thread"]),
            (&json!(true), &json!(main)),
            "{set}: {holder}"
        );
        assert_eq!(document["deadlocks"], json!([[main]]), "{set}");
        let frame = &holder["frame"];
        assert_eq!(
            document["circles"],
            json!([[{"thread": main}, {"frame": frame}]])
        );
        let out = full_answer(program.pid(), via);
        assert!(
            out.contains("\nDeadlock: a thread waits for what only it can resume:\n"),
            "{set}: {out}"
        );
        let name = format!("thread {main} \"MainThread\"");
        if library == "twisted" {
            let out = full_answer_with_greenlets(program.pid(), via);
            assert!(
                out.contains("\n  - waits for a timeout (overdue by "),
                "{set}: {out}"
            );
        }
        let line = format!("\n  generator keeps is suspended, and only {name} can resume it\n");
        assert!(out.contains(&line), "{set}: {out}");
        assert!(
            out.contains(", held by generator keeps, suspended at "),
            "{set}: {out}"
        );
    }
    program.ends();
}

case!(held_by_a_plain_generator);
/// Whoever has it may resume it: it is named, and no deadlock claimed.
fn held_by_a_plain_generator(python: &Interpreter) {
    let program = woken_target(python, "held_over_yield.py", &["plain"]);
    settle(program.pid());
    let main = Said::by(&program).ident("main");
    let document = document(program.pid(), "wake");
    let holders = &thread(&document, main)["suspended_holders"];
    assert_eq!(holders[0]["function"], "keeps", "{document:#}");
    assert_eq!(holders[0]["thread"], Value::Null, "{document:#}");
    assert_eq!(document["circles"], json!([]));
    let out = answer(program.pid(), &["--format", "full", "--via", "wake"]);
    assert!(
        out.contains(", held by generator keeps, suspended at "),
        "{out}"
    );
    program.ends();
}
