//! `--format full` and `--format json`: the details beside the stacks.

use serde_json::Value;
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use tests::ask::{WAYS, activate, full_answer, state, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::gil::keeps_the_gil;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;
use tests::said::Said;

/// `named.py`, ready to be asked.
fn named(python: &Interpreter, arguments: &[&str]) -> (Program, Said) {
    let program = woken_target(python, "named.py", arguments);
    let said = Said::by(&program);
    (program, said)
}

/// Checks that the program carries on, and that the agent has left nothing behind.
#[track_caller]
fn ends_well(program: Program, marshal: bool) {
    let ended = program.ends_well();
    let last = if marshal {
        "marshal: True\n"
    } else {
        "marshal: False\n"
    };
    assert!(ended.out().ends_with(last), "{}", ended.out());
}

case!(json);
fn json(python: &Interpreter) {
    let (program, said) = named(python, &[]);
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
            let (ident, tid) = (said.ident(what), said.number(&format!("tid {what}")));
            let thread = thread(&document, ident);
            assert_eq!(thread["tid"], tid, "{thread}");
            assert_eq!(thread["name"].as_str(), name, "{thread}");
            assert_eq!(thread["daemon"].as_bool(), daemon, "{thread}");
            assert_eq!(thread["main"].as_bool(), daemon.map(|_| what == "main"));
            assert_eq!(thread["held_gil"], false, "{thread}");
            assert_eq!(thread["running"], false, "{thread}");
            let call = thread["system_call"].as_str().expect("it is told");
            assert!(calls.contains(&call), "{thread}");
            // Some kernels are built without this file.
            if fs::exists("/proc/self/sched").unwrap() {
                let seconds = thread["waiting_seconds"].as_f64().expect("it is told");
                assert!((0.5..40.0).contains(&seconds), "{thread}");
            }
        }
    }
    ends_well(program, false);
}

case!(full);
fn full(python: &Interpreter) {
    let (program, said) = named(python, &[]);
    settle(program.pid());
    sleep(Duration::from_millis(200));
    for via in WAYS {
        let pid = program.pid().to_string();
        let out = full_answer(program.pid(), via);
        assert!(!out.contains('\x1b'), "{out:?}");
        let (verdict, state) = out.split_once("\n\n").expect("a verdict");
        assert!(verdict.starts_with("Verdict: "), "{out}");
        let mut lines = state.lines();
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
            let (ident, tid) = (said.ident(what), said.number(&format!("tid {what}")));
            let heading = format!("### Thread {ident}{name}, TID {tid}: in ");
            assert!(out.contains(&heading), "{heading}\n{out}");
        }
        assert!(out.contains("\n    lock.acquire()\n"), "{out}");
    }
    ends_well(program, false);
}

case!(frames_as_in_the_plain_state);
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

case!(who_held_the_gil);
/// The computing thread holds the GIL almost all the time.
fn who_held_the_gil(python: &Interpreter) {
    let (program, said) = named(python, &["busy"]);
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
        times +=
            usize::from(holder.is_some_and(|holder| holder["ident"] == said.ident("computes")));
    }
    assert!(times >= 5, "{times} times of 10");
    ends_well(program, false);
}

case!(without_the_gil);
fn without_the_gil(python: &Interpreter) {
    let program = keeps_the_gil(python, "0.5");
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
        let out = full_answer(program.pid(), via);
        let note = "\nRead from memory, without the GIL: the GIL was not released";
        assert!(out.contains(note), "{out}");
        assert!(
            out.contains("  File \"<string>\", line 2, in <module>\n"),
            "{out}"
        );
    }
}

case!(of_several);
fn of_several(python: &Interpreter) {
    let programs = [named(python, &[]).0, named(python, &[]).0];
    let pids = programs.each_ref().map(|one| one.pid().to_string());
    let asked = |format| {
        // They are alike, and would stand in one entry.
        let options = ["--format", format, "--each", "--via", "wake"];
        let ended = activate(options.into_iter().chain(pids.iter().map(String::as_str)));
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

case!(nonsense_in_place_of_threads);
fn nonsense_in_place_of_threads(python: &Interpreter) {
    for (fault, name) in [("active", None), ("class", Some("schläft"))] {
        let (program, said) = named(python, &[fault]);
        settle(program.pid());
        let document = document(program.pid(), "wake");
        assert_eq!(document["threads"].as_array().unwrap().len(), 4);
        let thread = thread(&document, said.ident("sleeps"));
        assert_eq!(thread["name"].as_str(), name, "{fault}: {thread}");
        assert_eq!(thread["tid"], said.number("tid sleeps"));
        ends_well(program, false);
    }
}

case!(marshal_is_not_to_be_had);
/// The agent works without an importable marshal, and while another thread imports.
fn marshal_is_not_to_be_had(python: &Interpreter) {
    let (program, said) = named(python, &["marshal"]);
    settle(program.pid());
    let document = document(program.pid(), "wake");
    assert_eq!(document["note"], Value::Null);
    assert_eq!(thread(&document, said.ident("sleeps"))["name"], "schläft");
    ends_well(program, true);
}
