//! Ends the process when the program's last thread has ended.
//!
//! glibc ends a process when the last thread that it counts returns (`start_thread`,
//! nptl/pthread_create.c). It counts the agent's threads too, and they never return. So after the
//! process's first thread has ended, the parked thread watches the others, and ends the process when they
//! are gone, as glibc would. A first thread ends before its process if it calls `pthread_exit` in `main`,
//! or if it is the only thread of a child that a thread other than the main one forked.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::agent::progress;
use crate::agent::threads;
use crate::system::identity::{process_id, this_thread_id};
use crate::system::proc_file;
use protocol::names::AGENT_THREADS;

/// The key of a thread-specific value, whose destructor runs when the thread ends, but not when the
/// process exits.
static KEY: AtomicU32 = AtomicU32::new(NO_KEY);
const NO_KEY: u32 = u32::MAX;

/// Whether the first thread has ended.
static HAS_ENDED: AtomicBool = AtomicBool::new(false);

/// Watches for the end of the calling thread, if it is the first of its process.
///
/// At the boot, or in a child that was just forked: it allocates.
pub fn watch_this_one() {
    if this_thread_id() != process_id() {
        return;
    }
    HAS_ENDED.store(false, Ordering::SeqCst);
    // SAFETY: the destructor stays mapped (-z nodelete). The boot and the fork handler run on one thread
    // at a time, so no other thread makes a key meanwhile.
    unsafe {
        let mut key = KEY.load(Ordering::SeqCst);
        if key == NO_KEY {
            if libc::pthread_key_create(&mut key, Some(first_thread_ends)) != 0 {
                return;
            }
            KEY.store(key, Ordering::SeqCst);
        }
        libc::pthread_setspecific(key, ptr::dangling::<c_void>());
    }
}

/// The destructor: on the first thread, which has nothing left but its stack.
unsafe extern "C" fn first_thread_ends(_: *mut c_void) {
    HAS_ENDED.store(true, Ordering::SeqCst);
    progress::nudge();
}

/// Whether the first thread has ended, so that the parked thread must watch the others. Any thread.
pub fn has_ended() -> bool {
    HAS_ENDED.load(Ordering::SeqCst)
}

/// Ends the process if only the agent's threads are left, beside the first thread's zombie, and if that
/// was so at the last call too. On the parked thread.
pub fn end_if_alone() {
    static WAS_ALONE: AtomicBool = AtomicBool::new(false);
    let alone = is_alone().unwrap_or(false);
    if WAS_ALONE.swap(alone, Ordering::SeqCst) && alone {
        // SAFETY: glibc does the same on the last thread. No thread of the program is left that could be
        // in `exit`, and the agent's other threads never call it.
        unsafe { libc::exit(0) };
    }
}

/// Whether the first thread has ended and all others are the agent's, by their thread IDs and their names:
/// another thread may have got the ID of one that has ended. `None` without `/proc`.
fn is_alone() -> Option<bool> {
    let (state, threads) = state_and_threads()?;
    let mut known = 1;
    for thread in threads::thread_ids() {
        known += usize::from(is_ours(thread));
    }
    Some(state == b'Z' && threads == known)
}

fn is_ours(thread: i32) -> bool {
    // Linux before 2.6.33 has no `comm` here.
    let mut path = [0; 64];
    let mut status = [0; 64];
    let name = proc_file::of_thread(thread, "status", &mut path).and_then(|path| {
        let status = proc_file::read(path, &mut status)?;
        proc_file::value(status, b"Name:\t")
    });
    AGENT_THREADS
        .iter()
        .any(|ours| name == Some(ours.as_bytes()))
}

/// The state of the first thread, and the number of threads; `None` without `/proc`.
fn state_and_threads() -> Option<(u8, usize)> {
    let mut text = [0; 1024];
    parse(proc_file::read(c"/proc/self/stat", &mut text)?)
}

/// Fields 3 and 20 of `/proc/PID/stat` (proc(5)); the second is a name that may hold anything, in
/// parentheses.
fn parse(text: &[u8]) -> Option<(u8, usize)> {
    let name_ends = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = text[name_ends + 1..]
        .split(|&byte| byte == b' ')
        .filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let threads = std::str::from_utf8(fields.nth(16)?).ok()?.parse().ok()?;
    Some((state, threads))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn parses_proc_stat() {
        let text = b"7 (a) b (c)) Z 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 42 19 20";
        assert_eq!(parse(text), Some((b'Z', 42)));
        assert_eq!(parse(b"7 (python"), None);
        let (state, threads) = state_and_threads().expect("/proc is there");
        assert!(state != b'Z' && threads >= 1);
    }
}
