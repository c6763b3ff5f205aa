//! Threads that are alike, which stand in one entry: idle ones with the same stack and the same kind of wait.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use crate::options::extent::Extent;
use crate::report::Report;
use crate::report::movement::Movements;
use crate::state::frame::Frame;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::state::wait_graph::{Node, WaitGraph};
use protocol::state::WaitKind;

/// Threads that are alike, in the order of the state.
pub(crate) type Alike<'a> = Vec<&'a Thread>;

/// What idle threads have in common that stand in one entry.
#[derive(Hash, PartialEq, Eq)]
struct Key<'a> {
    /// Equal stacks have equal numbers.
    stack: usize,
    call: Option<&'a str>,
    daemon: Option<bool>,
    kind: Option<&'static str>,
    limited: Option<bool>,
    holders: Vec<Node>,
    /// What it waits for, where somebody has that who is no thread of this process, or may be none.
    held_elsewhere: Option<String>,
    variables_cut: bool,
    /// What has moved in it, if that is known.
    moved: Option<String>,
}

/// Stacks by number. Frames are the same if they stand in the same place in memory: the states share them.
#[derive(Default)]
struct Stacks {
    by_identity: HashMap<(*const u32, *const Frame), usize>,
    by_frames: HashMap<Vec<*const Frame>, usize>,
}

impl Stacks {
    fn number(&mut self, thread: &Thread) -> usize {
        let new = self.by_frames.len();
        *self
            .by_identity
            .entry(thread.frames.identity())
            .or_insert_with(|| {
                let frames = thread.frames.iter().map(std::ptr::from_ref).collect();
                *self.by_frames.entry(frames).or_insert(new)
            })
    }
}

/// The threads that are shown, those together that are alike.
pub(crate) fn alike<'a>(
    report: &'a Report,
    graph: &WaitGraph,
    movements: Option<&Movements>,
    extent: &Extent,
) -> Vec<Alike<'a>> {
    let shown = report
        .state
        .shown()
        .filter(|one| one.is_among(&extent.thread));
    if extent.each {
        return shown.map(|one| vec![one]).collect();
    }
    let apart = apart(report, graph);
    let mut stacks = Stacks::default();
    let mut entries: Vec<Alike> = Vec::new();
    let mut found: HashMap<Key, usize> = HashMap::new();
    for thread in shown {
        let is_alone = !is_idle(report, thread) || apart.contains(&thread.ident);
        let mut key = || Key {
            stack: stacks.number(thread),
            call: thread.task.as_ref().and_then(|task| task.call.as_deref()),
            daemon: thread.daemon,
            kind: thread.wait.as_ref().map(|wait| wait.kind.name()),
            limited: thread.wait.as_ref().and_then(|wait| wait.limited),
            holders: thread
                .wait
                .as_ref()
                .map_or(Vec::new(), |wait| graph.holders(wait)),
            held_elsewhere: thread.wait.as_ref().and_then(held_elsewhere),
            variables_cut: thread.variables_cut,
            moved: movements
                .and_then(|movements| movements.of(thread.ident))
                .map(|moved| format!("{moved:?}")),
        };
        let new = entries.len();
        let at = match is_alone {
            true => new,
            false => *found.entry(key()).or_insert(new),
        };
        match entries.get_mut(at) {
            Some(entry) => entry.push(thread),
            None => entries.push(vec![thread]),
        }
    }
    entries
}

/// See [`Key::held_elsewhere`].
fn held_elsewhere(wait: &Wait) -> Option<String> {
    use WaitKind::{FileLock, Mutex, ProcessLock, ProcessRLock, RwLock};
    let is_held = matches!(
        wait.kind,
        FileLock | ProcessLock | ProcessRLock | Mutex | RwLock
    );
    is_held.then(|| wait.words())
}

/// Whether a thread is known to do nothing.
fn is_idle(report: &Report, thread: &Thread) -> bool {
    let runs = |thread: &Thread| thread.task.as_ref().is_none_or(|task| task.runs);
    // One that runs no Python code has nothing that others could be like, and native frames are looked at one by one.
    thread.ident != 0
        && thread.native.frames.is_empty()
        && !runs(thread)
        && !report.held_gil(thread)
}

/// The identifiers of threads that stand by themselves although they are idle: those in a deadlock, those that keep
/// others waiting, and those with greenlets.
fn apart(report: &Report, graph: &WaitGraph) -> HashSet<u64> {
    let waits = report
        .state
        .threads
        .iter()
        .filter_map(|one| one.wait.as_ref());
    let keepers = waits.flat_map(|wait| graph.holders(wait));
    let nodes = graph.deadlocks().into_iter().flatten().chain(keepers);
    let mut apart: HashSet<u64> = nodes.filter_map(Node::thread).collect();
    if let Some(greenlets) = report.state.greenlets.found() {
        let suspended = greenlets.suspended.iter();
        apart.extend(suspended.filter_map(|one| one.thread));
        let idents = report.state.threads.iter().map(|one| one.ident);
        let has_any = |&ident: &u64| {
            let (current, not_started) = (
                greenlets.current_of(Some(ident)),
                greenlets.not_started_of(Some(ident)),
            );
            !current.is_empty() || !not_started.is_empty()
        };
        apart.extend(idents.filter(has_any));
    }
    apart
}

/// What an idle process has in common with others that stand in one entry; `None` if it is not idle, or if that is
/// too long to be compared.
pub(crate) fn likeness(report: &Report, extent: &Extent) -> Option<String> {
    let graph = WaitGraph::of(&report.state);
    let threads = &report.state.threads;
    let apart = apart(report, &graph);
    let is_idle = |one: &Thread| is_idle(report, one) && !apart.contains(&one.ident);
    if extent.each || threads.is_empty() || !threads.iter().all(is_idle) {
        return None;
    }
    let mut words = format!("{:?} {:?}\n", report.command, report.state.version());
    for entry in alike(report, &graph, None, extent) {
        let first = entry.first()?;
        let kind = first.wait.as_ref().map(|wait| wait.kind.name());
        let call = first.task.as_ref().and_then(|task| task.call.as_ref());
        let _ = writeln!(words, "{} {kind:?} {call:?}", entry.len());
        for frame in first.frames.iter() {
            let _ = writeln!(words, "{frame:?}");
            if words.len() > LONGEST_LIKENESS {
                return None;
            }
        }
    }
    Some(words)
}

/// The most text by which processes are compared, in bytes.
const LONGEST_LIKENESS: usize = 256 << 10;

/// So many names are written out.
const MOST_NAMED: usize = 3;

/// The names of threads, as few as say it: `Thread-1 … Thread-40`.
pub(crate) fn names(threads: &[&Thread]) -> String {
    let mut names: Vec<String> = threads
        .iter()
        .map(|one| one.name.clone().unwrap_or_else(|| one.ident.to_string()))
        .collect();
    names.sort_by_cached_key(|name| {
        let (start, number) = numbered(name);
        (start.to_owned(), number)
    });
    let starts: HashSet<&str> = names.iter().map(|name| numbered(name).0).collect();
    match (&names[..], starts.len()) {
        (names, _) if names.len() <= MOST_NAMED => names.join(", "),
        ([first, .., last], 1) => format!("{first} … {last}"),
        (names, _) => {
            let more = names.len() - MOST_NAMED;
            format!("{} and {more} more", names[..MOST_NAMED].join(", "))
        }
    }
}

/// A name without the number at its end, and that number.
fn numbered(name: &str) -> (&str, Option<u64>) {
    let start = name.trim_end_matches(|one: char| one.is_ascii_digit());
    (start, name[start.len()..].parse().ok())
}

/// Texts of which each stands once, in their order, as many as say it.
pub(crate) fn few(texts: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    let mut more = 0;
    for text in texts {
        if !seen.insert(text.clone()) {
            continue;
        }
        match shown.len() < MOST_NAMED {
            true => shown.push(text),
            false => more += 1,
        }
    }
    let mut words = shown.join("; ");
    if more > 0 {
        let _ = write!(words, "; and {more} more");
    }
    words
}
