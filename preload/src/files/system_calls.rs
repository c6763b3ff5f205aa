//! What a thread's system call waits for: the descriptors, and what they are.

use std::ffi::CStr;
use std::io::Write;

use crate::system::memory::{read, read_bytes};
use protocol::state::{MORE, Way};

/// A thread's system call, as `/proc/PID/task/TID/syscall` has it (proc_pid_syscall(5)).
pub struct SystemCall {
    number: i64,
    arguments: [usize; 6],
    /// The address behind the instruction.
    counter: usize,
}

/// So many descriptors are told of one call.
const MOST: usize = 16;

/// So much of what one is.
const LONGEST_LINK: usize = 256;

/// Room for all of it.
pub type Room = [u8; 4096];

/// `FD_SETSIZE` (bits/typesizes.h). Whoever calls `select` with larger sets is told of those below.
const SET: usize = 1024;

impl SystemCall {
    /// From that line; `None` if the thread is in no system call.
    pub fn parse(line: &[u8]) -> Option<SystemCall> {
        let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let number = words.next()?.parse().ok().filter(|&number| number >= 0)?;
        let mut hexadecimal = || usize::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = hexadecimal()?;
        }
        let _stack = hexadecimal()?;
        let counter = hexadecimal()?;
        Some(SystemCall {
            number,
            arguments,
            counter,
        })
    }

    /// The number of the call that a debugger interrupted, and the kernel has made again as
    /// `restart_syscall` (kernel/signal.c): where it is a constant in the instruction before, as
    /// glibc has it for all that wait. The arguments are still those.
    ///
    /// Any thread: reads memory.
    pub fn restarted(&self) -> Option<i64> {
        if self.number != libc::SYS_restart_syscall {
            return None;
        }
        let mut code = [0; 7];
        // mov $NUMBER,%eax · syscall
        let before = self.counter.checked_sub(code.len())?;
        match (read_bytes(before, &mut code), code) {
            (true, [0xb8, a, b, c, d, 0x0f, 0x05]) => Some(i32::from_le_bytes([a, b, c, d]).into()),
            _ => None,
        }
    }

    /// The same call under another number.
    pub fn under(self, number: i64) -> SystemCall {
        SystemCall { number, ..self }
    }

    /// Calls `tell` with each descriptor that it waits for, and the letters of the [`Way`]s. Returns how
    /// many more there are.
    ///
    /// Any thread: reads memory, which may not be there, or be another thread's that runs.
    fn descriptors(&self, tell: &mut dyn FnMut(i32, &str)) -> usize {
        let [first, second, ..] = self.arguments;
        let way = match self.number {
            libc::SYS_poll | libc::SYS_ppoll => return polled(first, second, tell),
            libc::SYS_select | libc::SYS_pselect6 => return self.selected(tell),
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_pread64
            | libc::SYS_preadv
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg => Way::Read,
            libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_pwrite64
            | libc::SYS_pwritev
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg
            | libc::SYS_sendfile => Way::Write,
            libc::SYS_accept | libc::SYS_accept4 => Way::Accept,
            libc::SYS_connect => Way::Connect,
            libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Way::Epoll,
            _ => return 0,
        };
        tell(first as i32, &Letters([way.letter(), 0, 0], 1));
        0
    }

    /// See [`SystemCall::descriptors`]. The sets are the thread's until it returns: the kernel works on
    /// copies (fs/select.c).
    fn selected(&self, tell: &mut dyn FnMut(i32, &str)) -> usize {
        let count = self.arguments[0].min(SET);
        let mut sets = [[0_u8; SET / 8]; 3];
        for (set, &address) in sets.iter_mut().zip(&self.arguments[1..]) {
            // Where it can't be read it stays empty.
            if address != 0 && !read_bytes(address, &mut set[..count.div_ceil(64) * 8]) {
                *set = [0; SET / 8];
            }
        }
        let mut found = 0;
        for number in 0..count {
            let is_in = |set: &[u8]| set[number / 8] & 1 << (number % 8) != 0;
            let ways = [is_in(&sets[0]), is_in(&sets[1]), is_in(&sets[2])];
            if ways != [false; 3] {
                found += 1;
                if found <= MOST {
                    tell(number as i32, &letters(ways));
                }
            }
        }
        found.saturating_sub(MOST)
    }
}

/// Of an array of `struct pollfd` (poll.h).
fn polled(address: usize, count: usize, tell: &mut dyn FnMut(i32, &str)) -> usize {
    for index in 0..count.min(MOST) {
        let at = address.wrapping_add(8 * index);
        let (Some(number), Some(events)) = (read::<i32>(at), read::<u16>(at.wrapping_add(4)))
        else {
            return 0;
        };
        let wants = |event: i16| events & event as u16 != 0;
        // One below zero is passed over.
        if number >= 0 {
            let ways = [
                wants(libc::POLLIN | libc::POLLRDNORM),
                wants(libc::POLLOUT | libc::POLLWRNORM),
                wants(libc::POLLPRI),
            ];
            tell(number, &letters(ways));
        }
    }
    count.saturating_sub(MOST)
}

fn letters([read, write, urgent]: [bool; 3]) -> Letters {
    let mut letters = Letters([0; 3], 0);
    for (way, wanted) in [
        (Way::Read, read),
        (Way::Write, write),
        (Way::Urgent, urgent),
    ] {
        if wanted {
            letters.0[letters.1] = way.letter();
            letters.1 += 1;
        }
    }
    letters
}

/// At most three letters.
struct Letters([u8; 3], usize);

impl std::ops::Deref for Letters {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0[..self.1]).unwrap_or_default()
    }
}

/// The descriptors that a thread's call waits for, as they stand behind its line in
/// [`TASKS`](protocol::state::document::TASKS).
///
/// On the reader, whose own table of descriptors is not looked at. Allocates nothing.
pub fn describe<'a>(task: i32, call: &SystemCall, room: &'a mut Room) -> &'a [u8] {
    let whole = room.len();
    let mut free = &mut room[..];
    let mut untold = 0;
    let more = call.descriptors(&mut |number, letters| {
        let mut piece = [0; LONGEST_LINK * 4 + 32];
        let mut rest = &mut piece[..];
        let mut link = [0; LONGEST_LINK];
        let _ = write!(rest, "\t{number} {letters} ");
        for &byte in link_of(task, number, &mut link) {
            let _ = match byte {
                ..b' ' | 0x7f => write!(rest, "\\{byte:03o}"),
                _ => rest.write_all(&[byte]),
            };
        }
        let left = rest.len();
        let piece = &piece[..piece.len() - left];
        // With room for the count behind it.
        if untold > 0 || piece.len() + 32 > free.len() || free.write_all(piece).is_err() {
            untold += 1;
        }
    });
    if more + untold > 0 {
        let _ = write!(free, "\t{MORE}{}", more + untold);
    }
    let left = free.len();
    &room[..whole - left]
}

/// As much of it as there is room for; nothing if there is no such descriptor.
fn link_of(task: i32, number: i32, room: &mut [u8]) -> &[u8] {
    let mut path = [0_u8; 64];
    // Of that thread: the first of the process may have ended.
    if write!(&mut path[..], "/proc/self/task/{task}/fd/{number}\0").is_err() {
        return &[];
    }
    let Ok(path) = CStr::from_bytes_until_nul(&path) else {
        return &[];
    };
    // SAFETY: the kernel writes to `room` only, and no descriptor is opened.
    let count = unsafe { libc::readlink(path.as_ptr(), room.as_mut_ptr().cast(), room.len()) };
    &room[..usize::try_from(count).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn tells_which_call_was_interrupted() {
        let code = [0xb8_u8, 7, 0, 0, 0, 0x0f, 0x05];
        let after = code.as_ptr() as usize + code.len();
        let restarted = |number: i64, counter: usize| {
            let line = format!("{number} 0x1 0x2 0x3 0x4 0x5 0x6 0x7ff0 {counter:#x}\n");
            SystemCall::parse(line.as_bytes())
                .expect("a call")
                .restarted()
        };
        assert_eq!(
            restarted(libc::SYS_restart_syscall, after),
            Some(libc::SYS_poll)
        );
        assert_eq!(restarted(libc::SYS_restart_syscall, after - 1), None);
        assert_eq!(restarted(libc::SYS_restart_syscall, 8), None);
        assert_eq!(restarted(libc::SYS_futex, after), None);
        assert!(SystemCall::parse(b"running\n").is_none());
        assert!(SystemCall::parse(b"-1 0x7ff0 0x1\n").is_none());
    }
}
