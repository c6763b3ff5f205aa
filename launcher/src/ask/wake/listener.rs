//! Where the answer of a woken agent comes in: a socket with a name that nobody can guess, in the
//! namespaces of the process that is asked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::system::process::Process;
use protocol::message::socket_address;

/// Listens for one agent.
pub struct Listener {
    socket: UnixListener,
    /// The number in its name.
    pub token: u64,
}

impl Listener {
    /// Opens a socket that an agent in this process can reach, and will trust.
    ///
    /// Abstract names are one network namespace's own (network_namespaces(7)), so there the socket
    /// has to be; and whose it is the agent sees by the numbers that users have in its own user
    /// namespace. What has joined others cannot come back, so a child does it, that shares our
    /// descriptors.
    pub fn open(process: Process) -> io::Result<Listener> {
        let token = random()?;
        let user = Namespace::of(process, "user")?;
        let network = Namespace::of(process, "net")?;
        let socket = if user.is_none() && network.is_none() {
            listen(token)?
        } else {
            listen_in(process, user, network, token)?
        };
        // SAFETY: a new descriptor that nobody else owns.
        let socket = UnixListener::from(unsafe { OwnedFd::from_raw_fd(socket) });
        Ok(Listener { socket, token })
    }

    /// The connection of this process's agent, if it comes in time. Others are turned away.
    pub fn accept(&self, process: Process, time: Duration) -> Option<UnixStream> {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor of ours.
        if unsafe { libc::poll(&mut poll, 1, time.as_millis() as i32) } != 1 {
            return None;
        }
        let (line, _) = self.socket.accept().ok()?;
        (peer(&line) == Some(process.pid)).then_some(line)
    }
}

/// The process at the other end.
fn peer(line: &UnixStream) -> Option<i32> {
    // SAFETY: plain numbers; the kernel fills them in, and is told how large they are.
    unsafe {
        let mut peer: libc::ucred = std::mem::zeroed();
        let mut size = size_of::<libc::ucred>() as libc::socklen_t;
        let told = libc::getsockopt(
            line.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut size,
        );
        (told == 0).then_some(peer.pid)
    }
}

/// A number that nobody can guess.
fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A new socket that listens under the name of this number. Nothing but system calls.
fn listen(token: u64) -> io::Result<RawFd> {
    let (address, length) = socket_address(token);
    // SAFETY: a descriptor of our own; the address is alive and so long.
    unsafe {
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::bind(socket, (&raw const address).cast(), length) != 0
            || libc::listen(socket, 8) != 0
        {
            let error = io::Error::last_os_error();
            libc::close(socket);
            return Err(error);
        }
        Ok(socket)
    }
}

/// A namespace that is not ours.
struct Namespace(File);

impl Namespace {
    /// That of a process, if it is another than ours, or `None`. Where it is closed to us it is
    /// taken for ours: then the agent does not find us, and that is said.
    fn of(process: Process, kind: &str) -> io::Result<Option<Namespace>> {
        let theirs = process.path(&format!("ns/{kind}"));
        let Ok(other) = fs::metadata(&theirs) else {
            return Ok(None);
        };
        let own = fs::metadata(format!("/proc/self/ns/{kind}"))?;
        if (other.dev(), other.ino()) == (own.dev(), own.ino()) {
            return Ok(None);
        }
        File::open(theirs).map(|file| Some(Namespace(file)))
    }
}

/// As [`listen`], from within these namespaces.
fn listen_in(
    process: Process,
    user: Option<Namespace>,
    network: Option<Namespace>,
    token: u64,
) -> io::Result<RawFd> {
    let their_user = match user {
        Some(_) => Some(user_within(process)?),
        None => None,
    };
    let (mut told, tell) = io::pipe()?;
    let tell = OwnedFd::from(tell);
    // SAFETY: a child as by fork, but with our very descriptors; it makes system calls on what was
    // prepared for it, and ends by `_exit`.
    let child = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::CLONE_FILES | libc::SIGCHLD,
            0,
            0,
            0,
            0,
        )
    };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    if child == 0 {
        let join = |namespace: &Option<Namespace>, kind| match namespace {
            // SAFETY: joins a namespace; this process has one thread.
            Some(namespace) if unsafe { libc::setns(namespace.0.as_raw_fd(), kind) } != 0 => {
                Err(io::Error::last_os_error())
            }
            _ => Ok(()),
        };
        let become_them = || match their_user {
            // By the system call itself: this process only.
            // SAFETY: changes who we are, touches no memory.
            Some(user) if unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) } != 0 => {
                Err(io::Error::last_os_error())
            }
            _ => Ok(()),
        };
        let result = join(&user, libc::CLONE_NEWUSER)
            .and_then(|()| join(&network, libc::CLONE_NEWNET))
            .and_then(|()| become_them())
            .and_then(|()| listen(token));
        let word = match result {
            Ok(socket) => socket,
            Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
        };
        // SAFETY: writes a word of ours; the end of this process.
        unsafe {
            libc::write(tell.as_raw_fd(), (&raw const word).cast(), 4);
            libc::_exit(0);
        }
    }
    // The child tells before it ends, and a pipe holds so much.
    // SAFETY: our own child.
    unsafe { libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), libc::__WALL) };
    drop(tell);
    let mut word = [0; 4];
    told.read_exact(&mut word)?;
    match i32::from_ne_bytes(word) {
        socket @ 0.. => Ok(socket),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
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
        let listener = Listener::open(us).expect("it listens");
        let call = || {
            let (address, length) = socket_address(listener.token);
            // SAFETY: a new descriptor; the address is alive and so long.
            unsafe {
                let line = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
                assert_eq!(libc::connect(line, (&raw const address).cast(), length), 0);
                UnixStream::from(OwnedFd::from_raw_fd(line))
            }
        };
        let soon = Duration::from_secs(5);
        let _line = call();
        assert!(listener.accept(us, soon).is_some());
        let _line = call();
        assert!(listener.accept(Process { pid: 1 }, soon).is_none());
        assert!(listener.accept(us, Duration::ZERO).is_none());
    }
}
