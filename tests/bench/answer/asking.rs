//! An asking command, watched from its start to its end.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::ways::Way;

/// How long a command may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The command's time and memory.
pub struct Asked {
    /// Seconds from its start to its end.
    pub took: f64,
    /// Its peak memory, in bytes: the peak of its largest process.
    pub memory: u64,
}

/// Asks once and checks the answer; `None` if the command had to be killed at the limit.
///
/// The command's output goes to files in `folder`: reading it here would make this process grow.
pub fn ask(way: &Way, pid: i32, threads: usize, folder: &Path) -> Option<Asked> {
    let (out, errors) = (folder.join("out"), folder.join("errors"));
    let mut command = (way.command)(pid);
    command
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&errors).unwrap());
    // SAFETY: a plain system call, which a forked child may make. It also makes the standard
    // library fork: a child of vfork would begin with our own peak of memory as its own.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let begun = Instant::now();
    let child = command.spawn().unwrap().id() as i32;
    let in_time = wait_end(child);
    let took = begun.elapsed().as_secs_f64();
    if !in_time {
        // SAFETY: the child is not reaped yet, so the number is still its own.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
    let memory = reap(child);
    if !in_time {
        return None;
    }
    if let Some(heading) = way.heading {
        let lines = BufReader::new(File::open(&out).unwrap()).lines();
        let told = lines
            .map_while(Result::ok)
            .filter(|line| line.starts_with(heading))
            .count();
        assert!(
            told >= threads,
            "{} told of {told} threads, not {threads}:\n{}",
            way.name,
            fs::read_to_string(&errors).unwrap_or_default()
        );
    }
    Some(Asked { took, memory })
}

/// Waits until a child ends, and leaves it a zombie; false if it does not end within the limit.
fn wait_end(child: i32) -> bool {
    // SAFETY: the call makes a new descriptor, which only this value owns.
    let ended = unsafe {
        let pidfd = libc::syscall(libc::SYS_pidfd_open, child, 0) as i32;
        assert!(pidfd >= 0, "pidfd_open: {}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(pidfd)
    };
    let mut poll = libc::pollfd {
        fd: ended.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one entry, valid for the time of the call.
    unsafe { libc::poll(&mut poll, 1, LIMIT.as_millis() as i32) == 1 }
}

/// Reaps a child; returns its peak memory, or the peak of its largest reaped descendant if that is
/// larger, in bytes.
fn reap(child: i32) -> u64 {
    // SAFETY: an all-zero rusage is valid, and the call fills it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let reaped = libc::wait4(child, std::ptr::null_mut(), 0, &mut usage);
        assert_eq!(reaped, child, "wait4: {}", io::Error::last_os_error());
        usage.ru_maxrss as u64 * 1024
    }
}
