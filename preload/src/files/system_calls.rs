//! The descriptors that a thread's system call waits for, and what they are.

use std::ffi::CStr;
use std::io::Write;

use crate::system::filter::{self, Call};
use crate::system::memory::{read, read_bytes};
use protocol::state::{MORE, Way};

/// A thread's system call, as `/proc/PID/task/TID/syscall` shows it (proc_pid_syscall(5)).
pub struct SystemCall {
    number: i64,
    arguments: [usize; 6],
    /// The address behind the `syscall` instruction.
    counter: usize,
}

/// No more descriptors of one call are described.
const MOST_DESCRIPTORS: usize = 16;

/// A description is cut to this length, in bytes.
const LONGEST_LINK: usize = 256;

/// Holds the descriptions of one call.
pub type Buffer = [u8; 4096];

/// As in bits/typesizes.h. Of a call of `select` with larger sets, only lower descriptors are described.
const FD_SETSIZE: usize = 1024;

impl SystemCall {
    /// Parses that file's line; `None` if the thread is in no system call.
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

    /// The stack pointer of a thread that sleeps, by the same line: also of one that is in no system call; `None` of
    /// one that runs.
    pub fn stack_pointer(line: &[u8]) -> Option<usize> {
        let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        // The program counter stands behind it.
        let pointer = words.nth_back(1)?;
        usize::from_str_radix(pointer.strip_prefix("0x")?, 16).ok()
    }

    /// The arguments of a call of futex(2): the address of the word, the operation, the value.
    pub fn futex(&self) -> Option<[usize; 3]> {
        let [address, operation, value, ..] = self.arguments;
        (self.number == libc::SYS_futex).then_some([address, operation, value])
    }

    /// The number of the call that a debugger interrupted, if the kernel has restarted it as
    /// `restart_syscall` (kernel/signal.c), which keeps the arguments. It is read from the instruction
    /// before `syscall`, which loads a constant in all of glibc's calls that wait.
    ///
    /// Any thread, interrupted or not.
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

    /// The same call with another number.
    pub fn with_number(self, number: i64) -> SystemCall {
        SystemCall { number, ..self }
    }

    /// Calls `report` with each descriptor that the call waits for, and the letters of its [`Way`]s. Returns
    /// how many descriptors were left out.
    ///
    /// Any thread: it reads another thread's memory, which may change or be unmapped meanwhile.
    fn descriptors(&self, report: &mut dyn FnMut(i32, &str)) -> usize {
        let [first, second, ..] = self.arguments;
        let way = match self.number {
            libc::SYS_poll | libc::SYS_ppoll => return polled(first, second, report),
            libc::SYS_select | libc::SYS_pselect6 => return self.selected(report),
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
            libc::SYS_flock => Way::Lock,
            libc::SYS_fcntl if waits_for_lock(second) => Way::Lock,
            libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Way::Epoll,
            _ => return 0,
        };
        report(first as i32, &Letters([way.letter(), 0, 0], 1));
        0
    }

    /// [`SystemCall::descriptors`] of a `select`. The kernel works on copies of the sets (fs/select.c), so
    /// they stay as the thread passed them until the call returns.
    fn selected(&self, report: &mut dyn FnMut(i32, &str)) -> usize {
        let count = self.arguments[0].min(FD_SETSIZE);
        let mut sets = [[0_u8; FD_SETSIZE / 8]; 3];
        for (set, &address) in sets.iter_mut().zip(&self.arguments[1..]) {
            // A set that cannot be read stays empty.
            if address != 0 && !read_bytes(address, &mut set[..count.div_ceil(64) * 8]) {
                *set = [0; FD_SETSIZE / 8];
            }
        }
        let mut found = 0;
        for number in 0..count {
            let is_in = |set: &[u8]| set[number / 8] & 1 << (number % 8) != 0;
            let ways = [is_in(&sets[0]), is_in(&sets[1]), is_in(&sets[2])];
            if ways != [false; 3] {
                found += 1;
                if found <= MOST_DESCRIPTORS {
                    report(number as i32, &letters(ways));
                }
            }
        }
        found.saturating_sub(MOST_DESCRIPTORS)
    }
}

/// Whether a call of `fcntl` with this operation waits until a file is locked.
fn waits_for_lock(operation: usize) -> bool {
    matches!(operation as i32, libc::F_SETLKW | libc::F_OFD_SETLKW)
}

/// [`SystemCall::descriptors`] of a `poll`, from its array of `struct pollfd` (poll.h).
fn polled(address: usize, count: usize, report: &mut dyn FnMut(i32, &str)) -> usize {
    for index in 0..count.min(MOST_DESCRIPTORS) {
        let at = address.wrapping_add(8 * index);
        let (Some(number), Some(events)) = (read::<i32>(at), read::<u16>(at.wrapping_add(4)))
        else {
            return 0;
        };
        let wants = |event: i16| events & event as u16 != 0;
        // `poll` ignores negative descriptors.
        if number >= 0 {
            let ways = [
                wants(libc::POLLIN | libc::POLLRDNORM),
                wants(libc::POLLOUT | libc::POLLWRNORM),
                wants(libc::POLLPRI),
            ];
            report(number, &letters(ways));
        }
    }
    count.saturating_sub(MOST_DESCRIPTORS)
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

/// Up to three letters.
struct Letters([u8; 3], usize);

impl std::ops::Deref for Letters {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0[..self.1]).unwrap_or_default()
    }
}

/// Describes the descriptors that a thread's call waits for, as they stand behind its line in
/// [`TASKS`](protocol::state::document::TASKS).
///
/// On the reader: it looks into that thread's table of descriptors, not its own. Allocates nothing.
pub fn describe<'a>(task: i32, call: &SystemCall, buffer: &'a mut Buffer) -> &'a [u8] {
    let whole = buffer.len();
    let mut free = &mut buffer[..];
    let mut left_out = 0;
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
        // The count must still fit behind it.
        if left_out > 0 || piece.len() + 32 > free.len() || free.write_all(piece).is_err() {
            left_out += 1;
        }
    });
    if more + left_out > 0 {
        let _ = write!(free, "\t{MORE}{}", more + left_out);
    }
    let left = free.len();
    &buffer[..whole - left]
}

/// The target of a descriptor's link in `/proc`, as much as fits; empty if there is no such descriptor.
fn link_of(task: i32, number: i32, buffer: &mut [u8]) -> &[u8] {
    let mut path = [0_u8; 64];
    if !filter::may(Call::ReadLink) {
        return &[];
    }
    // The link in that thread's folder: the process's first thread may have ended.
    if write!(&mut path[..], "/proc/self/task/{task}/fd/{number}\0").is_err() {
        return &[];
    }
    let Ok(path) = CStr::from_bytes_until_nul(&path) else {
        return &[];
    };
    // SAFETY: the path ends in NUL, and the kernel writes to `buffer` only, no more than its length.
    let count = unsafe { libc::readlink(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
    &buffer[..usize::try_from(count).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reports_which_call_was_interrupted() {
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
