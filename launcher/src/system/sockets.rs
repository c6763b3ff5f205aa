//! The sockets of a process's network namespace, as the kernel lists them.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::system::process::Process;

/// A socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Socket {
    /// `tcp`, `udp` or `unix`.
    pub kind: &'static str,
    /// Its own address, if it has one.
    pub local: Option<String>,
    /// The address of the other end, if that is known.
    pub peer: Option<String>,
    /// Its state.
    pub state: State,
}

/// The state of a socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// It accepts connections.
    Listens,
    /// Its connection is not established yet.
    Connects,
    /// Any other.
    Other,
}

/// The lists (net/ipv4/tcp_ipv4.c, udp.c, net/ipv6 likewise, net/unix/af_unix.c), below `/proc/PID/net`.
const LISTS: [&str; 5] = ["tcp", "tcp6", "unix", "udp", "udp6"];

/// The most bytes of lists that are read for one process: 100,000 sockets.
const MOST_TEXT: usize = 16 << 20;

/// The most time that is spent on the lists for one process.
const MOST_TIME: Duration = Duration::from_millis(250);

/// Finds the sockets with these inodes. A list may be long, so reading stops at the last of them, at a limit,
/// and at `until`.
pub fn find(process: Process, mut inodes: HashSet<u64>, until: Instant) -> HashMap<u64, Socket> {
    let mut found = HashMap::new();
    let (mut left, until) = (MOST_TEXT, until.min(Instant::now() + MOST_TIME));
    for list in LISTS {
        if inodes.is_empty() {
            break;
        }
        let Ok(file) = File::open(process.path(&format!("net/{list}"))) else {
            continue;
        };
        let mut lines = BufReader::with_capacity(64 << 10, file);
        let mut line = Vec::new();
        while !inodes.is_empty() && Instant::now() < until {
            line.clear();
            // Names of Unix sockets are any bytes, and at most 108.
            match lines.read_until(b'\n', &mut line) {
                Ok(count @ 1..=MOST_TEXT) if left >= count => left -= count,
                _ => break,
            }
            if lines.buffer().is_empty() && Instant::now() > until {
                return found;
            }
            if let Some((inode, socket)) = parse(list, &String::from_utf8_lossy(&line))
                && inodes.remove(&inode)
            {
                found.insert(inode, socket);
            }
        }
    }
    found
}

/// Parses a line of one of the lists.
pub fn parse(list: &str, line: &str) -> Option<(u64, Socket)> {
    match list {
        "unix" => parse_unix(line),
        "tcp" | "tcp6" => parse_internet("tcp", line),
        _ => parse_internet("udp", line),
    }
}

fn parse_internet(kind: &'static str, line: &str) -> Option<(u64, Socket)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = parse_address(words.next()?)?;
    let peer = parse_address(words.next()?)?;
    // include/net/tcp_states.h
    let state = match (kind, words.next()?) {
        ("tcp", "0A") => State::Listens,
        ("tcp", "02") => State::Connects,
        _ => State::Other,
    };
    let inode = words.nth(5)?.parse().ok()?;
    let known = |address: SocketAddr| (address.port() != 0).then(|| address.to_string());
    let socket = Socket {
        kind,
        local: known(local),
        peer: known(peer),
        state,
    };
    Some((inode, socket))
}

/// The address is hexadecimal, by 32 bits in native byte order; the port is a plain hexadecimal number.
fn parse_address(word: &str) -> Option<SocketAddr> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    if !address.is_ascii() || !matches!(address.len(), 8 | 32) {
        return None;
    }
    for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
        let Some(digits) = address.get(8 * at..8 * at + 8) else {
            break;
        };
        four.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?)),
        _ => IpAddr::V6(Ipv6Addr::from(bytes)),
    };
    Some(SocketAddr::new(address, port))
}

fn parse_unix(line: &str) -> Option<(u64, Socket)> {
    let mut words = line.trim_end_matches('\n').splitn(8, ' ');
    let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
    let _kind = words.next()?;
    let state = match words.next()? {
        // __SO_ACCEPTCON (include/linux/net.h)
        _ if flags & 1 << 16 != 0 => State::Listens,
        // SS_CONNECTING (include/uapi/linux/net.h): not that of a connection to come.
        _ => State::Other,
    };
    // The inode is padded.
    let rest = words.collect::<Vec<_>>().join(" ");
    let rest = rest.trim_start();
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let socket = Socket {
        kind: "unix",
        local: (!path.is_empty()).then(|| path.to_owned()),
        peer: None,
        state,
    };
    Some((inode.parse().ok()?, socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    #[test]
    fn reads_what_the_kernel_lists() {
        let socket = |kind, local: &str, peer: Option<&str>, state| Socket {
            kind,
            local: Some(local.to_owned()),
            peer: peer.map(str::to_owned),
            state,
        };
        let tail = "00000000:00000000 00:00000000 00000000  1000        0 77 1 0000000000000000";
        for (list, line, expected) in [
            (
                "tcp",
                format!("   0: 0100007F:1F90 0200007F:C350 02 {tail}"),
                socket(
                    "tcp",
                    "127.0.0.1:8080",
                    Some("127.0.0.2:50000"),
                    State::Connects,
                ),
            ),
            (
                "tcp6",
                format!(
                    "  10: 00000000000000000000000001000000:0050 \
                     00000000000000000000000000000000:0000 0A {tail}"
                ),
                socket("tcp", "[::1]:80", None, State::Listens),
            ),
            (
                "udp",
                format!("  999: 00000000:0035 00000000:0000 07 {tail}"),
                socket("udp", "0.0.0.0:53", None, State::Other),
            ),
            (
                "unix",
                "0000000000000000: 00000002 00000000 00010000 0001 01 77 @a b\n".to_owned(),
                socket("unix", "@a b", None, State::Listens),
            ),
        ] {
            assert_eq!(parse(list, &line), Some((77, expected)), "{line}");
        }
        for list in LISTS {
            for line in [
                "",
                "  sl  local_address rem_address   st",
                "0: é0000000:1 :1 1",
            ] {
                assert_eq!(parse(list, line), None);
            }
        }
    }

    #[test]
    fn finds_sockets_of_ours() {
        let inode = |socket: &dyn AsRawFd| {
            let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()));
            let link = link.unwrap().into_os_string().into_string().unwrap();
            let number = link.strip_prefix("socket:[").unwrap().strip_suffix(']');
            number.unwrap().parse::<u64>().unwrap()
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let stream = TcpStream::connect(there).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = std::env::temp_dir().join(format!("sockets {}", std::process::id()));
        let unix = UnixListener::bind(&name).unwrap();
        let ours: [&dyn AsRawFd; 4] = [&listener, &stream, &udp, &unix];
        let inodes = ours.map(inode);
        let us = Process {
            pid: std::process::id() as i32,
        };
        let mut wanted = HashSet::from(inodes);
        wanted.insert(u64::MAX);
        let soon = Instant::now() + Duration::from_secs(60);
        let found = find(us, wanted, soon);
        std::fs::remove_file(&name).unwrap();
        assert_eq!(found.len(), 4);
        let told = |number: usize| &found[&inodes[number]];
        assert_eq!(told(0).local, Some(there.to_string()));
        assert_eq!((&told(0).peer, told(0).state), (&None, State::Listens));
        assert_eq!(told(1).peer, Some(there.to_string()));
        assert_eq!((told(2).kind, told(2).state), ("udp", State::Other));
        assert_eq!(told(3).local, Some(name.display().to_string()));
        assert_eq!(told(3).state, State::Listens);
    }
}
