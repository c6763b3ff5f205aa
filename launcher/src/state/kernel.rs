//! What a thread waits for, as the system call tells that it is in.

use std::collections::HashMap;
use syscalls::x86_64::Sysno;

use crate::state::descriptor::Descriptor;
use crate::state::thread::Task;
use crate::state::wait::Wait;
use crate::system::process::Process;
use protocol::state::{GIL, MORE, RUNNING, WaitKind};

/// Lines of: identifier, number, what `/proc/PID/task/TID/syscall` has (proc_pid_syscall(5)); and what
/// more the agent tells of that call, each behind a tab. Before them the futex of the GIL.
pub(crate) fn parse_tasks(text: &str) -> HashMap<u64, Task> {
    let number_of = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let first = text.lines().next().unwrap_or_default();
    let gil = first
        .strip_prefix(GIL)
        .and_then(|rest| number_of(rest.strip_prefix(' ')?));
    let task = |line: &str| {
        let (line, told) = line.split_once('\t').unwrap_or((line, ""));
        let mut words = line.split(' ');
        let ident = words.next()?.parse().ok()?;
        let number = words.next()?.parse().ok()?;
        let what = words.next().unwrap_or_default();
        // Below zero: it is blocked, and in none.
        let call = what.parse().ok().filter(|&call| call >= 0).map(named);
        let mut arguments = words.map_while(number_of);
        let mut on_gil = None;
        let mut wait = None;
        match call.as_deref() {
            // Most threads are in one, and all else that is told of it is of no use.
            Some("futex") => {
                on_gil = gil.map(|gil| arguments.next() == Some(gil));
                if on_gil == Some(true) {
                    wait = Some(Wait::of_kind(WaitKind::Gil));
                }
            }
            Some(call) => {
                let arguments: Vec<u64> = arguments.collect();
                let told: Vec<&str> = told.split('\t').filter(|one| !one.is_empty()).collect();
                wait = of(call, &arguments, &told);
            }
            None => {}
        }
        let task = Task {
            number,
            call,
            runs: what == RUNNING,
            seconds: None,
            on_gil,
            wait,
        };
        Some((ident, task))
    };
    text.lines().filter_map(task).collect()
}

pub(crate) fn named(number: i64) -> String {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    known.map_or_else(|| number.to_string(), |call| call.name().to_owned())
}

/// Of a thread in this call, of which the agent tells this beside its arguments
/// (`preload/src/facts.rs`, `tasks`).
pub fn of(call: &str, arguments: &[u64], told: &[&str]) -> Option<Wait> {
    let argument = |index: usize| arguments.get(index).copied();
    if let "wait4" | "waitid" = call {
        // waitid(2): P_ALL, P_PID, P_PGID; wait4(2) has it in a sign.
        let child = match (call, argument(0)?) {
            ("wait4", child) => child as i32,
            (_, 0) => -1,
            (_, 1) => argument(1)? as i32,
            (_, 2) => (argument(1)? as i32).checked_neg()?,
            _ => return None,
        };
        return Some(Wait {
            child: Some(child),
            ..Wait::of_kind(WaitKind::Child)
        });
    }
    let more = |one: &&str| one.strip_prefix(MORE).and_then(|count| count.parse().ok());
    let others = told.iter().find_map(more).unwrap_or(0);
    let descriptors = told.iter().filter_map(|one| Descriptor::parse(one));
    let descriptors: Vec<Descriptor> = descriptors.collect();
    let first = descriptors.first()?;
    let limited = match call {
        "poll" => Some(argument(2)? as i32 >= 0),
        "epoll_wait" | "epoll_pwait" => Some(argument(3)? as i32 >= 0),
        "ppoll" => Some(argument(2)? != 0),
        "epoll_pwait2" => Some(argument(3)? != 0),
        "select" | "pselect6" => Some(argument(4)? != 0),
        // A socket may have a time limit of its own (SO_RCVTIMEO).
        _ => None,
    };
    if call.starts_with("epoll") {
        return Some(Wait {
            epoll: Some(first.number),
            limited,
            ..Wait::of_kind(WaitKind::Epoll)
        });
    }
    let mut wait = Wait {
        descriptors,
        others: Some(others),
        limited,
        ..Wait::of_kind(WaitKind::Poll)
    };
    wait.name_by_descriptor();
    Some(wait)
}

impl Wait {
    /// Where it is one thing on one descriptor that is waited for, that is what it is.
    pub fn name_by_descriptor(&mut self) {
        if self.epoll.is_none()
            && self.others == Some(0)
            && let [one] = &self.descriptors[..]
            && let [way] = one.ways[..]
        {
            self.kind = match way {
                "read" => WaitKind::Read,
                "write" => WaitKind::Write,
                "accept" => WaitKind::Accept,
                "connect" => WaitKind::Connect,
                _ => return,
            };
        }
    }

    /// Finds out which command a child process runs that is waited for.
    pub fn name_child(&mut self, parent: Process) {
        let Some(child) = self.child.filter(|&child| child > 0) else {
            return;
        };
        // In another PID namespace its number is another process's here.
        let child = Process { pid: child };
        if child.status().is_ok_and(|one| one.parent == parent.pid) {
            self.command = Some(child.command_line().join(" "));
        }
    }

    /// What is waited for, where it is the kernel that tells; in words.
    pub fn kernel_words(&self) -> Option<String> {
        if let Some(child) = self.child {
            return Some(match (child, &self.command) {
                (1.., Some(command)) => format!("the end of child process {child} ({command})"),
                (1.., None) => format!("the end of child process {child}"),
                (-1, _) => "the end of any child process".to_owned(),
                _ => "the end of a child process of a group".to_owned(),
            });
        }
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
            words.push_str(&format!("; and {hidden} more"));
        }
        Some(words)
    }
}

/// So many descriptors of one wait are shown to people.
const MOST_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    fn told(call: &str, arguments: &[u64], told: &[&str]) -> (WaitKind, Option<bool>, String) {
        let wait = of(call, arguments, told).expect("it waits");
        (
            wait.kind,
            wait.limited,
            wait.kernel_words().unwrap_or_default(),
        )
    }

    #[test]
    fn tells_what_a_call_waits_for() {
        let all = u64::from(u32::MAX);
        for (call, arguments, extra, kind, limited, words) in [
            (
                "read",
                &[5, 0][..],
                &["5 r pipe:[7]"][..],
                WaitKind::Read,
                None,
                "data on pipe 5",
            ),
            (
                "poll",
                &[9, 1, all],
                &["5 w "],
                WaitKind::Write,
                Some(false),
                "room to write to descriptor 5",
            ),
            (
                "poll",
                &[9, 9, 500],
                &["5 r ", "6 r ", "7 w ", "8  ", "9 r ", "+3"],
                WaitKind::Poll,
                Some(true),
                "any of 8 descriptors: data on descriptor 5; data on descriptor 6; \
                 room to write to descriptor 7; descriptor 8; and 4 more",
            ),
            (
                "select",
                &[9, 9, 0, 0, 0],
                &["5 p "],
                WaitKind::Poll,
                Some(false),
                "one descriptor: urgent data on descriptor 5",
            ),
            (
                "epoll_wait",
                &[4, 9, 1, all],
                &["4 e anon_inode:[eventpoll]"],
                WaitKind::Epoll,
                Some(false),
                "any descriptor that epoll 4 watches",
            ),
            (
                "wait4",
                &[70, 0],
                &[],
                WaitKind::Child,
                None,
                "the end of child process 70",
            ),
            (
                "wait4",
                &[all],
                &[],
                WaitKind::Child,
                None,
                "the end of any child process",
            ),
            (
                "waitid",
                &[1, 70],
                &[],
                WaitKind::Child,
                None,
                "the end of child process 70",
            ),
            (
                "waitid",
                &[2, 70],
                &[],
                WaitKind::Child,
                None,
                "the end of a child process of a group",
            ),
        ] {
            let expected = (kind, limited, words.to_owned());
            assert_eq!(self::told(call, arguments, extra), expected, "{call}");
        }
        // Nonsense that a program has written.
        let most = format!("+{}", u64::MAX);
        let (_, _, words) = self::told("select", &[1; 5], &["5 r ", "6 r ", &most]);
        assert!(words.starts_with("any of 18446744073709551615 descriptors: "));
        assert_eq!(of("futex", &[1, 0], &[]), None);
        assert_eq!(of("select", &[0, 0, 0, 0, 1], &[]), None);
        assert_eq!(of("waitid", &[2, 0x8000_0000], &[]), None);
        assert_eq!(of("poll", &[], &["5 r "]), None);
    }
}
