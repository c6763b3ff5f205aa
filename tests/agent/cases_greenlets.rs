//! Suspended greenlets, of greenlet itself, gevent and eventlet.

use crate::Need::{Nothing, Packages};
use crate::cases_full::{WAYS, checked};
use crate::{Case, PlainCase};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tests::ask::{activate, target};
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::{settle, wait_agent};
use tests::product::product;

pub const CASES: &[Case] = &[
    ("gevent", Packages, gevent),
    ("gevent_without_the_hub", Packages, gevent_without_the_hub),
    ("there_are_many", Packages, there_are_many),
    ("eventlet", Packages, eventlet),
    ("of_several_threads", Packages, of_several_threads),
    ("full", Packages, full),
    ("not_asked_for", Packages, not_asked_for),
    ("there_are_none", Nothing, there_are_none),
];

pub const PLAIN_CASES: &[PlainCase] = &[("usage", Nothing, usage)];

/// The sets of packages that tests/interpreters/packages.sh has installed.
fn packages() -> PathBuf {
    product().root.join(".tools/python2.7-packages")
}

/// Why there are no packages for this interpreter, if there are none.
pub fn lacking(python: &Interpreter) -> Option<&'static str> {
    if python.version != (2, 7) {
        return Some("the packages are there for 2.7");
    }
    if python.debug {
        return Some("extension modules from elsewhere do not fit a debug build");
    }
    (!packages().join("complete").exists())
        .then_some("`make test`, which installs packages for it, could not")
}

/// A program that uses one of the sets, and what it has said, by its first two words or its first.
pub fn start(
    python: &Interpreter,
    set: &str,
    arguments: &[&str],
) -> (Program, BTreeMap<String, u64>) {
    let mut command = target(python, arguments[0]);
    command.env("PYTHONPATH", packages().join(set));
    let program = Program::start(command.args(&arguments[1..])).ready();
    wait_agent(program.pid());
    settle(program.pid());
    let out = program.out();
    let said = out.lines().filter_map(|line| {
        let (what, number) = line.rsplit_once(' ')?;
        Some((what.to_owned(), number.parse().ok()?))
    });
    let said = said.collect();
    (program, said)
}

pub fn document(program: &Program, via: &str) -> Value {
    checked(program.pid(), &["--greenlets", "--via", via])
}

/// What is told of one greenlet that is suspended.
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

fn functions(one: &Value) -> Vec<&str> {
    let frames = one["frames"].as_array().unwrap().iter();
    frames
        .map(|frame| frame["function"].as_str().unwrap())
        .collect()
}

/// Which greenlets are the threads' current ones.
fn current(document: &Value) -> Vec<(u64, u64)> {
    let all = document["greenlets"]["current"].as_array().unwrap().iter();
    all.map(|one| {
        let number = |what: &str| one[what].as_u64().unwrap();
        (number("thread"), number("id"))
    })
    .collect()
}

fn gevent(python: &Interpreter) {
    let (mut program, said) = start(python, "gevent", &["gevents.py"]);
    for via in WAYS {
        let document = document(&program, via);
        let ident = &document["threads"][0]["ident"];
        let number = |what: &str| said[what];
        let thing = |what: &str| Some(said[&format!("thing {what}")]);
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
        // The thread is in the hub's stack.
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
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    let out = ended.out();
    assert!(out.ends_with("\nleft False, ran []\n"), "{out}");
}

/// The program is not held up for as long as it would take to look at all.
fn there_are_many(python: &Interpreter) {
    let (mut program, _) = start(python, "gevent", &["gevents.py", "many"]);
    for via in WAYS {
        let document = document(&program, via);
        let greenlets = &document["greenlets"];
        let left_out = greenlets["left_out"].as_u64().unwrap();
        // 10,118 in all; and parents of those that are looked at are looked at too.
        assert_eq!(left_out, 118, "{left_out}");
        let told = greenlets["suspended"].as_array().unwrap().len();
        assert!((9990..=10_002).contains(&told), "{told}");
        let ended = activate(["--greenlets", "--via", via, &program.pid().to_string()]);
        let line = "\n118 more greenlets are not shown\n";
        assert!(ended.out().contains(line));
    }
    program.say("");
    program.end().expect_code(7);
}

/// Its main greenlet blocks the thread, and all others.
fn gevent_without_the_hub(python: &Interpreter) {
    let (mut program, said) = start(python, "gevent", &["gevents.py", "blocks"]);
    for via in WAYS {
        let document = document(&program, via);
        let ident = document["threads"][0]["ident"].as_u64().unwrap();
        assert_eq!(current(&document), [(ident, said["main"])]);
        let hub = suspended(&document, said["hub"]);
        assert_eq!(hub["class"], "Hub");
        assert_eq!(functions(hub), ["run"]);
        let frameless = suspended(&document, said["greenlet frameless"]);
        assert_eq!(frameless["waits_for"]["kind"], "event");
    }
    program.say("");
    program.end().expect_code(7);
}

fn eventlet(python: &Interpreter) {
    let (mut program, said) = start(python, "eventlet", &["eventlets.py"]);
    for via in WAYS {
        let document = document(&program, via);
        let thing = |what: &str| Some(said[&format!("thing {what}")]);
        for (what, kind, id) in [
            ("sleeps", "sleep", None),
            ("waits_for_event", "event", thing("event")),
            ("waits_for_semaphore", "semaphore", thing("semaphore")),
            ("gets", "queue_get", thing("empty")),
            ("puts", "queue_put", thing("full")),
            ("accepts", "io", None),
            ("joins", "greenlet", Some(said["greenlet sleeps"])),
        ] {
            let one = suspended(&document, said[&format!("greenlet {what}")]);
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
                    assert_eq!(wait["fd"], said["socket"]);
                    assert_eq!(json!([wait["read"], wait["write"]]), json!([true, false]));
                }
                _ => {}
            }
        }
    }
    program.say("");
    program.end().expect_code(7);
}

/// Whose they are is known with all versions of greenlet but the last for 2.7, which keeps that out of
/// sight.
fn of_several_threads(python: &Interpreter) {
    for (set, known) in [
        ("gevent", true),
        ("greenlet-1", true),
        ("greenlet-2", false),
    ] {
        let (mut program, said) = start(python, set, &["greenlets.py"]);
        for via in WAYS {
            let document = document(&program, via);
            // The last version ends those of a thread that has ended.
            let threads = ["main", "second", "ended"];
            for what in &threads[..2 + usize::from(known)] {
                let ident = said.get(&format!("thread {what}")).filter(|_| known);
                for name in ["plain", "odd"] {
                    let one = suspended(&document, said[&format!("greenlet {what}_{name}")]);
                    assert_eq!(one["thread"].as_u64(), ident.copied(), "{set}: {one:#}");
                    assert_eq!(functions(one), ["outer", "inner"]);
                    assert_eq!(one["parent"], said[&format!("greenlet {what}_first")]);
                    assert_eq!(one["waits_for"], Value::Null);
                }
            }
            // What has been switched from in the last thread, but has not ended.
            let first = suspended(&document, said["greenlet second_first"]);
            assert_eq!(functions(first).last(), Some(&"uses_greenlets"));
            if known {
                let of_main = (said["thread main"], said["greenlet main_first"]);
                let of_second = (said["thread second"], said["greenlet second_current"]);
                let mut pairs = [of_main, of_second];
                pairs.sort_unstable();
                assert_eq!(current(&document), pairs, "{set}: {document:#}");
            }
            let all = document["greenlets"]["suspended"].as_array().unwrap();
            let ended = |what: &str| said[&format!("greenlet {what}_ended")];
            let not_begun = |what: &str| said[&format!("greenlet {what}_not_begun")];
            for what in threads {
                let listed = |id: u64| all.iter().any(|one| one["id"] == id);
                assert!(!listed(ended(what)) && !listed(not_begun(what)));
            }
            let not_started = document["greenlets"]["not_started"].as_array().unwrap();
            let counts = not_started.iter().map(|one| one["count"].as_u64().unwrap());
            assert_eq!(counts.sum::<u64>(), 3, "{document:#}");
        }
        program.say("");
        let ended = program.end();
        ended.expect_code(7);
        let out = ended.out();
        assert!(out.ends_with("\nran []\n"), "{out}");
    }
}

fn full(python: &Interpreter) {
    let (mut program, said) = start(python, "gevent", &["gevents.py"]);
    for via in WAYS {
        let ended = activate(["--greenlets", "--via", via, &program.pid().to_string()]);
        ended.expect_code(0);
        let out = ended.out();
        let id = |what: &str| said[&format!("greenlet {what}")];
        let ident = {
            let (_, rest) = out.split_once("\n### Thread ").expect("a thread");
            rest.split(' ').next().unwrap().to_owned()
        };
        let hub = said["hub"];
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
                said["socket"]
            ),
            format!(
                "\n  - waits for room in Queue {:#x}, which has 2 of 2\n",
                said["thing full"]
            ),
        ] {
            assert!(out.contains(&lines), "{lines}: {out}");
        }
    }
    program.say("");
    program.end().expect_code(7);
}

fn not_asked_for(python: &Interpreter) {
    let (mut program, _) = start(python, "gevent", &["gevents.py"]);
    for via in WAYS {
        // Also after it was.
        for asked in [false, true, false] {
            let options: &[&str] = if asked { &["--greenlets"] } else { &[] };
            let options = [options, &["--via", via]].concat();
            let document = checked(program.pid(), &options);
            assert_eq!(document["greenlets"] != Value::Null, asked, "{document:#}");
            assert_eq!(document["threads"].as_array().unwrap().len(), 1);
        }
    }
    program.say("");
    program.end().expect_code(7);
}

/// And none of the modules is imported for it.
fn there_are_none(python: &Interpreter) {
    let (mut program, _) = start(python, "none", &["greenlet_modules.py"]);
    for via in WAYS {
        let document = document(&program, via);
        let nothing = json!({"current": [], "suspended": [], "not_started": [], "left_out": 0});
        assert_eq!(document["greenlets"], nothing, "{document:#}");
        let ended = activate(["--greenlets", "--via", via, &program.pid().to_string()]);
        assert!(ended.out().contains(", 1 thread, 0 suspended greenlets\n"));
    }
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.out(), "ready\nimported [], ran []\n");
}

fn usage() {
    let ended = activate(["--greenlets", "--format", "plain", "1"]);
    ended.expect_code(2);
    assert!(
        ended.err().contains("the plain format shows no greenlets"),
        "{}",
        ended.err()
    );
}
