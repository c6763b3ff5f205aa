//! Looks up what the library cannot: where sockets lead, what an epoll watches, what a child runs.
//!
//! All of it is read from `/proc`, by the command and not in the program.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::other_ends;
use crate::report::room::{MOST_SHOWN, Room};
use crate::secrets::Secrets;
use crate::state::descriptor::Descriptor;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::system::epoll;
use crate::system::proc_file;
use crate::system::process::Process;
use crate::system::sockets;
use crate::system::supervisor;

/// How many descriptors that one epoll watches are looked up.
const MOST_WATCHED: usize = 16;

/// The most bytes that are read of what one epoll watches: the lines of 40,000 descriptors.
const LONGEST_WATCHED: usize = 4 << 20;

/// The most bytes of a child's command line.
const LONGEST_COMMAND: usize = 4 << 10;

/// The most time that is spent on the epolls of one process, and on the command lines of its children: each
/// takes a fraction of a millisecond, unless the process makes it long.
const MOST_TIME: Duration = Duration::from_millis(250);

/// What an epoll watches: the first descriptors, and how many more there are.
type Watched = (Vec<Descriptor>, Option<u64>);

/// What has been looked up for one process, as many threads may wait for the same.
#[derive(Default)]
struct Found {
    epolls: HashMap<i32, Watched>,
    commands: HashMap<i32, String>,
}

/// One of these.
enum One {
    Epoll(i32, Watched),
    Command(i32, String),
}

/// Looks these epolls and the command lines of these children up, as far as that is done by `until`. A process can keep
/// whoever looks in the kernel. So a thread of its own looks, and holds nothing meanwhile: neither the answer nor its
/// memory.
fn find(
    process: Process,
    epolls: HashSet<i32>,
    children: HashSet<i32>,
    secrets: &Secrets,
    until: Instant,
) -> Found {
    let mut found = Found::default();
    if epolls.is_empty() && children.is_empty() {
        return found;
    }
    let (sender, looks) = mpsc::channel();
    let secrets = secrets.clone();
    let look = move || {
        let in_time = |_: &i32| Instant::now() < until;
        for epoll in epolls.into_iter().take_while(in_time) {
            let _ = sender.send(One::Epoll(epoll, watched(process, epoll)));
        }
        for child in children.into_iter().take_while(in_time) {
            if let Some(command) = command_of(process, child, &secrets) {
                let _ = sender.send(One::Command(child, command));
            }
        }
    };
    let builder = thread::Builder::new().name("look-ups".to_owned());
    if builder.spawn(look).is_err() {
        // The system grants no thread: the answer does without.
        return found;
    }
    let mut room = Room(MOST_SHOWN);
    loop {
        match looks.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(One::Epoll(epoll, watched)) if room.take(size_of_watched(&watched.0)) => {
                found.epolls.insert(epoll, watched);
            }
            Ok(One::Command(child, command)) if room.take(command.len()) => {
                found.commands.insert(child, command);
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return found,
            Err(RecvTimeoutError::Timeout) => {
                supervisor::note_stuck();
                return found;
            }
        }
    }
}

/// Completes what the threads of a process wait for, as far as that is done by `until`.
pub fn look_up(process: Process, threads: Vec<&mut Thread>, secrets: &Secrets, until: Instant) {
    let waits = threads.into_iter().filter_map(|one| one.wait.as_mut());
    let mut waits: Vec<&mut Wait> = waits.collect();
    let epolls = waits.iter().filter_map(|wait| wait.epoll).collect();
    let children = waits.iter().filter_map(|wait| wait.child).collect();
    let soon = until.min(Instant::now() + MOST_TIME);
    let found = find(process, epolls, children, secrets, soon);
    let mut room = Room(MOST_SHOWN);
    for wait in &mut waits {
        if let Some(watched) = wait.epoll.and_then(|epoll| found.epolls.get(&epoll))
            && room.take(size_of_watched(&watched.0))
        {
            (wait.descriptors, wait.others) = watched.clone();
        }
        if let Some(command) = wait.child.and_then(|child| found.commands.get(&child))
            && room.take(command.len())
        {
            wait.command = Some(command.clone());
        }
    }
    let descriptors = waits.iter().flat_map(|wait| &wait.descriptors);
    let sockets = descriptors.filter(|one| one.kind.as_deref() == Some("socket"));
    let inodes: HashSet<u64> = sockets.filter_map(|one| one.inode).collect();
    let found = sockets::find(process, inodes, until);
    for wait in &mut waits {
        for descriptor in &mut wait.descriptors {
            let socket = descriptor.inode.and_then(|inode| found.get(&inode));
            if let Some(socket) = socket.filter(|_| descriptor.kind.as_deref() == Some("socket")) {
                descriptor.set_socket(socket);
            }
            descriptor.hide(secrets);
        }
        wait.name_by_descriptor();
    }
    other_ends::look_up(process, &mut waits, secrets, until);
}

fn size_of_watched(watched: &[Descriptor]) -> usize {
    let paths = watched.iter().filter_map(|one| one.path.as_ref());
    paths.map(String::len).sum::<usize>() + size_of_val(watched)
}

/// The command line of a child process; `None` if it is not the process's child here: in another PID
/// namespace the number is another process's.
fn command_of(parent: Process, child: i32, secrets: &Secrets) -> Option<String> {
    if child <= 0 {
        return None;
    }
    let child = Process { pid: child };
    let is_child = child.status().is_ok_and(|one| one.parent == parent.pid);
    is_child.then(|| {
        let command = child.command_line_within(LONGEST_COMMAND);
        secrets.command_line(command.arguments()).join(" ")
    })
}

/// The first descriptors that an epoll watches, and how many more there are; `None` if it is not known
/// what it watches, or how many.
fn watched(process: Process, epoll: i32) -> Watched {
    let link_of = |number: i32| {
        let link = std::fs::read_link(process.path(&format!("fd/{number}")));
        link.map(|link| link.to_string_lossy().into_owned())
    };
    // Only then: what other descriptors have in this file may be long.
    let Ok("anon_inode:[eventpoll]") = link_of(epoll).as_deref() else {
        return (Vec::new(), None);
    };
    let fdinfo = process.path(&format!("fdinfo/{epoll}"));
    let Ok(text) = proc_file::read(fdinfo, LONGEST_WATCHED) else {
        return (Vec::new(), None);
    };
    let (mut watched, count) = parse_watched(&String::from_utf8_lossy(&text.bytes));
    if count == 0 && !epoll::is_listed() {
        return (Vec::new(), None);
    }
    for descriptor in &mut watched {
        descriptor.set_link(&link_of(descriptor.number).unwrap_or_default());
    }
    let others = count - watched.len() as u64;
    (watched, (!text.cut).then_some(others))
}

/// Reads `/proc/PID/fdinfo/N` of an epoll (proc_pid_fdinfo(5)): the first descriptors that it watches,
/// and how many it watches in all.
fn parse_watched(text: &str) -> (Vec<Descriptor>, u64) {
    let mut watched = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("tfd:") {
            continue;
        }
        count += 1;
        let number = words.next().and_then(|word| word.parse().ok());
        let events = words.nth(1).map(|word| u32::from_str_radix(word, 16));
        let (Some(number), Some(Ok(events)), true) = (number, events, count <= MOST_WATCHED as u64)
        else {
            continue;
        };
        // EPOLLIN and EPOLLRDNORM; EPOLLOUT and EPOLLWRNORM; EPOLLPRI
        // (include/uapi/linux/eventpoll.h).
        let ways = [(0x41, "read"), (0x104, "write"), (0x2, "urgent")];
        let ways = ways.into_iter().filter(|(bits, _)| events & bits != 0);
        watched.push(Descriptor {
            number,
            ways: ways.map(|(_, way)| way).collect(),
            ..Descriptor::default()
        });
    }
    (watched, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_an_epoll_watches() {
        let line =
            |number| format!("tfd:        {number} events:       19 data:        5  pos:0\n");
        let text = format!("pos:\t0\nflags:\t02\n{}{}", line(5), line(6).repeat(20));
        let (watched, count) = parse_watched(&text);
        assert_eq!((watched.len(), count), (MOST_WATCHED, 21));
        assert_eq!((watched[0].number, &*watched[0].ways), (5, &["read"][..]));
        assert_eq!(parse_watched("tfd: x\n").1, 1);
    }
}
