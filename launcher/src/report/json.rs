//! The JSON document, for programs: `launcher/schema/state.json` describes it.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufWriter, Write};

use crate::printable::InJson;
use crate::report::Report;
use crate::secrets::Secrets;
use crate::state::coroutines::{Chain, Coroutines};
use crate::state::descriptor::Descriptor;
use crate::state::frame::Frame;
use crate::state::greenlets::{Greenlet, Greenlets, NotStarted};
use crate::state::suspended::SuspendedChain;
use crate::state::thread::Thread;
use crate::state::variables::{Variable, Variables};
use crate::state::wait::{Hold, Wait};
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
        let graph = WaitGraph::of(&state.threads);
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
            deadlocks: graph.deadlocks(),
            greenlets: (state.greenlets.found()).map(|found| GreenletsEntry(found, context)),
            coroutines: (state.coroutines.found()).map(|found| CoroutinesEntry(found, context)),
            threads: Threads(context),
            variables_cut: state.is_cut,
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

/// What all parts of a document are written with.
struct Context<'a> {
    report: &'a Report,
    graph: &'a WaitGraph<'a>,
    /// How many bytes have been written.
    written: &'a Cell<u64>,
    /// How many bytes may be written.
    most: u64,
    /// How many frames have been left out.
    left_out: Cell<usize>,
}

impl Context<'_> {
    fn is_full(&self) -> bool {
        self.written.get() >= self.most
    }

    fn secrets(&self) -> &Secrets {
        &self.report.secrets
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
    greenlets: Option<GreenletsEntry<'a>>,
    coroutines: Option<CoroutinesEntry<'a>>,
    threads: Threads<'a>,
    variables_cut: bool,
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
        serializer.collect_seq(report.state.threads.iter().map(|thread| {
            let task = thread.task.as_ref();
            let wait = thread.wait.as_ref();
            ThreadEntry {
                ident: thread.ident,
                tid: task.map(|task| task.number),
                name: thread.name.as_deref(),
                daemon: thread.daemon,
                main: thread.daemon.map(|_| thread.main),
                held_gil: report.note.is_none().then(|| report.held_gil(thread)),
                running: task.map(|task| task.runs),
                system_call: task.and_then(|task| task.call.as_deref()),
                waiting_seconds: task.and_then(|task| task.seconds),
                waits_for: wait.map(|wait| WaitEntry::of(context.graph, wait)),
                holds: &thread.holds,
                frames: ThreadFrames(thread, context),
            }
        }))
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
    holds: &'a [Hold],
    frames: ThreadFrames<'a>,
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

/// The frames of a thread.
struct ThreadFrames<'a>(&'a Thread, &'a Context<'a>);

impl Serialize for ThreadFrames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ThreadFrames(thread, context) = self;
        let frames = thread.frames.iter().enumerate();
        let frames = frames.map(|(index, frame)| (frame, thread.variables_at(index)));
        frames_of(serializer, frames, thread.frames.len(), context)
    }
}

/// The frames of a greenlet or a chain of generators.
struct ChainFrames<'a>(&'a SuspendedChain, &'a Context<'a>);

impl Serialize for ChainFrames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ChainFrames(chain, context) = self;
        frames_of(serializer, chain.frames(), chain.len(), context)
    }
}

/// Writes frames with their variables, as far as there is room. There are `count` of them.
fn frames_of<'a, S: Serializer>(
    serializer: S,
    frames: impl Iterator<Item = (&'a Frame, Option<Variables<'a>>)>,
    count: usize,
    context: &Context,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for (index, (frame, variables)) in frames.enumerate() {
        if context.is_full() {
            let left_out = count.saturating_sub(index);
            context
                .left_out
                .set(context.left_out.get().saturating_add(left_out));
            let mark = format!("{left_out} frames left out, as there is too much to print");
            list.serialize_element(&FrameEntry(&Frame::Mark(mark), None, context))?;
            break;
        }
        list.serialize_element(&FrameEntry(frame, variables, context))?;
    }
    list.end()
}

/// A frame, and its variables where they are known.
struct FrameEntry<'a>(&'a Frame, Option<Variables<'a>>, &'a Context<'a>);

impl Serialize for FrameEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FrameEntry(frame, variables, context) = self;
        let mut map = serializer.serialize_map(None)?;
        match frame {
            Frame::Mark(what) => map.serialize_entry("mark", what)?,
            Frame::At(place) => {
                map.serialize_entry("file", &place.file)?;
                map.serialize_entry("line", &place.line)?;
                map.serialize_entry("function", &place.function)?;
                map.serialize_entry("source", &place.source)?;
                let locals = variables.map(|variables| Locals(variables, context));
                let globals = variables.map(|variables| Globals(variables, context));
                map.serialize_entry("locals", &locals)?;
                map.serialize_entry("globals", &globals)?;
            }
        }
        map.end()
    }
}

struct Locals<'a>(Variables<'a>, &'a Context<'a>);

impl Serialize for Locals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        variables_of(serializer, self.0.locals(), self.1)
    }
}

struct Globals<'a>(Variables<'a>, &'a Context<'a>);

impl Serialize for Globals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        variables_of(serializer, self.0.globals(), self.1)
    }
}

fn variables_of<'a, S: Serializer>(
    serializer: S,
    variables: impl Iterator<Item = Variable<'a>>,
    context: &Context,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for variable in variables.take_while(|_| !context.is_full()) {
        list.serialize_element(&VariableEntry::of(&variable, context.secrets()))?;
    }
    list.end()
}

#[derive(Serialize)]
struct VariableEntry<'a> {
    name: &'a str,
    value: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<VariableEntry<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    attributes_left_out: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> VariableEntry<'a> {
    fn of(variable: &'a Variable, secrets: &Secrets) -> VariableEntry<'a> {
        let attributes = variable.attributes.iter();
        VariableEntry {
            name: &variable.name,
            value: secrets.value(&variable.name, &variable.value),
            attributes: attributes
                .map(|one| VariableEntry::of(one, secrets))
                .collect(),
            attributes_left_out: variable.attributes_left_out,
        }
    }
}

struct GreenletsEntry<'a>(&'a Greenlets, &'a Context<'a>);

impl Serialize for GreenletsEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let GreenletsEntry(found, context) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("current", &Each(&found.current, *context, greenlet))?;
        map.serialize_entry("suspended", &Each(&found.suspended, *context, greenlet))?;
        map.serialize_entry(
            "not_started",
            &Each(&found.not_started, *context, not_started),
        )?;
        map.serialize_entry("left_out", &found.left_out)?;
        map.end()
    }
}

/// A list, of which each item is written as an entry is that is made of it.
struct Each<'a, T, E>(&'a [T], &'a Context<'a>, fn(&'a T, &'a Context<'a>) -> E);

impl<T, E: Serialize> Serialize for Each<'_, T, E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Each(items, context, entry) = self;
        serializer.collect_seq(items.iter().map(|item| entry(item, context)))
    }
}

#[derive(Serialize)]
struct GreenletEntry<'a> {
    id: u64,
    thread: Option<u64>,
    parent: Option<u64>,
    suspended: bool,
    class: Option<&'a str>,
    name: Option<&'a str>,
    function: Option<&'a str>,
    waits_for: Option<GreenletWaitEntry>,
    frames: ChainFrames<'a>,
}

#[derive(Serialize)]
struct GreenletWaitEntry {
    kind: &'static str,
    id: Option<u64>,
    fd: Option<i64>,
    read: Option<bool>,
    write: Option<bool>,
    value: Option<i64>,
    size: Option<i64>,
    most: Option<i64>,
    seconds: Option<f64>,
}

fn greenlet<'a>(greenlet: &'a Greenlet, context: &'a Context<'a>) -> GreenletEntry<'a> {
    let wait = greenlet.waits_for.as_ref();
    GreenletEntry {
        id: greenlet.id,
        thread: greenlet.thread,
        parent: greenlet.parent,
        suspended: greenlet.suspended,
        class: greenlet.class.as_deref(),
        name: greenlet.name.as_deref(),
        function: greenlet.function.as_deref(),
        waits_for: wait.map(|wait| GreenletWaitEntry {
            kind: wait.kind.name(),
            id: wait.id,
            fd: wait.fd,
            read: wait.read,
            write: wait.write,
            value: wait.value,
            size: wait.size,
            most: wait.most,
            seconds: wait.seconds,
        }),
        frames: ChainFrames(&greenlet.frames, context),
    }
}

#[derive(Serialize)]
struct NotStartedEntry {
    thread: Option<u64>,
    count: u64,
}

fn not_started(one: &NotStarted, _: &Context) -> NotStartedEntry {
    NotStartedEntry {
        thread: one.thread,
        count: one.count,
    }
}

struct CoroutinesEntry<'a>(&'a Coroutines, &'a Context<'a>);

impl Serialize for CoroutinesEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CoroutinesEntry(found, context) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &found.count)?;
        map.serialize_entry("left_out", &found.left_out)?;
        map.serialize_entry("suspended", &Each(&found.suspended, *context, chain))?;
        map.end()
    }
}

#[derive(Serialize)]
struct ChainEntry<'a> {
    library: &'static str,
    name: Option<&'a str>,
    waits_for: Option<CoroutineWaitEntry<'a>>,
    frames: ChainFrames<'a>,
}

#[derive(Serialize)]
struct CoroutineWaitEntry<'a> {
    kind: &'static str,
    class: Option<&'a str>,
    id: Option<u64>,
    seconds: Option<f64>,
}

fn chain<'a>(chain: &'a Chain, context: &'a Context<'a>) -> ChainEntry<'a> {
    let wait = chain.waits_for.as_ref();
    ChainEntry {
        library: chain.library.name(),
        name: chain.name.as_deref(),
        waits_for: wait.map(|wait| CoroutineWaitEntry {
            kind: wait.kind.name(),
            class: wait.class.as_deref(),
            id: wait.id,
            seconds: wait.seconds,
        }),
        frames: ChainFrames(&chain.frames, context),
    }
}
