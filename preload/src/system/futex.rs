//! Waiting with a deadline, without a lock: futexes and the monotonic clock.
//!
//! Both are single system calls, so a thread that a debugger interrupted anywhere may make them. A wait
//! may be cut short, by a signal or by a debugger that attaches: callers wait in a loop.

use std::ptr;
use std::sync::atomic::AtomicU32;

/// A point in time by CLOCK_MONOTONIC, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// Now. Any thread, interrupted or not.
    pub fn now() -> Self {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes to `time`, a local, takes no lock and allocates nothing.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
        Self(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// The point so many nanoseconds later.
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

/// The time of day, in seconds since 1970, as `time.time()` has it.
pub fn wall_clock() -> f64 {
    let mut time = timespec(0);
    // SAFETY: the call writes to `time`, a local, takes no lock and allocates nothing.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// So many nanoseconds, as the kernel takes them.
pub fn timespec(nanoseconds: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanoseconds / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanoseconds % 1_000_000_000) as libc::c_long,
    }
}

/// Waits while `word` is `value`, until woken or until `deadline` (`None`: for ever). Any thread.
///
/// Returns false if the deadline had passed. It may return true with the word unchanged.
pub fn wait_while(word: &AtomicU32, value: u32, deadline: Option<Instant>) -> bool {
    match deadline.map(Instant::left) {
        Some(None) => return false,
        Some(Some(nanoseconds)) => wait(word, value, Some(nanoseconds)),
        None => wait(word, value, None),
    };
    true
}

/// Waits while `word` is `value`, until woken or for so many nanoseconds, without a look at the clock: true if they
/// have passed. It may return false with the word unchanged. Any thread.
pub fn wait_for(word: &AtomicU32, value: u32, nanoseconds: u64) -> bool {
    wait(word, value, Some(nanoseconds))
}

fn wait(word: &AtomicU32, value: u32, nanoseconds: Option<u64>) -> bool {
    let timeout = nanoseconds.map(timespec);
    let timeout = timeout
        .as_ref()
        .map_or(ptr::null(), |t| t as *const libc::timespec);
    // SAFETY: the word is borrowed, so it outlives the call; the timeout is null or a local. The kernel
    // compares and sleeps, and no lock is held meanwhile. This thread cannot fork during the call; a
    // child that another thread forks has the word as plain memory.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            timeout,
        ) < 0
            && *libc::__errno_location() == libc::ETIMEDOUT
    }
}

/// Waits for so many nanoseconds. Any thread.
pub fn pause(nanoseconds: u64) {
    wait(&AtomicU32::new(0), 0, Some(nanoseconds));
}

/// Wakes every thread that waits on `word`. Any thread, interrupted or not.
pub fn wake(word: &AtomicU32) {
    // SAFETY: the kernel uses the address only to find the threads that wait on it.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            i32::MAX,
        );
    }
}
