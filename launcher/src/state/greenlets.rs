//! Greenlets, which programs switch between within a thread.

use std::fmt::Write;
use std::sync::Arc;

use crate::secrets::Secrets;
use crate::state::budget::Memory;
use crate::state::suspended::{SuspendedChain, SuspendedStacks};
use crate::state::wait::{self, Hold};
use protocol::marshal::{Pairs, Value};
use protocol::state::{GreenletWaitKind, greenlet, greenlet_wait, greenlets};

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

/// What a greenlet waits for. Which fields are there depends on the kind.
#[derive(Clone, Debug, PartialEq)]
pub struct GreenletWait {
    /// What it is.
    pub kind: GreenletWaitKind,
    /// The object's address (`id()`).
    pub id: Option<u64>,
    /// An RLock: the address of the greenlet that has it.
    pub owner: Option<u64>,
    /// An RLock: how often its owner has acquired it.
    pub count: Option<i64>,
    /// Whether it has a timeout.
    pub limited: bool,
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
        GreenletWaitKind::Lock => "lock",
        GreenletWaitKind::RLock => "RLock",
        GreenletWaitKind::QueueGet => "an item from Queue",
        GreenletWaitKind::QueuePut => "room in Queue",
        GreenletWaitKind::Channel => "the other end of Channel",
        GreenletWaitKind::Greenlet => "the end of greenlet",
    }
}

impl GreenletWait {
    /// A wait of which nothing is known but its kind.
    pub fn of_kind(kind: GreenletWaitKind) -> GreenletWait {
        GreenletWait {
            kind,
            id: None,
            owner: None,
            count: None,
            limited: false,
            fd: None,
            read: None,
            write: None,
            value: None,
            size: None,
            most: None,
            seconds: None,
        }
    }

    /// Reads a dictionary of [`greenlet_wait`]; `None` if its kind is not known here.
    fn parse(value: Value) -> Option<GreenletWait> {
        use greenlet_wait::{
            COUNT, FD, FOR, ID, LIMITED, MILLISECONDS, MOST, OWNER, READ, SIZE, VALUE, WRITE,
        };
        let [kind, id, fd, read, write, value_of, size, most, time] =
            value.all_of([FOR, ID, FD, READ, WRITE, VALUE, SIZE, MOST, MILLISECONDS]);
        let [owner, count, limited] = value.all_of([OWNER, COUNT, LIMITED]);
        let number = |value: Option<Value>| value?.number::<i64>();
        Some(GreenletWait {
            id: id.and_then(|id| id.number()),
            fd: number(fd),
            read: read.map(|value| value.is_true()),
            write: write.map(|value| value.is_true()),
            owner: owner.and_then(|owner| owner.number()),
            count: number(count),
            limited: limited.is_some_and(|limited| limited.is_true()),
            value: number(value_of),
            size: number(size),
            most: number(most),
            seconds: time.and_then(wait::seconds),
            ..GreenletWait::of_kind(GreenletWaitKind::from_name(&kind?.text()?)?)
        })
    }

    /// Whether it lasts until the one who is known to keep it waiting lets go. Of a semaphore that several
    /// may have not all who have it may be known.
    pub fn has_one_holder(&self) -> bool {
        let is_shared =
            self.kind == GreenletWaitKind::Semaphore && self.most.is_some_and(|most| most > 1);
        !self.limited && !is_shared
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
        if self.limited {
            words.push_str(", for a limited time");
        }
        words
    }
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
    fn says_what_is_waited_for() {
        let wait = |pairs: &[(&str, i64)], kind: &str| {
            let mut out = MarshalWriter::default();
            out.pairs();
            for &(name, number) in pairs {
                out.key(name);
                out.number(number);
            }
            out.key("for");
            out.text(kind.as_bytes());
            out.key("read");
            out.truth(true);
            out.end();
            let bytes = out.finish().expect("memory");
            let (value, _) = marshal::parse(&bytes).expect("a value");
            GreenletWait::parse(value).map(|wait| wait.words())
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
