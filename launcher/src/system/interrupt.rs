//! Ctrl-C and its kin: noted at once, and obeyed as soon as nothing is held.
//!
//! These signals must not end a command that holds a process. So the command's supervisor waits for them and notes
//! them here ([`crate::system::supervisor`]), and the process that does the work blocks them. Its threads look now and
//! then whether one has come, let go what they hold, and end.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// What the two processes of this command tell each other, in memory that they share. Times are the monotonic clock's,
/// in nanoseconds; 0 is none.
pub struct Board {
    /// The first signal that asked the command to stop.
    signal: AtomicU32,
    /// When that came.
    came: AtomicU64,
    /// When the process that does the work is to be ended.
    ends: AtomicU64,
    /// The exit status of the process that does the work, and one more, once all is done but its end.
    status: AtomicU32,
}

/// The board of a process without a supervisor.
static OWN: Board = Board::new();

/// The board that is shared, if one is.
static SHARED: AtomicPtr<Board> = AtomicPtr::new(ptr::null_mut());

/// From now on this board is used. It is never given back.
pub fn share(board: &'static Board) {
    SHARED.store(ptr::from_ref(board).cast_mut(), Ordering::SeqCst);
}

fn board() -> &'static Board {
    let shared = SHARED.load(Ordering::SeqCst);
    // SAFETY: `share` has put a reference there that is good for ever, and all fields are atomic.
    unsafe { shared.as_ref() }.unwrap_or(&OWN)
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Board {
    const fn new() -> Board {
        Board {
            signal: AtomicU32::new(0),
            came: AtomicU64::new(0),
            ends: AtomicU64::new(0),
            status: AtomicU32::new(0),
        }
    }

    /// Notes a signal that asks the command to stop, if it is the first, and wakes whoever sleeps until one comes.
    pub fn note(&self, signal: u32) {
        let first = self
            .came
            .compare_exchange(0, now(), Ordering::SeqCst, Ordering::SeqCst);
        if first.is_ok() {
            self.signal.store(signal, Ordering::SeqCst);
            let _ = futex::wake(&self.signal, futex::Flags::empty(), i32::MAX as u32);
        }
    }

    /// The first signal, and the time since it came.
    pub fn noted(&self) -> Option<(u32, Duration)> {
        let signal = self.signal.load(Ordering::SeqCst);
        let came = self.came.load(Ordering::SeqCst);
        (signal != 0).then(|| (signal, Duration::from_nanos(now().saturating_sub(came))))
    }

    /// Whether the time is over that [`end_after`] has set.
    pub fn is_late(&self) -> bool {
        let ends = self.ends.load(Ordering::SeqCst);
        ends != 0 && now() > ends
    }

    /// Notes that all is done but the end of the process that does the work.
    pub fn note_status(&self, status: u8) {
        self.status.store(u32::from(status) + 1, Ordering::SeqCst);
    }

    /// The exit status, once all is done.
    pub fn status(&self) -> Option<u8> {
        let status = self.status.load(Ordering::SeqCst).checked_sub(1)?;
        Some(status as u8)
    }
}

/// Notes that the calling process has nothing left to do but to end.
pub fn note_status(status: u8) {
    board().note_status(status);
}

/// The signals that ask a command to stop.
pub const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Has the calling process ended when this time is over, by its supervisor and by SIGALRM; `None` calls that off. That
/// ends also a process whose only thread is stuck in `/proc`, where no handler would run.
pub fn end_after(time: Option<Duration>) {
    let ends = time.map_or(0, |time| now().saturating_add(time.as_nanos() as u64));
    board().ends.store(ends, Ordering::SeqCst);
    // Whole seconds, and zero is never.
    let seconds = time.map_or(0, |time| time.as_secs().saturating_add(1));
    // SAFETY: neither takes a pointer. The first installs no code: whoever started us may have had the signal
    // ignored.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(seconds.try_into().unwrap_or(libc::c_uint::MAX));
    }
}

/// Ignores SIGINT, SIGTERM and SIGHUP from now on.
pub fn ignore() {
    for signal in SIGNALS {
        // SAFETY: installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// The signal that asked us to stop, if one did.
pub fn asked_to_stop() -> Option<i32> {
    match board().signal.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal as i32),
    }
}

/// When a signal asked us to stop, if one did.
pub fn asked_to_stop_at() -> Option<Instant> {
    let (_, ago) = board().noted()?;
    let now = Instant::now();
    Some(now.checked_sub(ago).unwrap_or(now))
}

/// Sleeps until then, or until a signal asks us to stop.
pub fn sleep_until(then: Instant) {
    while asked_to_stop().is_none() {
        let left = then.saturating_duration_since(Instant::now());
        let Ok(time) = Timespec::try_from(left) else {
            return;
        };
        if left.is_zero() {
            return;
        }
        let _ = futex::wait(&board().signal, futex::Flags::empty(), 0, Some(&time));
    }
}

/// Sleeps so long, or until a signal asks us to stop.
pub fn sleep(time: Duration) {
    sleep_until(Instant::now() + time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_counts() {
        let board = Board::new();
        assert!(board.noted().is_none() && board.status().is_none() && !board.is_late());
        board.note(15);
        board.note(2);
        assert_eq!(board.noted().map(|(signal, _)| signal), Some(15));
        board.note_status(0);
        assert_eq!(board.status(), Some(0));
    }
}
