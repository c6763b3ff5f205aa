//! Which of the threads that are ready to run gets a processor.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest time that the calling thread works before it gives way.
const AT_A_TIME: Duration = Duration::from_micros(200);

/// Lets others run that are ready, every now and then: to be called often, in work that takes milliseconds. Linux lets a
/// thread that works go on for some 3 ms, even if one of the program's wakes meanwhile and has no other processor
/// (`RUN_TO_PARITY`, kernel/sched/fair.c, Linux 6.6 to 6.18).
pub fn give_way() {
    thread_local!(static LAST: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    let since = LAST.get().map(|last| now - last);
    if since.is_none_or(|since| since > AT_A_TIME) {
        std::thread::yield_now();
        LAST.set(Some(Instant::now()));
    }
}

/// From now on the calling thread gets a processor before all others that have no real-time priority, if we may ask for
/// that: root may (sched(7)). For a thread that does little and ends soon.
pub fn go_first() {
    // SAFETY: `sched_param` is plain data; the call reads it. 0 is the calling thread.
    unsafe {
        let mut lowest: libc::sched_param = std::mem::zeroed();
        lowest.sched_priority = 1;
        libc::sched_setscheduler(0, libc::SCHED_RR, &lowest);
    }
}
