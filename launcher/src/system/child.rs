//! Children of this process: copies of it that live on beside it, and gdb.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use rustix::process::{Pid, WaitOptions, waitpid};

use crate::system::interrupt;

/// A forked child that has not been waited for.
pub struct Child(Pid);

impl Child {
    /// Waits until the child has ended.
    pub fn wait(self) {
        let _ = waitpid(Some(self.0), WaitOptions::empty());
    }
}

/// Forks a child that lives `life` apart from us: in a session of its own, deaf to SIGINT, SIGTERM and
/// SIGHUP, and with no open descriptor but `line`. Whoever waits for the end of our streams does not
/// wait for this child.
pub fn fork_apart(line: PipeReader, life: impl FnOnce(PipeReader)) -> io::Result<Child> {
    // SAFETY: the child is a copy of this thread alone. It lives `life`, ends by `_exit`, and never
    // returns to code of the parent's. Locks that other threads held stay locked in it, but for those of
    // malloc, which glibc puts in order.
    let child = unsafe { libc::fork() };
    match child {
        0 => {
            let _ = rustix::process::setsid();
            interrupt::ignore();
            close_all_but(&line);
            end(|| life(line))
        }
        child => Pid::from_raw(child.max(0))
            .map(Child)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Closes every descriptor of a child that uses none but this.
fn close_all_but(line: &PipeReader) {
    let line = line.as_raw_fd();
    for (first, last) in [(0, line - 1), (line + 1, i32::MAX)] {
        // SAFETY: this process is a forked child, and nothing in it uses these descriptors any more.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Has a child open a descriptor for us, with rights that it takes and we do not. The child shares our
/// table of descriptors and nothing else. `open` must make system calls only: it may not take memory, as
/// another thread may hold malloc's locks.
pub fn open_by_child(open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let (mut result, mut write) = io::pipe()?;
    // SAFETY: as `fork` does it, but with the same descriptors and without glibc's preparations: the
    // child makes system calls on what stands ready for it, and ends by `_exit`.
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
    if child == 0 {
        end(|| {
            let word = match open() {
                // The descriptor stays open: it is the parent's now.
                Ok(descriptor) => descriptor.into_raw_fd(),
                Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
            };
            let _ = write.write_all(&word.to_ne_bytes());
        })
    }
    let child = Pid::from_raw(child.max(0) as i32)
        .map(Child)
        .ok_or_else(io::Error::last_os_error)?;
    // The child writes before it ends, and the pipe has room for it.
    child.wait();
    drop(write);
    let mut word = [0; 4];
    result.read_exact(&mut word)?;
    match i32::from_ne_bytes(word) {
        // SAFETY: the child has opened this descriptor in our table and left it to us.
        descriptor @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        error => Err(io::Error::from_raw_os_error(-error)),
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
            // Ctrl-C at the terminal is for us: gdb must not end while it attaches.
            rustix::process::setsid()?;
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

    #[test]
    fn a_child_opens_for_us() {
        let opened = open_by_child(|| Ok(File::open("/dev/zero")?.into()));
        let mut word = [1; 4];
        let mut file = File::from(opened.expect("a descriptor"));
        file.read_exact(&mut word).expect("zeroes");
        assert_eq!(word, [0; 4]);
        let refused = open_by_child(|| Err(io::Error::from_raw_os_error(libc::EPERM)));
        assert_eq!(
            refused.expect_err("refused").raw_os_error(),
            Some(libc::EPERM)
        );
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
        child.expect("a child").wait();
        drop(write);
        assert_eq!(read.read(&mut [0]).expect("readable"), 0);
    }
}
