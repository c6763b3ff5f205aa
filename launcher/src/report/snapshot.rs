//! Snapshots: files with the output of `--format json`.
//!
//! The file is long for its unit tests, which stand behind the code that they test.

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::report::Report;
use crate::report::json::{VERSION, WaitEntry};
use crate::secrets::Secrets;
use crate::state::State;
use crate::state::budget::{Memory, megabytes};
use crate::state::frame::{Frame, Place, Stack};
use crate::state::thread::{Task, Thread};
use crate::state::wait::{Hold, Wait};
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::state::WaitKind;

/// A larger file is not read, in bytes.
const LONGEST_FILE: u64 = 4 << 30;

/// Reads a file of JSON documents: the last report of each process, by PID.
pub fn read(file: &Path) -> Result<Vec<Report>, Trouble> {
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
    parse(|| {
        let file = File::open(file).map_err(unread)?;
        Ok(BufReader::with_capacity(1 << 16, file))
    })
}

/// Reads the text of such a file, which `open` opens. It takes memory for the last report of each process,
/// and not for the text.
pub fn parse<R: Read>(open: impl Fn() -> Result<R, Trouble>) -> Result<Vec<Report>, Trouble> {
    let mut reports: Vec<Report> = Vec::new();
    for document in serde_json::Deserializer::from_reader(open()?).into_iter::<Document>() {
        let document = match document {
            Ok(document) => document,
            Err(error) => {
                // Of another version, it may have anything.
                check_versions(open()?)?;
                return Err(not_a_snapshot(&error));
            }
        };
        document.version.check()?;
        let report = document.report()?;
        reports.retain(|one| one.process != report.process);
        reports.push(report);
    }
    if reports.is_empty() {
        return Err(not_a_snapshot(&"it is empty"));
    }
    Ok(reports)
}

/// Fails if a document is of another version, whatever else is in it.
fn check_versions(text: impl Read) -> Result<(), Trouble> {
    let documents = serde_json::Deserializer::from_reader(text).into_iter::<Versioned>();
    for document in documents.map_while(Result::ok) {
        document.version.check()?;
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

/// The parts of a document (`launcher/schema/state.json`) that are compared. That some are missing counts
/// only if its version is known.
#[derive(Deserialize)]
struct Document {
    #[serde(default = "Version::none")]
    version: Version,
    pid: Option<i32>,
    time: Option<f64>,
    command: Option<Vec<String>>,
    python: Option<String>,
    note: Option<String>,
    threads: Option<Threads>,
    // The first documents of this version had none.
    #[serde(default)]
    left_out: Vec<String>,
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

/// A frame, or a mark for missing ones.
#[derive(Deserialize, Hash, PartialEq, Eq)]
struct FrameEntry {
    mark: Option<String>,
    file: Option<String>,
    line: Option<i64>,
    function: Option<String>,
    source: Option<String>,
}

/// The threads of a document. The same frame stands in it many times, and is kept once.
#[derive(Default)]
struct Threads {
    /// Without their frames.
    entries: Vec<ThreadEntry>,
    stacks: Vec<Arc<[u32]>>,
    known: Vec<Frame>,
    memory: Memory,
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(read: D) -> Result<Threads, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Threads;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("a list of threads")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Threads, A::Error> {
                let mut threads = Threads::default();
                let mut indices: HashMap<FrameEntry, u32> = HashMap::new();
                let full = || A::Error::custom("there is no memory for all of its frames");
                while let Some(mut entry) = list.next_element::<ThreadEntry>()? {
                    let mut stack = Vec::with_capacity(entry.frames.len());
                    for one in std::mem::take(&mut entry.frames) {
                        if let Some(&index) = indices.get(&one) {
                            stack.push(index);
                            continue;
                        }
                        let frame = one.frame();
                        let frame = frame.ok_or_else(|| A::Error::custom("it has no frame"))?;
                        let index = threads.known.len() as u32;
                        // Its text stands in both.
                        if !threads.memory.take(2 * frame.size()) {
                            return Err(full());
                        }
                        threads.known.push(frame);
                        indices.insert(one, index);
                        stack.push(index);
                    }
                    let size = size_of::<ThreadEntry>() + size_of::<Thread>();
                    if !threads.memory.take(2 * size + 4 * stack.len()) {
                        return Err(full());
                    }
                    threads.stacks.push(stack.into());
                    threads.entries.push(entry);
                }
                Ok(threads)
            }
        }
        read.deserialize_seq(Reader)
    }
}

impl Document {
    fn report(self) -> Result<Report, Trouble> {
        let (Some(pid), Some(command), Some(read)) = (self.pid, self.command, self.threads) else {
            return Err(not_a_snapshot(&"its pid, command or threads are missing"));
        };
        let entries = read.entries;
        let holder = entries.iter().find(|one| one.held_gil == Some(true));
        let holder = holder.map(|one| one.ident);
        let names: HashMap<u64, &Option<String>> =
            entries.iter().map(|one| (one.ident, &one.name)).collect();
        let mut may_hold = may_hold(&entries);
        let known = Arc::new(read.known);
        let mut threads = Vec::new();
        for (entry, stack) in entries.iter().zip(read.stacks) {
            let wait = entry.waits_for.as_ref();
            let wait = wait.map(|wait| wait.wait(&names)).transpose()?;
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
                may_hold: may_hold.remove(&entry.ident).unwrap_or_default(),
                frames: Stack::among(&known, stack),
                ..Thread::default()
            });
        }
        Ok(Report {
            process: Process { pid },
            command,
            time: self.time,
            note: self.note,
            state: State {
                python: self.python.unwrap_or_default(),
                holder,
                left_out: self.left_out,
                memory: read.memory,
                ..State::of_threads(threads)
            },
            // They were hidden when the file was written, or not, as its user wanted.
            secrets: Secrets::none(),
        })
    }
}

impl WaitEntry<'_> {
    fn wait(&self, names: &HashMap<u64, &Option<String>>) -> Result<Wait, Trouble> {
        let Some(kind) = WaitKind::from_name(&self.kind) else {
            let what = format!("has the unknown wait {:?}", self.kind);
            return Err(of_another_version(&what));
        };
        let joined = self.thread.and_then(|ident| names.get(&ident));
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
            name: joined.and_then(|&name| name.clone()),
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

/// By identifier, the locks that a thread may hold, which others wait for.
fn may_hold(threads: &[ThreadEntry]) -> HashMap<u64, Vec<u64>> {
    let mut may_hold: HashMap<u64, Vec<u64>> = HashMap::new();
    for wait in threads.iter().filter_map(|one| one.waits_for.as_ref()) {
        for (&ident, id) in wait.candidates.iter().zip(std::iter::repeat(wait.id)) {
            may_hold.entry(ident).or_default().extend(id);
        }
    }
    for ids in may_hold.values_mut() {
        ids.sort_unstable();
        ids.dedup();
    }
    may_hold
}

impl FrameEntry {
    fn frame(&self) -> Option<Frame> {
        if let Some(mark) = &self.mark {
            return Some(Frame::Mark(mark.clone()));
        }
        Some(Frame::At(Place {
            file: self.file.clone()?,
            line: self.line?,
            function: self.function.clone()?,
            source: self.source.clone()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
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
                "coroutines": null, "variables_cut": false, "cut": [], "threads": [{threads}],
                "left_out": ["a frame"]}}"#
        )
    }

    #[test]
    fn reads_what_was_written() {
        let other = THREAD
            .replace(": 7,", ": 8,")
            .replace(r#""candidates": [8]"#, r#""candidates": []"#);
        let text = document(1, &format!("{THREAD}, {other}"));
        let reports = parse(|| Ok(text.as_bytes())).expect("a snapshot");
        let written: Value = serde_json::from_str(&reports[0].json(u64::MAX)).expect("JSON");
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
        assert!(reports[0].state.threads.is_empty());
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
