//! The JSON document: frames and their variables, as far as there is room for them.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::cell::Cell;

use crate::report::Report;
use crate::secrets::Secrets;
use crate::state::frame::Frame;
use crate::state::suspended::SuspendedChain;
use crate::state::thread::Thread;
use crate::state::variables::{Variable, Variables};
use crate::state::wait_graph::WaitGraph;

/// What all parts of a document are written with.
pub(crate) struct Context<'a> {
    pub(crate) report: &'a Report,
    pub(crate) graph: &'a WaitGraph<'a>,
    /// How many bytes have been written.
    pub(crate) written: &'a Cell<u64>,
    /// How many bytes may be written.
    pub(crate) most: u64,
    /// How many frames have been left out.
    pub(crate) left_out: Cell<usize>,
}

impl Context<'_> {
    /// Counts what took time like so many bytes, and is not shown.
    fn spend(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }

    fn is_full(&self) -> bool {
        self.written.get() >= self.most
    }

    fn secrets(&self) -> &Secrets {
        &self.report.secrets
    }
}

/// The frames of a thread.
pub(crate) struct ThreadFrames<'a>(pub(crate) &'a Thread, pub(crate) &'a Context<'a>);

impl Serialize for ThreadFrames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ThreadFrames(thread, context) = self;
        let frames = thread.frames.iter().enumerate();
        let frames = frames.map(|(index, frame)| (frame, thread.variables_at(index)));
        frames_of(serializer, frames, thread.frames.len(), context)
    }
}

/// The frames of a greenlet or a chain of generators.
pub(crate) struct ChainFrames<'a>(pub(crate) &'a SuspendedChain, pub(crate) &'a Context<'a>);

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
        list.serialize_element(&VariableEntry::of(&variable, context))?;
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
    fn of(variable: &'a Variable, context: &Context) -> VariableEntry<'a> {
        let attributes = variable.attributes.iter();
        let value = context.secrets().value(&variable.name, &variable.value);
        context.spend(variable.value.len().saturating_sub(value.len()));
        VariableEntry {
            name: &variable.name,
            value,
            attributes: attributes
                .map(|one| VariableEntry::of(one, context))
                .collect(),
            attributes_left_out: variable.attributes_left_out,
        }
    }
}
