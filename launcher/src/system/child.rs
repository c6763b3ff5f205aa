//! Children of this process: copies of it that live on beside it or open something for it, and gdb.
//!
//! Nobody waits for a child without an end: one that lives too long is killed. A child may be stopped by
//! whoever owns the namespaces that it has joined.
//!
//! The file is long for its unit tests, which stand behind the code that they test.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, RawDir, open};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, kill_process, set_dumpable_behavior,
    set_parent_process_death_signal, waitpid,
};

use crate::system::interrupt;

/// A forked child that has not been waited for.
pub struct Child(Pid);

/// The longest time that a killed child takes to end, on a loaded machine.
const DYING: Duration = Duration::from_millis(200);

impl Child {
    /// Waits until the child has ended. Kills it if it has not within this time.
    pub fn end_within(self, time: Duration) {
        if !self.ends_within(time) {
            let _ = kill_process(self.0, Signal::KILL);
            self.ends_within(DYING);
        }
    }

    fn ends_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut pause = Duration::from_micros(50);
        loop {
            if !matches!(waitpid(Some(self.0), WaitOptions::NOHANG), Ok(None)) {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }
}

/// The system starts no child: there are too many processes, or a filter refuses it.
#[derive(Debug)]
pub struct NotStarted(io::Error);

impl NotStarted {
    /// Whether this is why something failed.
    pub fn is_in(error: &io::Error) -> bool {
        error
            .get_ref()
            .is_some_and(|inner| inner.is::<NotStarted>())
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system starts no process for that: {}", self.0)
    }
}

impl std::error::Error for NotStarted {}

/// Forks a child that lives `life` apart from us: in a process group of its own, deaf to SIGINT, SIGTERM and
/// SIGHUP, and with no open descriptor but `line`. Whoever waits for the end of our streams does not
/// wait for this child.
pub fn fork_apart(line: PipeReader, life: impl FnOnce(PipeReader)) -> io::Result<Child> {
    // SAFETY: the child is a copy of this thread alone. It lives `life`, ends by `_exit`, and never
    // returns to code of the parent's. Locks that other threads held stay locked in it, but for those of
    // malloc, which glibc puts in order.
    let child = unsafe { libc::fork() };
    match child {
        0 => {
            let _ = rustix::process::setpgid(None, None);
            interrupt::ignore();
            close_all_but(&[line.as_raw_fd()]);
            end(|| life(line))
        }
        child => Pid::from_raw(child.max(0))
            .map(Child)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Closes every descriptor of a child but these. Takes no memory.
fn close_all_but(kept: &[RawFd]) {
    let mut first = 0;
    loop {
        let next = kept.iter().copied().filter(|one| *one >= first).min();
        let last = next.map_or(RawFd::MAX, |next| next - 1);
        if first <= last {
            close_range(first, last);
        }
        match next {
            Some(next) => first = next + 1,
            None => return,
        }
    }
}

/// The most descriptors that are closed one by one where they cannot be listed.
const MOST_CLOSED: RawFd = 1 << 16;

/// Closes these descriptors, whether they are open or not.
fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: this process is a forked child, and nothing in it uses these descriptors any more.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) == 0 };
    // Linux before 5.9 has no such call, and a filter of system calls may refuse it.
    if !closed && close_listed(first, last).is_err() {
        for one in first..=last.min(MOST_CLOSED) {
            // SAFETY: as above.
            unsafe { libc::close(one) };
        }
    }
}

/// Closes those of these descriptors that are open. Takes no memory.
fn close_listed(first: RawFd, last: RawFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(c"/proc/self/fd", flags, Mode::empty())?;
    let mut room = [MaybeUninit::uninit(); 2048];
    let mut listed = RawDir::new(&folder, &mut room);
    // What has been closed is not listed again, and moves nothing (`proc_readfd_common`, fs/proc/fd.c).
    while let Some(entry) = listed.next() {
        let number = entry?
            .file_name()
            .to_str()
            .ok()
            .and_then(|name| name.parse().ok());
        if let Some(number) = number
            && (first..=last).contains(&number)
            && number != folder.as_raw_fd()
        {
            // SAFETY: as in `close_range`; and it is not the folder's.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

/// Has a child open a descriptor for us, with rights that it takes and we do not.
///
/// The child may have joined namespaces that somebody else owns, so it holds nothing of ours but the
/// descriptors that it `needs`, and nobody may trace it. It sends what it has opened over a socket. `open`
/// must make system calls only: it may not take memory, as another thread may hold malloc's locks.
///
/// # Errors
/// Those of `open`; `TimedOut` if the child was not done within `time`, upon which it is killed; or a
/// [`NotStarted`].
pub fn open_by_child(
    needs: &[BorrowedFd],
    time: Duration,
    open: impl FnOnce() -> io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    let mut kept = Vec::with_capacity(needs.len() + 1);
    kept.push(theirs.as_raw_fd());
    kept.extend(needs.iter().map(AsRawFd::as_raw_fd));
    // SAFETY: as `fork` does it, but without glibc's preparations: the child makes system calls on what
    // stands ready for it, and ends by `_exit`.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if child == 0 {
        end(|| {
            // Explicitly, and before it joins anything: the kernel does it too when rights change, but
            // not where `fs.suid_dumpable` is 1.
            guard();
            close_all_but(&kept);
            let opened = open();
            guard();
            send(&theirs, opened);
        })
    }
    let child = Pid::from_raw(child.max(0) as i32)
        .map(Child)
        .ok_or_else(|| io::Error::other(NotStarted(io::Error::last_os_error())))?;
    drop(theirs);
    let received = receive(&ours, Instant::now() + time);
    // It has nothing left to do but to end, and whoever owns the namespaces may have stopped it there.
    child.end_within(Duration::ZERO);
    received
}

/// Lets nobody trace this process, a child of ours, whatever rights it has taken; and has it end with
/// whoever waits for it.
pub fn guard() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

/// Sends what was opened, or the error's number. Takes no memory.
fn send(line: &OwnedFd, opened: io::Result<OwnedFd>) {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut room);
    let error = match &opened {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    };
    let descriptors = [opened.as_ref().map_or(line.as_fd(), AsFd::as_fd)];
    if opened.is_ok() {
        rights.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let word = error.to_ne_bytes();
    let _ = sendmsg(
        line,
        &[IoSlice::new(&word)],
        &mut rights,
        SendFlags::NOSIGNAL,
    );
}

/// Receives what a child has opened.
fn receive(line: &OwnedFd, until: Instant) -> io::Result<OwnedFd> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Now and then it looks whether a signal asks us to stop.
        let time = left
            .min(Duration::from_millis(50))
            .try_into()
            .map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(line, PollFlags::IN)], Some(&time)) {
            Ok(0) if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
            Ok(0) if interrupt::asked_to_stop().is_some() => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut word = [0; 4];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut room);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = recvmsg(line, &mut [IoSliceMut::new(&mut word)], &mut rights, flags)?;
    if message.bytes != word.len() {
        // It has ended, or was killed.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut descriptors = rights.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    match (i32::from_ne_bytes(word), descriptors.next()) {
        (0, Some(descriptor)) => Ok(descriptor),
        (0, None) => Err(io::ErrorKind::InvalidData.into()),
        (error, _) => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Lives the rest of a child's life.
fn end(life: impl FnOnce()) -> ! {
    // A panic must not unwind into frames that belong to the parent.
    let _ = catch_unwind(AssertUnwindSafe(life));
    // SAFETY: ends this process, and runs nothing that the parent has left to be run at its exit.
    unsafe { libc::_exit(0) }
}

/// Keeps signals from a command that is about to be started: they could end it while it holds another
/// process.
pub fn shield(command: &mut Command) {
    // SAFETY: between fork and exec the closure only makes system calls, which are async-signal-safe
    // and touch no memory of the parent's.
    unsafe {
        command.pre_exec(|| {
            // Ctrl-C at the terminal is for us: gdb must not end while it attaches. Not in a session of its own, which
            // the kernel may give a share of the processors of its own (sched(7), "The autogroup feature"): beside busy
            // programs gdb waited for seconds for its turn then (Linux 6.18).
            rustix::process::setpgid(None, None)?;
            // Nor may the terminal stop it.
            libc::signal(libc::SIGTTIN, libc::SIG_IGN);
            libc::signal(libc::SIGTTOU, libc::SIG_IGN);
            // If we are killed while gdb attaches, a write to our closed pipe must not kill gdb: it
            // would leave the program stopped.
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            // While gdb attaches it passes SIGINT on to the program's whole process group, and turns
            // SIGTERM into SIGINT (default_quit_handler, target_pass_ctrlc). It ends, and lets go,
            // when its input ends.
            let mut blocked: libc::sigset_t = std::mem::zeroed();
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&mut blocked, signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, &blocked, std::ptr::null_mut());
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    /// The longest time that a child takes here.
    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_child_opens_for_us() {
        let opened = open_by_child(&[], SOON, || Ok(File::open("/dev/zero")?.into()));
        let mut word = [1; 4];
        let mut file = File::from(opened.expect("a descriptor"));
        file.read_exact(&mut word).expect("zeroes");
        assert_eq!(word, [0; 4]);
        let refused = open_by_child(&[], SOON, || Err(io::Error::from_raw_os_error(libc::EPERM)));
        assert_eq!(
            refused.expect_err("refused").raw_os_error(),
            Some(libc::EPERM)
        );
    }

    /// Whether a descriptor is open in this process.
    fn is_open(descriptor: RawFd) -> bool {
        // SAFETY: takes a number.
        unsafe { libc::fcntl(descriptor, libc::F_GETFD) != -1 }
    }

    #[test]
    fn a_child_that_opens_holds_nothing_and_cannot_be_traced() {
        let (held, secret) = (
            File::open("/dev/null").unwrap(),
            File::open("/dev/null").unwrap(),
        );
        let (held, secret) = (held.as_fd(), secret.as_raw_fd());
        let found = open_by_child(&[held], SOON, || {
            let dumpable = rustix::process::dumpable_behavior()?;
            let has = [0, 1, 2, secret].map(is_open);
            let holds = is_open(held.as_raw_fd());
            // The numbers of errors say which of these is not so.
            let wrong = match (dumpable, has, holds) {
                (DumpableBehavior::NotDumpable, [false, false, false, false], true) => libc::ENOTTY,
                (DumpableBehavior::NotDumpable, ..) => libc::EBADF,
                _ => libc::EPERM,
            };
            Err(io::Error::from_raw_os_error(wrong))
        });
        assert_eq!(
            found.expect_err("no descriptor").raw_os_error(),
            Some(libc::ENOTTY)
        );
        assert!(is_open(secret), "the child has closed what is ours");
    }

    #[test]
    fn descriptors_are_closed_by_a_list_too() {
        let (read, write) = io::pipe().expect("a pipe");
        let (first, last) = (read.as_raw_fd(), write.as_raw_fd());
        // In a child, as other tests open descriptors too.
        let found = open_by_child(&[read.as_fd(), write.as_fd()], SOON, || {
            close_listed(last, last)?;
            let error = match [first, last].map(is_open) {
                [true, false] => libc::ENOTTY,
                _ => libc::EPERM,
            };
            Err(io::Error::from_raw_os_error(error))
        });
        let error = found.expect_err("no descriptor");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }

    #[test]
    fn a_stopped_child_is_killed() {
        let begun = Instant::now();
        let stopped = open_by_child(&[], Duration::from_millis(100), || {
            let _ = kill_process(rustix::process::getpid(), Signal::STOP);
            Ok(File::open("/dev/null")?.into())
        });
        assert_eq!(
            stopped.expect_err("it is stopped").kind(),
            io::ErrorKind::TimedOut
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_child_apart_has_one_descriptor() {
        let (mut read, mut write) = io::pipe().expect("a pipe");
        let (line, end) = io::pipe().expect("a pipe");
        let child = fork_apart(line, |mut line| {
            // It sees the end of its line, although it was forked with both ends.
            let _ = line.read(&mut [0]);
            let _ = write.write_all(b"x");
        });
        drop(end);
        child.expect("a child").end_within(SOON);
        drop(write);
        assert_eq!(read.read(&mut [0]).expect("readable"), 0);
    }
}
