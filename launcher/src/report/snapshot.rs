//! Snapshots: files with the output of `--format json`. They may hold anything, also where this command has
//! written them: what it was told by a process that means harm.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::report::Report;
use crate::report::json::VERSION;
use crate::report::snapshot_text::{Text, not_a_snapshot, parsed};
use crate::report::snapshot_threads::{Threads, of_another_version};
use crate::secrets::Secrets;
use crate::state::State;
use crate::state::budget::megabytes;
use crate::system::process::Process;
use crate::trouble::Trouble;

/// A larger file is not read, in bytes.
const LONGEST_FILE: u64 = 4 << 30;

/// Reads a file of JSON documents: the last report of each process, by PID.
pub fn read(file: &Path) -> Result<BTreeMap<i32, Box<Report>>, Trouble> {
    let unread = |error| {
        Trouble::new(
            format!("it cannot be read ({error})"),
            "give the path of a file that holds the output of --format json",
        )
    };
    let length = std::fs::metadata(file).map_err(unread)?.len();
    if length > LONGEST_FILE {
        return Err(Trouble::new(
            format!("it has {}, which is more than is read", megabytes(length)),
            "split it: a line is one document",
        ));
    }
    parse(|| File::open(file).map_err(unread))
}

/// Reads the text of such a file, which `open` opens. It takes memory for the last report of each process,
/// and not for the text.
pub fn parse<R: Read>(
    open: impl Fn() -> Result<R, Trouble>,
) -> Result<BTreeMap<i32, Box<Report>>, Trouble> {
    let open = || Ok(Text(BufReader::with_capacity(1 << 16, open()?)));
    let mut reports = BTreeMap::new();
    let mut text = open()?;
    while text.peek()?.is_some() {
        let report = report(&mut text).or_else(|trouble| {
            // Of another version, it may have anything.
            check_versions(open()?)?;
            Err(trouble)
        })?;
        reports.insert(report.process.pid, Box::new(report));
    }
    match reports.is_empty() {
        true => Err(not_a_snapshot(&"it is empty")),
        false => Ok(reports),
    }
}

/// Fails if a document is of another version, whatever else is in it.
fn check_versions<R: Read>(mut text: Text<BufReader<R>>) -> Result<(), Trouble> {
    while let Ok(piece) = text.object(&["version"], None) {
        parsed::<Versioned>(&piece)?.version.check()?;
    }
    Ok(())
}

/// The version of a document.
#[derive(Deserialize)]
struct Version(Option<u64>);

#[derive(Deserialize)]
struct Versioned {
    #[serde(default = "Version::none")]
    version: Version,
}

impl Version {
    fn none() -> Version {
        Version(None)
    }

    fn check(&self) -> Result<(), Trouble> {
        match self.0 {
            Some(version) if version == u64::from(VERSION) => Ok(()),
            Some(version) => Err(of_another_version(&format!("has version {version}"))),
            None => Err(not_a_snapshot(&"it has no version")),
        }
    }
}

/// The parts of a document (`launcher/schema/state.json`) that are compared, but for its threads. That some are
/// missing counts only if its version is known.
#[derive(Deserialize)]
struct Document {
    #[serde(default = "Version::none")]
    version: Version,
    pid: Option<i32>,
    time: Option<f64>,
    command: Option<Vec<String>>,
    python: Option<String>,
    note: Option<String>,
    // The first documents of this version had none.
    #[serde(default)]
    left_out: Vec<String>,
}

const KEYS: [&str; 7] = [
    "version", "pid", "time", "command", "python", "note", "left_out",
];

/// What a text takes beside its bytes, in bytes, in a list that grows.
const OF_TEXT: usize = 2 * size_of::<String>() + 32;

/// What the map takes for a report, in bytes.
const OF_REPORT: usize = 64;

/// Reads a document.
fn report<R: Read>(text: &mut Text<BufReader<R>>) -> Result<Report, Trouble> {
    let (mut threads, mut has_threads) = (Threads::default(), false);
    let mut read = |text: &mut Text<_>| {
        has_threads = true;
        threads.read(text)
    };
    let piece = text.object(&KEYS, Some(("threads", &mut read)))?;
    let document: Document = parsed(&piece)?;
    document.version.check()?;
    let (Some(pid), Some(command), true) = (document.pid, document.command, has_threads) else {
        return Err(not_a_snapshot(&"its pid, command or threads are missing"));
    };
    let texts = command.len() + document.left_out.len();
    threads.take(size_of::<Report>() + OF_REPORT + piece.len() + texts * OF_TEXT)?;
    let holder = threads.holder;
    let (threads, memory) = threads.finished()?;
    Ok(Report {
        process: Process { pid },
        command,
        time: document.time,
        note: document.note,
        state: State {
            python: document.python.unwrap_or_default(),
            holder,
            left_out: document.left_out,
            memory,
            ..State::of_threads(threads)
        },
        // They were hidden when the file was written, or not, as its user wanted.
        secrets: Secrets::none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    const THREAD: &str = r#"{"ident": 7, "tid": 70, "name": "a", "daemon": false, "main": true,
        "held_gil": false, "running": false, "system_call": "futex", "waiting_seconds": 2.5,
        "waits_for": {"kind": "lock", "id": 9, "holders": [], "candidates": [8], "certainty": null,
          "owner": null, "gone": null, "part": null, "count": null,
            "limited": false, "thread": null, "value": null, "size": null, "most": null,
            "seconds": null, "waited_seconds": null, "left_seconds": null, "others": 2, "epoll": 4, "child": 12, "command": "sh", "owner_tid": 71,
            "owner_lives": false, "within": "sem_wait", "called_from": "f", "descriptors": [
                {"number": 3, "ways": ["read"], "type": "pipe", "local": null, "peer": null,
                    "path": null, "other_end": {"processes": [{"pid": 5, "command": "cat",
                        "descriptors": [1], "waits_too": false}], "more": 0, "own": false,
                        "complete": true}, "held_by": null}]},
        "suspended_holders": [],
        "holds": [{"id": 5, "file": "a.py", "line": 3, "certainty": "held"}], "variables_cut": false,
        "native_frames": [], "native_note": null, "frames": [{"mark": "12 frames left out"},
            {"file": "a.py", "line": 3, "function": "f", "source": "x", "locals": null,
                "globals": null, "of_later": 1}]}"#;

    fn document(version: u32, threads: &str) -> String {
        format!(
            r#"{{"version": {version}, "pid": 4711, "time": 1.5, "command": ["python"],
                "python": "2.7.18", "note": null, "deadlocks": [], "circles": [], "greenlets": null,
                "coroutines": null, "variables_cut": false, "cut": [], "threads": [{threads}],
                "other_threads": [], "left_out": ["a frame"]}}"#
        )
    }

    #[test]
    fn reads_what_was_written() {
        let other = THREAD
            .replace(": 7,", ": 8,")
            .replace(r#""candidates": [8]"#, r#""candidates": []"#);
        let text = document(1, &format!("{THREAD}, {other}"));
        let reports = parse(|| Ok(text.as_bytes())).expect("a snapshot");
        let written: Value = serde_json::from_str(&reports[&4711].json(u64::MAX)).expect("JSON");
        let mut read: Value = serde_json::from_str(&text).expect("JSON");
        for thread in 0..2 {
            let frame = &mut read["threads"][thread]["frames"][1];
            frame.as_object_mut().expect("a frame").remove("of_later");
        }
        // It waits for the lock itself, so it is no candidate.
        read["threads"][0]["waits_for"]["candidates"] = serde_json::json!([]);
        assert_eq!(written, read);
    }

    #[test]
    fn the_last_one_of_each_process_counts() {
        let text = [document(1, THREAD), document(1, "")].join("\n");
        let reports = parse(|| Ok(text.as_bytes())).expect("a snapshot");
        assert_eq!(reports.len(), 1);
        assert!(reports[&4711].state.threads.is_empty());
    }

    #[test]
    fn refuses_what_is_no_snapshot() {
        let refusal = |text: &str| {
            parse(|| Ok(text.as_bytes()))
                .expect_err("no snapshot")
                .to_string()
        };
        let cut = document(1, THREAD);
        let cut = &cut[..cut.len() - 2];
        for text in [
            "",
            " \n",
            "### Thread 7:",
            "{}",
            "[1]",
            "7",
            r#"{"version": 1}"#,
            cut,
        ] {
            let refusal = refusal(text);
            assert!(
                refusal.starts_with("this is no snapshot ("),
                "{text}: {refusal}"
            );
        }
        let later = refusal(&document(2, ""));
        assert!(
            later.contains("has version 2, and this command reads version 1; "),
            "{later}"
        );
        let kind = refusal(&document(1, &THREAD.replace("\"lock\"", "\"moon\"")));
        assert!(kind.contains("has the unknown wait \"moon\""), "{kind}");
    }
}
