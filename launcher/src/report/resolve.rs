//! Looks up what the library cannot: where sockets lead, what an epoll watches, what a child runs.
//!
//! All of it is read from `/proc`, by the command and not in the program.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::secrets::Secrets;
use crate::state::descriptor::Descriptor;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::system::epoll;
use crate::system::proc_file;
use crate::system::process::Process;
use crate::system::sockets;

/// How many descriptors that one epoll watches are looked up.
const MOST_WATCHED: usize = 16;

/// The most bytes that are read of what one epoll watches: the lines of 40,000 descriptors.
const LONGEST_WATCHED: usize = 4 << 20;

/// The most bytes of a child's command line.
const LONGEST_COMMAND: usize = 4 << 10;

/// The most time that is spent on the epolls of one process, and on the command lines of its children: each
/// takes a fraction of a millisecond, unless the process makes it long.
const MOST_TIME: Duration = Duration::from_millis(250);

/// The most bytes of what is shown of epolls and children of one process: however many threads wait for the
/// same, it is shown with each.
const MOST_SHOWN: usize = 2 << 20;

/// What has been looked up for one process, as many threads may wait for the same.
struct LookUps<'a> {
    process: Process,
    secrets: &'a Secrets,
    until: Instant,
    room: usize,
    epolls: HashMap<i32, (Vec<Descriptor>, Option<u64>)>,
    commands: HashMap<i32, Option<String>>,
}

impl<'a> LookUps<'a> {
    fn new(process: Process, secrets: &'a Secrets, until: Instant) -> LookUps<'a> {
        LookUps {
            process,
            secrets,
            until: until.min(Instant::now() + MOST_TIME),
            room: MOST_SHOWN,
            epolls: HashMap::new(),
            commands: HashMap::new(),
        }
    }

    /// Whether there is still time to look one up.
    fn has_time(&self) -> bool {
        Instant::now() < self.until
    }

    /// Takes so many bytes of the room.
    fn has_room(&mut self, bytes: usize) -> bool {
        let left = self.room.checked_sub(bytes);
        self.room = left.unwrap_or(0);
        left.is_some()
    }

    fn watched(&mut self, epoll: i32) -> (Vec<Descriptor>, Option<u64>) {
        if !self.epolls.contains_key(&epoll) && self.has_time() {
            let found = watched(self.process, epoll);
            self.epolls.insert(epoll, found);
        }
        let found = self.epolls.get(&epoll).cloned().unwrap_or_default();
        let paths = found.0.iter().filter_map(|one| one.path.as_ref());
        let size = paths.map(String::len).sum::<usize>() + size_of_val(&found.0[..]);
        match self.has_room(size) {
            true => found,
            false => Default::default(),
        }
    }

    fn command_of(&mut self, child: i32) -> Option<String> {
        if !self.commands.contains_key(&child) && self.has_time() {
            let found = command_of(self.process, child, self.secrets);
            self.commands.insert(child, found);
        }
        let found = self.commands.get(&child)?.clone()?;
        self.has_room(found.len()).then_some(found)
    }
}

/// Completes what the threads of a process wait for, as far as that is done by `until`.
pub fn look_up(process: Process, threads: &mut [Thread], secrets: &Secrets, until: Instant) {
    let waits = threads.iter_mut().filter_map(|one| one.wait.as_mut());
    let mut waits: Vec<&mut Wait> = waits.collect();
    let mut look_ups = LookUps::new(process, secrets, until);
    for wait in &mut waits {
        if let Some(epoll) = wait.epoll {
            (wait.descriptors, wait.others) = look_ups.watched(epoll);
        }
        wait.command = wait.child.and_then(|child| look_ups.command_of(child));
    }
    let descriptors = waits.iter().flat_map(|wait| &wait.descriptors);
    let inodes: HashSet<u64> = descriptors.filter_map(|one| one.inode).collect();
    let found = sockets::find(process, inodes, until);
    for wait in &mut waits {
        for descriptor in &mut wait.descriptors {
            let socket = descriptor.inode.and_then(|inode| found.get(&inode));
            if let Some(socket) = socket {
                descriptor.set_socket(socket);
            }
            descriptor.hide(secrets);
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
    is_child.then(|| {
        let command = child.command_line_within(LONGEST_COMMAND).0;
        secrets.command_line(command).join(" ")
    })
}

/// The first descriptors that an epoll watches, and how many more there are; `None` if it is not known
/// what it watches, or how many.
fn watched(process: Process, epoll: i32) -> (Vec<Descriptor>, Option<u64>) {
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
