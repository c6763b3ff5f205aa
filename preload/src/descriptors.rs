//! A table of descriptors for the worker alone.
//!
//! It opens source files. Were they in the program's own table, a child forked at that moment
//! would inherit one; and a program that closes every descriptor, as daemons do, and opens others
//! under the same numbers would have one of its own closed by us.

use std::sync::atomic::{AtomicI32, Ordering};

/// The thread that has its own; or that cannot, negative.
static DONE_BY: AtomicI32 = AtomicI32::new(0);

/// Before a new worker is started, whose thread ID may have been another's.
pub fn forget() {
    DONE_BY.store(0, Ordering::Relaxed);
}

/// Gives the calling thread an empty table of descriptors of its own; false if that cannot be
/// had, and it shares the program's.
///
/// On a thread of ours, which from then on sees none of the program's descriptors. Not done under
/// a filter for system calls: such a filter may kill the process for a call that it does not know.
pub fn have_own() -> bool {
    // SAFETY: has no conditions.
    let thread = unsafe { libc::gettid() };
    let before = DONE_BY.load(Ordering::Relaxed);
    if before.abs() == thread {
        return before > 0;
    }
    let mut text = [0; 4096];
    // SAFETY: has no conditions, and concerns no thread but this one.
    let own =
        is_unfiltered(read_status(&mut text)) && unsafe { libc::unshare(libc::CLONE_FILES) } == 0;
    DONE_BY.store(if own { thread } else { -thread }, Ordering::Relaxed);
    if !own {
        return false;
    }
    // Ours now are copies of all that the program had open: a connection would not end as long as
    // we have one. The table is never larger than this (dup_fd, fs/file.c).
    let size = field(read_status(&mut text), b"FDSize:").unwrap_or(1 << 20);
    for descriptor in 0..size {
        // SAFETY: in this thread's own table nothing is anybody's.
        unsafe { libc::close(descriptor) };
    }
    true
}

fn is_unfiltered(status: &[u8]) -> bool {
    // Kernels without the field have no filters.
    !status.is_empty() && field(status, b"Seccomp:").is_none_or(|mode| mode == 0)
}

/// What the kernel says of this thread; empty if there is no `/proc`.
fn read_status(text: &mut [u8]) -> &[u8] {
    // SAFETY: a constant path; the kernel writes to `text` only, and what it says is made in one
    // piece. The descriptor is closed before anyone could have learnt its number.
    unsafe {
        let path = c"/proc/thread-self/status";
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return &[];
        }
        let count = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        &text[..usize::try_from(count).unwrap_or(0)]
    }
}

fn field(status: &[u8], name: &[u8]) -> Option<i32> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(name))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
