//! The descriptors that threads wait for, and what they are.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, Serialize};

use crate::facts::Thread;
use crate::process::Process;
use crate::sockets::{self, Socket, State};
use crate::waits::Wait;

/// A descriptor that is waited for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What is waited for on it: `read`, `write`, `urgent`, `accept`, `connect`.
    #[serde(deserialize_with = "known_ways")]
    pub ways: Vec<&'static str>,
    /// What it is: `tcp`, `udp`, `unix`, `socket` (of any other kind), `pipe`, `file`, or what the
    /// kernel calls it; `None` if that is not known.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Of a socket: its own address.
    pub local: Option<String>,
    /// The other end's address.
    pub peer: Option<String>,
    /// Of a file: its path.
    pub path: Option<String>,
    /// Of a socket: its inode.
    #[serde(skip)]
    inode: Option<u64>,
}

/// Those that are known here.
fn known_ways<'de, D: Deserializer<'de>>(read: D) -> Result<Vec<&'static str>, D::Error> {
    let ways = Vec::<String>::deserialize(read)?;
    let known = ["read", "write", "urgent", "accept", "connect"];
    let known = |way: &String| known.into_iter().find(|one| one == way);
    Ok(ways.iter().filter_map(known).collect())
}

/// More are not looked at of what one epoll watches.
const MOST_WATCHED: usize = 16;

impl Descriptor {
    /// From the agent's words: its number, letters for what is waited for, and where its entry in
    /// `/proc/PID/fd` links to.
    pub fn parse(words: &str) -> Option<Descriptor> {
        let mut words = words.splitn(3, ' ');
        let number = words.next()?.parse().ok()?;
        let ways = words.next()?.chars().filter_map(|letter| match letter {
            'r' => Some("read"),
            'w' => Some("write"),
            'p' => Some("urgent"),
            'a' => Some("accept"),
            'c' => Some("connect"),
            _ => None,
        });
        let mut descriptor = Descriptor {
            number,
            ways: ways.collect(),
            ..Descriptor::default()
        };
        descriptor.set_link(words.next().unwrap_or_default());
        Some(descriptor)
    }

    /// Takes what the link in `/proc/PID/fd` says (proc_pid_fd(5)).
    fn set_link(&mut self, link: &str) {
        let numbered = |what: &str| {
            let number = link.strip_prefix(what)?.strip_prefix(":[")?;
            number.strip_suffix(']')?.parse::<u64>().ok()
        };
        self.inode = numbered("socket");
        self.kind = if self.inode.is_some() {
            Some("socket".to_owned())
        } else if numbered("pipe").is_some() {
            Some("pipe".to_owned())
        } else if let Some(name) = link.strip_prefix("anon_inode:") {
            Some(name.trim_matches(['[', ']']).to_owned())
        } else if link.starts_with('/') {
            self.path = Some(link.to_owned());
            Some("file".to_owned())
        } else {
            None
        };
    }

    fn set_socket(&mut self, socket: &Socket) {
        self.kind = Some(socket.kind.to_owned());
        self.local.clone_from(&socket.local);
        self.peer.clone_from(&socket.peer);
        // Where there is a limit to its patience, CPython looks whether it may go on before it does
        // (Modules/socketmodule.c, `internal_select`), as others do.
        let means = match socket.state {
            State::Listens => ("read", "accept"),
            State::Connects => ("write", "connect"),
            State::Other => return,
        };
        for way in self.ways.iter_mut().filter(|way| **way == means.0) {
            *way = means.1;
        }
    }

    /// In words.
    fn words(&self) -> String {
        let noun = match self.kind.as_deref() {
            Some("tcp" | "udp" | "unix" | "socket") => "socket",
            Some(kind) => kind,
            None => "descriptor",
        };
        let mut words = format!("{noun} {}", self.number);
        if let Some(kind @ ("tcp" | "udp" | "unix")) = self.kind.as_deref() {
            words.push_str(&format!(", {kind}"));
        }
        if let Some(place) = self.local.as_ref().or(self.path.as_ref()) {
            words.push_str(&format!(" {place}"));
        }
        if let Some(peer) = &self.peer {
            words.push_str(&format!(" -> {peer}"));
        }
        words
    }

    /// In words, with what is waited for.
    pub fn waited(&self) -> String {
        let ways = self.ways.iter().map(|way| match *way {
            "read" => "data on",
            "write" => "room to write to",
            "urgent" => "urgent data on",
            "accept" => "a connection to",
            _ => "the connection of",
        });
        match ways.collect::<Vec<_>>().join(" or ") {
            ways if ways.is_empty() => self.words(),
            ways => format!("{ways} {}", self.words()),
        }
    }
}

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
fn watched(process: Process, epoll: i32) -> (Vec<Descriptor>, Option<u64>) {
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
    fn reads_what_the_agent_says() {
        let parsed = |words| Descriptor::parse(words).expect("a descriptor");
        for (words, told) in [
            ("5 r socket:[77]", "data on socket 5"),
            ("6 rw pipe:[78]", "data on or room to write to pipe 6"),
            ("7 r /dev/pts/0 x", "data on file 7 /dev/pts/0 x"),
            ("8 r anon_inode:[eventfd]", "data on eventfd 8"),
            ("9  ", "descriptor 9"),
            ("9 p", "urgent data on descriptor 9"),
        ] {
            assert_eq!(parsed(words).waited(), told);
        }
        let mut socket = parsed("5 r socket:[77]");
        assert_eq!(socket.inode, Some(77));
        socket.set_socket(&Socket {
            kind: "tcp",
            local: Some("127.0.0.1:80".to_owned()),
            peer: None,
            state: State::Listens,
        });
        assert_eq!(
            socket.waited(),
            "a connection to socket 5, tcp 127.0.0.1:80"
        );
        for words in ["", "x r /", "5"] {
            assert_eq!(Descriptor::parse(words), None);
        }
    }

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
