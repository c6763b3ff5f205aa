//! `--format full` and `--format json`: what there is to tell beside the stacks.

use crate::Case;
use crate::Need::Nothing;
use crate::cases_many::STUCK;
use serde_json::Value;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;
use tests::ask::{activate, preloaded, state, target};
use tests::interface::DEADLINE_VARIABLE;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::{settle, wait_agent};

pub const CASES: &[Case] = &[
    ("json", Nothing, json),
    ("full", Nothing, full),
    (
        "frames_as_in_the_plain_state",
        Nothing,
        frames_as_in_the_plain_state,
    ),
    ("who_held_the_gil", Nothing, who_held_the_gil),
    ("without_the_gil", Nothing, without_the_gil),
    ("of_several", Nothing, of_several),
    (
        "nonsense_in_place_of_threads",
        Nothing,
        nonsense_in_place_of_threads,
    ),
    (
        "marshal_is_not_to_be_had",
        Nothing,
        marshal_is_not_to_be_had,
    ),
];

pub const WAYS: [&str; 2] = ["gdb", "wake"];

/// The identifier and TID of each of its threads.
type Threads = BTreeMap<String, (u64, i64)>;

/// `named.py`, ready to be asked.
fn named(python: &Interpreter, arguments: &[&str]) -> (Program, Threads) {
    let program = Program::start(target(python, "named.py").args(arguments)).ready();
    wait_agent(program.pid());
    let count = 4 + usize::from(arguments.contains(&"busy"));
    let lines = program.wait_lines("thread ", count);
    let threads = lines.iter().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let numbers = (words[1].parse().unwrap(), words[2].parse().unwrap());
        (words[0].to_owned(), numbers)
    });
    (program, threads.collect())
}

/// It goes on, and nothing of ours has stayed.
#[track_caller]
fn ends_well(mut program: Program, marshal: bool) {
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    let last = if marshal {
        "marshal: True\n"
    } else {
        "marshal: False\n"
    };
    assert!(ended.out().ends_with(last), "{}", ended.out());
    assert_eq!(ended.err(), "");
}

/// The document that a process is answered with, which is as the schema says.
#[track_caller]
pub fn document(pid: i32, via: &str) -> Value {
    checked(pid, &["--via", via])
}

/// The document that it is answered with where these options are given.
#[track_caller]
pub fn checked(pid: i32, options: &[&str]) -> Value {
    let pid = pid.to_string();
    let ended = activate([&["--format", "json", &pid], options].concat());
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    let document = as_the_schema_says(&ended.out());
    assert_eq!(document["pid"].to_string(), pid);
    document
}

/// One document, that is as the schema says.
#[track_caller]
pub fn as_the_schema_says(out: &str) -> Value {
    assert_eq!(out.lines().count(), 1, "{out}");
    let document: Value = serde_json::from_str(out).expect("JSON");
    validate(&document);
    document
}

/// Panics unless a document is as the schema says.
#[track_caller]
pub fn validate(document: &Value) {
    let schema = include_str!("../../launcher/schema/state.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    if let Err(error) = jsonschema::validate(&schema, document) {
        panic!("{error}, at {}: {document:#}", error.instance_path());
    }
}

/// What a document tells of a thread.
#[track_caller]
pub fn thread(document: &Value, ident: u64) -> &Value {
    let mut threads = document["threads"].as_array().unwrap().iter();
    let found = threads.find(|one| one["ident"] == ident);
    found.unwrap_or_else(|| panic!("no thread {ident}: {document:#}"))
}

fn json(python: &Interpreter) {
    let (program, threads) = named(python, &[]);
    settle(program.pid());
    sleep(Duration::from_millis(600));
    for via in WAYS {
        let document = document(program.pid(), via);
        let version = python.full_version.split(' ').next().unwrap();
        assert_eq!(document["python"], version);
        assert_eq!(document["note"], Value::Null);
        assert_eq!(document["command"][0], python.path.display().to_string());
        assert_eq!(document["threads"].as_array().unwrap().len(), 4);
        for (what, name, daemon, calls) in [
            ("main", Some("MainThread"), Some(false), &["read"][..]),
            (
                "waits",
                Some("waits for a \u{1b}[2Jlock"),
                Some(true),
                &["futex"],
            ),
            (
                "sleeps",
                Some("schläft"),
                Some(true),
                &["select", "pselect6"],
            ),
            ("unnamed", None, None, &["futex"]),
        ] {
            let (ident, tid) = threads[what];
            let thread = thread(&document, ident);
            assert_eq!(thread["tid"], tid, "{thread}");
            assert_eq!(thread["name"].as_str(), name, "{thread}");
            assert_eq!(thread["daemon"].as_bool(), daemon, "{thread}");
            assert_eq!(thread["main"].as_bool(), daemon.map(|_| what == "main"));
            assert_eq!(thread["held_gil"], false, "{thread}");
            assert_eq!(thread["running"], false, "{thread}");
            let call = thread["system_call"].as_str().expect("it is told");
            assert!(calls.contains(&call), "{thread}");
            // A kernel may be built so that it does not tell.
            if std::fs::exists("/proc/self/sched").unwrap() {
                let seconds = thread["waiting_seconds"].as_f64().expect("it is told");
                assert!((0.5..40.0).contains(&seconds), "{thread}");
            }
        }
    }
    ends_well(program, false);
}

fn full(python: &Interpreter) {
    let (program, threads) = named(python, &[]);
    settle(program.pid());
    sleep(Duration::from_millis(200));
    for via in WAYS {
        let pid = program.pid().to_string();
        let ended = activate(["--format", "full", "--via", via, &pid]);
        ended.expect_code(0);
        assert_eq!(ended.err(), "");
        let out = ended.out();
        assert!(!out.contains('\x1b'), "{out:?}");
        let mut lines = out.lines();
        let path = python.path.display();
        let head = format!("=== PID {pid}: {path} ");
        assert!(lines.next().unwrap().starts_with(&head), "{out}");
        let version = python.full_version.split(' ').next().unwrap();
        let second = format!("Python {version}, 4 threads");
        assert_eq!(lines.next(), Some(&*second));
        for (what, name) in [
            ("main", " \"MainThread\""),
            ("waits", r#" "waits for a \u{1b}[2Jlock", daemon"#),
            ("sleeps", " \"schläft\", daemon"),
            ("unnamed", ""),
        ] {
            let (ident, tid) = threads[what];
            let heading = format!("### Thread {ident}{name}, TID {tid}: in ");
            assert!(out.contains(&heading), "{heading}\n{out}");
        }
        assert!(out.contains("\n    lock.acquire()\n"), "{out}");
    }
    ends_well(program, false);
}

fn frames_as_in_the_plain_state(python: &Interpreter) {
    let (program, _) = named(python, &[]);
    settle(program.pid());
    let told = document(program.pid(), "wake");
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    let stacks = told["threads"].as_array().unwrap().iter().map(|thread| {
        let frames = thread["frames"].as_array().unwrap().iter().map(|frame| {
            let (file, function) = (text(&frame["file"]), text(&frame["function"]));
            let source = match text(&frame["source"]) {
                source if source.is_empty() => source,
                source => format!("    {source}\n"),
            };
            let line = &frame["line"];
            format!("  File \"{file}\", line {line}, in {function}\n{source}")
        });
        let ident = &thread["ident"];
        format!("### Thread {ident}:\n{}", frames.collect::<String>())
    });
    let stacks: Vec<String> = stacks.collect();
    assert_eq!(stacks.join("\n\n"), state(program.pid()));
    ends_well(program, false);
}

/// The one that computes holds it, but for moments.
fn who_held_the_gil(python: &Interpreter) {
    let (program, threads) = named(python, &["busy"]);
    let (ident, _) = threads["computes"];
    let mut times = 0;
    for _ in 0..10 {
        let document = document(program.pid(), "wake");
        let mut threads = document["threads"].as_array().unwrap().iter();
        assert!(
            threads
                .clone()
                .filter(|one| one["held_gil"] == true)
                .count()
                <= 1
        );
        let holder = threads.find(|one| one["held_gil"] == true);
        times += usize::from(holder.is_some_and(|holder| holder["ident"] == ident));
    }
    assert!(times >= 5, "{times} times of 10");
    ends_well(program, false);
}

fn without_the_gil(python: &Interpreter) {
    let mut start = preloaded(&python.path);
    python.equip(&mut start);
    start.args(["-c", STUCK]).env(DEADLINE_VARIABLE, "0.5");
    let program = Program::start(&mut start).ready();
    wait_agent(program.pid());
    for via in WAYS {
        let document = document(program.pid(), via);
        let note = document["note"].as_str().expect("a note");
        assert!(
            note.contains("the GIL was not released within 0.5 s"),
            "{note}"
        );
        let threads = document["threads"].as_array().unwrap();
        assert_eq!(threads.len(), 1, "{document}");
        let frame = &threads[0]["frames"][0];
        assert_eq!(
            (&frame["file"], &frame["line"]),
            (&"<string>".into(), &2.into())
        );
        assert_eq!(threads[0]["held_gil"], Value::Null);
        let pid = program.pid().to_string();
        let ended = activate(["--format", "full", "--via", via, &pid]);
        ended.expect_code(0);
        let out = ended.out();
        let note = "\nRead from memory, without the GIL: the GIL was not released";
        assert!(out.contains(note), "{out}");
        assert!(
            out.contains("  File \"<string>\", line 2, in <module>\n"),
            "{out}"
        );
    }
}

fn of_several(python: &Interpreter) {
    let programs = [named(python, &[]).0, named(python, &[]).0];
    let pids = programs.each_ref().map(|one| one.pid().to_string());
    let asked = |format| {
        let ended = activate(["--format", format, "--via", "wake", &pids[0], &pids[1]]);
        ended.expect_code(0);
        ended.out()
    };
    let documents = asked("json");
    let documents = documents.lines().map(serde_json::from_str::<Value>);
    let mut told: Vec<String> = documents
        .map(|one| one.unwrap()["pid"].to_string())
        .collect();
    told.sort_unstable();
    let mut expected = pids.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected);
    let text = asked("full");
    assert_eq!(text.matches("=== PID ").count(), 2);
    assert_eq!(text.matches(" \"MainThread\", TID ").count(), 2);
    for program in programs {
        ends_well(program, false);
    }
}

fn nonsense_in_place_of_threads(python: &Interpreter) {
    for (fault, name) in [("active", None), ("class", Some("schläft"))] {
        let (program, threads) = named(python, &[fault]);
        settle(program.pid());
        let document = document(program.pid(), "wake");
        assert_eq!(document["threads"].as_array().unwrap().len(), 4);
        let (ident, tid) = threads["sleeps"];
        let thread = thread(&document, ident);
        assert_eq!(thread["name"].as_str(), name, "{fault}: {thread}");
        assert_eq!(thread["tid"], tid);
        ends_well(program, false);
    }
}

/// It is not needed that it can be imported, nor that nobody imports.
fn marshal_is_not_to_be_had(python: &Interpreter) {
    let (program, threads) = named(python, &["marshal"]);
    settle(program.pid());
    let document = document(program.pid(), "wake");
    assert_eq!(document["note"], Value::Null);
    let (ident, _) = threads["sleeps"];
    assert_eq!(thread(&document, ident)["name"], "schläft");
    ends_well(program, true);
}
