//! Suspended greenlets, as the agent tells of them (`preload/src/greenlets.py`).

use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::fmt::Write;

use crate::state::frame::Stack;
use protocol::marshal::Value;
use protocol::state::{GreenletWaitKind, greenlet, greenlet_wait, greenlets};

/// What is known of a program's greenlets.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Greenlets {
    /// They were not asked for.
    #[default]
    NotAsked,
    /// They cannot be found here.
    Unknown,
    /// All of them.
    Told(Told),
}

/// All greenlets of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Told {
    /// Each thread's current one, where it is known and the thread has used greenlets. Its stack is
    /// the thread's.
    pub current: Vec<Greenlet>,
    /// Those that are not: by thread, a thread's first one first; unknown threads' come last.
    pub suspended: Vec<Greenlet>,
    /// How many have not begun, by thread.
    pub not_started: Vec<NotStarted>,
    /// How many more there are, whatever their state, than the agent looks at.
    pub left_out: u64,
}

/// A greenlet that has begun, and has not ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Greenlet {
    /// Its address (`id()`).
    pub id: u64,
    /// The identifier of its thread, if that is known.
    pub thread: Option<u64>,
    /// The address of its parent; its thread's first greenlet has none.
    pub parent: Option<u64>,
    /// Whether it is known to be suspended.
    pub suspended: bool,
    /// The name of its class.
    pub class: Option<String>,
    /// The name that it was given.
    pub name: Option<String>,
    /// The name of the function that it runs, as far as its library has it.
    pub function: Option<String>,
    /// What it waits for, as far as that is known.
    pub waits_for: Option<Wait>,
    /// Its stack, outermost frame first.
    pub frames: Stack,
}

/// How many of a thread's greenlets have not begun.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NotStarted {
    /// The thread's identifier, if it is known.
    pub thread: Option<u64>,
    /// How many.
    pub count: u64,
}

/// What a greenlet waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// What it is.
    #[serde(serialize_with = "kind_name")]
    pub kind: GreenletWaitKind,
    /// The object's address (`id()`).
    pub id: Option<u64>,
    /// Of input and output: the file descriptor,
    pub fd: Option<i64>,
    /// whether it waits until there is something to read,
    pub read: Option<bool>,
    /// and until something can be written.
    pub write: Option<bool>,
    /// Of a semaphore: its value.
    pub value: Option<i64>,
    /// Of a queue: how many items are in it,
    pub size: Option<i64>,
    /// and how many may be; 0: any number.
    pub most: Option<i64>,
    /// How long it wanted to sleep, in seconds.
    pub seconds: Option<f64>,
}

/// What is waited for, in words.
fn words_of(kind: GreenletWaitKind) -> &'static str {
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

impl Wait {
    fn parse(value: &Value) -> Option<Wait> {
        let number = |name| value.get(name).and_then(Value::number::<i64>);
        Some(Wait {
            kind: GreenletWaitKind::from_name(&value.get(greenlet_wait::FOR)?.text()?)?,
            id: value.get(greenlet_wait::ID).and_then(Value::number),
            fd: number(greenlet_wait::FD),
            read: value.get(greenlet_wait::READ).map(Value::is_true),
            write: value.get(greenlet_wait::WRITE).map(Value::is_true),
            value: number(greenlet_wait::VALUE),
            size: number(greenlet_wait::SIZE),
            most: number(greenlet_wait::MOST),
            seconds: number(greenlet_wait::MILLISECONDS).map(|time| time as f64 / 1e3),
        })
    }

    /// In words.
    pub fn words(&self) -> String {
        let mut words = words_of(self.kind).to_owned();
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
        if let Some(value) = self.value {
            let _ = write!(words, ", whose value is {value}");
        }
        match (self.size, self.most) {
            (Some(size), Some(most)) if most > 0 => {
                let _ = write!(words, ", which has {size} of {most}");
            }
            (Some(size), _) => {
                let _ = write!(words, ", which has {size}");
            }
            _ => {}
        }
        if let Some(seconds) = self.seconds {
            let _ = write!(words, " ({seconds:.1} s in all)");
        }
        words
    }
}

impl Greenlets {
    /// From the agent's words, and the stacks of greenlets, by the numbers below zero that they have
    /// there; `None` if they are not as we know them.
    pub fn parse(words: Option<&Value>, stacks: &HashMap<i64, Stack>) -> Option<Greenlets> {
        let Some(words) = words else {
            return Some(Greenlets::NotAsked);
        };
        if *words == Value::None {
            return Some(Greenlets::Unknown);
        }
        let of = |name| match words.get(name) {
            None => Some(&[][..]),
            Some(Value::Pairs(pairs)) => Some(&pairs[..]),
            Some(_) => None,
        };
        let known = |ident: &Value| {
            ident
                .number()
                .map(|ident| Some(ident).filter(|&it| it != 0))
        };
        let greenlet = |key: &Value, value: &Value| {
            let text = |name| value.get(name).and_then(Value::text);
            Some(Greenlet {
                id: value.get(greenlet::ID)?.number()?,
                thread: known(value.get(greenlet::THREAD)?)?,
                parent: known(value.get(greenlet::PARENT)?)?,
                suspended: value.get(greenlet::SUSPENDED)?.is_true(),
                class: text(greenlet::KIND),
                name: text(greenlet::NAME),
                function: text(greenlet::RUNS),
                waits_for: value.get(greenlet::WAIT).and_then(Wait::parse),
                frames: stacks.get(&key.number()?).cloned().unwrap_or_default(),
            })
        };
        let all = |name| -> Option<Vec<Greenlet>> {
            let all = of(name)?.iter().map(|(key, value)| greenlet(key, value));
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
        let (current, suspended) = (all(greenlets::CURRENT)?, all(greenlets::STACKS)?);
        let not_started = of(greenlets::NOT_STARTED)?.iter().map(|(thread, count)| {
            Some(NotStarted {
                thread: known(thread)?,
                count: count.number()?,
            })
        });
        let mut not_started: Vec<NotStarted> = not_started.collect::<Option<_>>()?;
        not_started.sort_by_key(|one| (one.thread.is_none(), one.thread));
        Some(Greenlets::Told(Told {
            current,
            suspended,
            not_started,
            left_out: match words.get(greenlets::LEFT_OUT) {
                Some(count) => count.number()?,
                None => 0,
            },
        }))
    }

    /// If they are known: all of them.
    pub fn told(&self) -> Option<&Told> {
        match self {
            Greenlets::Told(told) => Some(told),
            _ => None,
        }
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
            Wait::parse(&Value::Pairs(pairs)).map(|wait| wait.words())
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
    fn tells_what_was_not_asked_from_what_is_not_known() {
        let parse = |words| Greenlets::parse(words, &HashMap::new());
        assert_eq!(parse(None), Some(Greenlets::NotAsked));
        assert_eq!(parse(Some(&Value::None)), Some(Greenlets::Unknown));
        let none = Value::Pairs(Vec::new());
        assert_eq!(parse(Some(&none)), Some(Greenlets::Told(Told::default())));
        let nonsense = (Value::Text(b"stacks"), Value::Number(1));
        assert_eq!(parse(Some(&Value::Pairs(vec![nonsense]))), None);
    }
}
