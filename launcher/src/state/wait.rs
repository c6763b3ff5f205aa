//! What a thread waits for.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

use crate::duration::duration;
use crate::secrets::Secrets;
use crate::state::descriptor::Descriptor;
use crate::state::other_end::OtherEnd;
use protocol::marshal::Value;
use protocol::state::{GoneKind, WaitKind, suspended_holder, wait};

/// What a thread waits for. Which fields are there depends on the kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// What it is.
    pub kind: WaitKind,
    /// The object's address (`id()`).
    pub id: Option<u64>,
    /// An RLock, the import lock, or the GIL where a thread keeps it: the identifier of the thread that holds it.
    pub owner: Option<u64>,
    /// An RLock: how often its owner has acquired it.
    pub count: Option<i64>,
    /// An RLock: why its owner is no thread any more.
    pub gone: Option<GoneKind>,
    /// A lock that is an attribute of an object.
    pub part: Option<Part>,
    /// A plain lock: the address of the futex that threads wait on for it.
    pub futex: Option<u64>,
    /// Whether it is so only if the kernel says so too.
    pub is_likely: bool,
    /// Whether the wait has a timeout, where that is known.
    pub limited: Option<bool>,
    /// The end of a thread: that thread's identifier.
    pub joined: Option<u64>,
    /// The end of a thread: that thread's name.
    pub name: Option<String>,
    /// A semaphore: its value.
    pub value: Option<i64>,
    /// A queue: the number of items in it.
    pub size: Option<i64>,
    /// A queue: the most items that it takes; 0 if there is no limit.
    pub most: Option<i64>,
    /// A sleep: its whole length, in seconds; a wait with a timeout: that timeout.
    pub seconds: Option<f64>,
    /// A wait with a timeout: for how many seconds it has lasted, if that is known.
    pub waited: Option<f64>,
    /// The same wait: for how many seconds it may still last.
    pub left: Option<f64>,
    /// Descriptors: the first of them.
    pub descriptors: Vec<Descriptor>,
    /// Descriptors: how many more there are, where that is known.
    pub others: Option<u64>,
    /// The descriptor of the epoll that watches `descriptors`.
    pub epoll: Option<i32>,
    /// A child process: what `waitpid` was called with.
    pub child: Option<i32>,
    /// A child process: its command line.
    pub command: Option<String>,
    /// A mutex or read-write lock of C's, or the end of a thread: the thread that has it, or is it.
    pub c_owner: Option<Owner>,
    /// What is waited for in C, or the GIL: the function that waits.
    pub within: Option<String>,
    /// The function that has called that one, or the file that its code stands in.
    pub called_from: Option<String>,
}

/// The thread that the C library has noted as an owner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Owner {
    /// Its TID, in the process's own PID namespace.
    pub tid: i32,
    /// Its identifier, if it runs Python.
    pub ident: Option<u64>,
    /// Whether there is such a thread in the process, as far as is known.
    pub lives: bool,
}

/// An attribute of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name, without what makes it private.
    pub name: String,
    /// The name of the object's class.
    pub class: String,
    /// The object's address.
    pub id: u64,
}

impl Part {
    /// Such as `the mutex of Queue 0x7f00`.
    fn words(&self) -> String {
        format!("the {} of {} {:#x}", self.name, self.class, self.id)
    }
}

/// How many descriptors of one wait are shown to people.
pub(crate) const MOST_SHOWN: usize = 4;

impl Wait {
    /// A wait of which nothing is known but its kind.
    pub fn of_kind(kind: WaitKind) -> Wait {
        Wait {
            kind,
            id: None,
            owner: None,
            count: None,
            gone: None,
            part: None,
            futex: None,
            is_likely: false,
            limited: None,
            joined: None,
            name: None,
            value: None,
            size: None,
            most: None,
            seconds: None,
            waited: None,
            left: None,
            descriptors: Vec::new(),
            others: None,
            epoll: None,
            child: None,
            command: None,
            c_owner: None,
            within: None,
            called_from: None,
        }
    }

    /// Reads a dictionary of [`wait`]; `None` if its kind is not known here.
    pub fn parse(value: &Value, secrets: &Secrets) -> Option<Wait> {
        use wait::{
            COUNT, FOR, FUTEX, GONE, ID, JOINED, LEFT, LIKELY, LIMITED, MILLISECONDS, MOST, NAME,
            OWNER, PART, SIZE, VALUE, WAITED, WHOLE, WHOLE_ID,
        };
        let values = value.all_of([
            FOR,
            ID,
            OWNER,
            COUNT,
            GONE,
            PART,
            WHOLE,
            WHOLE_ID,
            FUTEX,
            LIKELY,
            LIMITED,
            JOINED,
            NAME,
            VALUE,
            SIZE,
            MOST,
            MILLISECONDS,
            WAITED,
            LEFT,
        ]);
        let [
            kind,
            id,
            owner,
            count,
            gone,
            part,
            whole,
            whole_id,
            futex,
            likely,
            limited,
            joined,
            name,
            value,
            size,
            most,
            time,
            waited,
            left,
        ] = values;
        let number = |value: Option<Value>| value?.number::<i64>();
        let address = |value: Option<Value>| value?.number::<u64>();
        Some(Wait {
            id: address(id),
            owner: address(owner),
            count: number(count),
            gone: gone.and_then(|gone| GoneKind::from_name(&gone.text()?)),
            part: part.and_then(|part| {
                Some(Part {
                    name: part.text()?,
                    class: whole?.text()?,
                    id: address(whole_id)?,
                })
            }),
            futex: address(futex),
            is_likely: likely.is_some_and(|value| value.is_true()),
            limited: limited.map(|value| value.is_true()),
            joined: address(joined).filter(|&ident| ident != 0),
            name: secrets.name(name.and_then(|name| name.text())),
            value: number(value),
            size: number(size),
            most: number(most),
            seconds: time.and_then(seconds),
            waited: waited.and_then(seconds),
            left: left.and_then(seconds),
            ..Wait::of_kind(WaitKind::from_name(&kind?.text()?)?)
        })
    }

    /// The memory that it takes, in bytes, beside itself.
    pub(crate) fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let descriptors = self.descriptors.iter();
        let end = |one: &Descriptor| {
            let ends = [&one.other_end, &one.held_by].into_iter().flatten();
            ends.map(OtherEnd::size).sum::<usize>()
        };
        let descriptors =
            descriptors.map(|one| 2 * size_of::<Descriptor>() + text(&one.path) + end(one));
        let part = self.part.as_ref();
        let part = part.map_or(0, |part| part.name.len() + part.class.len());
        let texts = [&self.name, &self.command, &self.within, &self.called_from];
        part + texts.into_iter().map(text).sum::<usize>() + descriptors.sum::<usize>()
    }

    /// Narrows the kind down where the wait is for one thing on one descriptor.
    pub fn name_by_descriptor(&mut self) {
        if self.epoll.is_none()
            && self.others == Some(0)
            && let [descriptor] = &self.descriptors[..]
            && let [way] = descriptor.ways[..]
        {
            self.kind = match way {
                "read" => WaitKind::Read,
                "write" => WaitKind::Write,
                "accept" => WaitKind::Accept,
                "connect" => WaitKind::Connect,
                "lock" => WaitKind::FileLock,
                _ => return,
            };
        }
    }

    /// What the thread waits for, in words; who keeps it waiting is not among them.
    pub fn words(&self) -> String {
        let of_kernel = self.child_words().or_else(|| self.descriptor_words());
        let mut words = of_kernel.unwrap_or_else(|| self.object_words());
        if self.limited == Some(true) {
            let _ = match (self.seconds, self.left) {
                (Some(all), Some(left)) => {
                    write!(
                        words,
                        ", for at most {}, {} to go",
                        duration(all),
                        duration(left)
                    )
                }
                (Some(all), None) => write!(words, ", for at most {}", duration(all)),
                (None, _) => write!(words, ", for a limited time"),
            };
        }
        words
    }

    fn object_words(&self) -> String {
        let mut words = noun(self.kind).to_owned();
        if let (Some(part), Some(id)) = (&self.part, self.id) {
            return format!("{} ({words} {id:#x})", part.words());
        }
        let _ = match (self.kind, &self.name, self.id) {
            (WaitKind::Thread, Some(name), _) => write!(words, " {name:?}"),
            (_, _, Some(id)) => write!(words, " {id:#x}"),
            _ => Ok(()),
        };
        match (self.is_between_processes(), self.value) {
            (true, Some(value)) => {
                let _ = write!(words, ", value {value}");
            }
            _ => words.push_str(&contents(self.value, self.size, self.most)),
        }
        self.write_c_words(&mut words);
        words
    }

    /// Whether it is for a lock or semaphore that processes share.
    fn is_between_processes(&self) -> bool {
        use WaitKind::{ProcessLock, ProcessRLock, ProcessSemaphore};
        matches!(self.kind, ProcessLock | ProcessRLock | ProcessSemaphore)
    }

    /// Adds what is known of a wait in C.
    fn write_c_words(&self, words: &mut String) {
        if self.kind == WaitKind::Gil
            && let Some(function) = &self.within
        {
            let _ = write!(words, " back (in {function}");
            if let Some(caller) = &self.called_from {
                let _ = write!(words, ", called from {caller}");
            }
            words.push(')');
        }
        let Some(owner) = &self.c_owner else {
            return;
        };
        let _ = match (self.kind, owner.lives) {
            (WaitKind::Thread, _) => write!(words, ", TID {}", owner.tid),
            (_, true) => write!(words, ", owner TID {}", owner.tid),
            (_, false) => write!(
                words,
                ", owner TID {}, which is no thread of this process",
                owner.tid
            ),
        };
    }

    fn child_words(&self) -> Option<String> {
        let child = self.child?;
        Some(match (child, &self.command) {
            (1.., Some(command)) => format!("the end of child process {child} ({command})"),
            (1.., None) => format!("the end of child process {child}"),
            (-1, _) => "the end of any child process".to_owned(),
            _ => "the end of a child process of a group".to_owned(),
        })
    }

    fn descriptor_words(&self) -> Option<String> {
        let mut words = String::new();
        let shown = self.descriptors.iter().take(MOST_SHOWN);
        let shown: Vec<String> = shown.map(Descriptor::waited).collect();
        if self.kind == WaitKind::Poll || self.kind == WaitKind::Epoll {
            let whose = match self.epoll {
                Some(epoll) => format!(" that epoll {epoll} watches"),
                None => String::new(),
            };
            words = match self.others {
                Some(others) => match others.saturating_add(self.descriptors.len() as u64) {
                    1 => format!("one descriptor{whose}"),
                    count => format!("any of {count} descriptors{whose}"),
                },
                None => format!("any descriptor{whose}"),
            };
            if !shown.is_empty() {
                words.push_str(": ");
            }
        } else if shown.is_empty() {
            return None;
        }
        words.push_str(&shown.join("; "));
        let hidden = (self.descriptors.len() - shown.len()) as u64;
        let hidden = hidden.saturating_add(self.others.unwrap_or(0));
        if hidden > 0 && !shown.is_empty() {
            let _ = write!(words, "; and {hidden} more");
        }
        Some(words)
    }
}

/// What a semaphore or a queue has in it, in words that follow its address.
pub(crate) fn contents(value: Option<i64>, size: Option<i64>, most: Option<i64>) -> String {
    let mut words = String::new();
    if let Some(value) = value {
        let _ = write!(words, ", whose value is {value}");
    }
    let of = |words: &mut String| {
        if let Some(most) = most.filter(|&most| most != 0) {
            let _ = write!(words, " of {most}");
        }
    };
    if value.is_some() {
        of(&mut words);
    }
    if let Some(size) = size {
        let _ = write!(words, ", which has {size}");
        of(&mut words);
    }
    words
}

/// A number of milliseconds, in seconds.
pub(crate) fn seconds(milliseconds: Value) -> Option<f64> {
    Some(milliseconds.number::<i64>()? as f64 / 1e3)
}

/// The noun for what is waited for. Descriptors and children mostly have better words of their own.
fn noun(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Lock => "lock",
        WaitKind::RLock => "RLock",
        WaitKind::Condition => "Condition",
        WaitKind::Event => "Event",
        WaitKind::Semaphore => "Semaphore",
        WaitKind::Thread => "the end of thread",
        WaitKind::QueueGet => "an item from Queue",
        WaitKind::QueuePut => "room in Queue",
        WaitKind::QueueJoin => "all items to be done of Queue",
        WaitKind::Sleep => "time to pass",
        WaitKind::Import => "the import lock",
        WaitKind::Gil => "the GIL",
        WaitKind::Child => "a child process",
        WaitKind::Read => "data",
        WaitKind::Write => "room to write",
        WaitKind::Accept => "a connection",
        WaitKind::Connect => "to be connected",
        WaitKind::FileLock => "a lock on a file",
        WaitKind::ProcessLock => "multiprocessing lock",
        WaitKind::ProcessRLock => "multiprocessing RLock",
        WaitKind::ProcessSemaphore => "multiprocessing semaphore",
        WaitKind::Poll | WaitKind::Epoll => "descriptors",
        WaitKind::Mutex => "C mutex",
        WaitKind::RwLock => "C read-write lock",
        WaitKind::CCondition => "a C condition variable, at",
        WaitKind::CSemaphore => "C semaphore",
    }
}

/// How certain it is that a thread holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certainty {
    /// It is in a `with` block of the lock's, or in a `try` statement that releases what was acquired before it.
    #[serde(rename = "held")]
    Held,
    /// Its code has acquired the lock on its way, or will release it.
    #[serde(rename = "very likely held")]
    VeryLikely,
}

/// A lock that a thread holds, found by the code of one of its frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// The lock's address (`id()`).
    pub id: u64,
    /// The file of that code.
    pub file: String,
    /// The line that the frame is at.
    pub line: i64,
    /// How certain it is.
    #[serde(default = "held")]
    pub certainty: Certainty,
}

/// What holds of the first documents, which had no other.
fn held() -> Certainty {
    Certainty::Held
}

impl Hold {
    /// Reads an item of [`HOLDS`](protocol::state::thread::HOLDS).
    pub fn parse(value: &Value) -> Option<Hold> {
        // Those of `with` blocks alone are certain without saying so.
        let (id, file, line, certain) = match value.list()?.exactly() {
            Some([id, file, line, certain]) => (id, file, line, certain.is_true()),
            None => {
                let [id, file, line] = value.list()?.exactly()?;
                (id, file, line, true)
            }
        };
        Some(Hold {
            id: id.number()?,
            file: file.text()?,
            line: line.number()?,
            certainty: match certain {
                true => Certainty::Held,
                false => Certainty::VeryLikely,
            },
        })
    }
}

/// A greenlet or generator that is suspended, and holds a lock for a `with` block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuspendedHolder {
    /// The address of its frame.
    pub frame: u64,
    /// Whether it is a generator, and no greenlet.
    pub generator: bool,
    /// The identifier of the thread whose loop drives a generator, if that is known.
    pub thread: Option<u64>,
    /// The name of the function.
    pub function: String,
    /// Its file.
    pub file: String,
    /// The line that it is suspended at.
    pub line: i64,
}

impl SuspendedHolder {
    /// Reads an item of [`SUSPENDED`](protocol::state::thread::SUSPENDED).
    pub fn parse(value: Value) -> Option<SuspendedHolder> {
        use suspended_holder::{FILE, FRAME, FUNCTION, GENERATOR, LINE, THREAD};
        let values = value.all_of([FRAME, GENERATOR, THREAD, FUNCTION, FILE, LINE]);
        let [frame, generator, thread, function, file, line] = values;
        Some(SuspendedHolder {
            frame: frame?.number()?,
            generator: generator?.is_true(),
            thread: thread?.number().filter(|&ident| ident != 0),
            function: function?.text().unwrap_or_default(),
            file: file?.text()?,
            line: line?.number()?,
        })
    }

    /// What it is, and its function.
    pub fn label(&self) -> String {
        match self.generator {
            true => format!("generator {}", self.function),
            false => format!("a greenlet in {}", self.function),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A wait for the object at this address.
    pub(crate) fn wait(kind: WaitKind, id: u64) -> Wait {
        Wait {
            id: Some(id),
            ..Wait::of_kind(kind)
        }
    }

    #[test]
    fn says_what_is_waited_for() {
        assert_eq!(wait(WaitKind::Lock, 0x7f00).words(), "lock 0x7f00");
        let queue = Wait {
            size: Some(3),
            most: Some(3),
            limited: Some(true),
            ..wait(WaitKind::QueuePut, 0x10)
        };
        let words = "room in Queue 0x10, which has 3 of 3, for a limited time";
        assert_eq!(queue.words(), words);
        let event = Wait {
            limited: Some(true),
            seconds: Some(60.0),
            waited: Some(17.9),
            left: Some(42.1),
            ..wait(WaitKind::Event, 0x10)
        };
        assert_eq!(
            event.words(),
            "Event 0x10, for at most 1 min 0 s, 42.1 s to go"
        );
    }
}
