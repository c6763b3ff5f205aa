//! A table of descriptors for one thread alone: see `reader.rs` and `waker.rs`.

use std::ffi::c_int;

use crate::system::proc_file;

/// Descriptors below this are the program's own, where a table has to be shared with it.
const LOW: c_int = 512;

/// Gives the calling thread an empty table of descriptors of its own, where that can be had;
/// whether it could.
///
/// On a thread of ours that runs nothing of the program's. Not done under a filter for system
/// calls (seccomp): it may kill the process for a call that it does not know.
pub fn have_own() -> bool {
    // SAFETY: asks, and changes nothing. (In strict mode it would be fatal, but there no thread
    // could have asked us to read.)
    if unsafe { libc::prctl(libc::PR_GET_SECCOMP) } > 0 {
        return false;
    }
    const ALL: libc::c_uint = libc::c_uint::MAX;
    const UNSHARE: libc::c_uint = 1 << 1;
    // SAFETY: concerns the table of this thread alone, which is its own afterwards. Since Linux
    // 5.9; nothing of the program's is as much as copied (`__range_close`, fs/file.c).
    if unsafe { libc::syscall(libc::SYS_close_range, 0, ALL, UNSHARE) } == 0 {
        return true;
    }
    // SAFETY: as above.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return false;
    }
    // Ours now are copies of all that the program had open: a connection would not end as long as
    // we have one. The table is never larger than this says (`dup_fd`, fs/file.c).
    for descriptor in 0..table_size().unwrap_or(1 << 20) {
        // SAFETY: in this thread's own table nothing is anybody's.
        unsafe { libc::close(descriptor) };
    }
    true
}

/// Moves a new descriptor to where no program looks for the lowest that is free, if there is room.
///
/// # Safety
/// It is the caller's alone, or none (-1).
pub unsafe fn out_of_the_way(descriptor: c_int) -> c_int {
    // SAFETY: the caller's; nobody has learnt its number.
    unsafe {
        let moved = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, LOW);
        if moved < 0 {
            return descriptor;
        }
        libc::close(descriptor);
        moved
    }
}

/// What the kernel says of the size of this thread's table; `None` if there is no `/proc`.
fn table_size() -> Option<i32> {
    let mut text = [0; 2048];
    let text = proc_file::read(c"/proc/thread-self/status", &mut text)?;
    let mut lines = text.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"FDSize:"))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
