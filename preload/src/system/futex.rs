//! Waiting with a deadline, without a lock: futexes and the monotonic clock.
//!
//! Both are single system calls. They may be used on a thread that a debugger interrupted
//! anywhere, and a wait that is cut short (a signal, a debugger's attach) is taken up again.

use std::ptr;
use std::sync::atomic::AtomicU32;

/// A point in time by CLOCK_MONOTONIC, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// The present.
    pub fn now() -> Self {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a live timespec of our own; the call takes no lock and allocates
        // nothing, so it may run on any thread, interrupted or not.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        Self(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// This point moved by so many nanoseconds into the future.
    pub fn after(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// Nanoseconds from now to this point; `None` once it has passed.
    pub fn left(self) -> Option<u64> {
        self.0
            .checked_sub(Self::now().0)
            .filter(|&nanoseconds| nanoseconds > 0)
    }
}

/// Waits while `word` is `value`, until woken or until `deadline` (without one: for ever).
///
/// Returns false once the deadline has passed. May return true with the word unchanged.
pub fn wait_while(word: &AtomicU32, value: u32, deadline: Option<Instant>) -> bool {
    let timeout = match deadline.map(Instant::left) {
        Some(None) => return false,
        Some(Some(nanoseconds)) => Some(libc::timespec {
            tv_sec: (nanoseconds / 1_000_000_000) as libc::time_t,
            tv_nsec: (nanoseconds % 1_000_000_000) as libc::c_long,
        }),
        None => None,
    };
    let timeout = timeout
        .as_ref()
        .map_or(ptr::null(), |t| t as *const libc::timespec);
    // SAFETY: the word outlives the call (it is borrowed), the timeout is null or a live
    // timespec. The kernel only compares and sleeps; no lock is held meanwhile. A fork cannot
    // happen on this thread during the call; in a forked child the word is simply memory.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            timeout,
        );
    }
    true
}

/// Wakes every thread that waits on `word`.
pub fn wake(word: &AtomicU32) {
    // SAFETY: waking reads nothing but the address, which is a live word.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            i32::MAX,
        );
    }
}
