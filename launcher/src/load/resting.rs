//! Which thread may be sent on the detour, and where: at a place that holds no lock of the C library's.
//!
//! - A thread that waits, in a system call by which programs wait: for time, for a descriptor that is no file, for a
//!   child, or for a semaphore or a condition. The C library's low-level locks, malloc's and the loader's among them,
//!   wait in another way (`FUTEX_WAIT` with the value 2, `lll_lock`, glibc), and are left alone.
//! - A busy thread whose program counter is in the interpreter or an extension module: then it is in none of the C
//!   library's functions, nor in an allocator.
//!
//! In neither case may a signal handler stand on its stack, which may have interrupted anything.

use libc::user_regs_struct;

use crate::load::places::Places;
use crate::load::signal_frames;
use crate::load::words::Interrupts;
use crate::system::maps::region_at;
use crate::system::memory::{read_memory, read_memory_into};
use crate::system::proc_file::{self, SHORT, hexadecimal};
use crate::system::process::Process;
use crate::system::tracee::RESTART_NO_HANDLER;

/// The least stack that the detour needs, in bytes: registers, and `pthread_create`.
const STACK: u64 = 32 << 10;

/// The most stack that is searched for signal handlers, in bytes.
const MOST_STACK: u64 = 16 << 20;

/// A system call that a thread waits in, as `/proc/PID/task/TID/syscall` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    number: i64,
    arguments: [u64; 6],
    stack: u64,
    counter: u64,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It runs, or is about to.
    Runs,
    /// It is in a system call.
    Waits(Wait),
}

/// What a thread does; `None` if it has ended, or is stopped elsewhere.
pub fn doing(process: Process, thread: i32) -> Option<Doing> {
    let path = process.path(&format!("task/{thread}/syscall"));
    parse(&String::from_utf8_lossy(
        &proc_file::read(path, SHORT).ok()?.bytes,
    ))
}

fn parse(line: &str) -> Option<Doing> {
    let line = line.trim();
    if line == "running" {
        return Some(Doing::Runs);
    }
    let mut fields = line.split(' ');
    let number = fields.next()?.parse().ok()?;
    let mut next = || hexadecimal(fields.next()?);
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = next()?;
    }
    Some(Doing::Waits(Wait {
        number,
        arguments,
        stack: next()?,
        counter: next()?,
    }))
}

/// Whether a thread that waits may be sent away: see the file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safe {
    /// It may.
    Yes,
    /// Only if its wait has just begun. A stop ends it, and it is made again with all of its time.
    IfFresh,
    /// It may not.
    No,
}

impl Wait {
    /// Whether a thread that waits so may be sent away.
    pub fn safe(&self, process: Process) -> Safe {
        // A stop ends these two with EINTR (`ep_poll`, fs/eventpoll.c).
        let timed = match self.number {
            libc::SYS_epoll_wait => true,
            libc::SYS_epoll_pwait => self.arguments[4] == 0,
            _ => false,
        };
        match (timed, self.arguments[3] as i32) {
            (true, -1) => Safe::Yes,
            (true, _) => Safe::IfFresh,
            (false, _) if self.is_safe(process) => Safe::Yes,
            (false, _) => Safe::No,
        }
    }

    fn is_safe(&self, process: Process) -> bool {
        const LOCKED_AND_AWAITED: u64 = 2;
        const OWN_STACK: u64 = 4096;
        // The stop would end it with a part of the data.
        let waits_for_all = |flags: u64| flags as i32 & libc::MSG_WAITALL != 0;
        let [first, second, third, fourth, _, sixth] = self.arguments;
        match self.number {
            libc::SYS_futex => match second as i32 & libc::FUTEX_CMD_MASK {
                // One on the thread's own stack is the C library's, as it waits for all threads to change their user.
                libc::FUTEX_WAIT => {
                    third as u32 as u64 != LOCKED_AND_AWAITED
                        && first.wrapping_sub(self.stack) >= OWN_STACK
                }
                libc::FUTEX_WAIT_BITSET => true,
                _ => false,
            },
            libc::SYS_recvfrom if waits_for_all(fourth) => false,
            libc::SYS_recvmsg if waits_for_all(third) => false,
            libc::SYS_read
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_accept
            | libc::SYS_accept4 => is_stream(process, first),
            libc::SYS_poll
            | libc::SYS_select
            | libc::SYS_pause
            | libc::SYS_nanosleep
            | libc::SYS_clock_nanosleep
            | libc::SYS_wait4
            | libc::SYS_waitid => true,
            // With a set of signals they set the mask aside (`set_user_sigmask`, kernel/signal.c).
            libc::SYS_pselect6 => sixth == 0,
            libc::SYS_ppoll => fourth == 0,
            _ => false,
        }
    }
}

/// Whether a descriptor is none of a file: to read a file may be the loader's doing.
fn is_stream(process: Process, descriptor: u64) -> bool {
    let link = std::fs::read_link(process.path(&format!("fd/{}", descriptor as i32)));
    link.is_ok_and(|link| {
        let link = link.to_string_lossy();
        ["pipe:", "socket:", "anon_inode:", "/dev/pts/", "/dev/tty"]
            .iter()
            .any(|beginning| link.starts_with(beginning))
    })
}

/// How a thread goes on after the detour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoesOn {
    /// Where.
    pub resume: u64,
    /// What it has in `rax` then.
    pub result: u64,
    /// Where, if its system call is interrupted.
    pub interrupted: u64,
    /// Which signals interrupt that.
    pub interrupts: Interrupts,
}

// include/linux/errno.h: what a system call returns to the kernel itself if a stop or a signal has ended it.
const RESTART_SYS: i64 = -512;
const RESTART_NO_INTERRUPT: i64 = -513;
const RESTART_BLOCK: i64 = -516;
/// The length of the instruction `syscall`. The kernel goes back by it too when it makes a call again.
const SYSCALL_LENGTH: u64 = 2;

/// How a thread that is stopped with these registers goes on after the detour; `None` if it may not be sent there.
/// `wait` is what it did just before, `blocked` the signals that it blocks.
pub fn goes_on(
    process: Process,
    places: &Places,
    wait: Option<Wait>,
    registers: &user_regs_struct,
    blocked: u64,
) -> Option<GoesOn> {
    if !has_room(process, places, registers.rsp, blocked) {
        return None;
    }
    let (number, result) = (registers.orig_rax as i64, registers.rax as i64);
    let as_it_is = GoesOn {
        resume: registers.rip,
        result: registers.rax,
        interrupted: 0,
        interrupts: Interrupts::None,
    };
    let Some(wait) = wait else {
        return (number < 0 && is_beside_the_c_library(places, registers.rip)).then_some(as_it_is);
    };
    if (wait.counter, wait.stack) != (registers.rip, registers.rsp) || number != wait.number {
        return None;
    }
    let again = |interrupts, call: u64| GoesOn {
        resume: registers.rip - SYSCALL_LENGTH,
        result: call,
        interrupted: registers.rip,
        interrupts,
    };
    let call = registers.orig_rax;
    Some(match result {
        RESTART_SYS => again(Interrupts::Some, call),
        RESTART_NO_INTERRUPT => again(Interrupts::None, call),
        RESTART_NO_HANDLER => again(Interrupts::All, call),
        RESTART_BLOCK => again(Interrupts::All, libc::SYS_restart_syscall as u64),
        // What it waited for has come at this moment.
        _ => as_it_is,
    })
}

/// Whether there is stack enough below this address, and no signal handler's frame above it.
fn has_room(process: Process, places: &Places, stack: u64, blocked: u64) -> bool {
    let Some(region) = region_at(&places.regions, stack) else {
        return false;
    };
    // The first thread's stack grows by itself.
    let grows = region.name == "[stack]";
    if stack - region.start < STACK && !grows || region.end - stack > MOST_STACK {
        return false;
    }
    let mut at = stack & !7;
    while at < region.end {
        // A frame may reach into the next piece.
        let length = (region.end - at).min(64 << 10);
        let more = (region.end - at).min(length + signal_frames::LENGTH as u64);
        let Ok(bytes) = read_memory(process.pid, at, more as usize) else {
            return false;
        };
        let words = bytes.chunks_exact(8).take(length as usize / 8);
        let words = words.filter_map(|word| word.try_into().ok());
        let mut words = words.map(u64::from_ne_bytes).enumerate();
        let is_in_handler = words.any(|(index, word)| {
            places.signal_returns.contains(&word)
                && signal_frames::may_be_live(&bytes[8 * index..], at + 8 * index as u64, blocked)
        });
        if is_in_handler {
            return false;
        }
        at += length;
    }
    let mut below = [0; 8];
    grows || read_memory_into(process.pid, stack - STACK, &mut below).is_ok()
}

/// Whether this is code of the interpreter or of a module.
fn is_beside_the_c_library(places: &Places, counter: u64) -> bool {
    let region = region_at(&places.regions, counter);
    let Some(region) = region.filter(|one| one.execute) else {
        return false;
    };
    let Some((_, name)) = region.name.rsplit_once('/') else {
        return false;
    };
    ![
        "libc.",
        "libc-",
        "ld-",
        "ld.",
        "libpthread",
        "libdl",
        "libgcc",
        "libsleeper",
    ]
    .iter()
    .any(|beginning| name.starts_with(beginning))
        && !["malloc", "alloc", "hoard", "asan", "tsan"]
            .iter()
            .any(|part| name.contains(part))
        && !places.allocators.contains(&region.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_thread_waits_in() {
        let line = "202 0x7f01 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd10 0x7f7766\n";
        let Some(Doing::Waits(wait)) = parse(line) else {
            panic!("it waits");
        };
        assert_eq!(
            (wait.number, wait.stack, wait.counter),
            (202, 0x7f_fd10, 0x7f_7766)
        );
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert_eq!(wait.safe(us), Safe::Yes);
        let lock = Wait {
            arguments: [1, 128, 2, 0, 0, 0],
            ..wait
        };
        assert_eq!(lock.safe(us), Safe::No, "a low-level lock");
        let polls = |timeout| Wait {
            number: libc::SYS_epoll_wait,
            arguments: [5, 0x7f01, 64, timeout, 0, 0],
            ..wait
        };
        assert_eq!(polls(0xffff_ffff).safe(us), Safe::Yes);
        assert_eq!(polls(50).safe(us), Safe::IfFresh);
        assert_eq!(parse("running\n"), Some(Doing::Runs));
        assert_eq!(parse("-1 0x7ffd10 0x7f7766"), None);
        assert_eq!(parse(""), None);
    }
}
