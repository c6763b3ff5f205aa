//! The JSON document, for programs: `launcher/schema/state.json` describes it.

use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufWriter, Write};

use crate::printable::InJson;
use crate::report::Report;
use crate::report::json_circles::{self, Member};
use crate::report::json_frames::{Context, ThreadFrames};
use crate::report::json_suspended::{CoroutinesEntry, GreenletsEntry};
use crate::state::descriptor::Descriptor;
use crate::state::native::NativeFrame;
use crate::state::thread::Thread;
use crate::state::wait::{Certainty, Hold, Part, SuspendedHolder, Wait};
use crate::state::wait_graph::WaitGraph;

/// Changes whenever the meaning of anything in the document does.
pub const VERSION: u32 = 1;

impl Report {
    /// Writes the report as one JSON document, in one line. What would make it longer than `most` bytes, by
    /// far, is left out, and the document says so.
    ///
    /// # Errors
    /// It could not be written.
    pub fn write_json(&self, out: &mut dyn Write, most: u64) -> io::Result<()> {
        let state = &self.state;
        let written = Cell::new(0);
        let graph = WaitGraph::of(state);
        let circles = graph.deadlocks();
        let context = Context {
            report: self,
            graph: &graph,
            written: &written,
            most,
            left_out: Cell::new(0),
        };
        let context = &context;
        let document = Document {
            version: VERSION,
            pid: self.process.pid,
            time: self.time,
            command: &self.command,
            python: state.version(),
            note: self.note.as_deref(),
            deadlocks: json_circles::of_threads(&circles),
            circles: circles
                .iter()
                .map(|circle| Member::of_all(circle))
                .collect(),
            greenlets: (state.greenlets.found()).map(|found| GreenletsEntry(found, context)),
            coroutines: (state.coroutines.found()).map(|found| CoroutinesEntry(found, context)),
            threads: Threads(context),
            other_threads: state
                .others
                .iter()
                .map(|one| OtherThread::of(&graph, one))
                .collect(),
            variables_cut: state.is_cut,
            cut: state.cut.iter().map(|part| part.name()).collect(),
            left_out: LeftOut(context),
        };
        let counted = Counted {
            out: BufWriter::with_capacity(1 << 16, out),
            written: &written,
        };
        let mut writer = serde_json::Serializer::with_formatter(counted, Harmless);
        document.serialize(&mut writer)?;
        let mut counted = writer.into_inner();
        counted.write_all(b"\n")?;
        counted.flush()
    }

    /// The same, as one text.
    pub fn json(&self, most: u64) -> String {
        let mut text = Vec::new();
        // A vector takes everything.
        let _ = self.write_json(&mut text, most);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Counts what is written.
struct Counted<'a, W> {
    out: W,
    written: &'a Cell<u64>,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.written.set(self.written.get() + count as u64);
        Ok(count)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written.set(self.written.get() + bytes.len() as u64);
        self.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes text without characters that have an effect on a terminal: JSON need not escape all of them.
struct Harmless;

impl serde_json::ser::Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        match fragment.is_ascii() && !fragment.contains('\x7f') {
            true => writer.write_all(fragment.as_bytes()),
            false => write!(writer, "{}", InJson(fragment)),
        }
    }
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
    circles: Vec<Vec<Member>>,
    greenlets: Option<GreenletsEntry<'a>>,
    coroutines: Option<CoroutinesEntry<'a>>,
    threads: Threads<'a>,
    other_threads: Vec<OtherThread<'a>>,
    variables_cut: bool,
    cut: Vec<&'static str>,
    // The last: only then it is known.
    left_out: LeftOut<'a>,
}

/// What is left out of the document, in words.
struct LeftOut<'a>(&'a Context<'a>);

impl Serialize for LeftOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LeftOut(context) = self;
        let parsed = context.report.state.left_out.iter().cloned();
        let printed = match context.left_out.get() {
            0 => None,
            count => Some(format!(
                "{count} frames are left out, as there is too much to print"
            )),
        };
        serializer.collect_seq(parsed.chain(printed))
    }
}

struct Threads<'a>(&'a Context<'a>);

impl Serialize for Threads<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Threads(context) = self;
        let report = context.report;
        let knows_holder = report.note.is_none() || report.state.holder.is_some();
        serializer.collect_seq(report.state.threads.iter().map(|thread| {
            let task = thread.task.as_ref();
            let wait = thread.wait.as_ref();
            ThreadEntry {
                ident: thread.ident,
                tid: task.map(|task| task.number),
                name: thread.name.as_deref(),
                daemon: thread.daemon,
                main: thread.daemon.map(|_| thread.main),
                held_gil: knows_holder.then(|| report.held_gil(thread)),
                running: task.map(|task| task.runs),
                system_call: task.and_then(|task| task.call.as_deref()),
                waiting_seconds: task.and_then(|task| task.seconds),
                waits_for: wait.map(|wait| WaitEntry::of(context.graph, wait)),
                suspended_holders: &thread.suspended_holders,
                holds: &thread.holds,
                variables_cut: thread.variables_cut,
                frames: ThreadFrames(thread, context),
                native_frames: &thread.native.frames,
                native_note: thread.native.note.as_deref(),
            }
        }))
    }
}

/// A thread that runs no Python code.
#[derive(Serialize)]
struct OtherThread<'a> {
    tid: Option<i32>,
    name: Option<&'a str>,
    running: Option<bool>,
    system_call: Option<&'a str>,
    waiting_seconds: Option<f64>,
    waits_for: Option<WaitEntry<'a>>,
    native_frames: &'a [NativeFrame],
    native_note: Option<&'a str>,
}

impl<'a> OtherThread<'a> {
    fn of(graph: &WaitGraph, thread: &'a Thread) -> OtherThread<'a> {
        let task = thread.task.as_ref();
        OtherThread {
            tid: task.map(|task| task.number),
            name: thread.name.as_deref(),
            running: task.map(|task| task.runs),
            system_call: task.and_then(|task| task.call.as_deref()),
            waiting_seconds: task.and_then(|task| task.seconds),
            waits_for: thread.wait.as_ref().map(|wait| WaitEntry::of(graph, wait)),
            native_frames: &thread.native.frames,
            native_note: thread.native.note.as_deref(),
        }
    }
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
    suspended_holders: &'a [SuspendedHolder],
    holds: &'a [Hold],
    variables_cut: bool,
    frames: ThreadFrames<'a>,
    native_frames: &'a [NativeFrame],
    native_note: Option<&'a str>,
}

/// What a thread waits for. Snapshots are read with it too.
#[derive(Deserialize, Serialize)]
pub(crate) struct WaitEntry<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) id: Option<u64>,
    pub(crate) holders: Vec<u64>,
    pub(crate) candidates: Vec<u64>,
    // The first documents of this version had none of these four.
    #[serde(default)]
    pub(crate) certainty: Option<Certainty>,
    #[serde(default)]
    pub(crate) owner: Option<u64>,
    #[serde(default)]
    pub(crate) gone: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) part: Option<Cow<'a, Part>>,
    pub(crate) count: Option<i64>,
    pub(crate) limited: Option<bool>,
    pub(crate) thread: Option<u64>,
    pub(crate) value: Option<i64>,
    pub(crate) size: Option<i64>,
    pub(crate) most: Option<i64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) waited_seconds: Option<f64>,
    pub(crate) left_seconds: Option<f64>,
    // The first documents of this version had none.
    #[serde(default)]
    pub(crate) descriptors: Cow<'a, [Descriptor]>,
    pub(crate) others: Option<u64>,
    pub(crate) epoll: Option<i32>,
    pub(crate) child: Option<i32>,
    pub(crate) command: Option<Cow<'a, str>>,
    // Older documents have none of these.
    #[serde(default)]
    pub(crate) owner_tid: Option<i32>,
    #[serde(default)]
    pub(crate) owner_lives: Option<bool>,
    #[serde(default)]
    pub(crate) within: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) called_from: Option<Cow<'a, str>>,
}

impl<'a> WaitEntry<'a> {
    fn of(graph: &WaitGraph, wait: &'a Wait) -> WaitEntry<'a> {
        WaitEntry {
            kind: wait.kind.name().into(),
            id: wait.id,
            holders: json_circles::threads_of(&graph.holders(wait)),
            candidates: graph.candidates(wait),
            certainty: graph.certainty(wait),
            owner: wait.owner,
            gone: wait.gone.map(|gone| gone.name().into()),
            part: wait.part.as_ref().map(Cow::Borrowed),
            count: wait.count,
            limited: wait.limited,
            thread: wait.joined,
            value: wait.value,
            size: wait.size,
            most: wait.most,
            seconds: wait.seconds,
            waited_seconds: wait.waited,
            left_seconds: wait.left,
            descriptors: (&wait.descriptors).into(),
            others: wait.others,
            epoll: wait.epoll,
            child: wait.child,
            command: wait.command.as_deref().map(Cow::from),
            owner_tid: wait.c_owner.map(|owner| owner.tid),
            owner_lives: wait.c_owner.map(|owner| owner.lives),
            within: wait.within.as_deref().map(Cow::from),
            called_from: wait.called_from.as_deref().map(Cow::from),
        }
    }
}
