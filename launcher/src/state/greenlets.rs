//! Greenlets, which programs switch between within a thread.

use std::fmt::Write;
use std::sync::Arc;

use crate::secrets::Secrets;
use crate::state::budget::Memory;
use crate::state::greenlet_wait::GreenletWait;
use crate::state::suspended::{SuspendedChain, SuspendedStacks};
use crate::state::wait::Hold;
use protocol::marshal::{Pairs, Value};
use protocol::state::{greenlet, greenlets};

/// The greenlets of a program.
#[derive(Clone, Debug, Default, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
    /// What it holds for `with` blocks, locks among them.
    pub holds: Vec<Hold>,
    /// Its stack.
    pub frames: SuspendedChain,
}

/// More of what a greenlet holds is not read.
const MOST_HOLDS: usize = 100;

/// How many greenlets of a thread have not started.
#[derive(Clone, Debug, PartialEq)]
pub struct NotStarted {
    /// The thread's identifier, if that is known.
    pub thread: Option<u64>,
    /// How many.
    pub count: u64,
}

/// Reads a number; 0 stands for an unknown one. `None` if it is no number.
fn known(number: Value) -> Option<Option<u64>> {
    let number: u64 = number.number()?;
    Some(Some(number).filter(|&number| number != 0))
}

/// The pairs of a dictionary, which may be missing; `None` if it is no dictionary.
fn pairs(value: Option<Value>) -> Option<Pairs> {
    match value {
        None => Some(Pairs::default()),
        Some(value) => value.pairs(),
    }
}

impl Greenlet {
    /// Reads a dictionary of [`greenlet`], with its stack.
    fn parse(value: Value, frames: SuspendedChain, secrets: &Secrets) -> Option<Greenlet> {
        use greenlet::{HOLDS, ID, KIND, NAME, PARENT, RUNS, SUSPENDED, THREAD, WAIT};
        let values = value.all_of([ID, THREAD, PARENT, SUSPENDED, KIND, NAME, RUNS, WAIT, HOLDS]);
        let [
            id,
            thread,
            parent,
            suspended,
            class,
            name,
            function,
            wait,
            holds,
        ] = values;
        let holds = holds.and_then(|holds| holds.list());
        let holds = holds
            .into_iter()
            .flat_map(|list| list.iter().take(MOST_HOLDS));
        let text = |value: Option<Value>| value?.text();
        Some(Greenlet {
            id: id?.number()?,
            thread: known(thread?)?,
            parent: known(parent?)?,
            suspended: suspended?.is_true(),
            class: text(class),
            name: secrets.name(text(name)),
            function: text(function),
            waits_for: wait.and_then(GreenletWait::parse),
            holds: holds.filter_map(|hold| Hold::parse(&hold)).collect(),
            frames,
        })
    }

    /// Its address, and what else it is known by.
    pub fn label(&self) -> String {
        let mut words = format!("{:#x}", self.id);
        if let Some(name) = &self.name {
            let _ = write!(words, " {name:?}");
        }
        let mut more = Vec::new();
        if self.parent.is_none() {
            more.push("the thread's first".to_owned());
        } else if let Some(class) = self.class.as_ref().filter(|&class| class != "greenlet") {
            more.push(class.clone());
        }
        if let Some(function) = &self.function {
            more.push(format!("runs {function}"));
        }
        if !more.is_empty() {
            let _ = write!(words, " ({})", more.join(", "));
        }
        words
    }

    /// The memory that it takes, in bytes.
    fn size(&self) -> usize {
        let texts = [&self.class, &self.name, &self.function];
        let texts = texts.map(|text| text.as_ref().map_or(0, String::len));
        // A vector that grows may be twice as long as it must.
        let holds = self.holds.iter();
        let holds = holds.map(|hold| 2 * size_of::<Hold>() + hold.file.len());
        2 * size_of::<Greenlet>() + 64 + texts.iter().sum::<usize>() + holds.sum::<usize>()
    }

    /// Those of this thread among greenlets in the order of [`Greenlets::suspended`].
    fn of_thread(all: &[Greenlet], thread: Option<u64>) -> &[Greenlet] {
        of_thread(all, thread, |one| one.thread)
    }
}

/// The part of a list that is of this thread. The list is in order of the threads, and ends with those of
/// unknown ones.
fn of_thread<T>(all: &[T], thread: Option<u64>, its: impl Fn(&T) -> Option<u64>) -> &[T] {
    let key = |thread: Option<u64>| (thread.is_none(), thread);
    let start = all.partition_point(|one| key(its(one)) < key(thread));
    let end = all.partition_point(|one| key(its(one)) <= key(thread));
    &all[start..end]
}

impl Greenlets {
    /// Reads a dictionary of [`greenlets`]; `None` if it is none. `stacks` has the stacks of suspended
    /// ones, by their negated addresses. Returns also how many there was no memory for.
    pub fn parse(
        value: Value,
        stacks: &SuspendedStacks,
        secrets: &Secrets,
        memory: &mut Memory,
    ) -> Option<(Greenlets, usize)> {
        use greenlets::{CURRENT, LEFT_OUT, NOT_STARTED, STACKS};
        let mut missing = 0;
        let mut all = |value: Option<Value>| -> Option<Vec<Greenlet>> {
            let mut all = Vec::new();
            for (number, greenlet) in pairs(value)?.iter() {
                let stack = stacks.get(&number.number()?).map(Arc::clone);
                let chain = SuspendedChain::of(stack.into_iter().collect());
                let greenlet = Greenlet::parse(greenlet, chain, secrets)?;
                match memory.take(greenlet.size()) {
                    true => all.push(greenlet),
                    false => missing += 1,
                }
            }
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
        let [current, suspended, waiting, left_out] =
            value.all_of([CURRENT, STACKS, NOT_STARTED, LEFT_OUT]);
        value.pairs()?;
        let (current, suspended) = (all(current)?, all(suspended)?);
        let mut not_started = Vec::new();
        for (thread, count) in pairs(waiting)?.iter() {
            let count: u64 = count.number()?;
            let thread = known(thread)?;
            match memory.take(2 * size_of::<NotStarted>()) {
                true => not_started.push(NotStarted { thread, count }),
                false => missing += 1,
            }
        }
        not_started.sort_by_key(|one| (one.thread.is_none(), one.thread));
        let found = Greenlets {
            current,
            suspended,
            not_started,
            left_out: match left_out {
                Some(count) => count.number()?,
                None => 0,
            },
        };
        Some((found, missing))
    }

    /// The current greenlets of this thread; `None` stands for all unknown threads.
    pub fn current_of(&self, thread: Option<u64>) -> &[Greenlet] {
        Greenlet::of_thread(&self.current, thread)
    }

    /// Its suspended ones.
    pub fn suspended_of(&self, thread: Option<u64>) -> &[Greenlet] {
        Greenlet::of_thread(&self.suspended, thread)
    }

    /// How many of its greenlets have not started.
    pub fn not_started_of(&self, thread: Option<u64>) -> &[NotStarted] {
        of_thread(&self.not_started, thread, |one| one.thread)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use protocol::marshal::{self, MarshalWriter};
    use protocol::state::GreenletWaitKind;

    /// A suspended greenlet of this thread that waits for the object at this address.
    pub(crate) fn greenlet(id: u64, thread: u64, kind: GreenletWaitKind, of: u64) -> Greenlet {
        Greenlet {
            id,
            thread: Some(thread),
            parent: Some(1),
            suspended: true,
            class: None,
            name: None,
            function: None,
            waits_for: Some(GreenletWait {
                id: Some(of),
                ..GreenletWait::of_kind(kind)
            }),
            holds: Vec::new(),
            frames: SuspendedChain::default(),
        }
    }

    #[test]
    fn reads_what_there_is() {
        let read = |bytes: &[u8]| {
            let (value, _) = marshal::parse(bytes).expect("a value");
            let secrets = Secrets::default();
            Greenlets::parse(
                value,
                &SuspendedStacks::new(),
                &secrets,
                &mut Memory::default(),
            )
        };
        assert_eq!(read(b"{0"), Some((Greenlets::default(), 0)));
        assert_eq!(read(b"{s\x06\0\0\0stacksT0"), None);
        assert_eq!(read(b"T"), None);
    }

    #[test]
    fn hides_secrets_in_names() {
        let mut out = MarshalWriter::default();
        out.pairs();
        out.key(greenlets::CURRENT);
        out.pairs();
        out.number(-16);
        out.pairs();
        for (key, number) in [
            (greenlet::ID, 16),
            (greenlet::THREAD, 7),
            (greenlet::PARENT, 0),
        ] {
            out.key(key);
            out.number(number);
        }
        out.key(greenlet::SUSPENDED);
        out.truth(false);
        out.key(greenlet::NAME);
        out.text(b"postgres://bob:rosebud@daylight");
        out.end();
        out.end();
        out.end();
        let bytes = out.finish().expect("memory");
        let (value, _) = marshal::parse(&bytes).expect("a value");
        let (stacks, mut memory) = (SuspendedStacks::new(), Memory::default());
        let found = Greenlets::parse(value, &stacks, &Secrets::default(), &mut memory);
        let (found, _) = found.expect("greenlets");
        let name = Some("postgres://bob:<hidden>@daylight");
        assert_eq!(found.current[0].name.as_deref(), name);
    }

    #[test]
    fn finds_the_part_of_a_thread() {
        let all = [Some(3), Some(5), Some(5), Some(9), None];
        let count = |thread| of_thread(&all, thread, |one| *one).len();
        let counts = [Some(1), Some(3), Some(5), Some(10), None].map(count);
        assert_eq!(counts, [0, 1, 2, 0, 1]);
    }
}
