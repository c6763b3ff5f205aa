//! The JSON document, for programs: `launcher/schema/state.json` describes it.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use crate::report::Report;
use crate::state::coroutines::Coroutines;
use crate::state::descriptor::Descriptor;
use crate::state::frame::Frame;
use crate::state::greenlets::Greenlets;
use crate::state::suspended::SuspendedStack;
use crate::state::thread::Thread;
use crate::state::variables::Variables;
use crate::state::wait::{Hold, Wait};
use crate::state::wait_graph::WaitGraph;

/// Changes whenever the meaning of anything in the document does.
pub const VERSION: u32 = 1;

impl Report {
    /// The report as one JSON document, in one line.
    pub fn json(&self) -> String {
        let state = &self.state;
        let graph = WaitGraph::of(&state.threads);
        let threads = state.threads.iter().map(|thread| {
            let task = thread.task.as_ref();
            ThreadEntry {
                ident: thread.ident,
                tid: task.map(|task| task.number),
                name: thread.name.as_deref(),
                daemon: thread.daemon,
                main: thread.daemon.map(|_| thread.main),
                held_gil: self.note.is_none().then(|| self.held_gil(thread)),
                running: task.map(|task| task.runs),
                system_call: task.and_then(|task| task.call.as_deref()),
                waiting_seconds: task.and_then(|task| task.seconds),
                waits_for: thread.wait.as_ref().map(|wait| WaitEntry::of(&graph, wait)),
                holds: &thread.holds,
                variables_cut: thread.variables_cut,
                frames: FrameEntry::all_of(thread).collect(),
            }
        });
        let document = Document {
            version: VERSION,
            pid: self.process.pid,
            time: self.time,
            command: &self.command,
            python: state.version(),
            note: self.note.as_deref(),
            deadlocks: graph.deadlocks(),
            greenlets: state.greenlets.found(),
            coroutines: state.coroutines.found(),
            threads: threads.collect(),
            variables_cut: state.is_cut,
            cut: state.cut.iter().map(|part| part.name()).collect(),
        };
        let mut text = serde_json::to_string(&document).expect("all keys are text");
        text.push('\n');
        // JSON does not escape these, and terminals obey them.
        if text.contains(is_bare_control) {
            let escaped = |one: char| match is_bare_control(one) {
                true => format!("\\u{:04x}", u32::from(one)),
                false => one.to_string(),
            };
            text = text.chars().map(escaped).collect();
        }
        text
    }
}

/// Whether this is a control character that may stand in JSON as it is: DEL, and the C1 set of
/// ISO/IEC 6429.
fn is_bare_control(one: char) -> bool {
    matches!(one, '\u{7f}'..='\u{9f}')
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    pid: i32,
    time: Option<f64>,
    command: &'a [String],
    python: Option<&'a str>,
    note: Option<&'a str>,
    deadlocks: Vec<Vec<u64>>,
    greenlets: Option<&'a Greenlets>,
    coroutines: Option<&'a Coroutines>,
    threads: Vec<ThreadEntry<'a>>,
    variables_cut: bool,
    cut: Vec<&'static str>,
}

#[derive(Serialize)]
struct ThreadEntry<'a> {
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
    variables_cut: bool,
    frames: Vec<FrameEntry<'a>>,
}

/// What a thread waits for. Snapshots are read with it too.
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
    // The first documents of this version had none.
    #[serde(default)]
    pub(crate) descriptors: Cow<'a, [Descriptor]>,
    pub(crate) others: Option<u64>,
    pub(crate) epoll: Option<i32>,
    pub(crate) child: Option<i32>,
    pub(crate) command: Option<Cow<'a, str>>,
}

impl<'a> WaitEntry<'a> {
    fn of(graph: &WaitGraph, wait: &'a Wait) -> WaitEntry<'a> {
        WaitEntry {
            kind: wait.kind.name().into(),
            id: wait.id,
            holders: graph.holders(wait),
            candidates: graph.candidates(wait),
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
        }
    }
}

/// A frame, and its variables where they are known.
struct FrameEntry<'a>(&'a Frame, Option<&'a Variables>);

impl FrameEntry<'_> {
    fn all_of(thread: &Thread) -> impl Iterator<Item = FrameEntry<'_>> {
        let frames = thread.frames.iter().enumerate();
        frames.map(|(index, frame)| FrameEntry(frame, thread.variables_at(index)))
    }
}

impl Serialize for SuspendedStack {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let frames = self.stack.iter().enumerate();
        let entries = frames.map(|(index, frame)| FrameEntry(frame, self.variables_at(index)));
        serializer.collect_seq(entries)
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
