//! What the kernel says of threads: their system calls, and what those wait for.

use std::collections::HashMap;
use syscalls::x86_64::Sysno;

use crate::state::descriptor::Descriptor;
use crate::state::thread::{Task, Thread};
use crate::state::wait::Wait;
use crate::system::proc_file::hexadecimal;
use protocol::state::{GIL, MORE, RUNNING, WaitKind};

/// What the kernel says of a thread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observed {
    /// What is shown of it.
    pub(crate) task: Task,
    /// What its system call waits for, if that is known.
    pub(crate) wait: Option<Wait>,
    /// The address of the futex that it waits on, if it does.
    pub(crate) futex: Option<u64>,
    /// Whether that wait has a timeout.
    pub(crate) limited: bool,
    /// Whether that is the GIL's, if that is known.
    pub(crate) on_gil: Option<bool>,
}

impl Observed {
    /// Whether the thread can be in this wait, which its frames show. They show where it last ran
    /// Python code: it may have left that call since, or may only have tried.
    pub(crate) fn agrees_with(&self, wait: &Wait) -> bool {
        match self.task.call.as_deref() {
            // A wait with a timeout sleeps and looks, in turn (threading.py, `wait`).
            _ if wait.limited == Some(true) => true,
            _ if self.task.runs => false,
            None => wait.kind != WaitKind::Import && !wait.is_likely,
            Some("futex") if wait.futex.is_some() && self.futex.is_some() => {
                wait.futex == self.futex
            }
            Some("select" | "pselect6") => wait.kind == WaitKind::Sleep,
            // Threads wait for the GIL in a futex too. Where the GIL's is not known, an import, which
            // may have ended, is not shown.
            Some("futex") => match self.on_gil {
                Some(true) => false,
                Some(false) => wait.kind != WaitKind::Sleep,
                None => !matches!(wait.kind, WaitKind::Sleep | WaitKind::Import),
            },
            Some(_) => false,
        }
    }
}

/// A thread that runs no Python: its name, its TID and what its `syscall` file says.
pub(crate) fn thread_without_python(name: String, tid: i32, call: &str) -> Thread {
    let observed = observed(None, &format!("0 {tid} {call}"));
    let (task, wait) = observed.map(|one| (one.task, one.wait)).unzip();
    Thread {
        name: Some(name),
        task,
        wait: wait.flatten(),
        ..Thread::default()
    }
}

/// A longer line is cut, in bytes: those of the library are not as long.
const LONGEST_LINE: usize = 64 << 10;

/// A system call has no more arguments.
const MOST_ARGUMENTS: usize = 6;

/// More descriptors of one wait are only counted. The library describes fewer.
const MOST_DESCRIPTORS: usize = 64;

/// What the kernel says of threads, by thread identifier. It is read when it is looked at.
pub(crate) struct Tasks<'a> {
    /// The address of the GIL's futex, if it is known.
    gil: Option<u64>,
    lines: HashMap<u64, &'a [u8]>,
}

impl<'a> Tasks<'a> {
    /// Reads [`TASKS`](protocol::state::document::TASKS). Of threads that `is_known` does not know there may
    /// be any number, which are passed over.
    pub(crate) fn parse(text: &'a [u8], is_known: impl Fn(u64) -> bool) -> Tasks<'a> {
        let lines = text.split(|&byte| byte == b'\n');
        let gil = lines.clone().next().and_then(|first| {
            let rest = first.strip_prefix(GIL.as_bytes())?;
            hexadecimal(std::str::from_utf8(rest).ok()?.strip_prefix(' ')?)
        });
        let of_thread = |line: &'a [u8]| {
            let ident = line.split(|&byte| byte == b' ').next()?;
            let ident = std::str::from_utf8(ident).ok()?.parse().ok()?;
            is_known(ident).then_some((ident, &line[..line.len().min(LONGEST_LINE)]))
        };
        Tasks {
            gil,
            lines: lines.filter_map(of_thread).collect(),
        }
    }

    /// What it says of this thread.
    pub(crate) fn of(&self, ident: u64) -> Option<Observed> {
        observed(self.gil, &String::from_utf8_lossy(self.lines.get(&ident)?))
    }
}

/// Reads a line.
pub(crate) fn observed(gil: Option<u64>, line: &str) -> Option<Observed> {
    let (line, descriptors) = line.split_once('\t').unwrap_or((line, ""));
    let mut words = line.split(' ').skip(1);
    let number = words.next()?.parse().ok()?;
    let state = words.next().unwrap_or_default();
    // -1: it is blocked outside of system calls.
    let call = state.parse().ok().filter(|&call| call >= 0).map(call_name);
    let mut arguments = words.map_while(hexadecimal);
    let (mut futex, mut on_gil, mut limited) = (None, None, false);
    let mut wait = None;
    match call.as_deref() {
        // Most threads are in this one.
        Some("futex") => {
            futex = arguments.next();
            // Behind the operation and the value (futex(2)).
            limited = arguments.nth(2).is_some_and(|timeout| timeout != 0);
            on_gil = gil.map(|gil| futex == Some(gil));
            if on_gil == Some(true) {
                wait = Some(Wait::of_kind(WaitKind::Gil));
            }
        }
        Some(call) => {
            let arguments: Vec<u64> = arguments.take(MOST_ARGUMENTS).collect();
            let descriptors = descriptors.split('\t').filter(|one| !one.is_empty());
            wait = wait_in(call, &arguments, &descriptors.collect::<Vec<&str>>());
        }
        None => {}
    }
    let task = Task {
        number,
        call,
        runs: state == RUNNING,
        seconds: None,
    };
    Some(Observed {
        task,
        wait,
        futex,
        limited,
        on_gil,
    })
}

/// The name of a system call, or its number if it has none here.
fn call_name(number: i64) -> String {
    let known = usize::try_from(number).ok().and_then(Sysno::new);
    known.map_or_else(|| number.to_string(), |call| call.name().to_owned())
}

/// What a thread waits for in this system call, with these arguments and descriptors (as
/// [`TASKS`](protocol::state::document::TASKS) has them).
fn wait_in(call: &str, arguments: &[u64], descriptors: &[&str]) -> Option<Wait> {
    let argument = |index: usize| arguments.get(index).copied();
    if let "wait4" | "waitid" = call {
        // waitid(2) has P_ALL, P_PID or P_PGID; wait4(2) has all of that in a sign.
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
    let left_out = |one: &&str| one.strip_prefix(MORE).and_then(|count| count.parse().ok());
    let others = descriptors.iter().find_map(left_out).unwrap_or(0);
    let mut descriptors = descriptors.iter().filter_map(|one| Descriptor::parse(one));
    let first_of_them = descriptors.by_ref().take(MOST_DESCRIPTORS);
    let first_of_them: Vec<Descriptor> = first_of_them.collect();
    let others = descriptors.fold(others, |count: u64, _| count.saturating_add(1));
    let descriptors = first_of_them;
    let first = descriptors.first()?;
    let limited = match call {
        "poll" => Some(argument(2)? as i32 >= 0),
        "epoll_wait" | "epoll_pwait" => Some(argument(3)? as i32 >= 0),
        "ppoll" => Some(argument(2)? != 0),
        "epoll_pwait2" => Some(argument(3)? != 0),
        "select" | "pselect6" => Some(argument(4)? != 0),
        // A socket may have a timeout of its own (SO_RCVTIMEO).
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

#[cfg(test)]
mod tests {
    use super::*;
    fn kind_and_words(
        call: &str,
        arguments: &[u64],
        descriptors: &[&str],
    ) -> (WaitKind, Option<bool>, String) {
        let wait = wait_in(call, arguments, descriptors).expect("it waits");
        (wait.kind, wait.limited, wait.words())
    }

    #[test]
    fn says_what_a_call_waits_for() {
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
                 room to write to descriptor 7; descriptor 8; and 4 more, for a limited time",
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
            assert_eq!(kind_and_words(call, arguments, extra), expected, "{call}");
        }
        // A count that makes no sense.
        let most = format!("+{}", u64::MAX);
        let (_, _, words) = kind_and_words("select", &[1; 5], &["5 r ", "6 r ", &most]);
        assert!(words.starts_with("any of 18446744073709551615 descriptors: "));
        assert_eq!(wait_in("futex", &[1, 0], &[]), None);
        assert_eq!(wait_in("select", &[0, 0, 0, 0, 1], &[]), None);
        assert_eq!(wait_in("waitid", &[2, 0x8000_0000], &[]), None);
        assert_eq!(wait_in("poll", &[], &["5 r "]), None);
    }

    #[test]
    fn reads_lines_of_tasks() {
        let text = b"7 70 202 0x7f 0x80\n8 80 running\n6 60 -1 0x0\n5 50 \n4\n9 90 running\n";
        let tasks = Tasks::parse(text, |ident| ident != 9);
        let task = |ident: u64| {
            let task = tasks.of(ident).expect("it is there").task;
            (task.number, task.call, task.runs)
        };
        assert_eq!(task(7), (70, Some("futex".to_owned()), false));
        assert_eq!(task(8), (80, None, true));
        assert_eq!(task(6), (60, None, false));
        assert_eq!(task(5), (50, None, false));
        for ident in [4, 9, 1] {
            assert_eq!(tasks.of(ident), None);
        }
        assert_eq!(Tasks::parse(b"", |_| true).of(7), None);
        assert_eq!(call_name(100_000), "100000");
    }

    #[test]
    fn knows_the_gil_among_futexes() {
        let text = "7 70 0 0x5 0x7f 0x10 0x0 0x0 0x0 0x7ff 0x7f\t5 r /a\u{e9}\\011b\n8 80 202 0x1a 0x0\n9 90 202 0x1 0x0\n";
        let with_gil = format!("gil 0x1a\n{text}");
        let known = Tasks::parse(with_gil.as_bytes(), |_| true);
        let of = |tasks: &Tasks, ident| tasks.of(ident).expect("it is there");
        let on_gil = |tasks: &Tasks| [7, 8, 9].map(|ident| of(tasks, ident).on_gil);
        assert_eq!(on_gil(&known), [None, Some(true), Some(false)]);
        assert_eq!(of(&known, 8).wait, Some(Wait::of_kind(WaitKind::Gil)));
        let tasks = Tasks::parse(text.as_bytes(), |_| true);
        assert_eq!(on_gil(&tasks), [None; 3]);
        let words = |ident: u64| of(&tasks, ident).wait.map(|wait| wait.words());
        assert_eq!(words(7), Some("data on file 5 /a\u{e9}\\011b".to_owned()));
        assert_eq!(words(8), None);
    }

    #[test]
    fn checks_what_frames_show() {
        let observed = |call: Option<&str>, runs| Observed {
            task: Task {
                number: 1,
                call: call.map(str::to_owned),
                runs,
                seconds: None,
            },
            wait: None,
            futex: call.map(|_| 0x10),
            on_gil: None,
            limited: false,
        };
        let lock = Wait::of_kind(WaitKind::Lock);
        let limited = Wait {
            limited: Some(true),
            ..Wait::of_kind(WaitKind::Condition)
        };
        let sleep = Wait::of_kind(WaitKind::Sleep);
        let on = |address| Wait {
            futex: Some(address),
            is_likely: true,
            ..Wait::of_kind(WaitKind::Lock)
        };
        for (call, agreed) in [(Some("futex"), [true, false]), (None, [false; 2])] {
            let observed = observed(call, false);
            let agrees = [0x10, 0x20].map(|address| observed.agrees_with(&on(address)));
            assert_eq!(agrees, agreed, "{call:?}");
        }
        for (call, runs, agreed) in [
            (Some("futex"), false, [true, true, false]),
            (Some("select"), false, [false, true, true]),
            (Some("read"), false, [false, true, false]),
            (None, false, [true, true, true]),
            (None, true, [false, true, false]),
        ] {
            let observed = observed(call, runs);
            assert_eq!(
                [&lock, &limited, &sleep].map(|wait| observed.agrees_with(wait)),
                agreed
            );
        }
    }
}
