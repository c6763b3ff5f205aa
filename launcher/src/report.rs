//! One process's state in the formats `full`, for people, and `json`, for programs.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::answer::Answer;
use crate::facts::{Facts, Frame, Thread};
use crate::greenlets::{Greenlets, Told};
use crate::interface::THREAD_HEADING;
use crate::printable::Printable;
use crate::process::Process;
use crate::state_text;
use crate::trouble::Trouble;
use crate::waits::{Hold, Wait, Waits};

/// Changes whenever the meaning of anything in the JSON document does;
/// `launcher/schema/state.json` describes it.
const VERSION: u32 = 1;

/// What is told of one process.
#[derive(Debug)]
pub struct Report {
    process: Process,
    /// Its command line.
    command: Vec<String>,
    /// Why it is less than it could be.
    note: Option<String>,
    facts: Facts,
}

impl Report {
    /// Of this process, which has given this answer. `command` is its command line, and `times` say
    /// for how long its threads have not run ([`crate::idle_times`]).
    pub fn new(
        process: Process,
        command: Vec<String>,
        answer: Answer,
        times: &HashMap<i32, f64>,
    ) -> Result<Report, Trouble> {
        let (note, mut facts) = match answer {
            Answer::Facts(facts) => (None, facts),
            Answer::State(text) => state_text::parse(&String::from_utf8_lossy(&text)),
            Answer::Reason(reason) => return Err(Trouble::plain(reason)),
        };
        for task in facts.threads.iter_mut().filter_map(|one| one.task.as_mut()) {
            task.seconds = times.get(&task.number).copied();
        }
        Ok(Report {
            process,
            command,
            note,
            facts,
        })
    }

    /// As text, in lines; nothing in it does anything to a terminal.
    pub fn full(&self) -> String {
        let mut text = String::new();
        let count = self.facts.threads.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut line = format!("{count} thread{plural}");
        let greenlets = self.facts.greenlets.told();
        if let Some(greenlets) = greenlets {
            let _ = match greenlets.suspended.len() {
                1 => write!(line, ", 1 suspended greenlet"),
                count => write!(line, ", {count} suspended greenlets"),
            };
        }
        if let Some(version) = self.facts.version() {
            line = format!("Python {version}, {line}");
        }
        let _ = writeln!(text, "{}", Printable(&line));
        if let Some(note) = &self.note {
            let _ = writeln!(
                text,
                "Read from memory, without the GIL: {}",
                Printable(note)
            );
        }
        if self.facts.greenlets == Greenlets::Unknown {
            text.push_str("Greenlets cannot be found here.\n");
        }
        let waits = Waits::of(&self.facts.threads);
        for circle in waits.deadlocks() {
            write_deadlock(&mut text, &waits, &circle);
        }
        for thread in &self.facts.threads {
            let _ = writeln!(text, "\n{}", Printable(&self.heading(thread)));
            if let Some(wait) = &thread.wait {
                let _ = writeln!(
                    text,
                    "  - waits for {}",
                    Printable(&waits_for(&waits, thread, wait))
                );
            }
            for line in greenlets.map_or(Vec::new(), |all| all.of_thread(Some(thread.ident))) {
                let _ = writeln!(text, "  - {}", Printable(&line));
            }
            for frame in &thread.frames {
                write_frame(&mut text, frame);
            }
            if let Some(greenlets) = greenlets {
                greenlets.write(&mut text, |one| one == Some(thread.ident));
            }
        }
        if let Some(greenlets) = greenlets {
            let is_there = |ident| self.facts.threads.iter().any(|one| one.ident == ident);
            greenlets.write(&mut text, |one| !one.is_some_and(is_there));
        }
        text
    }

    /// The line over a thread's stack.
    fn heading(&self, thread: &Thread) -> String {
        let mut line = format!("{THREAD_HEADING}{}", thread.ident);
        if let Some(name) = &thread.name {
            let _ = write!(line, " {name:?}");
        }
        if thread.daemon == Some(true) {
            line.push_str(", daemon");
        }
        if let Some(task) = &thread.task {
            let _ = write!(line, ", TID {}", task.number);
        }
        let doing = self.doing(thread);
        if !doing.is_empty() {
            let _ = write!(line, ": {doing}");
        }
        line
    }

    /// What a thread was doing, in words.
    fn doing(&self, thread: &Thread) -> String {
        if self.held_gil(thread) {
            return "held the GIL".to_owned();
        }
        let Some(task) = &thread.task else {
            return String::new();
        };
        let what = match &task.call {
            Some(call) => format!("in {call}"),
            None if task.runs => "running".to_owned(),
            None => "waiting".to_owned(),
        };
        match task.seconds {
            // Less than that it may be for our sake.
            Some(seconds) if seconds >= 0.1 => format!("{what} for {}", duration(seconds)),
            _ => what,
        }
    }

    fn held_gil(&self, thread: &Thread) -> bool {
        self.facts.holder == Some(thread.ident)
    }

    /// As one JSON document, in a line.
    pub fn json(&self) -> String {
        let waits = Waits::of(&self.facts.threads);
        let threads = self.facts.threads.iter().map(|thread| Entry {
            ident: thread.ident,
            tid: thread.task.as_ref().map(|task| task.number),
            name: thread.name.as_deref(),
            daemon: thread.daemon,
            main: thread.daemon.map(|_| thread.main),
            held_gil: self.note.is_none().then(|| self.held_gil(thread)),
            running: thread.task.as_ref().map(|task| task.runs),
            system_call: thread.task.as_ref().and_then(|task| task.call.as_deref()),
            waits_for: thread.wait.as_ref().map(|wait| WaitEntry {
                kind: wait.kind,
                id: wait.id,
                holders: waits.holders(wait),
                candidates: waits.candidates(wait),
                count: wait.count,
                limited: wait.limited,
                thread: wait.joined,
                value: wait.value,
                size: wait.size,
                most: wait.most,
                seconds: wait.seconds,
            }),
            holds: &thread.holds,
            waiting_seconds: thread.task.as_ref().and_then(|task| task.seconds),
            frames: &thread.frames,
        });
        let document = Document {
            version: VERSION,
            pid: self.process.pid,
            command: &self.command,
            python: self.facts.version(),
            note: self.note.as_deref(),
            deadlocks: waits.deadlocks(),
            greenlets: self.facts.greenlets.told(),
            threads: threads.collect(),
        };
        let mut text = serde_json::to_string(&document).expect("it has no keys but text");
        text.push('\n');
        // JSON lets these pass; terminals do things at them.
        if text.contains(drives_terminals) {
            let escaped = |one: char| match drives_terminals(one) {
                true => format!("\\u{:04x}", u32::from(one)),
                false => one.to_string(),
            };
            text = text.chars().map(escaped).collect();
        }
        text
    }
}

/// Control characters that may stand in JSON as they are.
fn drives_terminals(one: char) -> bool {
    matches!(one, '\u{7f}'..='\u{9f}')
}

/// The document: see the schema.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    pid: i32,
    command: &'a [String],
    python: Option<&'a str>,
    note: Option<&'a str>,
    deadlocks: Vec<Vec<u64>>,
    greenlets: Option<&'a Told>,
    threads: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    ident: u64,
    tid: Option<i32>,
    name: Option<&'a str>,
    daemon: Option<bool>,
    main: Option<bool>,
    held_gil: Option<bool>,
    running: Option<bool>,
    system_call: Option<&'a str>,
    waiting_seconds: Option<f64>,
    waits_for: Option<WaitEntry<'a>>,
    holds: &'a [Hold],
    frames: &'a [Frame],
}

#[derive(Serialize)]
struct WaitEntry<'a> {
    kind: &'a str,
    id: Option<u64>,
    holders: Vec<u64>,
    candidates: Vec<u64>,
    count: Option<i64>,
    limited: Option<bool>,
    thread: Option<u64>,
    value: Option<i64>,
    size: Option<i64>,
    most: Option<i64>,
    seconds: Option<f64>,
}

impl Serialize for Frame {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Frame::Mark(what) => map.serialize_entry("mark", what)?,
            Frame::At(place) => {
                map.serialize_entry("file", &place.file)?;
                map.serialize_entry("line", &place.line)?;
                map.serialize_entry("function", &place.function)?;
                map.serialize_entry("source", &place.source)?;
            }
        }
        map.end()
    }
}

/// What threads in a circle wait for, and where.
fn write_deadlock(text: &mut String, waits: &Waits, circle: &[u64]) {
    let _ = match circle {
        [_] => writeln!(text, "\nDeadlock: a thread waits for itself:"),
        _ => writeln!(
            text,
            "\nDeadlock: {} threads wait for each other:",
            circle.len()
        ),
    };
    for &ident in circle {
        let thread = waits.thread(ident);
        let Some((thread, wait)) = thread.and_then(|one| Some((one, one.wait.as_ref()?))) else {
            continue;
        };
        let (name, what) = (name(waits, ident), waits_for(waits, thread, wait));
        let line = format!("thread {name} waits for {what}");
        let _ = writeln!(text, "  {}", Printable(&line));
        // The library's own frames say nothing that is not said already.
        let own = |frame: &&Frame| match frame {
            Frame::At(place) => !["threading.py", "Queue.py"]
                .iter()
                .any(|library| place.file.ends_with(library)),
            Frame::Mark(_) => false,
        };
        if let Some(frame) = thread.frames.iter().rev().find(own) {
            write_frame(text, frame);
        }
    }
}

/// A thread's identifier, and its name.
fn name(waits: &Waits, ident: u64) -> String {
    match waits.thread(ident).and_then(|thread| thread.name.as_ref()) {
        Some(name) => format!("{ident} {name:?}"),
        None => ident.to_string(),
    }
}

/// What is waited for, and who keeps one waiting.
fn waits_for(waits: &Waits, thread: &Thread, wait: &Wait) -> String {
    let mut words = wait.words();
    let waited = thread.task.as_ref().and_then(|task| task.seconds);
    if let Some((seconds, waited)) = wait.seconds.zip(waited) {
        let left = duration((seconds - waited).max(0.0));
        let _ = write!(words, " ({} in all, {left} to go)", duration(seconds));
    }
    let named = |idents: Vec<u64>| {
        let names = idents.into_iter().map(|ident| name(waits, ident));
        names.collect::<Vec<_>>().join(", ")
    };
    let holders = waits.holders(wait);
    let candidates = waits.candidates(wait);
    if wait.kind == "thread" {
        if let [ident] = holders[..] {
            let _ = write!(words, " ({ident})");
        }
    } else if !holders.is_empty() {
        let _ = write!(words, ", held by thread {}", named(holders));
    } else if !candidates.is_empty() {
        let _ = write!(
            words,
            ", whose holder is not known; in a variable of thread {}",
            named(candidates)
        );
    }
    words
}

/// As `traceback` prints it.
pub fn write_frame(text: &mut String, frame: &Frame) {
    let _ = match frame {
        Frame::Mark(what) => writeln!(text, "  ... {} ...", Printable(what)),
        Frame::At(place) => {
            let (file, function) = (Printable(&place.file), Printable(&place.function));
            let _ = writeln!(
                text,
                "  File \"{file}\", line {}, in {function}",
                place.line
            );
            match place.source.as_str() {
                "" => Ok(()),
                source => writeln!(text, "    {}", Printable(source)),
            }
        }
    };
}

/// A time, as exactly as one cares for.
fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        ..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_long() {
        for (seconds, told) in [
            (0.16, "0.2 s"),
            (59.0, "59.0 s"),
            (61.9, "1 min 1 s"),
            (7384.0, "2 h 3 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), told);
        }
    }
}
