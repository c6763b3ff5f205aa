//! `--diff`: two snapshots, compared.

use serde_json::Value;
use std::path::Path;
use tests::ask::{activate, woken_target};
use tests::case;
use tests::document::document;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::moving::{first_line, looks_at, marks, step, steps};
use tests::scratch::Scratch;

fn diff(old: &Path, new: &Path) -> Ended {
    activate(["--diff", old.to_str().unwrap(), new.to_str().unwrap()])
}

case!(snapshots);
fn snapshots(python: &Interpreter) {
    let folder = Scratch::new();
    let mut program = steps(python);
    let pid = program.pid();
    let old = document(pid, "wake");
    step(&mut program);
    let new = document(pid, "wake");
    // It takes no process.
    program.ends_well();
    let files = [
        // Of two documents of the same process the last counts.
        folder.write("old.json", format!("{new}\n{old}\n")),
        folder.write("new.json", new.to_string()),
    ];
    let ended = diff(&files[0], &files[1]);
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    let out = ended.out();
    let line = " s later: 1 new, 1 gone, 2 moved, 1 did not move\n";
    assert!(out.contains(line), "{out}");
    assert_eq!(out.matches("=== PID ").count(), 1, "{out}");
    let gone = out.lines().find(|line| line.starts_with("< ")).unwrap();
    assert!(gone.ends_with(" \"ends\" is gone"), "{out}");
    let heading = |name| first_line(&looks_at(&out, name)[0]).to_owned();
    assert!(heading("moves").ends_with(", moved"), "{out}");
    assert!(heading("fresh").ends_with(", new"), "{out}");
    assert!(heading("stuck").contains(", has not moved for "), "{out}");
    let moves = &looks_at(&out, "moves")[0];
    assert_eq!(
        marks(moves).last(),
        Some(&('>', "inner".to_owned())),
        "{out}"
    );
    let lock = |document: &Value| {
        let mut threads = document["threads"].as_array().unwrap().iter();
        let thread = threads.find(|one| one["name"] == "moves").unwrap();
        format!(
            "waits for lock {:#x}",
            thread["waits_for"]["id"].as_u64().unwrap()
        )
    };
    let (then, now) = (lock(&old), lock(&new));
    assert!(
        moves.contains(&format!("\n< - no longer {then}\n")),
        "{out}"
    );
    assert!(moves.contains(&format!("\n> - {now}")), "{out}");
    // In the opposite order.
    let back = diff(&files[1], &files[0]).expect_code(0).out();
    assert!(back.contains("\"fresh\" is gone\n"), "{back}");
    // A different PID is a different process, even with the same threads.
    let mut other = old.clone();
    other["pid"] = 1.into();
    let other = folder.write("other.json", other.to_string());
    let out = diff(&files[0], &other).expect_code(0).out();
    for (pid, file) in [(1, &other), (pid, &files[0])] {
        let (_, told) = out
            .split_once(&format!("=== PID {pid}: "))
            .expect("it is told");
        let line = format!("only in {}", file.display());
        assert_eq!(told.lines().nth(1), Some(&*line), "{out}");
    }
}

case!(no_snapshots);
fn no_snapshots(python: &Interpreter) {
    let folder = Scratch::new();
    let program = woken_target(python, "single.py", &["sleeping"]);
    let document = document(program.pid(), "wake");
    let mut later = document.clone();
    later["version"] = 2.into();
    let good = folder.write("good.json", document.to_string());
    let missing = folder.join("missing.json");
    let cut = document.to_string();
    for (file, told) in [
        (missing, "it cannot be read (No such file"),
        (
            folder.write("empty.json", ""),
            "this is no snapshot (it is empty); make one: ",
        ),
        (
            folder.write("text.json", "### Thread 7:\n"),
            "this is no snapshot (",
        ),
        (
            folder.write("cut.json", &cut[..cut.len() / 2]),
            "this is no snapshot (",
        ),
        (
            folder.write("later.json", later.to_string()),
            "version 2, and this command reads version 1; ",
        ),
    ] {
        for ended in [diff(&file, &good), diff(&good, &file)] {
            ended.expect_refusal(1, &[told]);
            let line = format!("sleeper_agent_activate: {}: ", file.display());
            let said = ended.err();
            assert!(said.starts_with(&line), "{said}");
        }
    }
    let pid = program.pid().to_string();
    let with_pid = [
        "--diff",
        good.to_str().unwrap(),
        good.to_str().unwrap(),
        &pid,
    ];
    activate(with_pid).expect_code(2);
}
