//! Greenlets, which programs switch between within a thread.

use serde::{Serialize, Serializer};
use std::fmt::Write;

use crate::state::suspended::{SuspendedStack, SuspendedStacks};
use crate::state::wait;
use protocol::marshal::Value;
use protocol::state::{GreenletWaitKind, greenlet, greenlet_wait, greenlets};

/// The greenlets of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Greenlets {
    /// The current greenlet of each thread, where that is known. Its stack is the thread's.
    pub current: Vec<Greenlet>,
    /// The suspended ones, by thread, each thread's first greenlet first. Those of unknown threads come
    /// last.
    pub suspended: Vec<Greenlet>,
    /// How many have not started, by thread.
    pub not_started: Vec<NotStarted>,
    /// How many more there are, in any state, than the library looks at.
    pub left_out: u64,
}

/// A greenlet that has started and not ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Greenlet {
    /// Its address (`id()`).
    pub id: u64,
    /// The identifier of its thread, if that is known.
    pub thread: Option<u64>,
    /// The address of its parent; `None` for its thread's first greenlet.
    pub parent: Option<u64>,
    /// Whether it is known to be suspended.
    pub suspended: bool,
    /// The name of its class.
    pub class: Option<String>,
    /// The name that the program gave it.
    pub name: Option<String>,
    /// The name of the function that it runs, if its library keeps that.
    pub function: Option<String>,
    /// What it waits for, if that is known.
    pub waits_for: Option<GreenletWait>,
    /// Its stack.
    pub frames: SuspendedStack,
}

/// How many greenlets of a thread have not started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NotStarted {
    /// The thread's identifier, if that is known.
    pub thread: Option<u64>,
    /// How many.
    pub count: u64,
}

/// What a greenlet waits for. Which fields are there depends on the kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GreenletWait {
    /// What it is.
    #[serde(serialize_with = "kind_name")]
    pub kind: GreenletWaitKind,
    /// The object's address (`id()`).
    pub id: Option<u64>,
    /// Input or output: the file descriptor.
    pub fd: Option<i64>,
    /// Input or output: whether it waits until there is something to read.
    pub read: Option<bool>,
    /// Input or output: whether it waits until something can be written.
    pub write: Option<bool>,
    /// A semaphore: its value.
    pub value: Option<i64>,
    /// A queue: the number of items in it.
    pub size: Option<i64>,
    /// A queue: the most items that it takes; 0 if there is no limit.
    pub most: Option<i64>,
    /// A sleep: its whole length, in seconds.
    pub seconds: Option<f64>,
}

/// The noun for what is waited for.
fn noun(kind: GreenletWaitKind) -> &'static str {
    match kind {
        GreenletWaitKind::Turn => "its turn",
        GreenletWaitKind::Sleep => "time to pass",
        GreenletWaitKind::Timer => "a timer",
        GreenletWaitKind::Io => "input or output",
        GreenletWaitKind::Child => "a child process",
        GreenletWaitKind::Signal => "a signal",
        GreenletWaitKind::Event => "Event",
        GreenletWaitKind::Result => "AsyncResult",
        GreenletWaitKind::Semaphore => "Semaphore",
        GreenletWaitKind::QueueGet => "an item from Queue",
        GreenletWaitKind::QueuePut => "room in Queue",
        GreenletWaitKind::Channel => "the other end of Channel",
        GreenletWaitKind::Greenlet => "the end of greenlet",
    }
}

fn kind_name<S: Serializer>(kind: &GreenletWaitKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

impl GreenletWait {
    /// Reads a dictionary of [`greenlet_wait`]; `None` if its kind is not known here.
    fn parse(value: &Value) -> Option<GreenletWait> {
        let number = |key| value.get(key).and_then(Value::number::<i64>);
        Some(GreenletWait {
            kind: GreenletWaitKind::from_name(&value.get(greenlet_wait::FOR)?.text()?)?,
            id: value.get(greenlet_wait::ID).and_then(Value::number),
            fd: number(greenlet_wait::FD),
            read: value.get(greenlet_wait::READ).map(Value::is_true),
            write: value.get(greenlet_wait::WRITE).map(Value::is_true),
            value: number(greenlet_wait::VALUE),
            size: number(greenlet_wait::SIZE),
            most: number(greenlet_wait::MOST),
            seconds: wait::seconds(value, greenlet_wait::MILLISECONDS),
        })
    }

    /// What it waits for, in words.
    pub fn words(&self) -> String {
        let mut words = noun(self.kind).to_owned();
        if let Some(id) = self.id {
            let _ = write!(words, " {id:#x}");
        }
        if let Some(fd) = self.fd {
            let what = match (self.read, self.write) {
                (Some(true), Some(true)) => "readable or writable",
                (Some(true), _) => "readable",
                (_, Some(true)) => "writable",
                _ => "ready",
            };
            words = format!("file descriptor {fd} to be {what}");
        }
        words.push_str(&wait::contents(self.value, self.size, self.most));
        if let Some(seconds) = self.seconds {
            let _ = write!(words, " ({seconds:.1} s in all)");
        }
        words
    }
}

/// Reads a number; 0 stands for an unknown one. `None` if it is no number.
fn known(number: &Value) -> Option<Option<u64>> {
    let number: u64 = number.number()?;
    Some(Some(number).filter(|&number| number != 0))
}

/// The pairs of the dictionary under a key, which may be missing; `None` if it is no dictionary.
fn pairs<'a, 'b>(value: &'a Value<'b>, key: &str) -> Option<&'a [(Value<'b>, Value<'b>)]> {
    match value.get(key) {
        None => Some(&[]),
        Some(Value::Pairs(pairs)) => Some(pairs),
        Some(_) => None,
    }
}

impl Greenlet {
    /// Reads a dictionary of [`greenlet`], with its stack.
    fn parse(value: &Value, frames: SuspendedStack) -> Option<Greenlet> {
        let text = |key| value.get(key).and_then(Value::text);
        Some(Greenlet {
            id: value.get(greenlet::ID)?.number()?,
            thread: known(value.get(greenlet::THREAD)?)?,
            parent: known(value.get(greenlet::PARENT)?)?,
            suspended: value.get(greenlet::SUSPENDED)?.is_true(),
            class: text(greenlet::KIND),
            name: text(greenlet::NAME),
            function: text(greenlet::RUNS),
            waits_for: value.get(greenlet::WAIT).and_then(GreenletWait::parse),
            frames,
        })
    }
}

impl Greenlets {
    /// Reads a dictionary of [`greenlets`]; `None` if it is none. `stacks` has the stacks of suspended
    /// ones, by their negated addresses.
    pub fn parse(value: &Value, stacks: &SuspendedStacks) -> Option<Greenlets> {
        let all = |key| -> Option<Vec<Greenlet>> {
            let all = pairs(value, key)?.iter().map(|(number, greenlet)| {
                let stack = stacks.get(&number.number()?).cloned();
                Greenlet::parse(greenlet, stack.unwrap_or_default())
            });
            let mut all: Vec<Greenlet> = all.collect::<Option<_>>()?;
            all.sort_by_key(|one| {
                (
                    one.thread.is_none(),
                    one.thread,
                    one.parent.is_some(),
                    one.id,
                )
            });
            Some(all)
        };
        let not_started = pairs(value, greenlets::NOT_STARTED)?.iter();
        let not_started = not_started.map(|(thread, count)| {
            Some(NotStarted {
                thread: known(thread)?,
                count: count.number()?,
            })
        });
        let mut not_started: Vec<NotStarted> = not_started.collect::<Option<_>>()?;
        not_started.sort_by_key(|one| (one.thread.is_none(), one.thread));
        Some(Greenlets {
            current: all(greenlets::CURRENT)?,
            suspended: all(greenlets::STACKS)?,
            not_started,
            left_out: match value.get(greenlets::LEFT_OUT) {
                Some(count) => count.number()?,
                None => 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn says_what_is_waited_for() {
        let wait = |pairs: &[(&str, i64)], kind: &str| {
            fn text(text: &str) -> Value<'_> {
                Value::Text(text.as_bytes())
            }
            let pairs = pairs.iter();
            let mut pairs: Vec<_> = pairs
                .map(|&(name, number)| (text(name), Value::Number(number)))
                .collect();
            pairs.push((text("for"), text(kind)));
            pairs.push((text("read"), Value::Bool(true)));
            GreenletWait::parse(&Value::Pairs(pairs)).map(|wait| wait.words())
        };
        for (pairs, kind, words) in [
            (&[("fd", 7)][..], "io", "file descriptor 7 to be readable"),
            (&[], "turn", "its turn"),
            (
                &[("milliseconds", 1500)],
                "sleep",
                "time to pass (1.5 s in all)",
            ),
            (
                &[("id", 16), ("size", 2), ("most", 3)],
                "queue_put",
                "room in Queue 0x10, which has 2 of 3",
            ),
            (
                &[("id", 16), ("value", 0)],
                "semaphore",
                "Semaphore 0x10, whose value is 0",
            ),
        ] {
            assert_eq!(wait(pairs, kind).as_deref(), Some(words));
        }
        assert_eq!(wait(&[], "what is this"), None);
    }

    #[test]
    fn reads_what_there_is() {
        let none = Value::Pairs(Vec::new());
        assert_eq!(
            Greenlets::parse(&none, &SuspendedStacks::new()),
            Some(Greenlets::default())
        );
        let nonsense = Value::Pairs(vec![(Value::Text(b"stacks"), Value::Number(1))]);
        assert_eq!(Greenlets::parse(&nonsense, &SuspendedStacks::new()), None);
    }
}
