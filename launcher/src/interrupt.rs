//! Ctrl-C and its kin: noted, and obeyed where it harms nobody.
//!
//! A process that is being asked must be let go in order, so these signals don't end us on
//! the spot.

use std::sync::atomic::{AtomicI32, Ordering};

/// The first of them that came; 0 is none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Notes SIGINT, SIGTERM and SIGHUP from now on, unless whoever started us had them ignored.
pub fn watch() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
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
