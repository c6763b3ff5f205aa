//! Signals without handlers: a thread blocks them and waits for them, by bare system calls.
//!
//! The C library keeps two signals for itself and offers no way to block them: nobody else sends them to a
//! process, so the agent's threads can tell them from the program's (nptl(7); SIGCANCEL and SIGSETXID in
//! sysdeps/unix/sysv/linux/internal-signals.h, glibc 2.36).

use std::ffi::c_int;
use std::ptr;

use crate::system::futex::{Instant, timespec};
use protocol::message::WakeSignal;

/// Wakes a thread of the agent's.
pub const NUDGE: c_int = protocol::names::NUDGE;

/// Asks a thread to change its user or its groups, as `setuid` does on every thread of a program.
pub const SETXID: c_int = 33;

/// The signals that the kernel raises for a fault of the thread itself.
pub const FAULTS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
];

/// A set of signals, as the kernel takes it.
#[derive(Clone, Copy)]
pub struct Set(u64);

impl Set {
    /// The set of these signals. Numbers below 1 are left out.
    pub fn of(signals: &[c_int]) -> Set {
        let bits = signals.iter().filter(|&&signal| signal > 0);
        Set(bits.fold(0, |set, signal| set | 1 << (signal - 1)))
    }

    /// All signals but these.
    pub fn all_but(signals: &[c_int]) -> Set {
        Set(!Set::of(signals).0)
    }

    /// These signals, and not those.
    pub fn without(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    /// Blocks these signals on the calling thread.
    pub fn block(self) {
        self.change(libc::SIG_BLOCK);
    }

    /// Unblocks them. The handler of a signal that has come meanwhile runs before this returns.
    pub fn unblock(self) {
        self.change(libc::SIG_UNBLOCK);
    }

    /// Blocks these signals on the calling thread, and no other. Returns the ones that it blocked before.
    ///
    /// The C library's own function would leave out the two signals that it keeps for itself.
    pub fn block_only(self) -> Set {
        self.change(libc::SIG_SETMASK)
    }

    fn change(self, how: c_int) -> Set {
        let mut before = 0_u64;
        // SAFETY: the kernel reads the set and writes the one before, both locals, and changes the mask of the
        // calling thread alone.
        unsafe {
            let (set, before) = (&raw const self.0, &raw mut before);
            libc::syscall(libc::SYS_rt_sigprocmask, how, set, before, 8_usize);
        }
        Set(before)
    }

    /// Waits for one of these signals, which the calling thread blocks; `None` if none came by `until`, or
    /// if something cut the wait short, such as a debugger.
    pub fn wait(self, until: Option<Instant>) -> Option<WakeSignal> {
        self.wait_for(until.map(|until| until.left().unwrap_or(0)))
    }

    /// The same for so many nanoseconds, without a look at the clock.
    pub fn wait_for(self, nanoseconds: Option<u64>) -> Option<WakeSignal> {
        self.wait_or_why_not(nanoseconds).ok()
    }

    /// The same; the error is an errno: EAGAIN if the time has passed.
    pub fn wait_or_why_not(self, nanoseconds: Option<u64>) -> Result<WakeSignal, c_int> {
        let left = nanoseconds.map(timespec);
        let time = left.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mut received = std::mem::MaybeUninit::<WakeSignal>::zeroed();
        // SAFETY: the kernel reads the set and the time and fills in the structure, all locals; zeros are a
        // valid value of it. This thread blocks the signals, so no handler of theirs runs here.
        unsafe {
            let set = &raw const self.0;
            let number = libc::SYS_rt_sigtimedwait;
            let came = libc::syscall(number, set, received.as_mut_ptr(), time, 8_usize);
            match came > 0 {
                true => Ok(received.assume_init()),
                false => Err(*libc::__errno_location()),
            }
        }
    }
}

/// Sends a signal to one thread of this process; false if that failed. Any thread, interrupted or not.
pub fn send(process: i32, thread: i32, signal: c_int) -> bool {
    // SAFETY: a system call that touches no memory. The callers send only signals that the thread waits for.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) == 0 }
}

/// Whether a process has such a thread, as far as the kernel says: any error but ESRCH says nothing about the thread.
/// Where the call is allowed ([`Call::SignalThread`](crate::system::filter::Call)). Any thread, interrupted or not.
pub fn is_there(process: i32, thread: i32) -> bool {
    send(process, thread, 0) || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}
