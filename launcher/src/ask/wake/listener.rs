//! Where the agent's answer comes in: a socket in the namespaces of the process that is asked, under a
//! name that nobody can guess.

use std::fs::{self, File};
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::listen;
use rustix::process::Uid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_thread_res_uid};

use crate::system::process::Process;
use crate::system::{child, namespace, peer, random};
use protocol::message::socket_address;

/// Listens for one agent.
pub struct Listener {
    socket: UnixListener,
    /// The number in its name.
    pub token: u64,
}

impl Listener {
    /// Opens a socket that this thread of an agent in this process can reach, and will trust.
    ///
    /// Every network namespace has abstract names of its own (network_namespaces(7)), so the socket
    /// must be in the thread's, which the program's first thread may have left. And the agent sees whose socket it is by the numbers that users have
    /// in its own user namespace. A process that has joined other namespaces cannot come back, so a
    /// child opens the socket there.
    pub fn open(process: Process, thread: i32) -> io::Result<Listener> {
        let token = random::number()?;
        let address = address_of(token)?;
        let user = Namespace::of(process, thread, "user")?;
        let network = Namespace::of(process, thread, "net")?;
        let socket = if user.is_none() && network.is_none() {
            bind(&address)?
        } else {
            listen_in(process, user, network, &address)?
        };
        socket.set_nonblocking(true)?;
        Ok(Listener { socket, token })
    }

    /// The connection of this process's agent, if it comes in time, and how many strangers came meanwhile.
    /// They are turned away at once.
    pub fn accept(&self, process: Process, time: Duration) -> (Option<UnixStream>, usize) {
        let until = Instant::now() + time;
        let mut strangers = 0;
        loop {
            match self.socket.accept() {
                Ok((line, _)) if peer::pid(&line) == Some(process.pid) => {
                    return (Some(line), strangers);
                }
                Ok(_) => strangers += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
                    let left = until.saturating_duration_since(Instant::now());
                    let _ = poll(&mut polled, Some(&left.try_into().unwrap_or_default()));
                }
                // That connection has been broken off, or we have no descriptors left.
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
            if Instant::now() > until {
                return (None, strangers);
            }
        }
    }
}

/// Listens under this name, with the longest queue that the system allows (`net.core.somaxconn`): everybody
/// can read the name in /proc/net/unix and connect, and a full queue keeps the agent out. Makes system calls
/// only.
///
/// The agent sees the credentials of whoever was the last to call `listen` (`init_peercred`,
/// net/unix/af_unix.c), so that is done in the process's own namespaces.
fn bind(address: &SocketAddr) -> io::Result<UnixListener> {
    let socket = UnixListener::bind_addr(address)?;
    listen(&socket, i32::MAX)?;
    Ok(socket)
}

/// The abstract name with this number in it.
fn address_of(token: u64) -> io::Result<SocketAddr> {
    let (address, length) = socket_address(token);
    let length = length as usize - offset_of!(libc::sockaddr_un, sun_path);
    let name: Vec<u8> = address.sun_path[..length]
        .iter()
        .map(|byte| *byte as u8)
        .collect();
    // The first byte is the zero that makes it abstract.
    SocketAddr::from_abstract_name(&name[1..])
}

/// A namespace that is not ours.
struct Namespace(File);

impl Namespace {
    /// The namespace of a process's thread; `None` if it is ours. If we may not look, it is taken for ours: the
    /// agent then does not reach us, and the command says so.
    fn of(process: Process, thread: i32, kind: &str) -> io::Result<Option<Namespace>> {
        if !namespace::is_other(process, thread, kind) {
            return Ok(None);
        }
        File::open(namespace::path(process, thread, kind)).map(|file| Some(Namespace(file)))
    }
}

/// The longest time that a child takes to open a socket, on a loaded machine. Whoever owns the namespaces
/// can stop it.
const LONGEST_OPENING: Duration = Duration::from_secs(1);

/// Has a child listen from within these namespaces, as the process's user.
fn listen_in(
    process: Process,
    user: Option<Namespace>,
    network: Option<Namespace>,
    address: &SocketAddr,
) -> io::Result<UnixListener> {
    let their_user = match user {
        Some(_) => Some(Uid::from_raw(user_within(process)?)),
        None => None,
    };
    let join = |namespace: &Option<Namespace>, kind| match namespace {
        Some(namespace) => move_into_link_name_space(namespace.0.as_fd(), Some(kind)),
        None => Ok(()),
    };
    let needs: Vec<BorrowedFd> = [&user, &network]
        .into_iter()
        .flatten()
        .map(|namespace| namespace.0.as_fd())
        .collect();
    let socket = child::open_by_child(&needs, LONGEST_OPENING, || {
        join(&user, LinkNameSpaceType::User)?;
        join(&network, LinkNameSpaceType::Network)?;
        if let Some(user) = their_user {
            set_thread_res_uid(user, user, user)?;
        }
        child::guard();
        Ok(bind(address)?.into())
    })?;
    Ok(UnixListener::from(socket))
}

/// The number that the process's user has in its own user namespace.
fn user_within(process: Process) -> io::Result<u32> {
    let [_, user, _] = process.status()?.users;
    let map = fs::read_to_string(process.path("uid_map"))?;
    mapped(&map, user).ok_or_else(|| io::Error::other("its user is unknown in its namespace"))
}

/// Looks a user up in the text of a uid_map: lines of first inside, first outside, how many
/// (user_namespaces(7)).
fn mapped(map: &str, user: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (inside, outside) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let count = numbers.next()?.ok()?;
        let offset = user.checked_sub(outside)?;
        (offset < count).then(|| inside.wrapping_add(offset))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn finds_a_user_in_a_map() {
        assert_eq!(mapped("         0       1000          1\n", 1000), Some(0));
        let two = "0 1000 1\n1 100000 65536\n";
        assert_eq!(mapped(two, 100_032), Some(33));
        assert_eq!(mapped(two, 1001), None);
        assert_eq!(mapped("junk\n", 0), None);
    }

    #[test]
    fn turns_strangers_away() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let listener = Listener::open(us, us.pid).expect("it listens");
        let token = listener.token;
        let call = move || {
            let address = address_of(token).expect("an address");
            UnixStream::connect_addr(&address).expect("it listens")
        };
        let soon = Duration::from_secs(5);
        let _line = call();
        assert!(listener.accept(us, soon).0.is_some());
        let _lines = [call(), call(), call()];
        let (line, strangers) = listener.accept(Process { pid: 1 }, Duration::from_millis(50));
        assert!(line.is_none());
        assert_eq!(strangers, 3);
        assert!(listener.accept(us, Duration::ZERO).0.is_none());
        // Behind many strangers the agent still gets in, as the queue is emptied.
        let calling = std::thread::spawn(move || (0..200).map(|_| call()).collect::<Vec<_>>());
        let (_, strangers) = listener.accept(Process { pid: 1 }, Duration::from_millis(300));
        assert!(strangers > 100, "{strangers}");
        drop(listener);
        let _ = calling.join();
    }
}
