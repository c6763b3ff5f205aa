//! The state of a process: what an agent answered, as values that a report can be made of.
//!
//! Enters: the bytes of an answer, whoever wrote them: nothing in them is taken for granted. Leaves:
//! [`answer::Answer`], and in it a [`State`]; [`wait_graph::WaitGraph`] finds who waits for whom in it.
//!
//! The format of the bytes is [`protocol::state`]; change it there. Nothing here asks the process or
//! the kernel, and nothing here knows how a state is shown, but for short phrases such as
//! [`wait::Wait::words`].

pub mod answer;
pub mod coroutines;
pub mod descriptor;
pub mod frame;
pub mod greenlets;
pub mod kernel;
pub mod search;
pub mod suspended;
pub mod text;
pub mod thread;
pub mod variables;
pub mod wait;
pub mod wait_graph;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::state::coroutines::Coroutines;
use crate::state::frame::{Frame, Place, Stack};
use crate::state::greenlets::Greenlets;
use crate::state::kernel::{Observed, parse_tasks};
use crate::state::search::Search;
use crate::state::suspended::{SuspendedStack, SuspendedStacks};
use crate::state::thread::Thread;
use crate::state::variables::{AllVariables, Variables};
use crate::state::wait::{Hold, Wait};
use protocol::marshal::{self, Value};
use protocol::state::{self as keys, CutPart, WaitKind, document};

/// Why something is missing that there was no time for.
pub const NO_TIME: &str =
    "as the time was used up for which a question may hold the program up (--hold allows more)";

/// The state of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// `sys.version`; empty if it is not known.
    pub python: String,
    /// The identifier of the thread that held the GIL when it was asked for, if one did.
    pub holder: Option<u64>,
    /// The threads that run Python code, by identifier.
    pub threads: Vec<Thread>,
    /// Whether some variables are missing, for lack of room or time.
    pub is_cut: bool,
    /// The parts that are not whole, as the time was used up for which an answer may hold the program up.
    pub cut: Vec<CutPart>,
    /// The greenlets.
    pub greenlets: Search<Greenlets>,
    /// The suspended generators.
    pub coroutines: Search<Coroutines>,
}

impl State {
    /// Python's version, such as 2.7.18, if it is known.
    pub fn version(&self) -> Option<&str> {
        self.python.split_whitespace().next()
    }

    /// Reads a document and its variables, which follow it; `None` if these bytes are none.
    pub fn parse(bytes: &[u8]) -> Option<State> {
        let (document, variables) = marshal::parse(bytes)?;
        let mut variables = AllVariables::parse(variables)?;
        let stacks = parse_stacks(&document)?;
        let Value::Text(tasks) = document.get(document::TASKS)? else {
            return None;
        };
        let mut tasks = parse_tasks(&String::from_utf8_lossy(tasks));
        let Value::Pairs(details) = document.get(document::MORE)? else {
            return None;
        };
        let details: HashMap<u64, &Value> = details
            .iter()
            .filter_map(|(ident, details)| Some((ident.number()?, details)))
            .collect();
        let cut = document.get(document::CUT).and_then(Value::list);
        let cut = cut.unwrap_or_default().iter();
        let cut: Vec<CutPart> = cut
            .filter_map(|part| CutPart::from_name(&part.text()?))
            .collect();
        let late = document.get(document::LATE).and_then(Value::list);
        let late = late.unwrap_or_default().iter();
        let late: HashSet<u64> = late.filter_map(Value::number).collect();
        let holder = document.get(document::HOLDER)?.number();
        let holder = holder.filter(|&ident: &u64| ident != 0);
        let mut threads = Vec::new();
        let mut suspended_stacks = SuspendedStacks::new();
        for entry in document.get(document::THREADS)?.list()? {
            let [number, index] = entry.list()? else {
                return None;
            };
            let number: i64 = number.number()?;
            let stack = Arc::clone(stacks.get(index.number::<usize>()?)?);
            let variables = variables.stacks.remove(&number).unwrap_or_default();
            let Ok(ident) = u64::try_from(number) else {
                suspended_stacks.insert(number, SuspendedStack::new(stack, variables));
                continue;
            };
            let thread = thread(
                (ident, stack),
                details.get(&ident).copied(),
                tasks.remove(&ident),
                variables,
                holder == Some(ident),
            );
            threads.push(Thread {
                variables_cut: late.contains(&ident),
                ..thread
            });
        }
        let suspended = document.get(document::SUSPENDED)?;
        Some(State {
            python: document.get(document::PYTHON)?.text()?,
            holder,
            threads,
            is_cut: variables.is_cut || cut.contains(&CutPart::Variables),
            cut,
            greenlets: Search::parse(suspended.get(keys::suspended::GREENLETS), |value| {
                Greenlets::parse(value, &suspended_stacks)
            })?,
            coroutines: Search::parse(suspended.get(keys::suspended::COROUTINES), |value| {
                Coroutines::parse(value, &suspended_stacks)
            })?,
        })
    }
}

/// Puts together what the parts of a document say of a thread.
fn thread(
    (ident, frames): (u64, Stack),
    details: Option<&Value>,
    observed: Option<Observed>,
    variables: Vec<Variables>,
    held_gil: bool,
) -> Thread {
    let detail = |key: &str| details.and_then(|details| details.get(key));
    let list = |key: &str| detail(key).and_then(Value::list).unwrap_or_default();
    let wait = detail(keys::thread::WAIT).and_then(Wait::parse);
    let wait = wait.filter(|wait| observed.as_ref().is_none_or(|it| it.agrees_with(wait)));
    let (task, wait_in_kernel) = observed.map(|it| (it.task, it.wait)).unzip();
    // Whoever held the GIL when it was asked for may wait for it a moment later, when the kernel was
    // read. The earlier moment is the one that is shown.
    let wait_in_kernel = wait_in_kernel
        .flatten()
        .filter(|wait| wait.kind != WaitKind::Gil || !held_gil);
    Thread {
        ident,
        name: detail(keys::thread::NAME).and_then(Value::text),
        daemon: detail(keys::thread::DAEMON).map(Value::is_true),
        main: detail(keys::thread::MAIN).is_some_and(Value::is_true),
        wait: wait.or(wait_in_kernel),
        holds: list(keys::thread::HOLDS)
            .iter()
            .filter_map(Hold::parse)
            .collect(),
        may_hold: list(keys::thread::HAS)
            .iter()
            .filter_map(Value::number)
            .collect(),
        task,
        frames,
        variables,
        variables_cut: false,
    }
}

/// All stacks of a document, each of which several threads may share.
fn parse_stacks(document: &Value) -> Option<Vec<Stack>> {
    let place = |place: &Value| match place.list()? {
        [file, function, line, source] => Some(Arc::new(Place {
            file: file.text().unwrap_or_default(),
            line: line.number()?,
            function: function.text().unwrap_or_default(),
            source: source.text().unwrap_or_default().trim().to_owned(),
        })),
        _ => None,
    };
    let places = document.get(document::PLACES)?.list()?.iter().map(place);
    let places: Vec<Arc<Place>> = places.collect::<Option<_>>()?;
    let stacks = document.get(document::STACKS)?.list()?.iter();
    stacks
        .map(|stack| Some(Arc::new(parse_frames(stack.list()?, &places)?)))
        .collect()
}

/// A stack: indices of places; `None` and a number stand for frames that were left out. A number below zero says
/// that there was no time to follow the stack any further.
fn parse_frames(indices: &[Value], places: &[Arc<Place>]) -> Option<Vec<Frame>> {
    let mut frames = Vec::with_capacity(indices.len());
    let mut indices = indices.iter();
    while let Some(index) = indices.next() {
        frames.push(match index {
            Value::None => {
                let count: i64 = indices.next()?.number()?;
                let number = count.unsigned_abs();
                Frame::Mark(match count {
                    ..0 => format!("at least {number} frames left out, {NO_TIME}"),
                    _ => format!("{number} frames left out"),
                })
            }
            index => Frame::At(Arc::clone(places.get(index.number::<usize>()?)?)),
        });
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::marshal::MarshalWriter;

    #[test]
    fn refuses_what_is_no_document() {
        for words in [&b""[..], b"N", b"{0", b"(\0\0\0\0"] {
            assert_eq!(State::parse(words), None);
        }
    }

    /// A document of one thread, with identifier 7, that waits for a lock, and of one greenlet. `task`
    /// is the thread's line of the kernel's.
    fn document(task: &str, holder: i64) -> Vec<u8> {
        document_with(task, holder, 12, &[])
    }

    /// The same, where so many frames are left out; `late` are the stacks that there was no time for.
    fn document_with(task: &str, holder: i64, left_out: i64, late: &[i64]) -> Vec<u8> {
        let mut out = MarshalWriter::default();
        out.pairs();
        out.key(document::PYTHON);
        out.text(b"2.7.18 (default)");
        out.key(document::STACKS);
        out.list(1);
        out.list(3);
        out.number(0);
        out.none();
        out.number(left_out);
        out.key(document::THREADS);
        out.list(2);
        for number in [-16, 7] {
            out.list(2);
            out.number(number);
            out.number(0);
        }
        out.key(document::PLACES);
        out.list(1);
        out.list(4);
        out.text(b"a.py");
        out.text(b"f");
        out.number(3);
        out.text(b"  x = 1\n");
        out.key(document::MORE);
        out.pairs();
        out.number(7);
        out.pairs();
        out.key(keys::thread::NAME);
        out.text(b"worker");
        out.key(keys::thread::WAIT);
        out.pairs();
        out.key(keys::wait::FOR);
        out.text(WaitKind::Lock.name().as_bytes());
        out.end();
        out.end();
        out.end();
        out.key(document::SUSPENDED);
        out.none();
        out.key(document::TASKS);
        out.text(format!("gil 0x1a\n7 70 {task}\n").as_bytes());
        out.key(document::HOLDER);
        out.number(holder);
        if !late.is_empty() {
            out.key(document::CUT);
            out.list(3);
            for part in [&b"stacks"[..], b"what is this", b"variables"] {
                out.text(part);
            }
            out.key(document::LATE);
            out.list(late.len());
            late.iter().for_each(|&number| out.number(number));
        }
        out.end();
        out.finish().expect("memory")
    }

    #[test]
    fn reads_a_document() {
        let state = State::parse(&document("202 0x1 0x0", 0)).expect("a document");
        assert_eq!(state.version(), Some("2.7.18"));
        assert_eq!((state.holder, &state.greenlets), (None, &Search::NotAsked));
        let [thread] = &state.threads[..] else {
            panic!("the greenlet is no thread: {:?}", state.threads);
        };
        assert_eq!((thread.ident, thread.name.as_deref()), (7, Some("worker")));
        let place = Place {
            file: "a.py".to_owned(),
            line: 3,
            function: "f".to_owned(),
            source: "x = 1".to_owned(),
        };
        let mark = Frame::Mark("12 frames left out".to_owned());
        assert_eq!(*thread.frames, [Frame::At(Arc::new(place)), mark]);
        assert_eq!(thread.wait, Some(Wait::of_kind(WaitKind::Lock)));
    }

    #[test]
    fn reads_what_was_cut() {
        let state = State::parse(&document("running", 0)).expect("a document");
        assert_eq!((state.cut.len(), state.is_cut), (0, false));
        assert!(!state.threads[0].variables_cut);
        let document = document_with("running", 0, -12, &[-16, 7]);
        let state = State::parse(&document).expect("a document");
        assert_eq!(state.cut, [CutPart::Stacks, CutPart::Variables]);
        assert!(state.is_cut && state.threads[0].variables_cut);
        let mark = format!("at least 12 frames left out, {NO_TIME}");
        assert_eq!(state.threads[0].frames[1], Frame::Mark(mark));
    }

    #[test]
    fn believes_the_kernel_where_frames_are_stale() {
        let wait = |task: &str, holder| {
            let state = State::parse(&document(task, holder)).expect("a document");
            state.threads[0].wait.as_ref().map(|wait| wait.kind)
        };
        assert_eq!(wait("running", 0), None);
        assert_eq!(wait("202 0x1a 0x0", 0), Some(WaitKind::Gil));
        assert_eq!(wait("202 0x1a 0x0", 7), None);
    }
}
