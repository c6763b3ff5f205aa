//! The other ends of Unix sockets, as the kernel tells over netlink (sock_diag(7)).

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

use crate::system::process::Process;

/// The size of `struct nlmsghdr` (include/uapi/linux/netlink.h).
const HEADER: usize = 16;

/// The size of `struct unix_diag_msg` (include/uapi/linux/unix_diag.h).
const SOCKET: usize = 16;

/// The most answers that are read: 100 and more sockets each.
const MOST_ANSWERS: usize = 2000;

/// By inode of a Unix socket, the inode of its other end, of all connected ones in the network namespace of this
/// command. `None` if the process is in another, or the kernel does not tell.
pub fn of(process: Process, until: Instant) -> Option<HashMap<u64, u64>> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    if namespace("self")? != namespace(&process.pid.to_string())? {
        return None;
    }
    // NETLINK_SOCK_DIAG
    let protocol = rustix::net::netlink::SOCK_DIAG;
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(protocol),
    )
    .ok()?;
    let left = until.saturating_duration_since(Instant::now());
    set_socket_timeout(&socket, Timeout::Recv, (!left.is_zero()).then_some(left)).ok()?;
    send(&socket, &question(), SendFlags::empty()).ok()?;
    answers(&socket, until)
}

/// A `struct unix_diag_req` for all sockets with their peers, behind its header.
fn question() -> Vec<u8> {
    /// SOCK_DIAG_BY_FAMILY (include/uapi/linux/sock_diag.h)
    const BY_FAMILY: u16 = 20;
    /// UDIAG_SHOW_PEER
    const SHOW_PEER: u32 = 4;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut message = Vec::new();
    message.extend(((HEADER + 24) as u32).to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence and port: one question, and the answers can only be to it.
    message.extend([0; 8]);
    message.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    // All states; no inode.
    message.extend(u32::MAX.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(SHOW_PEER.to_ne_bytes());
    // No cookie.
    message.extend([0; 8]);
    message
}

fn answers(socket: &OwnedFd, until: Instant) -> Option<HashMap<u64, u64>> {
    let mut peers = HashMap::new();
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..MOST_ANSWERS {
        let (count, _) = recv(socket, &mut buffer[..], RecvFlags::empty()).ok()?;
        match read_answer(buffer.get(..count)?, &mut peers)? {
            End::Last => return Some(peers),
            End::More if Instant::now() > until => return None,
            End::More => {}
        }
    }
    None
}

#[derive(Debug, PartialEq)]
enum End {
    Last,
    More,
}

/// Reads one datagram; `None` if it is an error, or none that is known here.
fn read_answer(mut messages: &[u8], peers: &mut HashMap<u64, u64>) -> Option<End> {
    while messages.len() >= HEADER {
        let length = number(messages, 0)? as usize;
        let kind = u16::from_ne_bytes(messages.get(4..6)?.try_into().ok()?);
        let message = messages.get(HEADER..length)?;
        match i32::from(kind) {
            libc::NLMSG_DONE => return Some(End::Last),
            libc::NLMSG_ERROR => return None,
            _ => {
                let inode = number(message, 4)?;
                if let Some(peer) = peer(message.get(SOCKET..)?) {
                    peers.insert(inode.into(), peer.into());
                }
            }
        }
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Some(End::More)
}

/// The peer among the attributes of a socket (`struct nlattr`).
fn peer(mut attributes: &[u8]) -> Option<u32> {
    /// UNIX_DIAG_PEER
    const PEER: u16 = 2;
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?);
        if kind == PEER && length == 8 {
            return number(attributes, 4).filter(|&inode| inode != 0);
        }
        // An attribute has at least its header.
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn finds_the_other_end() {
        let (one, other) = UnixStream::pair().unwrap();
        let inode = |socket: &UnixStream| {
            let link = fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
            let link = link.to_str().unwrap().to_owned();
            let number = link.strip_prefix("socket:[").unwrap().strip_suffix(']');
            number.unwrap().parse::<u64>().unwrap()
        };
        let us = Process {
            pid: std::process::id() as i32,
        };
        let peers = of(us, Instant::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(peers.get(&inode(&one)), Some(&inode(&other)));
        assert_eq!(peers.get(&inode(&other)), Some(&inode(&one)));
    }

    #[test]
    fn survives_any_answer() {
        let mut peers = HashMap::new();
        assert_eq!(read_answer(&[], &mut peers), Some(End::More));
        assert_eq!(read_answer(&[0; 16], &mut peers), None);
        assert_eq!(read_answer(&[255; 64], &mut peers), None);
        let mut done = [0; 20];
        done[0] = 20;
        done[4] = libc::NLMSG_DONE as u8;
        assert_eq!(read_answer(&done, &mut peers), Some(End::Last));
        assert_eq!(peer(&[0; 8]), None);
        assert_eq!(peers.len(), 0);
    }
}
