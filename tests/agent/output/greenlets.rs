//! Suspended greenlets of greenlet itself, gevent and eventlet.

use serde_json::{Value, json};
use tests::ask::{WAYS, activate, answer, full_answer_with_greenlets};
use tests::document::{document_with, document_with_greenlets as document, functions};
use tests::interpreters::Interpreter;
use tests::packages::{self, woken_with};
use tests::{case, plain_case};

/// The entry of a suspended greenlet.
#[track_caller]
fn suspended(document: &Value, id: u64) -> &Value {
    let all = document["greenlets"]["suspended"].as_array().unwrap();
    let mut found = all.iter().filter(|one| one["id"] == id);
    let one = found
        .next()
        .unwrap_or_else(|| panic!("no {id}: {document:#}"));
    assert!(found.next().is_none(), "{id} twice: {document:#}");
    assert_eq!(one["suspended"], true, "{one:#}");
    one
}

/// Each thread with its current greenlet.
fn current(document: &Value) -> Vec<(u64, u64)> {
    let all = document["greenlets"]["current"].as_array().unwrap().iter();
    all.map(|one| {
        let number = |what: &str| one[what].as_u64().unwrap();
        (number("thread"), number("id"))
    })
    .collect()
}

case!(gevent, Packages);
fn gevent(python: &Interpreter) {
    let (program, said) = woken_with(python, "gevent", "gevents.py", &[]);
    for via in WAYS {
        let document = document(program.pid(), via);
        let ident = &document["threads"][0]["ident"];
        let number = |what: &str| said.number(what);
        let thing = |what: &str| Some(said.number(&format!("thing {what}")));
        for (what, kind, id) in [
            ("sleeps", "sleep", None),
            ("named", "sleep", None),
            ("waits_for_event", "event", thing("event")),
            ("waits_for_event_limited", "event", thing("event")),
            ("frameless", "event", thing("event")),
            ("waits_for_result", "result", thing("result")),
            ("waits_for_semaphore", "semaphore", thing("semaphore")),
            ("gets", "queue_get", thing("empty")),
            ("puts", "queue_put", thing("full")),
            ("receives", "io", None),
            ("joins", "greenlet", Some(number("greenlet sleeps"))),
        ] {
            let one = suspended(&document, number(&format!("greenlet {what}")));
            let wait = &one["waits_for"];
            assert_eq!(wait["kind"], kind, "{what}: {one:#}");
            assert_eq!(wait["id"].as_u64(), id, "{what}: {one:#}");
            assert_eq!(one["thread"], *ident, "{one:#}");
            assert_eq!(one["parent"], number("hub"), "{one:#}");
            let (class, name, function, outermost) = match what {
                "named" => ("Named", json!("a name \u{1b}[2J"), None, Some("_run")),
                "frameless" => ("Greenlet", Value::Null, None, None),
                _ => ("Greenlet", Value::Null, Some(what), Some(what)),
            };
            assert_eq!(one["class"], class);
            assert_eq!(one["name"], name);
            assert_eq!(one["function"].as_str(), function, "{one:#}");
            assert_eq!(functions(one).first().copied(), outermost, "{one:#}");
        }
        let wait = |what: &str| {
            suspended(&document, number(&format!("greenlet {what}")))["waits_for"].clone()
        };
        assert_eq!(wait("sleeps")["seconds"], 1000.0);
        assert_eq!(wait("parks"), Value::Null);
        for (what, kind, id) in [
            ("puts_Channel", "channel", thing("channel")),
            ("puts_Queue", "queue_put", thing("given")),
        ] {
            let wait = wait(what);
            assert_eq!(wait["kind"], kind, "{what}: {wait}");
            assert_eq!(wait["id"].as_u64(), id, "{what}: {wait}");
        }
        assert_eq!(wait("waits_for_semaphore")["value"], 0);
        let receives = wait("receives");
        assert_eq!(receives["fd"], number("socket"));
        assert_eq!(
            [&receives["read"], &receives["write"]],
            [&json!(true), &json!(false)]
        );
        assert_eq!(wait("puts")["size"], 2);
        assert_eq!(wait("puts")["most"], 2);
        assert_eq!(wait("gets")["size"], 0);
        // The thread runs the hub.
        let main = suspended(&document, number("main"));
        assert_eq!(main["parent"], Value::Null);
        assert_eq!(main["waits_for"]["kind"], "io", "{main:#}");
        assert_eq!(main["waits_for"]["fd"], 0);
        assert_eq!(functions(main)[0], "<module>");
        assert_eq!(
            current(&document),
            [(ident.as_u64().unwrap(), number("hub"))]
        );
        assert_eq!(
            document["greenlets"]["not_started"],
            json!([{"thread": ident, "count": 2}])
        );
        assert_eq!(
            document["greenlets"]["suspended"].as_array().unwrap().len(),
            15
        );
    }
    let ended = program.ends();
    let out = ended.out();
    assert!(out.ends_with("\nleft False, ran []\n"), "{out}");
}

case!(there_are_many, Packages);
/// The answer leaves greenlets out rather than hold up the program.
fn there_are_many(python: &Interpreter) {
    let (program, _) = woken_with(python, "gevent", "gevents.py", &["many"]);
    for via in WAYS {
        // By default the program is not held up for long enough for all of them; on a loaded machine a longer
        // time may be too short too.
        let hold = ["--greenlets", "--hold", "2000", "--via", via];
        let mut document = document_with(program.pid(), &hold);
        for _ in 0..10 {
            if document["cut"] != json!([]) {
                document = document_with(program.pid(), &hold);
            }
        }
        let greenlets = &document["greenlets"];
        let left_out = greenlets["left_out"].as_u64().unwrap();
        // 10,118 in all; the parents of examined greenlets are examined too.
        assert_eq!(left_out, 118, "{left_out}");
        let told = greenlets["suspended"].as_array().unwrap().len();
        assert!((9990..=10_002).contains(&told), "{told}");
        let out = answer(program.pid(), &hold);
        let line = "\n118 more greenlets are not shown\n";
        assert!(out.contains(line), "{out}");
    }
    program.ends();
}

case!(gevent_without_the_hub, Packages);
/// The main greenlet blocks the thread, and with it all other greenlets.
fn gevent_without_the_hub(python: &Interpreter) {
    let (program, said) = woken_with(python, "gevent", "gevents.py", &["blocks"]);
    for via in WAYS {
        let document = document(program.pid(), via);
        let ident = document["threads"][0]["ident"].as_u64().unwrap();
        assert_eq!(current(&document), [(ident, said.number("main"))]);
        let hub = suspended(&document, said.number("hub"));
        assert_eq!(hub["class"], "Hub");
        assert_eq!(functions(hub), ["run"]);
        let frameless = suspended(&document, said.number("greenlet frameless"));
        assert_eq!(frameless["waits_for"]["kind"], "event");
    }
    program.ends();
}

case!(eventlet, Packages);
fn eventlet(python: &Interpreter) {
    let (program, said) = woken_with(python, "eventlet", "eventlets.py", &[]);
    for via in WAYS {
        let document = document(program.pid(), via);
        let thing = |what: &str| Some(said.number(&format!("thing {what}")));
        for (what, kind, id) in [
            ("sleeps", "sleep", None),
            ("waits_for_event", "event", thing("event")),
            ("waits_for_semaphore", "semaphore", thing("semaphore")),
            ("gets", "queue_get", thing("empty")),
            ("puts", "queue_put", thing("full")),
            ("accepts", "io", None),
            ("joins", "greenlet", Some(said.number("greenlet sleeps"))),
        ] {
            let one = suspended(&document, said.number(&format!("greenlet {what}")));
            let wait = &one["waits_for"];
            assert_eq!(wait["kind"], kind, "{what}: {one:#}");
            assert_eq!(wait["id"].as_u64(), id, "{what}: {one:#}");
            assert_eq!(one["class"], "GreenThread");
            assert_eq!(one["thread"], document["threads"][0]["ident"]);
            assert_eq!(functions(one)[..2], ["main", what]);
            match what {
                "sleeps" => assert_eq!(wait["seconds"], 1000.0),
                "puts" => assert_eq!(json!([wait["size"], wait["most"]]), json!([1, 1])),
                "accepts" => {
                    assert_eq!(wait["fd"], said.number("socket"));
                    assert_eq!(json!([wait["read"], wait["write"]]), json!([true, false]));
                }
                _ => {}
            }
        }
    }
    program.ends();
}

case!(of_several_threads, Packages);
/// Every version of greenlet exposes a greenlet's thread except the last one for 2.7.
fn of_several_threads(python: &Interpreter) {
    for (set, known) in [
        ("gevent", true),
        ("greenlet-1", true),
        ("greenlet-2", false),
    ] {
        let (program, said) = woken_with(python, set, "greenlets.py", &[]);
        for via in WAYS {
            let document = document(program.pid(), via);
            // The last version ends the greenlets of an ended thread.
            let threads = ["main", "second", "ended"];
            for what in &threads[..2 + usize::from(known)] {
                let ident = said
                    .number_if_said(&format!("thread {what}"))
                    .filter(|_| known);
                for name in ["plain", "odd"] {
                    let one = suspended(&document, said.number(&format!("greenlet {what}_{name}")));
                    assert_eq!(one["thread"].as_u64(), ident, "{set}: {one:#}");
                    assert_eq!(functions(one), ["outer", "inner"]);
                    assert_eq!(
                        one["parent"],
                        said.number(&format!("greenlet {what}_first"))
                    );
                    assert_eq!(one["waits_for"], Value::Null);
                }
            }
            // The second thread has switched away from this greenlet, which has not ended.
            let first = suspended(&document, said.number("greenlet second_first"));
            assert_eq!(functions(first).last(), Some(&"uses_greenlets"));
            if known {
                let of_main = (
                    said.number("thread main"),
                    said.number("greenlet main_first"),
                );
                let of_second = (
                    said.number("thread second"),
                    said.number("greenlet second_current"),
                );
                let mut pairs = [of_main, of_second];
                pairs.sort_unstable();
                assert_eq!(current(&document), pairs, "{set}: {document:#}");
            }
            let all = document["greenlets"]["suspended"].as_array().unwrap();
            let ended = |what: &str| said.number(&format!("greenlet {what}_ended"));
            let not_begun = |what: &str| said.number(&format!("greenlet {what}_not_begun"));
            for what in threads {
                let listed = |id: u64| all.iter().any(|one| one["id"] == id);
                assert!(!listed(ended(what)) && !listed(not_begun(what)));
            }
            let not_started = document["greenlets"]["not_started"].as_array().unwrap();
            let counts = not_started.iter().map(|one| one["count"].as_u64().unwrap());
            assert_eq!(counts.sum::<u64>(), 3, "{document:#}");
        }
        let ended = program.ends();
        let out = ended.out();
        assert!(out.ends_with("\nran []\n"), "{out}");
    }
}

case!(full, Packages);
fn full(python: &Interpreter) {
    let (program, said) = woken_with(python, "gevent", "gevents.py", &[]);
    for via in WAYS {
        let out = full_answer_with_greenlets(program.pid(), via);
        let id = |what: &str| said.number(&format!("greenlet {what}"));
        let ident = {
            let (_, rest) = out.split_once("\n### Thread ").expect("a thread");
            rest.split(' ').next().unwrap().to_owned()
        };
        let hub = said.number("hub");
        for lines in [
            ", 1 thread, 15 suspended greenlets\n".to_owned(),
            format!("\n  - its current greenlet is {hub:#x} (Hub)\n"),
            "\n  - 2 greenlets of it have not started\n".to_owned(),
            format!(
                "\n\n### Greenlet {:#x} (Greenlet, runs sleeps) of thread {ident}: suspended\n  \
                 - waits for time to pass (1000.0 s in all)\n  File \"",
                id("sleeps")
            ),
            format!(
                "\n\n### Greenlet {:#x} \"a name \\u{{1b}}[2J\" (Named) of thread {ident}: ",
                id("named")
            ),
            format!(
                "\n  - waits for file descriptor {} to be readable\n",
                said.number("socket")
            ),
            format!(
                "\n  - waits for room in Queue {:#x}, which has 2 of 2\n",
                said.number("thing full")
            ),
        ] {
            assert!(out.contains(&lines), "{lines}: {out}");
        }
    }
    program.ends();
}

case!(not_asked_for, Packages);
fn not_asked_for(python: &Interpreter) {
    let (program, _) = woken_with(python, "gevent", "gevents.py", &[]);
    for via in WAYS {
        // Without the option there are none, also after a question with it.
        for asked in [false, true, false] {
            let options: &[&str] = if asked { &["--greenlets"] } else { &[] };
            let options = [options, &["--via", via]].concat();
            let document = document_with(program.pid(), &options);
            assert_eq!(document["greenlets"] != Value::Null, asked, "{document:#}");
            assert_eq!(document["threads"].as_array().unwrap().len(), 1);
        }
    }
    program.ends();
}

case!(there_are_none);
/// The agent imports none of the modules.
fn there_are_none(python: &Interpreter) {
    let (program, _) = woken_with(python, packages::NONE, "greenlet_modules.py", &[]);
    for via in WAYS {
        let document = document(program.pid(), via);
        let nothing = json!({"current": [], "suspended": [], "not_started": [], "left_out": 0});
        assert_eq!(document["greenlets"], nothing, "{document:#}");
        let out = full_answer_with_greenlets(program.pid(), via);
        assert!(out.contains(", 1 thread, 0 suspended greenlets\n"), "{out}");
    }
    let ended = program.ends();
    assert_eq!(ended.out(), "ready\nimported [], ran []\n");
}

plain_case!(usage);
fn usage() {
    let ended = activate(["--greenlets", "--format", "plain", "1"]);
    ended.expect_code(2);
    assert!(
        ended.err().contains("the plain format shows no greenlets"),
        "{}",
        ended.err()
    );
}
