//! Ctrl-C and its kin: noted at once, and obeyed when nothing is held.
//!
//! These signals must not end a command that holds a process.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

/// The first signal that came; 0 is none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// The signals to note.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Notes SIGINT, SIGTERM and SIGHUP from now on, except those that we were started to ignore.
pub fn watch() {
    for signal in SIGNALS {
        // SAFETY: `sigaction` is plain data for which all zeroes is a valid value; both
        // pointers are to such a value of ours. The handler does nothing but an atomic
        // operation, which is allowed in a signal handler.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut action);
            if action.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            action = std::mem::zeroed();
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Ignores SIGINT, SIGTERM and SIGHUP from now on.
pub fn ignore() {
    for signal in SIGNALS {
        // SAFETY: installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

extern "C" fn note(signal: libc::c_int) {
    let _ = SIGNAL.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
}

/// The signal that asked us to stop, if one did.
pub fn asked_to_stop() -> Option<i32> {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

/// Sleeps until then, or until a signal asks us to stop. Only for a process without other threads: such a
/// thread could take the signal, and this one would sleep on.
pub fn sleep_until(then: Instant) {
    // SAFETY: the sets and the time are plain data of ours, filled in before the kernel reads them; it
    // gets no descriptors.
    unsafe {
        let mut ours: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut ours);
        for signal in SIGNALS {
            libc::sigaddset(&mut ours, signal);
        }
        // Only `ppoll` lets them in: a signal could else come between our look and our sleep.
        libc::pthread_sigmask(libc::SIG_BLOCK, &ours, &mut before);
        while asked_to_stop().is_none() {
            let left = then.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let time = libc::timespec {
                tv_sec: left.as_secs() as libc::time_t,
                tv_nsec: left.subsec_nanos().into(),
            };
            libc::ppoll(std::ptr::null_mut(), 0, &time, &before);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
    }
}
