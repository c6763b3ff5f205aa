//! Looks up what the library cannot: where sockets lead, what an epoll watches, what a child runs.
//!
//! All of it is read from `/proc`, by the command and not in the program.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;

use crate::secrets::Secrets;
use crate::state::descriptor::Descriptor;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::system::process::Process;
use crate::system::sockets;

/// How many descriptors that one epoll watches are looked up.
const MOST_WATCHED: usize = 16;

/// How many epolls and children of one process are looked up. What is more is only counted, or has no
/// command line.
const MOST_LOOKED_UP: usize = 200;

/// The most text that command lines of children may take in a report, in bytes: many threads may wait for
/// the same.
const MOST_TEXT: usize = 4 << 20;

/// How many descriptors of epolls a report has. Many threads may wait for the same.
const MOST_DESCRIPTORS: usize = 20_000;

/// The most that is read of what the kernel lists of an epoll, in bytes: it is enough for 60,000
/// descriptors.
const LONGEST_LIST: u64 = 4 << 20;

/// Completes what the threads of a process wait for.
pub fn look_up(process: Process, threads: &mut [Thread], secrets: &Secrets) {
    let waits = threads.iter_mut().filter_map(|one| one.wait.as_mut());
    let mut waits: Vec<&mut Wait> = waits.collect();
    let mut epolls: HashMap<i32, (Vec<Descriptor>, Option<u64>)> = HashMap::new();
    let mut children: HashMap<i32, Option<String>> = HashMap::new();
    let (mut text, mut descriptors) = (MOST_TEXT, MOST_DESCRIPTORS);
    for wait in &mut waits {
        if let Some(epoll) = wait.epoll
            && (epolls.len() < MOST_LOOKED_UP || epolls.contains_key(&epoll))
        {
            let found = epolls.entry(epoll);
            let (watched, others) = found.or_insert_with(|| watched(process, epoll));
            let (shown, hidden) = watched.split_at(watched.len().min(descriptors));
            descriptors -= shown.len();
            wait.descriptors = shown.to_vec();
            wait.others = others.map(|others| others + hidden.len() as u64);
        } else if wait.epoll.is_some() {
            (wait.descriptors, wait.others) = (Vec::new(), None);
        }
        if let Some(child) = wait.child
            && (children.len() < MOST_LOOKED_UP || children.contains_key(&child))
        {
            let found = children.entry(child);
            let command = found.or_insert_with(|| command_of(process, child, secrets));
            let length = command.as_ref().map_or(0, String::len);
            if let Some(left) = text.checked_sub(length) {
                text = left;
                wait.command.clone_from(command);
            }
        }
    }
    let descriptors = waits.iter().flat_map(|wait| &wait.descriptors);
    let inodes: HashSet<u64> = descriptors.filter_map(|one| one.inode).collect();
    let found = sockets::find(process, inodes);
    for wait in &mut waits {
        for descriptor in &mut wait.descriptors {
            let socket = descriptor.inode.and_then(|inode| found.get(&inode));
            if let Some(socket) = socket {
                descriptor.set_socket(socket);
            }
        }
        wait.name_by_descriptor();
    }
}

/// The command line of a child process; `None` if it is not the process's child here: in another PID
/// namespace the number is another process's.
fn command_of(parent: Process, child: i32, secrets: &Secrets) -> Option<String> {
    if child <= 0 {
        return None;
    }
    let child = Process { pid: child };
    let is_child = child.status().is_ok_and(|one| one.parent == parent.pid);
    is_child.then(|| secrets.command_line(child.command_line()).join(" "))
}

/// The first descriptors that an epoll watches, and how many more there are; `None` if it is not known
/// what it watches, or how many.
fn watched(process: Process, epoll: i32) -> (Vec<Descriptor>, Option<u64>) {
    let link_of = |number: i32| {
        let link = std::fs::read_link(process.path(&format!("fd/{number}")));
        link.map(|link| link.to_string_lossy().into_owned())
    };
    let mut text = String::new();
    let read = File::open(process.path(&format!("fdinfo/{epoll}")))
        .and_then(|file| file.take(LONGEST_LIST).read_to_string(&mut text));
    let (Ok(read), Ok("anon_inode:[eventpoll]")) = (read, link_of(epoll).as_deref()) else {
        return (Vec::new(), None);
    };
    let (mut watched, count) = parse_watched(&text);
    for descriptor in &mut watched {
        descriptor.set_link(&link_of(descriptor.number).unwrap_or_default());
    }
    let others = count - watched.len() as u64;
    (
        watched,
        Some(others).filter(|_| (read as u64) < LONGEST_LIST),
    )
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
