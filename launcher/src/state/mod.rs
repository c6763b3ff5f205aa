//! The agent's facts: what it says of a program's threads, where more is asked for than the text of
//! the state. `preload/src/document.rs` makes them.

pub mod answer;
pub mod coroutines;
pub mod descriptor;
pub mod frame;
pub mod greenlets;
pub mod kernel;
pub mod text;
pub mod thread;
pub mod variables;
pub mod wait;
pub mod wait_graph;

use std::collections::HashMap;
use std::sync::Arc;

use crate::state::coroutines::Coroutines;
use crate::state::frame::{Frame, Place, Stack};
use crate::state::greenlets::Greenlets;
use crate::state::kernel::parse_tasks;
use crate::state::thread::Thread;
use crate::state::variables::Values;
use crate::state::wait::{Hold, Wait};
use protocol::marshal::{self, Value};
use protocol::state::{self as keys, WaitKind, document, suspended};

/// What there is to tell of every thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `sys.version`.
    pub python: String,
    /// The identifier of the thread that held the GIL when it was asked for.
    pub holder: Option<u64>,
    /// The threads that run Python code, by identifier.
    pub threads: Vec<Thread>,
    /// Whether there was not room for all variables.
    pub is_cut: bool,
    /// What there is to tell of greenlets.
    pub greenlets: Greenlets,
    /// And of suspended generators.
    pub coroutines: Coroutines,
}

impl Facts {
    /// The number of Python's version, such as 2.7.18, if it is known.
    pub fn version(&self) -> Option<&str> {
        self.python.split_whitespace().next()
    }

    /// From the agent's words; `None` if they are not as we know them.
    pub fn parse(words: &[u8]) -> Option<Facts> {
        let (facts, values) = marshal::parse(words)?;
        let mut values = Values::parse(values)?;
        let place = |place: &Value| match place.list()? {
            [file, function, line, source] => Some(Arc::new(Place {
                file: file.text().unwrap_or_default(),
                line: line.number()?,
                function: function.text().unwrap_or_default(),
                source: source.text().unwrap_or_default().trim().to_owned(),
            })),
            _ => None,
        };
        let places = facts.get(document::PLACES)?.list()?.iter().map(place);
        let places: Vec<Arc<Place>> = places.collect::<Option<_>>()?;
        let Value::Text(tasks) = facts.get(document::TASKS)? else {
            return None;
        };
        let mut tasks = parse_tasks(&String::from_utf8_lossy(tasks));
        let Value::Pairs(more) = facts.get(document::MORE)? else {
            return None;
        };
        let suspended = facts.get(document::SUSPENDED)?;
        let stacks = facts.get(document::STACKS)?.list()?.iter();
        let stacks = stacks.map(|calls| Some(Arc::new(frames(calls.list()?, &places)?)));
        let stacks: Vec<Stack> = stacks.collect::<Option<_>>()?;
        let stack = |index: &Value| stacks.get(index.number::<usize>()?).map(Arc::clone);
        let more: HashMap<u64, &Value> = more
            .iter()
            .filter_map(|(ident, more)| Some((ident.number()?, more)))
            .collect();
        let holder = facts
            .get(document::HOLDER)?
            .number()
            .filter(|&ident| ident != 0);
        let thread = |thread: &Value| {
            let [ident, index] = thread.list()? else {
                return None;
            };
            let ident = ident.number()?;
            let more = |what: &str| more.get(&ident).and_then(|more| more.get(what));
            let listed = |what: &str| more(what).and_then(Value::list).unwrap_or_default();
            let mut task = tasks.remove(&ident);
            let wait = more(keys::thread::WAIT).and_then(Wait::parse);
            let wait = wait.filter(|wait| task.as_ref().is_none_or(|task| wait.agrees(task)));
            let in_kernel = task.as_mut().and_then(|task| task.wait.take());
            // That one had it when it was asked for, which is what is told of it.
            let in_kernel =
                in_kernel.filter(|one| one.kind != WaitKind::Gil || holder != Some(ident));
            Some(Thread {
                ident,
                name: more(keys::thread::NAME).and_then(Value::text),
                daemon: more(keys::thread::DAEMON).map(Value::is_true),
                main: more(keys::thread::MAIN).is_some_and(Value::is_true),
                wait: wait.or(in_kernel),
                holds: listed(keys::thread::HOLDS)
                    .iter()
                    .filter_map(Hold::parse)
                    .collect(),
                has: listed(keys::thread::HAS)
                    .iter()
                    .filter_map(Value::number)
                    .collect(),
                task,
                frames: stack(index)?,
                variables: values.threads.remove(&ident).unwrap_or_default(),
            })
        };
        // Numbers below zero are greenlets and generators.
        let is_suspended = |one: &&Value| match one.list() {
            Some([ident, _]) => ident.number::<i64>().is_some_and(|ident| ident < 0),
            _ => false,
        };
        let numbered = |one: &Value| match one.list()? {
            [number, index] => Some((number.number()?, stack(index)?)),
            _ => None,
        };
        let all = facts.get(document::THREADS)?.list()?;
        let numbered = all.iter().filter(is_suspended).map(numbered);
        let numbered = numbered.collect::<Option<_>>()?;
        let coroutines = Coroutines::parse(suspended.get(suspended::COROUTINES), &numbered)?;
        let greenlets = Greenlets::parse(suspended.get(suspended::GREENLETS), &numbered)?;
        let threads = all.iter().filter(|one| !is_suspended(one)).map(thread);
        Some(Facts {
            greenlets,
            coroutines,
            python: facts.get(document::PYTHON)?.text()?,
            holder,
            threads: threads.collect::<Option<_>>()?,
            is_cut: values.is_cut,
        })
    }
}

/// A stack: indices of places, and, where it was cut, `None` and the number of frames left out.
pub(crate) fn frames(calls: &[Value], places: &[Arc<Place>]) -> Option<Vec<Frame>> {
    let mut frames = Vec::with_capacity(calls.len());
    let mut calls = calls.iter();
    while let Some(call) = calls.next() {
        frames.push(match call {
            Value::None => {
                let count: u64 = calls.next()?.number()?;
                Frame::Mark(format!("{count} frames left out"))
            }
            index => Frame::At(Arc::clone(places.get(index.number::<usize>()?)?)),
        });
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::kernel::named;
    use crate::state::thread::Task;
    #[test]
    fn reads_what_the_kernel_says() {
        let tasks = parse_tasks("7 70 202 0x7f 0x80\n8 80 running\n6 60 -1 0x0\n5 50 \n4\n");
        let told = |ident: u64| {
            let task: &Task = &tasks[&ident];
            (task.number, task.call.as_deref(), task.runs)
        };
        assert_eq!(told(7), (70, Some("futex"), false));
        assert_eq!(told(8), (80, None, true));
        assert_eq!(told(6), (60, None, false));
        assert_eq!(told(5), (50, None, false));
        assert_eq!(tasks.len(), 4);
        assert!(parse_tasks("").is_empty());
        assert_eq!(named(100_000), "100000");
    }

    #[test]
    fn takes_what_a_call_waits_for_to_it() {
        let text = "7 70 0 0x5 0x7f 0x10 0x0 0x0 0x0 0x7ff 0x7f\t5 r /a\u{e9}\\011b\n8 80 202 0x1a 0x0\n9 90 202 0x1 0x0\n";
        let known = parse_tasks(&format!("gil 0x1a\n{text}"));
        let on_gil = |tasks: &HashMap<u64, Task>| [7, 8, 9].map(|ident| tasks[&ident].on_gil);
        assert_eq!(on_gil(&known), [None, Some(true), Some(false)]);
        assert_eq!(known[&8].wait, Some(Wait::of_kind(WaitKind::Gil)));
        let tasks = parse_tasks(text);
        assert_eq!(on_gil(&tasks), [None; 3]);
        let words = |ident: u64| tasks[&ident].wait.as_ref().map(Wait::words);
        assert_eq!(words(7), Some("data on file 5 /a\u{e9}\\011b".to_owned()));
        assert_eq!(words(8), None);
    }

    #[test]
    fn refuses_what_is_of_another_kind() {
        for words in [&b""[..], b"N", b"{0", b"(\0\0\0\0"] {
            assert_eq!(Facts::parse(words), None);
        }
    }
}
