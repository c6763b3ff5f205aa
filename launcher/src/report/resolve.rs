//! Finds out what the descriptors are that threads wait for.

use std::collections::HashSet;

use crate::state::descriptor::{Descriptor, MOST_WATCHED};
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::system::process::Process;
use crate::system::sockets;

/// Finds out what the descriptors are that these threads of a process wait for. The agent has told
/// what its kernel calls them; who is at the other end, the kernel lists elsewhere.
pub fn look_up(process: Process, threads: &mut [Thread]) {
    let waits = threads.iter_mut().filter_map(|one| one.wait.as_mut());
    let mut waits: Vec<&mut Wait> = waits.collect();
    for wait in &mut waits {
        if let Some(epoll) = wait.epoll {
            (wait.descriptors, wait.others) = watched(process, epoll);
        }
    }
    let descriptors = waits.iter().flat_map(|wait| &wait.descriptors);
    let inodes: HashSet<u64> = descriptors.filter_map(|one| one.inode).collect();
    let found = sockets::find(process, inodes);
    for wait in &mut waits {
        for one in &mut wait.descriptors {
            let socket = one.inode.and_then(|inode| found.get(&inode));
            if let Some(socket) = socket {
                one.set_socket(socket);
            }
        }
        wait.name_by_descriptor();
    }
}

/// What an epoll watches, and how many more there are, if it is still there; `None` for the number if
/// that is not known.
pub(crate) fn watched(process: Process, epoll: i32) -> (Vec<Descriptor>, Option<u64>) {
    let link_of = |number: i32| {
        let link = std::fs::read_link(process.path(&format!("fd/{number}")));
        link.map(|link| link.to_string_lossy().into_owned())
    };
    let text = std::fs::read_to_string(process.path(&format!("fdinfo/{epoll}")));
    let (Ok(text), Ok("anon_inode:[eventpoll]")) = (text, link_of(epoll).as_deref()) else {
        return (Vec::new(), None);
    };
    let (mut watched, count) = parse_watched(&text);
    for one in &mut watched {
        one.set_link(&link_of(one.number).unwrap_or_default());
    }
    let others = count - watched.len() as u64;
    (watched, Some(others))
}

/// From `/proc/PID/fdinfo/N` of an epoll (proc_pid_fdinfo(5)): the first that it watches, and how many
/// there are.
pub(crate) fn parse_watched(text: &str) -> (Vec<Descriptor>, u64) {
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
        // include/uapi/linux/eventpoll.h
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
    fn reads_what_epoll_watches() {
        let line =
            |number| format!("tfd:        {number} events:       19 data:        5  pos:0\n");
        let text = format!("pos:\t0\nflags:\t02\n{}{}", line(5), line(6).repeat(20));
        let (watched, count) = parse_watched(&text);
        assert_eq!((watched.len(), count), (MOST_WATCHED, 21));
        assert_eq!((watched[0].number, &*watched[0].ways), (5, &["read"][..]));
        assert_eq!(parse_watched("tfd: x\n").1, 1);
    }
}
