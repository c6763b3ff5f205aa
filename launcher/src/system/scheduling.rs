//! Which of the threads that are ready to run gets a processor.

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
