//! The file descriptors that threads wait for.

use serde::{Deserialize, Deserializer, Serialize};

use crate::secrets::Secrets;
use crate::state::other_end::{OtherEnd, stream};
use crate::system::sockets::{Socket, State};
use protocol::state::Way;

/// A descriptor that a thread waits for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What the thread waits for on it: `read`, `write`, `urgent`, `accept`, `connect`, `lock`.
    #[serde(deserialize_with = "known_ways")]
    pub ways: Vec<&'static str>,
    /// What it is: `tcp`, `udp`, `unix`, `socket` (any other), `pipe`, `fifo`, `file`, or the kernel's
    /// name for it; `None` if that is not known.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The socket's own address.
    pub local: Option<String>,
    /// The address of the socket's other end.
    pub peer: Option<String>,
    /// The file's path.
    pub path: Option<String>,
    /// Of a pipe, a FIFO or a connected Unix socket: who has the other end, if that is known.
    #[serde(default)]
    pub other_end: Option<OtherEnd>,
    /// Of a file that a thread waits to lock: who holds the lock, if that is known.
    #[serde(default)]
    pub held_by: Option<OtherEnd>,
    /// The inode of a socket or a pipe.
    #[serde(skip)]
    pub(crate) inode: Option<u64>,
}

/// All that a thread can wait for on a descriptor.
const WAYS: [&str; 6] = ["read", "write", "urgent", "accept", "connect", "lock"];

/// Leaves out ways that are not known here: a later version may have more.
fn known_ways<'de, D: Deserializer<'de>>(read: D) -> Result<Vec<&'static str>, D::Error> {
    let ways = Vec::<String>::deserialize(read)?;
    let known = |way: &String| WAYS.into_iter().find(|one| one == way);
    Ok(ways.iter().filter_map(known).take(WAYS.len()).collect())
}

impl Descriptor {
    /// Reads a descriptor as [`TASKS`](protocol::state::document::TASKS) has it: `NUMBER WAYS LINK`.
    pub fn parse(words: &str) -> Option<Descriptor> {
        let mut words = words.splitn(3, ' ');
        let number = words.next()?.parse().ok()?;
        let ways = words
            .next()?
            .bytes()
            .filter_map(|letter| match Way::from_letter(letter)? {
                Way::Read => Some("read"),
                Way::Write => Some("write"),
                Way::Urgent => Some("urgent"),
                Way::Accept => Some("accept"),
                Way::Connect => Some("connect"),
                Way::Lock => Some("lock"),
                // What is waited for is what the epoll watches, and not the epoll.
                Way::Epoll => None,
            });
        let mut descriptor = Descriptor {
            number,
            ways: ways.collect(),
            ..Descriptor::default()
        };
        descriptor.set_link(words.next().unwrap_or_default());
        Some(descriptor)
    }

    /// Sets what the link in `/proc/PID/fd` says of it (proc_pid_fd(5)).
    pub(crate) fn set_link(&mut self, link: &str) {
        let numbered = |what: &str| {
            let number = link.strip_prefix(what)?.strip_prefix(":[")?;
            number.strip_suffix(']')?.parse::<u64>().ok()
        };
        let numbers = ["socket", "pipe"].map(|what| (what, numbered(what)));
        let numbers = numbers.into_iter().find(|(_, number)| number.is_some());
        self.kind = if let Some((what, number)) = numbers {
            self.inode = number;
            Some(what.to_owned())
        } else if let Some(name) = link.strip_prefix("anon_inode:") {
            Some(name.trim_matches(['[', ']']).to_owned())
        } else if link.starts_with('/') {
            self.path = Some(link.to_owned());
            Some("file".to_owned())
        } else {
            None
        };
    }

    /// Sets what the kernel's lists say of this socket.
    pub(crate) fn set_socket(&mut self, socket: &Socket) {
        self.kind = Some(socket.kind.to_owned());
        self.local.clone_from(&socket.local);
        self.peer.clone_from(&socket.peer);
        // With a timeout, CPython polls the socket before it accepts or connects
        // (Modules/socketmodule.c, `internal_select`), as other programs do.
        let means = match socket.state {
            State::Listens => ("read", "accept"),
            State::Connects => ("write", "connect"),
            State::Other => return,
        };
        for way in self.ways.iter_mut().filter(|way| **way == means.0) {
            *way = means.1;
        }
    }

    /// Hides secrets in its addresses and its path, which the program has chosen.
    pub(crate) fn hide(&mut self, secrets: &Secrets) {
        for text in [&mut self.local, &mut self.peer, &mut self.path] {
            *text = secrets.name(text.take());
        }
    }

    /// What it is, in words.
    fn words(&self) -> String {
        let noun = match self.kind.as_deref() {
            Some("tcp" | "udp" | "unix" | "socket") => "socket",
            Some("fifo") => "FIFO",
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
        if let (Some("pipe" | "fifo"), Some(stream)) = (self.kind.as_deref(), stream(self.number)) {
            words.push_str(&format!(" ({stream})"));
        }
        if let Some(holders) = &self.held_by {
            words.push_str(&holders.words_of_holders());
        }
        if let Some(end) = &self.other_end {
            words.push_str(&end.words(match (self.kind.as_deref(), &self.ways[..]) {
                (Some("unix"), _) => None,
                (_, ["write"]) => Some("reading"),
                _ => Some("writing"),
            }));
        }
        words
    }

    /// What the thread waits for on it, in words.
    pub fn waited(&self) -> String {
        let ways = self.ways.iter().map(|way| match *way {
            "read" => "data on",
            "write" => "room to write to",
            "urgent" => "urgent data on",
            "accept" => "a connection to",
            "lock" => "a lock on",
            _ => "the connection of",
        });
        match ways.collect::<Vec<_>>().join(" or ") {
            ways if ways.is_empty() => self.words(),
            ways => format!("{ways} {}", self.words()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reads_descriptors_and_says_what_they_are() {
        let parsed = |text| Descriptor::parse(text).expect("a descriptor");
        for (text, words) in [
            ("5 r socket:[77]", "data on socket 5"),
            ("6 rw pipe:[78]", "data on or room to write to pipe 6"),
            ("7 r /dev/pts/0 x", "data on file 7 /dev/pts/0 x"),
            ("8 r anon_inode:[eventfd]", "data on eventfd 8"),
            ("9  ", "descriptor 9"),
            ("9 p", "urgent data on descriptor 9"),
        ] {
            assert_eq!(parsed(text).waited(), words);
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
    fn hides_secrets_in_addresses_and_paths() {
        let mut socket = Descriptor::parse("5 r /run/token=rosebud").expect("a descriptor");
        socket.set_socket(&Socket {
            kind: "unix",
            local: Some("@password=rosebud".to_owned()),
            peer: Some("/run/daylight".to_owned()),
            state: State::Other,
        });
        socket.hide(&Secrets::default());
        let texts = [&socket.local, &socket.peer, &socket.path].map(Option::as_deref);
        let shown = ["@password=<hidden>", "/run/daylight", "/run/token=<hidden>"];
        assert_eq!(texts, shown.map(Some));
    }
}
