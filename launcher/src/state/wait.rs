//! What a thread waits for, as the objects in its frames tell, and who keeps it waiting. What its system
//! call tells, is in [`crate::kernel_waits`].

use serde::{Deserialize, Serialize};

use crate::state::descriptor::Descriptor;
use protocol::marshal::Value;
use protocol::state::{WaitKind, wait};

/// What a thread waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// What it is.
    pub kind: WaitKind,
    /// The object's address (`id()`).
    pub id: Option<u64>,
    /// Of an RLock or the import lock: the identifier of the thread that has it.
    pub owner: Option<u64>,
    /// Of an RLock: how often that has acquired it.
    pub count: Option<i64>,
    /// Whether it waits for a limited time only, where that is known.
    pub limited: Option<bool>,
    /// The thread whose end it waits for: its identifier,
    pub joined: Option<u64>,
    /// and its name.
    pub name: Option<String>,
    /// Of a semaphore: its value.
    pub value: Option<i64>,
    /// Of a queue: how many items are in it,
    pub size: Option<i64>,
    /// and how many may be; 0: any number.
    pub most: Option<i64>,
    /// How long it wanted to sleep, in seconds.
    pub seconds: Option<f64>,
    /// Of descriptors: the first of them,
    pub descriptors: Vec<Descriptor>,
    /// and how many more there are, where that is known.
    pub others: Option<u64>,
    /// The epoll that watches them.
    pub epoll: Option<i32>,
    /// Of a child process: what `waitpid` was asked for.
    pub child: Option<i32>,
    /// The command line of that child.
    pub command: Option<String>,
}

impl Wait {
    /// A wait of which nothing is known but its kind.
    pub fn of_kind(kind: WaitKind) -> Wait {
        Wait {
            kind,
            id: None,
            owner: None,
            count: None,
            limited: None,
            joined: None,
            name: None,
            value: None,
            size: None,
            most: None,
            seconds: None,
            descriptors: Vec::new(),
            others: None,
            epoll: None,
            child: None,
            command: None,
        }
    }

    /// From the agent's words; `None` if it is of no kind that is known here.
    pub fn parse(value: &Value) -> Option<Wait> {
        let kind = WaitKind::from_name(&value.get(wait::FOR)?.text()?)?;
        let number = |name| value.get(name).and_then(Value::number::<i64>);
        let address = |name| value.get(name).and_then(Value::number::<u64>);
        Some(Wait {
            id: address(wait::ID),
            owner: address(wait::OWNER),
            count: number(wait::COUNT),
            limited: value.get(wait::LIMITED).map(Value::is_true),
            joined: address(wait::JOINED).filter(|&ident| ident != 0),
            name: value.get(wait::NAME).and_then(Value::text),
            value: number(wait::VALUE),
            size: number(wait::SIZE),
            most: number(wait::MOST),
            seconds: number(wait::MILLISECONDS).map(|time| time as f64 / 1e3),
            ..Wait::of_kind(kind)
        })
    }

    /// In words, without who keeps it waiting.
    pub fn words(&self) -> String {
        if let Some(mut words) = self.kernel_words() {
            if self.limited == Some(true) {
                words.push_str(", for a limited time");
            }
            return words;
        }
        let mut words = what_is(self.kind).to_owned();
        match (self.kind, &self.name, self.id) {
            (WaitKind::Thread, Some(name), _) => words.push_str(&format!(" {name:?}")),
            (_, _, Some(id)) => words.push_str(&format!(" {id:#x}")),
            _ => {}
        }
        if let Some(value) = self.value {
            words.push_str(&format!(", whose value is {value}"));
        }
        if let Some(size) = self.size {
            let most = match self.most {
                None | Some(0) => String::new(),
                Some(most) => format!(" of {most}"),
            };
            words.push_str(&format!(", which has {size}{most}"));
        }
        if self.limited == Some(true) {
            words.push_str(", for a limited time");
        }
        words
    }
}

/// The noun for what is waited for; what only the kernel knows of has better words of its own.
fn what_is(kind: WaitKind) -> &'static str {
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
        WaitKind::Poll | WaitKind::Epoll => "descriptors",
    }
}

/// A lock that a thread holds, as the `with` block shows that it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// The lock's address.
    pub id: u64,
    /// The file of that block,
    pub file: String,
    /// and the line in it that the thread was at.
    pub line: i64,
}

impl Hold {
    /// From the agent's words.
    pub fn parse(value: &Value) -> Option<Hold> {
        match value.list()? {
            [id, file, line] => Some(Hold {
                id: id.number()?,
                file: file.text()?,
                line: line.number()?,
            }),
            _ => None,
        }
    }
}

/// More say nothing.
pub(crate) const MOST_CANDIDATES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::thread::{Task, Thread};
    use crate::state::wait_graph::Waits;
    fn wait(kind: WaitKind, id: u64) -> Wait {
        Wait {
            id: Some(id),
            ..Wait::of_kind(kind)
        }
    }

    fn thread(ident: u64, wait: Wait, holds: &[u64]) -> Thread {
        let hold = |&id: &u64| Hold {
            id,
            file: String::new(),
            line: 1,
        };
        Thread {
            ident,
            wait: Some(wait),
            holds: holds.iter().map(hold).collect(),
            ..Thread::default()
        }
    }

    fn circles(threads: Vec<Thread>) -> Vec<Vec<u64>> {
        Waits::of(&threads).deadlocks()
    }

    #[test]
    fn finds_each_circle_once() {
        let of_three = vec![
            thread(7, wait(WaitKind::Lock, 1), &[3]),
            thread(5, wait(WaitKind::Lock, 2), &[1]),
            thread(6, wait(WaitKind::Lock, 3), &[2]),
            // It waits for one of them, and is in no circle itself.
            thread(4, wait(WaitKind::Lock, 1), &[]),
        ];
        assert_eq!(circles(of_three), [[5, 6, 7]]);
        let own = vec![thread(5, wait(WaitKind::Lock, 1), &[1])];
        assert_eq!(circles(own), [[5]]);
        let mut by_owner = wait(WaitKind::RLock, 9);
        by_owner.owner = Some(6);
        let mut joins = wait(WaitKind::Thread, 8);
        joins.joined = Some(5);
        let mixed = vec![
            thread(5, by_owner.clone(), &[]),
            thread(6, joins.clone(), &[]),
        ];
        assert_eq!(circles(mixed), [[5, 6]]);
        // It will go on by itself.
        joins.limited = Some(true);
        let limited = vec![thread(5, by_owner, &[]), thread(6, joins, &[])];
        assert!(circles(limited).is_empty());
    }

    #[test]
    fn goes_by_what_the_kernel_says() {
        let task = |call: Option<&str>, runs| Task {
            number: 1,
            call: call.map(str::to_owned),
            runs,
            seconds: None,
            on_gil: None,
            wait: None,
        };
        let lock = wait(WaitKind::Lock, 1);
        let limited = Wait {
            limited: Some(true),
            ..wait(WaitKind::Condition, 1)
        };
        let sleep = wait(WaitKind::Sleep, 1);
        for (call, runs, agreed) in [
            (Some("futex"), false, [true, true, false]),
            (Some("select"), false, [false, true, true]),
            (Some("read"), false, [false, true, false]),
            (None, false, [true, true, true]),
            (None, true, [false, true, false]),
        ] {
            let task = task(call, runs);
            assert_eq!(
                [&lock, &limited, &sleep].map(|wait| wait.agrees(&task)),
                agreed
            );
        }
    }

    #[test]
    fn tells_in_words() {
        assert_eq!(wait(WaitKind::Lock, 0x7f00).words(), "lock 0x7f00");
        let queue = Wait {
            size: Some(3),
            most: Some(3),
            limited: Some(true),
            ..wait(WaitKind::QueuePut, 0x10)
        };
        let told = "room in Queue 0x10, which has 3 of 3, for a limited time";
        assert_eq!(queue.words(), told);
    }
}
