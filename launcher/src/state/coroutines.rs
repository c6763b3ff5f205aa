//! Suspended generators that Tornado or Twisted drives, as the agent tells of them
//! (`preload/src/generators.py`).

use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::fmt::Write;

use crate::duration::duration;
use crate::state::frame::{Frame, Stack};
use protocol::marshal::Value;
use protocol::state::{CoroutineLibrary, CoroutineWaitKind, chain, coroutine_wait, coroutines};

/// What is known of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Coroutines {
    /// They were not asked for.
    #[default]
    NotAsked,
    /// They cannot be found here.
    Unknown,
    /// Those that were found.
    Told(Told),
}

/// The suspended generators of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Told {
    /// How many of them stand in the chains.
    pub count: u64,
    /// How many more there are.
    pub left_out: u64,
    /// From one that no other waits for to one that waits for no other: all such chains.
    pub suspended: Vec<Chain>,
}

/// Generators of which each waits for the next one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// The library that drives the outermost one.
    #[serde(serialize_with = "library_name")]
    pub library: CoroutineLibrary,
    /// The name of the outermost one's function.
    pub name: Option<String>,
    /// What the innermost one waits for, as far as that is known.
    pub waits_for: Option<Wait>,
    /// Where each of them is, the outermost one first.
    pub frames: Vec<Frame>,
}

/// What a generator waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// What it is.
    #[serde(serialize_with = "kind_name")]
    pub kind: CoroutineWaitKind,
    /// The name of its class.
    pub class: Option<String>,
    /// Its address (`id()`).
    pub id: Option<u64>,
    /// How long it is until a timer goes off, or it is given up, in seconds.
    pub seconds: Option<f64>,
}

/// What is waited for, in words; `{}` stands for the class.
fn words_of(kind: CoroutineWaitKind) -> &'static str {
    match kind {
        CoroutineWaitKind::Turn => "its turn",
        CoroutineWaitKind::Timeout => "a timeout",
        CoroutineWaitKind::QueueGet => "an item from {}",
        CoroutineWaitKind::QueuePut => "room in {}",
        CoroutineWaitKind::Read => "data on {}",
        CoroutineWaitKind::Write => "{} to be written to",
        CoroutineWaitKind::Connect => "the connection of {}",
        CoroutineWaitKind::Running => "a generator that runs",
        CoroutineWaitKind::Future
        | CoroutineWaitKind::Deferred
        | CoroutineWaitKind::Event
        | CoroutineWaitKind::Condition
        | CoroutineWaitKind::Semaphore
        | CoroutineWaitKind::Lock => "{}",
    }
}

fn kind_name<S: Serializer>(kind: &CoroutineWaitKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

fn library_name<S: Serializer>(
    library: &CoroutineLibrary,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(library.name())
}

impl Wait {
    fn parse(value: &Value) -> Option<Wait> {
        let milliseconds = value
            .get(coroutine_wait::MILLISECONDS)
            .and_then(Value::number::<i64>);
        Some(Wait {
            kind: CoroutineWaitKind::from_name(&value.get(coroutine_wait::FOR)?.text()?)?,
            class: value.get(coroutine_wait::CLASS).and_then(Value::text),
            id: value.get(coroutine_wait::ID).and_then(Value::number),
            seconds: milliseconds.map(|time| time as f64 / 1e3),
        })
    }

    /// In words.
    pub fn words(&self) -> String {
        let mut class = self.class.clone().unwrap_or_else(|| "something".to_owned());
        if let Some(id) = self.id {
            let _ = write!(class, " {id:#x}");
        }
        let mut words = words_of(self.kind).replace("{}", &class);
        if let Some(seconds) = self.seconds {
            let most = if self.kind == CoroutineWaitKind::Timeout {
                ""
            } else {
                "at most "
            };
            let _ = write!(words, " ({most}{} to go)", duration(seconds));
        }
        words
    }
}

impl Coroutines {
    /// From the agent's words, and the frames of generators, by the numbers below zero that they have
    /// there; `None` if they are not as we know them.
    pub fn parse(words: Option<&Value>, stacks: &HashMap<i64, Stack>) -> Option<Coroutines> {
        let Some(words) = words else {
            return Some(Coroutines::NotAsked);
        };
        if *words == Value::None {
            return Some(Coroutines::Unknown);
        }
        // Neither library is there.
        let Some(chains) = words.get(coroutines::SUSPENDED) else {
            return Some(Coroutines::Told(Told::default()));
        };
        let chain = |chain: &Value| {
            let library = chain.get(chain::LIBRARY)?.text()?;
            let mut frames = Vec::new();
            for number in chain.get(chain::CHAIN)?.list()? {
                // One that the program marked as the agent's own is not there.
                let stack = stacks.get(&number.number()?);
                frames.extend(stack.into_iter().flat_map(|stack| stack.iter().cloned()));
            }
            Some(Chain {
                library: CoroutineLibrary::from_name(&library)?,
                name: chain.get(chain::NAME).and_then(Value::text),
                waits_for: chain.get(chain::WAIT).and_then(Wait::parse),
                frames,
            })
        };
        let chains = chains.list()?.iter().map(chain);
        let mut suspended: Vec<Chain> = chains.collect::<Option<_>>()?;
        suspended.retain(|chain| !chain.frames.is_empty());
        Some(Coroutines::Told(Told {
            count: words.get(coroutines::COUNT)?.number()?,
            left_out: words.get(coroutines::LEFT_OUT)?.number()?,
            suspended,
        }))
    }

    /// If they are known: all that is told.
    pub fn told(&self) -> Option<&Told> {
        match self {
            Coroutines::Told(told) => Some(told),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn text(text: &str) -> Value<'_> {
        Value::Text(text.as_bytes())
    }

    #[test]
    fn says_what_is_waited_for() {
        let wait = |kind, number: &str| {
            let pairs = vec![
                (text("for"), text(kind)),
                (text("class"), text("Queue")),
                (text(number), Value::Number(2500)),
            ];
            Wait::parse(&Value::Pairs(pairs)).map(|wait| wait.words())
        };
        for (kind, number, words) in [
            ("turn", "", "its turn"),
            ("timeout", "milliseconds", "a timeout (2.5 s to go)"),
            ("queue_get", "id", "an item from Queue 0x9c4"),
            ("future", "id", "Queue 0x9c4"),
        ] {
            assert_eq!(wait(kind, number).as_deref(), Some(words));
        }
        assert_eq!(wait("what is this", "id"), None);
    }

    #[test]
    fn tells_what_was_not_asked_from_what_is_not_known() {
        let parse = |words| Coroutines::parse(words, &HashMap::new());
        assert_eq!(parse(None), Some(Coroutines::NotAsked));
        assert_eq!(parse(Some(&Value::None)), Some(Coroutines::Unknown));
        let none = Value::Pairs(Vec::new());
        assert_eq!(parse(Some(&none)), Some(Coroutines::Told(Told::default())));
        let nonsense = (text("suspended"), Value::Number(1));
        assert_eq!(parse(Some(&Value::Pairs(vec![nonsense]))), None);
    }
}
