//! Snapshots: files with the output of `--format json`.

use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::report::Report;
use crate::report::json::{VERSION, WaitEntry};
use crate::state::State;
use crate::state::frame::{Frame, Place};
use crate::state::search::Search;
use crate::state::thread::{Task, Thread};
use crate::state::wait::{Hold, Wait};
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::state::WaitKind;

/// Reads a file of JSON documents: the last report of each process, by PID.
pub fn read(file: &Path) -> Result<Vec<Report>, Trouble> {
    let text = fs::read(file).map_err(|error| {
        Trouble::new(
            format!("it cannot be read ({error})"),
            "give the path of a file that holds the output of --format json",
        )
    })?;
    parse(&text)
}

/// Reads the text of such a file.
pub fn parse(text: &[u8]) -> Result<Vec<Report>, Trouble> {
    let mut reports: Vec<Report> = Vec::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        let value = value.map_err(|error| not_a_snapshot(&error))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(of_another_version(&format!("has version {version}"))),
            None => return Err(not_a_snapshot(&"it has no version")),
        }
        let document = Document::deserialize(value).map_err(|error| not_a_snapshot(&error))?;
        let report = document.report()?;
        reports.retain(|one| one.process != report.process);
        reports.push(report);
    }
    if reports.is_empty() {
        return Err(not_a_snapshot(&"it is empty"));
    }
    Ok(reports)
}

fn not_a_snapshot(why: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(
        format!("this is no snapshot ({why})"),
        "make one: sleeper_agent_activate --format json PID > FILE",
    )
}

fn of_another_version(what: &str) -> Trouble {
    Trouble::new(
        format!("this snapshot {what}, and this command reads version {VERSION}"),
        "compare it with the sleeper_agent_activate that made it",
    )
}

/// The parts of a document (`launcher/schema/state.json`) that are compared.
#[derive(Deserialize)]
struct Document {
    pid: i32,
    time: Option<f64>,
    command: Vec<String>,
    python: Option<String>,
    note: Option<String>,
    threads: Vec<ThreadEntry>,
}

#[derive(Deserialize)]
struct ThreadEntry {
    ident: u64,
    tid: Option<i32>,
    name: Option<String>,
    daemon: Option<bool>,
    main: Option<bool>,
    held_gil: Option<bool>,
    running: Option<bool>,
    system_call: Option<String>,
    waiting_seconds: Option<f64>,
    waits_for: Option<WaitEntry<'static>>,
    holds: Vec<Hold>,
    frames: Vec<FrameEntry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FrameEntry {
    Mark {
        mark: String,
    },
    At {
        file: String,
        line: i64,
        function: String,
        source: String,
    },
}

impl Document {
    fn report(self) -> Result<Report, Trouble> {
        let holder = self.threads.iter().find(|one| one.held_gil == Some(true));
        let holder = holder.map(|one| one.ident);
        let mut threads = Vec::new();
        for entry in &self.threads {
            let wait = entry.waits_for.as_ref();
            let wait = wait.map(|wait| wait.wait(&self.threads)).transpose()?;
            threads.push(Thread {
                ident: entry.ident,
                name: entry.name.clone(),
                daemon: entry.daemon,
                main: entry.main == Some(true),
                task: entry.tid.map(|number| Task {
                    number,
                    call: entry.system_call.clone(),
                    runs: entry.running == Some(true),
                    seconds: entry.waiting_seconds,
                }),
                wait,
                holds: entry.holds.clone(),
                may_hold: may_hold(entry.ident, &self.threads),
                frames: Arc::new(entry.frames.iter().map(FrameEntry::frame).collect()),
                ..Thread::default()
            });
        }
        Ok(Report {
            process: Process { pid: self.pid },
            command: self.command,
            time: self.time,
            note: self.note,
            state: State {
                python: self.python.unwrap_or_default(),
                holder,
                threads,
                is_cut: false,
                cut: Vec::new(),
                greenlets: Search::NotAsked,
                coroutines: Search::NotAsked,
            },
        })
    }
}

impl WaitEntry<'_> {
    fn wait(&self, threads: &[ThreadEntry]) -> Result<Wait, Trouble> {
        let Some(kind) = WaitKind::from_name(&self.kind) else {
            let what = format!("has the unknown wait {:?}", self.kind);
            return Err(of_another_version(&what));
        };
        let joined = threads.iter().find(|one| Some(one.ident) == self.thread);
        Ok(Wait {
            kind,
            id: self.id,
            owner: self
                .holders
                .first()
                .copied()
                .filter(|_| kind == WaitKind::RLock),
            count: self.count,
            limited: self.limited,
            joined: self.thread,
            name: joined.and_then(|one| one.name.clone()),
            value: self.value,
            size: self.size,
            most: self.most,
            seconds: self.seconds,
            descriptors: self.descriptors.to_vec(),
            others: self.others,
            epoll: self.epoll,
            child: self.child,
            command: self.command.as_deref().map(str::to_owned),
        })
    }
}

/// The locks that a thread may hold, which others wait for.
fn may_hold(ident: u64, threads: &[ThreadEntry]) -> Vec<u64> {
    let waits = threads.iter().filter_map(|one| one.waits_for.as_ref());
    let its = waits.filter(|wait| wait.candidates.contains(&ident));
    let mut ids: Vec<u64> = its.filter_map(|wait| wait.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl FrameEntry {
    fn frame(&self) -> Frame {
        match self {
            FrameEntry::Mark { mark } => Frame::Mark(mark.clone()),
            FrameEntry::At {
                file,
                line,
                function,
                source,
            } => Frame::At(Arc::new(Place {
                file: file.clone(),
                line: *line,
                function: function.clone(),
                source: source.clone(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const THREAD: &str = r#"{"ident": 7, "tid": 70, "name": "a", "daemon": false, "main": true,
        "held_gil": false, "running": false, "system_call": "futex", "waiting_seconds": 2.5,
        "waits_for": {"kind": "lock", "id": 9, "holders": [], "candidates": [8], "count": null,
            "limited": false, "thread": null, "value": null, "size": null, "most": null,
            "seconds": null, "others": 2, "epoll": 4, "child": 12, "command": "sh", "descriptors": [
                {"number": 3, "ways": ["read"], "type": "pipe", "local": null, "peer": null,
                    "path": null}]},
        "holds": [{"id": 5, "file": "a.py", "line": 3}], "variables_cut": false,
        "frames": [{"mark": "12 frames left out"},
            {"file": "a.py", "line": 3, "function": "f", "source": "x", "locals": null,
                "globals": null, "of_later": 1}]}"#;

    fn document(version: u32, threads: &str) -> String {
        format!(
            r#"{{"version": {version}, "pid": 4711, "time": 1.5, "command": ["python"],
                "python": "2.7.18", "note": null, "deadlocks": [], "greenlets": null,
                "coroutines": null, "variables_cut": false, "cut": [], "threads": [{threads}]}}"#
        )
    }

    #[test]
    fn reads_what_was_written() {
        let other = THREAD
            .replace(": 7,", ": 8,")
            .replace(r#""candidates": [8]"#, r#""candidates": []"#);
        let text = document(1, &format!("{THREAD}, {other}"));
        let reports = parse(text.as_bytes()).expect("a snapshot");
        let written: Value = serde_json::from_str(&reports[0].json()).expect("JSON");
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
        let reports = parse(text.as_bytes()).expect("a snapshot");
        assert_eq!(reports.len(), 1);
        assert!(reports[0].state.threads.is_empty());
    }

    #[test]
    fn refuses_what_is_no_snapshot() {
        let refusal = |text: &str| parse(text.as_bytes()).expect_err("no snapshot").to_string();
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
