//! Suspended generators that Tornado or Twisted drives as coroutines.

use serde::{Serialize, Serializer};
use std::fmt::Write;

use crate::duration::duration;
use crate::state::suspended::{SuspendedStack, SuspendedStacks};
use crate::state::wait;
use protocol::marshal::Value;
use protocol::state::{CoroutineLibrary, CoroutineWaitKind, chain, coroutine_wait, coroutines};

/// The suspended generators of a program.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coroutines {
    /// How many of them stand in the chains.
    pub count: u64,
    /// How many more there are.
    pub left_out: u64,
    /// All chains that lead from a generator that no other waits for to one that waits for no other.
    pub suspended: Vec<Chain>,
}

/// Generators of which each waits for the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// The library that drives the outermost generator.
    #[serde(serialize_with = "library_name")]
    pub library: CoroutineLibrary,
    /// The name of the outermost generator's function.
    pub name: Option<String>,
    /// What the innermost generator waits for, if that is known.
    pub waits_for: Option<CoroutineWait>,
    /// The frame of each generator, outermost first.
    pub frames: SuspendedStack,
}

/// What a generator waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CoroutineWait {
    /// What it is.
    #[serde(serialize_with = "kind_name")]
    pub kind: CoroutineWaitKind,
    /// The name of the object's class.
    pub class: Option<String>,
    /// The object's address (`id()`).
    pub id: Option<u64>,
    /// The time until a timeout, or until the wait is given up, in seconds.
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

impl CoroutineWait {
    /// Reads a dictionary of [`coroutine_wait`]; `None` if its kind is not known here.
    fn parse(value: &Value) -> Option<CoroutineWait> {
        Some(CoroutineWait {
            kind: CoroutineWaitKind::from_name(&value.get(coroutine_wait::FOR)?.text()?)?,
            class: value.get(coroutine_wait::CLASS).and_then(Value::text),
            id: value.get(coroutine_wait::ID).and_then(Value::number),
            seconds: wait::seconds(value, coroutine_wait::MILLISECONDS),
        })
    }

    /// What it waits for, in words.
    pub fn words(&self) -> String {
        let mut class = self.class.clone().unwrap_or_else(|| "something".to_owned());
        if let Some(id) = self.id {
            let _ = write!(class, " {id:#x}");
        }
        let mut words = words_of(self.kind).replace("{}", &class);
        if let Some(seconds) = self.seconds {
            let most = match self.kind {
                CoroutineWaitKind::Timeout => "",
                _ => "at most ",
            };
            let _ = write!(words, " ({most}{} to go)", duration(seconds));
        }
        words
    }
}

impl Chain {
    /// Reads a dictionary of [`chain`]; `stacks` as for [`Coroutines::parse`].
    fn parse(value: &Value, stacks: &SuspendedStacks) -> Option<Chain> {
        let numbers = value.get(chain::CHAIN)?.list()?.iter();
        let numbers: Vec<i64> = numbers.map(Value::number).collect::<Option<_>>()?;
        // The program may have marked a generator's frame as the agent's: then it has no stack.
        let stacks = numbers.iter().filter_map(|number| stacks.get(number));
        Some(Chain {
            library: CoroutineLibrary::from_name(&value.get(chain::LIBRARY)?.text()?)?,
            name: value.get(chain::NAME).and_then(Value::text),
            waits_for: value.get(chain::WAIT).and_then(CoroutineWait::parse),
            frames: SuspendedStack::chain(stacks),
        })
    }
}

impl Coroutines {
    /// Reads a dictionary of [`coroutines`]; `None` if it is none. `stacks` has the stacks of
    /// generators, by their negated addresses.
    pub fn parse(value: &Value, stacks: &SuspendedStacks) -> Option<Coroutines> {
        // The program has imported neither library.
        let Some(chains) = value.get(coroutines::SUSPENDED) else {
            return Some(Coroutines::default());
        };
        let chains = chains.list()?.iter();
        let chains = chains.map(|chain| Chain::parse(chain, stacks));
        let mut suspended: Vec<Chain> = chains.collect::<Option<_>>()?;
        suspended.retain(|chain| !chain.frames.stack.is_empty());
        Some(Coroutines {
            count: value.get(coroutines::COUNT)?.number()?,
            left_out: value.get(coroutines::LEFT_OUT)?.number()?,
            suspended,
        })
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
            CoroutineWait::parse(&Value::Pairs(pairs)).map(|wait| wait.words())
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
    fn reads_what_there_is() {
        let none = Value::Pairs(Vec::new());
        assert_eq!(
            Coroutines::parse(&none, &SuspendedStacks::new()),
            Some(Coroutines::default())
        );
        let nonsense = Value::Pairs(vec![(text("suspended"), Value::Number(1))]);
        assert_eq!(Coroutines::parse(&nonsense, &SuspendedStacks::new()), None);
    }
}
