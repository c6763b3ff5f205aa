//! The JSON document: greenlets, and suspended generators.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::report::json_circles::Member;
use crate::report::json_frames::{ChainFrames, Context};
use crate::state::coroutines::{Chain, Coroutines};
use crate::state::greenlets::{Greenlet, Greenlets, NotStarted};
use crate::state::wait::Hold;

/// The greenlets of a program.
pub(crate) struct GreenletsEntry<'a>(pub(crate) &'a Greenlets, pub(crate) &'a Context<'a>);

impl Serialize for GreenletsEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let GreenletsEntry(found, context) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("current", &Each(&found.current, context, greenlet))?;
        map.serialize_entry("suspended", &Each(&found.suspended, context, greenlet))?;
        map.serialize_entry(
            "not_started",
            &Each(&found.not_started, context, not_started),
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
    holds: &'a [Hold],
    frames: ChainFrames<'a>,
}

#[derive(Serialize)]
struct GreenletWaitEntry {
    kind: &'static str,
    id: Option<u64>,
    holders: Vec<Member>,
    count: Option<i64>,
    limited: bool,
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
            holders: Member::of_all(&context.graph.holders_of_greenlet(wait)),
            count: wait.count,
            limited: wait.limited,
            fd: wait.fd,
            read: wait.read,
            write: wait.write,
            value: wait.value,
            size: wait.size,
            most: wait.most,
            seconds: wait.seconds,
        }),
        holds: &greenlet.holds,
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

/// Its suspended generators.
pub(crate) struct CoroutinesEntry<'a>(pub(crate) &'a Coroutines, pub(crate) &'a Context<'a>);

impl Serialize for CoroutinesEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let CoroutinesEntry(found, context) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &found.count)?;
        map.serialize_entry("left_out", &found.left_out)?;
        map.serialize_entry("suspended", &Each(&found.suspended, context, chain))?;
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
    overdue: Option<f64>,
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
            overdue: wait.overdue,
        }),
        frames: ChainFrames(&chain.frames, context),
    }
}
