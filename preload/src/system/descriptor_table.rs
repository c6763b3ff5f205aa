//! A table of file descriptors for one thread alone: for the reader and the answerer of a signal (`crew/`), and for
//! the tasks aside (`system/aside.rs`).

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system::filter::{self, Call};
use crate::system::kernel;
use crate::system::proc_file::{self, Descriptors};

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
    if !can_at_once() {
        return false;
    }
    // It copies no descriptor of the program (`__range_close`, fs/file.c).
    // SAFETY: with `UNSHARE` it gives this thread a table of its own and leaves the program's untouched.
    let done = unsafe { libc::syscall(kernel::CLOSE_RANGE, 0, ALL, UNSHARE) } == 0;
    if !done && std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        IS_OLD.store(true, Ordering::Relaxed);
    }
    done
}

/// Whether the kernel is older than the call that does it at once.
static IS_OLD: AtomicBool = AtomicBool::new(false);

/// Whether the kernel may do it in one call, as far as that is known. Any thread.
pub fn can_at_once() -> bool {
    filter::may(Call::CloseRange) && !IS_OLD.load(Ordering::Relaxed)
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
    // SAFETY: the table is this thread's alone, and the thread uses no descriptor yet.
    unsafe { close_all() };
    true
}

/// Closes everything in a copy of the program's table: a connection of the program would not end while a copy is
/// open.
///
/// # Safety
/// The table is the calling thread's alone, and the thread uses none of the descriptors.
pub unsafe fn close_all() {
    if filter::may(Call::ListFolder) && close_listed() {
        return;
    }
    // The table is never larger than `table_size` says (`dup_fd`, fs/file.c).
    for descriptor in 0..table_size().unwrap_or(1 << 20) {
        // SAFETY: the caller promises it.
        unsafe { libc::close(descriptor) };
    }
}

/// Closes what `/proc` lists of this thread's table; false if it cannot be read to its end.
fn close_listed() -> bool {
    let Some(mut listed) = Descriptors::of_this_thread() else {
        return false;
    };
    let list = listed.descriptor();
    for found in listed.by_ref() {
        if found != list {
            // SAFETY: the table is this thread's alone, and the thread uses no descriptor but the list's.
            unsafe { libc::close(found) };
        }
    }
    listed.is_whole()
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
    let text = proc_file::read_of_this_thread("status", &mut text)?;
    let value = proc_file::value(text, b"FDSize:")?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_closes_every_copy_in_little_time() {
        let mut pipes = Vec::new();
        for _ in 0..100 {
            pipes.push(std::io::pipe().expect("descriptors are left"));
        }
        let count = || Descriptors::of_this_thread().map(Iterator::count);
        let closing = move || {
            let begun = std::time::Instant::now();
            assert!(have_own_slowly());
            let took = begun.elapsed();
            // The list itself.
            assert_eq!(count(), Some(1));
            took
        };
        // The machine may be busy.
        let tries = (0..10).map(|_| std::thread::spawn(closing).join().expect("it ends"));
        let shortest = tries.min().expect("it was tried");
        assert!(shortest.as_millis() < 15, "{shortest:?}");
        assert!(count() > Some(200), "the program's own are open");
        drop(pipes);
    }

    #[test]
    fn the_size_of_the_table_is_known_without_a_list() {
        assert!(table_size().is_some_and(|size| (3..1 << 20).contains(&size)));
    }
}
