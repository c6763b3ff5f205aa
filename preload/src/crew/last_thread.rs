//! Ends the process when the program's last thread has ended.
//!
//! glibc ends a process when the last thread that it counts returns (`start_thread`,
//! nptl/pthread_create.c), and the kernel when the last thread of all has ended. Both count the agent's thread too,
//! and it never returns. So after the process's first thread has ended, the parked thread watches the others, and ends
//! the process when they are gone, as they would. A first thread ends before its process
//!
//! - if it calls `pthread_exit` in `main`, or is the only thread of a child that a thread other than the main one
//!   forked: then a destructor tells the parked thread at once;
//! - if it makes the bare system call exit(2), as under seccomp's strict mode, or if its own filter ends it
//!   (SECCOMP_RET_KILL_THREAD): silently. The kernel tells no sleeping thread, so the parked one looks from time to
//!   time ([`may_sleep_on`]).

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::agent::progress;
use crate::agent::threads::{self, Role};
use crate::system::filter::{self, Call};
use crate::system::identity::{process_id, this_thread_id};
use crate::system::proc_file::{self, Descriptors};
use crate::system::signals::{self, Set};
use crate::system::{aside, c_library, thread_struct};
use protocol::names::AGENT_THREADS;

/// The key of a thread-specific value, whose destructor runs when the thread ends, but not when the
/// process exits.
static KEY: AtomicU32 = AtomicU32::new(NO_KEY);
const NO_KEY: u32 = u32::MAX;

/// Whether the first thread has ended.
static HAS_ENDED: AtomicBool = AtomicBool::new(false);

/// Whether it has ended without its destructors.
static WAS_SILENT: AtomicBool = AtomicBool::new(false);

/// The first thread's `pthread_t`, if it is watched; 0: it is not.
static FIRST: AtomicUsize = AtomicUsize::new(0);

/// Another thread of the program's, by its ID; 0: none is known.
static OTHER: AtomicI32 = AtomicI32::new(0);

/// Whether another thread of the program's has been seen after the end of the first.
static WAS_OUTLIVED: AtomicBool = AtomicBool::new(false);

/// Whether the agent was alone at the last look.
static WAS_ALONE: AtomicBool = AtomicBool::new(false);

/// Watches for the end of the calling thread, if it is the first of its process.
///
/// At the boot, or in a child that was just forked: it allocates.
pub fn watch_this_one() {
    for flag in [&HAS_ENDED, &WAS_SILENT, &WAS_OUTLIVED, &WAS_ALONE] {
        flag.store(false, Ordering::SeqCst);
    }
    OTHER.store(0, Ordering::SeqCst);
    FIRST.store(0, Ordering::SeqCst);
    if this_thread_id() != process_id() {
        return;
    }
    // SAFETY: the destructor stays mapped (-z nodelete). The boot and the fork handler run on one thread
    // at a time, so no other thread makes a key meanwhile. `pthread_self` reads a register.
    unsafe {
        FIRST.store(libc::pthread_self() as usize, Ordering::SeqCst);
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

/// How long the parked thread may sleep before it asks [`may_sleep_on`], in nanoseconds.
pub fn pause() -> u64 {
    match (has_ended(), WAS_ALONE.load(Ordering::SeqCst)) {
        (false, _) => 20_000_000_000,
        (true, false) => 50_000_000,
        (true, true) => 5_000_000,
    }
}

/// Whether nothing has changed that concerns this room: the first thread is there; or another thread of the program's
/// is. On the parked thread.
///
/// It is asked before anything is known of new filters, so it makes no system call as long as the first thread is
/// there, where the C library says that.
pub fn may_sleep_on() -> bool {
    if has_ended() {
        return is_there(OTHER.load(Ordering::SeqCst));
    }
    if !is_gone() {
        return true;
    }
    // A destructor has run before the kernel took the thread down.
    if !HAS_ENDED.swap(true, Ordering::SeqCst) {
        WAS_SILENT.store(true, Ordering::SeqCst);
    }
    false
}

/// Whether this is a thread of this process. Its ID may be another one's by now, but then one of this process too.
fn is_there(thread: i32) -> bool {
    thread != 0 && filter::may(Call::SignalThread) && signals::send(process_id(), thread, 0)
}

/// Whether the kernel has taken the first thread down.
fn is_gone() -> bool {
    let first = FIRST.load(Ordering::SeqCst);
    match thread_struct::known_id_offset() {
        Some(offset) if first != 0 && c_library::is_glibc() => {
            // The kernel clears the word as the thread ends (set_tid_address(2), `mm_release` in kernel/fork.c).
            // SAFETY: an aligned word of the first thread's structure, which others read as an atomic word too. Its
            // memory stays until another thread has joined that thread; by then the destructor has run, unless it
            // ended silently and was joined since the last look, and then the C library keeps the memory for its
            // next thread. A forked child has its own structure, and its own `FIRST`.
            unsafe { AtomicI32::from_ptr((first + offset) as *mut i32) }.load(Ordering::SeqCst) == 0
        }
        _ => has_no_memory(),
    }
}

/// The same by what the kernel says to a read of memory: a process whose first thread has ended has none by that
/// thread's ID, and still has it by another's.
fn has_no_memory() -> bool {
    let reads = |thread: i32| {
        let (from, mut to) = (0_u8, 0_u8);
        let part = |byte: *const u8| libc::iovec {
            iov_base: byte.cast_mut().cast(),
            iov_len: 1,
        };
        let (from, to) = (part(&raw const from), part(&raw mut to));
        // SAFETY: the kernel copies one local to another.
        match unsafe { libc::process_vm_readv(thread, &to, 1, &from, 1, 0) } {
            1 => Ok(()),
            _ => Err(std::io::Error::last_os_error().raw_os_error()),
        }
    };
    filter::may(Call::ReadMemory)
        && reads(process_id()) == Err(Some(libc::ESRCH))
        && reads(this_thread_id()) == Ok(())
}

/// Ends the process if only the agent's threads are left, beside the first thread's zombie, and if that
/// was so at the last call too. On the parked thread, once the first thread has ended.
pub fn end_if_alone() {
    let seen = seen();
    let (alone, other) = match seen {
        Some(seen) if seen.is_alone() => (true, None),
        Some(_) => (false, aside::run(other_in_list).flatten()),
        // Without `/proc`.
        None if may_end_unseen() && is_gone() => {
            let other = other_by_number();
            (other.is_none(), other)
        }
        None => (false, None),
    };
    if other.is_some() {
        WAS_OUTLIVED.store(true, Ordering::SeqCst);
    }
    OTHER.store(other.unwrap_or(0), Ordering::SeqCst);
    if WAS_ALONE.swap(alone, Ordering::SeqCst) && alone {
        match WAS_SILENT.load(Ordering::SeqCst) {
            true => end_silently(seen.map_or(0, |seen| seen.code)),
            // SAFETY: glibc does the same on the last thread. No thread of the program is left that could be
            // in `exit`, and the agent's other threads never call it.
            false => unsafe { libc::exit(0) },
        }
    }
}

/// Whether the process can be ended where `/proc` cannot be read. In an `exit` on a thread that has shut itself in, the
/// program's handlers could do nothing.
fn may_end_unseen() -> bool {
    filter::may(Call::SignalThread)
        && (WAS_SILENT.load(Ordering::SeqCst) || !threads::are_shut_in())
}

/// Ends the process as it would have ended: the C library's functions are not called, and the process has the status of
/// its last thread. That is the first thread, which ended with this code; or another one, which has ended as
/// threads do.
fn end_silently(code: c_int) -> ! {
    let (mut status, mut signal) = (code >> 8 & 0xff, code & 0x7f);
    let others = threads::thread_ids().filter(|&id| id != threads::id_of(Role::Parked));
    if WAS_OUTLIVED.load(Ordering::SeqCst) {
        (status, signal) = (0, 0);
        if others.count() == 0 {
            // Before Linux 6.0 the process has the first thread's status then too.
            // SAFETY: it ends this thread, the last one; its stack is not used any more.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
    }
    if signal != 0 {
        let default = [0_usize; 4];
        // SAFETY: the default action, whose structure is all zeros. No thread of the program is left whose signals it
        // could concern.
        unsafe {
            let action = default.as_ptr();
            libc::syscall(libc::SYS_rt_sigaction, signal, action, 0_usize, 8_usize);
        }
        Set::of(&[signal]).unblock();
        signals::send(process_id(), this_thread_id(), signal);
        status = 128 + signal;
    }
    loop {
        // SAFETY: it ends the process, in which the agent's threads alone are left.
        unsafe { libc::syscall(libc::SYS_exit_group, status) };
    }
}

/// What `/proc` shows of the process at one moment.
#[derive(Clone, Copy)]
struct Seen {
    /// The state of the first thread.
    state: u8,
    /// The number of threads.
    threads: usize,
    /// How the first thread has ended, as wait(2) says it; 0 before Linux 3.5.
    code: c_int,
}

impl Seen {
    /// Whether the first thread has ended and all others are the agent's, by their thread IDs and their names:
    /// another thread may have got the ID of one that has ended.
    fn is_alone(&self) -> bool {
        let mut known = 1;
        for thread in threads::thread_ids() {
            known += usize::from(has_our_name(thread) == Some(true));
        }
        self.state == b'Z' && self.threads == known
    }
}

/// Whether a thread has one of the names of the agent's; `None` if it is not there.
fn has_our_name(thread: i32) -> Option<bool> {
    // Linux before 2.6.33 has no `comm` here.
    let mut path = [0; 64];
    let mut status = [0; 64];
    let path = proc_file::of_thread(thread, "status", &mut path)?;
    let name = proc_file::value(proc_file::read(path, &mut status)?, b"Name:\t")?;
    Some(AGENT_THREADS.iter().any(|ours| name == ours.as_bytes()))
}

/// A thread of the program's other than the first, as `/proc` lists it.
fn other_in_list() -> Option<i32> {
    let first = process_id();
    let mut tasks = Descriptors::in_folder(c"/proc/self/task")?;
    tasks.find(|&task| task != first && has_our_name(task) == Some(false))
}

/// The same without `/proc`, by trying every number that a thread may have.
fn other_by_number() -> Option<i32> {
    // PID_MAX_LIMIT (include/linux/threads.h).
    const END: i32 = 4 << 20;
    let process = process_id();
    let is_known = |thread: i32| thread == process || threads::thread_ids().any(|id| id == thread);
    let this = this_thread_id();
    (1..END).find(|&thread| {
        let is_there = signals::send(process, thread, 0)
            || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH);
        is_there && thread != this && !is_known(thread)
    })
}

/// What is to be seen; `None` without `/proc`.
fn seen() -> Option<Seen> {
    let mut text = [0; 1024];
    parse(proc_file::read(c"/proc/self/stat", &mut text)?)
}

/// Fields 3, 20 and 52 of `/proc/PID/stat` (proc(5)); the second is a name that may hold anything, in
/// parentheses.
fn parse(text: &[u8]) -> Option<Seen> {
    let name_ends = text.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(text.get(name_ends + 1..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    Some(Seen {
        state: *fields.next()?.as_bytes().first()?,
        threads: fields.nth(16)?.parse().ok()?,
        code: fields
            .nth(31)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn parses_proc_stat() {
        let text = b"7 (a) b (c)) Z 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 42 19 20";
        let seen = parse(text).expect("a state");
        assert_eq!((seen.state, seen.threads, seen.code), (b'Z', 42, 0));
        assert!(parse(b"7 (python").is_none());
        let long: Vec<String> = (3..=52).map(|field| (1000 + field).to_string()).collect();
        let long = format!("7 (a) {}", long.join(" "));
        let seen = parse(long.as_bytes()).expect("a state");
        assert_eq!((seen.threads, seen.code), (1020, 1052));
        let seen = super::seen().expect("/proc is there");
        assert!(seen.state != b'Z' && seen.threads >= 1);
    }
}
