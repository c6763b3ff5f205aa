//! A table of file descriptors for one thread alone: for the reader and the answerer of a signal (`crew/`).

use std::ffi::c_int;

use crate::system::filter::{self, Call};
use crate::system::proc_file;

/// In a table shared with the program, the agent's descriptors are this number or higher.
const LOWEST: c_int = 512;

/// Gives the calling thread an empty table of descriptors of its own; false if that is not possible.
///
/// On a thread of ours that runs no code of the program.
pub fn have_own() -> bool {
    have_own_at_once() || have_own_slowly()
}

/// The same, if the kernel does it in one call.
pub fn have_own_at_once() -> bool {
    const ALL: libc::c_uint = libc::c_uint::MAX;
    const UNSHARE: libc::c_uint = 1 << 1;
    // The kernel has this call since Linux 5.9; it copies no descriptor of the program
    // (`__range_close`, fs/file.c).
    let ranges = filter::may(Call::CloseRange);
    // SAFETY: with `UNSHARE` it gives this thread a table of its own and leaves the program's untouched.
    ranges && unsafe { libc::syscall(libc::SYS_close_range, 0, ALL, UNSHARE) } == 0
}

/// The same, by closing one after the other.
fn have_own_slowly() -> bool {
    if !filter::may(Call::Unshare) {
        return false;
    }
    // SAFETY: it gives this thread a copy of the table and leaves the program's untouched.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return false;
    }
    // The copies must be closed: a connection of the program would not end while a copy is open. The
    // table is never larger than `table_size` says (`dup_fd`, fs/file.c).
    for descriptor in 0..table_size().unwrap_or(1 << 20) {
        // SAFETY: the table is this thread's alone, and the thread uses no descriptor yet.
        unsafe { libc::close(descriptor) };
    }
    true
}

/// Moves a new descriptor to a high number, if one is free: a program may rely on getting the lowest
/// free number itself. Returns the number it has then.
///
/// # Safety
/// The descriptor is the caller's alone, or none (-1).
pub unsafe fn out_of_the_way(descriptor: c_int) -> c_int {
    // SAFETY: the caller promises that the descriptor is its own, so no other thread uses the number that
    // is closed here.
    unsafe {
        if !filter::may(Call::ControlFile) {
            return descriptor;
        }
        let moved = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, LOWEST);
        if moved < 0 {
            return descriptor;
        }
        libc::close(descriptor);
        moved
    }
}

/// The size of this thread's table, from `/proc`; `None` without `/proc`.
fn table_size() -> Option<i32> {
    let mut text = [0; 2048];
    let text = proc_file::read(c"/proc/thread-self/status", &mut text)?;
    let mut lines = text.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"FDSize:"))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
