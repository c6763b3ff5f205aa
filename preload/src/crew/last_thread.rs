//! When the program's last thread ends, so does the process.
//!
//! glibc ends a process when the last thread that it counts returns (`start_thread`,
//! nptl/pthread_create.c). Ours are counted too, and never return. So where the process's first
//! thread ends alone, the parked thread looks after the others, and ends the process when they
//! are gone, as glibc would. That thread is the one that survived a `fork`, in a child that a
//! thread other than the main one has forked; or one that called `pthread_exit` in `main`.

use std::ffi::{CStr, c_void};
use std::io::Write;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::agent::bell::BELL;
use crate::agent::threads;
use crate::system::{futex, proc_file};
use protocol::names::AGENT_THREADS;

/// A thread-specific value whose destructor runs when a thread ends, but not when the whole
/// process does.
static KEY: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = u32::MAX;

/// Whether the first thread has ended.
static HAS_ENDED: AtomicBool = AtomicBool::new(false);

/// Whether its end has rung the bell, for the parked thread to look.
static RANG: AtomicBool = AtomicBool::new(false);

/// Has the end of the calling thread noticed, if it is the first of its process.
///
/// At the boot, or in a child that was just forked: it allocates.
pub fn watch_this_one() {
    // SAFETY: these have no conditions.
    if unsafe { libc::gettid() != libc::getpid() } {
        return;
    }
    HAS_ENDED.store(false, Ordering::SeqCst);
    // SAFETY: the destructor stays mapped. The boot runs once in a process, so nobody else makes
    // a key meanwhile.
    unsafe {
        let mut key = KEY.load(Ordering::SeqCst);
        if key == NONE {
            if libc::pthread_key_create(&mut key, Some(ended)) != 0 {
                return;
            }
            KEY.store(key, Ordering::SeqCst);
        }
        libc::pthread_setspecific(key, ptr::dangling::<c_void>());
    }
}

/// On the thread that ends, with nothing of it left but its stack.
unsafe extern "C" fn ended(_: *mut c_void) {
    HAS_ENDED.store(true, Ordering::SeqCst);
    // For the parked thread to look.
    RANG.store(true, Ordering::SeqCst);
    BELL.rung.fetch_add(1, Ordering::SeqCst);
    futex::wake(&BELL.rung);
}

/// How many rings since it was last asked were none of a command's. On the parked thread.
pub fn rings() -> u32 {
    u32::from(RANG.swap(false, Ordering::SeqCst))
}

/// Whether the parked thread has to look after the others. Any thread.
pub fn has_ended() -> bool {
    HAS_ENDED.load(Ordering::SeqCst)
}

/// Ends the process if nobody is left but the agent's threads, and the first one, of which the
/// kernel keeps the remains; and if that was so when last asked. On the parked thread.
pub fn end_if_alone() {
    static WAS_ALONE: AtomicBool = AtomicBool::new(false);
    let alone = is_alone().unwrap_or(false);
    if WAS_ALONE.swap(alone, Ordering::SeqCst) && alone {
        // SAFETY: as glibc does on the last thread; there is no other that could be in it.
        unsafe { libc::exit(0) };
    }
}

/// Whether every thread there is, is the first one, which has ended, or bears the number and the
/// name of one of ours: a number alone may by now be another's. `None` without `/proc`.
fn is_alone() -> Option<bool> {
    let (state, threads) = state_and_threads()?;
    let mut known = 1;
    for thread in threads::thread_ids().chain([threads::this_thread_id()]) {
        known += usize::from(is_ours(thread));
    }
    Some(state == b'Z' && threads == known)
}

fn is_ours(thread: i32) -> bool {
    let mut path = [0; 64];
    let mut name = [0; 16];
    let _ = write!(&mut path[..63], "/proc/self/task/{thread}/comm");
    let name = CStr::from_bytes_until_nul(&path)
        .ok()
        .and_then(|path| proc_file::read(path, &mut name)?.strip_suffix(b"\n"));
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
    fn reads_the_kernel_s_words() {
        let text = b"7 (a) b (c)) Z 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 42 19 20";
        assert_eq!(parse(text), Some((b'Z', 42)));
        assert_eq!(parse(b"7 (python"), None);
        let (state, threads) = state_and_threads().expect("/proc is there");
        assert!(state != b'Z' && threads >= 1);
    }
}
