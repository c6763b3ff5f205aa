//! What a greenlet waits for.

use std::fmt::Write;

use crate::state::wait;
use protocol::marshal::Value;
use protocol::state::{GreenletWaitKind, greenlet_wait};

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
    pub(crate) fn parse(value: Value) -> Option<GreenletWait> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::marshal::{self, MarshalWriter};

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
}
