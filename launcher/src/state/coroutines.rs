//! Suspended generators that Tornado or Twisted drives as coroutines.

use std::fmt::Write;
use std::sync::Arc;

use crate::duration::duration;
use crate::state::budget::Memory;
use crate::state::suspended::{SuspendedChain, SuspendedStacks};
use crate::state::wait;
use protocol::marshal::Value;
use protocol::state::{CoroutineLibrary, CoroutineWaitKind, chain, coroutine_wait, coroutines};

/// The suspended generators of a program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coroutines {
    /// How many of them stand in the chains.
    pub count: u64,
    /// How many more there are.
    pub left_out: u64,
    /// All chains that lead from a generator that no other waits for to one that waits for no other.
    pub suspended: Vec<Chain>,
}

/// Generators of which each waits for the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// The library that drives the outermost generator.
    pub library: CoroutineLibrary,
    /// The name of the outermost generator's function.
    pub name: Option<String>,
    /// What the innermost generator waits for, if that is known.
    pub waits_for: Option<CoroutineWait>,
    /// The frame of each generator, outermost first.
    pub frames: SuspendedChain,
}

/// What a generator waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct CoroutineWait {
    /// What it is.
    pub kind: CoroutineWaitKind,
    /// The name of the object's class.
    pub class: Option<String>,
    /// The object's address (`id()`).
    pub id: Option<u64>,
    /// The time until a timeout, or until the wait is given up, in seconds.
    pub seconds: Option<f64>,
    /// How long ago the timer should have gone off, in seconds.
    pub overdue: Option<f64>,
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

impl CoroutineWait {
    /// Reads a dictionary of [`coroutine_wait`]; `None` if its kind is not known here.
    fn parse(value: Value) -> Option<CoroutineWait> {
        use coroutine_wait::{CLASS, FOR, ID, MILLISECONDS, OVERDUE};
        let [kind, class, id, time, overdue] =
            value.all_of([FOR, CLASS, ID, MILLISECONDS, OVERDUE]);
        Some(CoroutineWait {
            kind: CoroutineWaitKind::from_name(&kind?.text()?)?,
            class: class.and_then(|class| class.text()),
            id: id.and_then(|id| id.number()),
            seconds: time.and_then(wait::seconds),
            overdue: overdue.and_then(wait::seconds),
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
        if let Some(overdue) = self.overdue {
            let _ = write!(words, " (overdue by {})", duration(overdue));
        }
        words
    }
}

impl Chain {
    /// Reads a dictionary of [`chain`]; `stacks` as for [`Coroutines::parse`].
    fn parse(value: Value, stacks: &SuspendedStacks) -> Option<Chain> {
        use chain::{CHAIN, LIBRARY, NAME, WAIT};
        let [numbers, library, name, wait] = value.all_of([CHAIN, LIBRARY, NAME, WAIT]);
        let numbers = numbers?.list()?.iter();
        // The program may have marked a generator's frame as the agent's: then it has no stack.
        let mut frames = Vec::new();
        for number in numbers {
            frames.extend(stacks.get(&number.number()?).map(Arc::clone));
        }
        Some(Chain {
            library: CoroutineLibrary::from_name(&library?.text()?)?,
            name: name.and_then(|name| name.text()),
            waits_for: wait.and_then(CoroutineWait::parse),
            frames: SuspendedChain::of(frames),
        })
    }

    /// The memory that it takes, in bytes, without its texts.
    fn size(value: Value) -> usize {
        let [numbers] = value.all_of([chain::CHAIN]);
        let numbers = numbers.and_then(|numbers| numbers.list());
        let count = numbers.map_or(0, |numbers| numbers.len());
        // A vector that grows may be twice as long as it must.
        2 * size_of::<Chain>() + 2 * size_of::<usize>() * count
    }
}

impl Coroutines {
    /// Reads a dictionary of [`coroutines`]; `None` if it is none. `stacks` has the stacks of
    /// generators, by their negated addresses. Returns also how many chains there was no memory for.
    pub fn parse(
        value: Value,
        stacks: &SuspendedStacks,
        memory: &mut Memory,
    ) -> Option<(Coroutines, usize)> {
        use coroutines::{COUNT, LEFT_OUT, SUSPENDED};
        let [chains, count, left_out] = value.all_of([SUSPENDED, COUNT, LEFT_OUT]);
        // The program has imported neither library.
        let Some(chains) = chains else {
            return value.pairs().map(|_| Default::default());
        };
        let (mut suspended, mut missing) = (Vec::new(), 0);
        for value in chains.list()?.iter() {
            if missing > 0 || !memory.take(Chain::size(value)) {
                missing += 1;
                continue;
            }
            let chain = Chain::parse(value, stacks)?;
            let class = chain
                .waits_for
                .as_ref()
                .and_then(|wait| wait.class.as_ref());
            let texts = [chain.name.as_ref(), class].map(|text| text.map_or(0, String::len));
            if !memory.take(texts.iter().sum()) {
                missing += 1;
            } else if !chain.frames.is_empty() {
                suspended.push(chain);
            }
        }
        let found = Coroutines {
            count: count?.number()?,
            left_out: left_out?.number()?,
            suspended,
        };
        Some((found, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// What is read from a dictionary with these words and numbers.
    fn with<T>(
        words: &[(&str, &str)],
        numbers: &[(&str, i64)],
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Option<T> {
        let mut out = protocol::marshal::MarshalWriter::default();
        out.pairs();
        for (key, word) in words {
            out.key(key);
            out.text(word.as_bytes());
        }
        for &(key, number) in numbers {
            out.key(key);
            out.number(number);
        }
        out.end();
        let bytes = out.finish().expect("memory");
        read(protocol::marshal::parse(&bytes)?.0)
    }

    #[test]
    fn says_what_is_waited_for() {
        let wait = |kind, number: &str| {
            let words = [("for", kind), ("class", "Queue")];
            let wait = with(&words, &[(number, 2500)], CoroutineWait::parse);
            wait.map(|wait| wait.words())
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
        let read = |numbers: &[(&str, i64)]| {
            with(&[], numbers, |value| {
                Coroutines::parse(value, &SuspendedStacks::new(), &mut Memory::default())
            })
        };
        assert_eq!(read(&[]), Some((Coroutines::default(), 0)));
        assert_eq!(read(&[("suspended", 1)]), None);
    }
}
