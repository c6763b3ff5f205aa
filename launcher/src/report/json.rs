//! One process's state as a JSON document, for programs: see `launcher/schema/state.json`.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use crate::report::{Report, VERSION};
use crate::state::coroutines;
use crate::state::descriptor::Descriptor;
use crate::state::frame::Frame;
use crate::state::greenlets::Told;
use crate::state::thread::Thread;
use crate::state::variables::Variables;
use crate::state::wait::Hold;
use crate::state::wait_graph::Waits;

impl Report {
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
                kind: wait.kind.name().into(),
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
                descriptors: (&wait.descriptors).into(),
                others: wait.others,
                epoll: wait.epoll,
                child: wait.child,
                command: wait.command.as_deref().map(Cow::from),
            }),
            holds: &thread.holds,
            waiting_seconds: thread.task.as_ref().and_then(|task| task.seconds),
            frames: FrameEntry::of(thread).collect(),
        });
        let document = Document {
            version: VERSION,
            pid: self.process.pid,
            time: self.time,
            command: &self.command,
            python: self.facts.version(),
            note: self.note.as_deref(),
            deadlocks: waits.deadlocks(),
            greenlets: self.facts.greenlets.told(),
            coroutines: self.facts.coroutines.told(),
            threads: threads.collect(),
            variables_cut: self.facts.is_cut,
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
    time: Option<f64>,
    command: &'a [String],
    python: Option<&'a str>,
    note: Option<&'a str>,
    deadlocks: Vec<Vec<u64>>,
    greenlets: Option<&'a Told>,
    coroutines: Option<&'a coroutines::Told>,
    threads: Vec<Entry<'a>>,
    variables_cut: bool,
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
    frames: Vec<FrameEntry<'a>>,
}

/// What a thread waits for: see the schema.
#[derive(Deserialize, Serialize)]
pub(crate) struct WaitEntry<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) id: Option<u64>,
    pub(crate) holders: Vec<u64>,
    pub(crate) candidates: Vec<u64>,
    pub(crate) count: Option<i64>,
    pub(crate) limited: Option<bool>,
    pub(crate) thread: Option<u64>,
    pub(crate) value: Option<i64>,
    pub(crate) size: Option<i64>,
    pub(crate) most: Option<i64>,
    pub(crate) seconds: Option<f64>,
    // Older documents have none.
    #[serde(default)]
    pub(crate) descriptors: Cow<'a, [Descriptor]>,
    pub(crate) others: Option<u64>,
    pub(crate) epoll: Option<i32>,
    pub(crate) child: Option<i32>,
    pub(crate) command: Option<Cow<'a, str>>,
}

struct FrameEntry<'a>(&'a Frame, Option<&'a Variables>);

impl FrameEntry<'_> {
    fn of(thread: &Thread) -> impl Iterator<Item = FrameEntry<'_>> {
        let frames = thread.frames.iter().enumerate();
        frames.map(|(index, frame)| FrameEntry(frame, thread.variables_at(index)))
    }
}

impl Serialize for Frame {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FrameEntry(self, None).serialize(serializer)
    }
}

impl Serialize for FrameEntry<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Frame::Mark(what) => map.serialize_entry("mark", what)?,
            Frame::At(place) => {
                map.serialize_entry("file", &place.file)?;
                map.serialize_entry("line", &place.line)?;
                map.serialize_entry("function", &place.function)?;
                map.serialize_entry("source", &place.source)?;
                map.serialize_entry("locals", &self.1.map(|variables| &variables.locals))?;
                map.serialize_entry("globals", &self.1.map(|variables| &variables.globals))?;
            }
        }
        map.end()
    }
}
