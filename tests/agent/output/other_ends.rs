//! Who has the other end of a pipe, a FIFO or a socket that a thread waits on.

use serde_json::json;
use tests::ask::{WAYS, answer, full_answer, woken_target};
use tests::case;
use tests::document::{document, thread};
use tests::interpreters::Interpreter;
use tests::procfs::settle;
use tests::said::Said;
use tests::scratch::Scratch;

/// The line that says what a thread waits for.
#[track_caller]
fn waits(out: &str, ident: u64) -> String {
    let heading = format!("### Thread {ident}");
    let (_, after) = out
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no thread {ident}: {out}"));
    let line = after
        .lines()
        .find_map(|line| line.strip_prefix("  - waits for "));
    line.unwrap_or_else(|| panic!("{ident} does not wait: {out}"))
        .to_owned()
}

case!(who_has_the_other_end);
fn who_has_the_other_end(python: &Interpreter) {
    let folder = Scratch::new();
    let path = folder.display().to_string();
    let program = woken_target(python, "other_ends.py", &[&path]);
    settle(program.pid());
    let said = Said::by(&program);
    let number = |what: &str| said.number(&format!("number {what}"));
    let child = |what: &str| said.number(&format!("child {what}"));
    for via in WAYS {
        let out = full_answer(program.pid(), via);
        let document = document(program.pid(), via);
        let own_command = document["command"].as_array().unwrap().iter();
        let own_command: Vec<&str> = own_command.map(|one| one.as_str().unwrap()).collect();
        let own_command = own_command.join(" ");
        let end = |what: &str| {
            let one = &thread(&document, said.ident(what))["waits_for"]["descriptors"][0];
            assert_eq!(one["number"], number(what), "{what} by {via}: {one}");
            (one["type"].clone(), one["other_end"].clone())
        };
        let held_by = |what: &str, command: &str, descriptor: i32, too: bool| {
            json!({
                "processes": [{
                    "pid": child(what), "command": command, "descriptors": [descriptor], "waits_too": too
                }],
                "more": 0, "own": false, "complete": true
            })
        };
        let own = json!({ "processes": [], "more": 0, "own": true, "complete": true });
        for (what, shape, expected, words) in [
            (
                "nobody",
                "pipe",
                own.clone(),
                format!(
                    "data on pipe {}, which nobody else has open for writing",
                    number("nobody")
                ),
            ),
            (
                "kept",
                "pipe",
                held_by("kept", "sleep 1000", 1, false),
                format!(
                    "data on pipe {}, open for writing in PID {} (sleep 1000), as its standard output",
                    number("kept"),
                    child("kept")
                ),
            ),
            (
                "full",
                "pipe",
                held_by("full", "sleep 1000", 0, false),
                format!(
                    "room to write to pipe {}, open for reading in PID {} (sleep 1000), as its \
                     standard input",
                    number("full"),
                    child("full")
                ),
            ),
            (
                "fifo",
                "fifo",
                held_by("fifo", "sleep 1000", 2, false),
                format!(
                    "data on FIFO {} {path}/a fifo, open for writing in PID {} (sleep 1000), as its \
                     standard error",
                    number("fifo"),
                    child("fifo")
                ),
            ),
            (
                "pair",
                "unix",
                held_by("pair", "sleep 1000", 0, false),
                format!(
                    "data on socket {}, unix, whose other end is open in PID {} (sleep 1000), as its \
                     standard input",
                    number("pair"),
                    child("pair")
                ),
            ),
            (
                "own",
                "unix",
                own,
                format!(
                    "data on socket {}, unix, whose other end nobody else has open",
                    number("own")
                ),
            ),
            (
                "too",
                "pipe",
                held_by("too", &own_command, (number("too") + 1) as i32, true),
                format!(
                    "data on pipe {}, which nobody else has open for writing except PID {} \
                     ({own_command}), which waits for data on it too",
                    number("too"),
                    child("too")
                ),
            ),
        ] {
            assert_eq!(end(what), (shape.into(), expected), "{what} by {via}");
            assert_eq!(waits(&out, said.ident(what)), words, "{what} by {via}");
        }
        // The main thread reads what this test writes.
        let standard_input = format!(
            "data on pipe 0 (standard input), open for writing in PID {} (",
            std::process::id()
        );
        assert!(out.contains(&standard_input), "{standard_input}: {out}");
    }
    // Of the other reader nobody else could write.
    let out = answer(child("too") as i32, &["--format", "full", "--via", "wake"]);
    let words = format!(
        "  - waits for data on pipe {}, which nobody else has open for writing\n",
        number("too")
    );
    assert!(out.contains(&words), "{words}: {out}");
    program.ends();
}
