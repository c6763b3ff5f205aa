//! The memory of this command itself.

/// Lets all threads of this command take their memory from one place, so that what one of them gives back is there
/// for the next. To be called before the first thread is started.
///
/// By itself glibc gives a new thread a place of its own, up to eight for each processor (`arena_get2`,
/// malloc/arena.c, 2.36), and what is freed in one of them is of no use in the others. Each question has a thread: so
/// what a command takes would grow with the processors of its machine, to several times what is in use.
pub fn share() {
    // SAFETY: it changes a number in the C library's allocator, which no other thread uses yet. If it fails, all
    // stays as it was.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}
