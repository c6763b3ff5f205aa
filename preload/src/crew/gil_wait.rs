//! Waits for the GIL, and looks meanwhile whether who has it lets go of it.
//!
//! A thread that calls into C code and keeps the GIL there runs no Python until it comes back, which may be never. Then
//! neither its innermost frame nor its place in it moves, nor does the interpreter's count of bytecodes, whoever looks.
//! Once that has been so for a while the wait is given up: the answer is read from memory instead.

use std::fmt;

use crate::agent::{desk, threads};
use crate::cpython::api::Python;
use crate::cpython::gil_semaphore::{self, Waited};
use crate::cpython::thread_states;
use crate::system::filter;
use crate::system::futex::{Instant, timespec};
use crate::system::identity::process_id;
use crate::system::memory::read;
use crate::system::{signals, thread_struct};
use protocol::state::RUNNING;

/// How long it waits between two looks, in nanoseconds.
const BETWEEN_LOOKS: u64 = 12_000_000;

/// It waits no longer where nothing has moved in so many looks, in so many nanoseconds.
const LOOKS: u32 = 8;
const LONG_ENOUGH: u64 = 130_000_000;

/// Where the thread is that holds the GIL.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    thread: usize,
    frame: usize,
    last_instruction: i32,
    /// `_Py_Ticker`: counted down with nearly every bytecode of whichever thread (Python/ceval.c, 2.6 and 2.7).
    ticks: i32,
}

impl Place {
    /// `None` where no thread state is in place: the GIL is just handed over, or was taken without one.
    fn now(python: &Python) -> Option<Place> {
        let thread = python.current_thread_state();
        if thread == 0 {
            return None;
        }
        let frame = thread_states::frame(thread)?;
        Some(Place {
            thread,
            frame,
            last_instruction: thread_states::last_instruction(python, frame)?,
            ticks: read(python._Py_Ticker as usize)?,
        })
    }
}

/// Who holds the GIL, and does not move.
#[derive(Clone, Copy)]
pub struct Keeper {
    place: Place,
    /// Its identifier.
    pub ident: usize,
    /// How much of a processor it has used meanwhile, in thousandths, where that is known.
    share: Option<u64>,
    /// The system call that it is in, by number, where it sleeps and that is known.
    call: Option<i64>,
}

/// A thread that uses less of a processor, in thousandths, does not compute.
const LEAST_SHARE: u64 = 20;

/// System calls that threads sleep in, by number.
const CALLS: [(i64, &str); 16] = [
    (libc::SYS_futex, "futex"),
    (libc::SYS_read, "read"),
    (libc::SYS_write, "write"),
    (libc::SYS_poll, "poll"),
    (libc::SYS_select, "select"),
    (libc::SYS_nanosleep, "nanosleep"),
    (libc::SYS_clock_nanosleep, "clock_nanosleep"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_accept, "accept"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_epoll_wait, "epoll_wait"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_fsync, "fsync"),
];

impl Keeper {
    /// Whether it has not moved since.
    pub fn stands(&self, python: &Python) -> bool {
        Place::now(python) == Some(self.place)
    }

    /// Whether it may be that it only gets no processor: then it is wherever it was then, and not kept by C code.
    pub fn may_starve(&self) -> bool {
        self.share.is_none_or(|share| share < LEAST_SHARE)
    }

    /// Takes in what the kernel says of it ([`crate::files::tasks::describe`]). Returns whether it sleeps; `None` where that
    /// is not known.
    pub fn sleeps(&mut self, tasks: &[u8]) -> Option<bool> {
        let mut lines = tasks.split(|&byte| byte == b'\n');
        let mut words = lines.find_map(|line| {
            let mut words = std::str::from_utf8(line).ok()?.split(' ');
            (words.next()?.parse() == Ok(self.ident)).then_some(words)
        })?;
        let state = words.nth(1).filter(|state| !state.is_empty())?;
        self.call = state.parse().ok();
        Some(state != RUNNING)
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "thread {} keeps the GIL and ", self.ident)?;
        match self.share {
            None => write!(out, "is in C code"),
            // On a busy machine it gets a small share of a processor, and computes all the same.
            Some(share @ LEAST_SHARE..) => {
                let share = share.div_ceil(10).min(100);
                write!(out, "computes in C code ({share} % of a processor)")
            }
            Some(_) => {
                let mut calls = CALLS.iter();
                let call = calls.find(|(number, _)| Some(*number) == self.call);
                match call {
                    Some((_, name)) => write!(out, "sleeps in C code (in {name})"),
                    None => write!(out, "sleeps in C code"),
                }
            }
        }
    }
}

/// Looks at who holds the GIL.
#[derive(Default)]
pub struct Watch {
    place: Option<Place>,
    /// Since when it has been there, in how many looks, and how much time of a processor its thread had used then.
    since: Option<Instant>,
    looks: u32,
    used: Option<u64>,
}

impl Watch {
    /// Looks once more; who holds the GIL, if it has not moved for long enough.
    fn look(&mut self, python: &Python) -> Option<Keeper> {
        let now = Instant::now();
        let place = Place::now(python);
        if place.is_none() || place != self.place {
            *self = Watch {
                place,
                since: Some(now),
                looks: 0,
                used: place.and_then(|place| time_used(place.thread)),
            };
            return None;
        }
        self.looks += 1;
        let (place, since) = (place?, self.since?);
        if self.looks < LOOKS || now < since.after(LONG_ENOUGH) {
            return None;
        }
        let used = time_used(place.thread).zip(self.used);
        Some(Keeper {
            place,
            ident: thread_states::ident(place.thread)?,
            call: None,
            share: used.map(|(now_used, used)| {
                now_used.saturating_sub(used).saturating_mul(1000) / (now.0 - since.0).max(1)
            }),
        })
    }
}

/// Why the GIL is not waited for any longer.
pub enum GivenUp {
    /// A thread keeps it.
    Kept(Keeper),
    /// Nobody waits for an answer any more.
    NotWanted,
}

/// Takes the GIL's lock, as `PyEval_AcquireLock` does, unless a thread keeps it that does not move, or nobody waits for
/// an answer any more.
///
/// # Safety
/// On the worker, holding nothing.
pub unsafe fn take(python: &Python) -> Result<(), GivenUp> {
    let mut watch = Watch::default();
    loop {
        // SAFETY: the caller promises what it requires.
        match unsafe { gil_semaphore::wait_for(python, BETWEEN_LOOKS) } {
            Waited::Taken => return Ok(()),
            Waited::InVain => {}
            // SAFETY: the boot has made the lock. If the process forks meanwhile, the child has no such thread,
            // and CPython gives it a new GIL; if it exits, this thread ends wherever it is.
            Waited::Impossible => unsafe {
                (python.PyEval_AcquireLock)();
                return Ok(());
            },
        }
        if desk::request().is_none() {
            return Err(GivenUp::NotWanted);
        }
        if let Some(keeper) = watch.look(python) {
            return Err(GivenUp::Kept(keeper));
        }
    }
}

/// How much time of a processor the thread with this state has used, in nanoseconds, where the kernel says.
fn time_used(thread: usize) -> Option<u64> {
    // Without a filter of system calls: this clock needs one.
    if !filter::knows_of_none() {
        return None;
    }
    let ident = thread_states::ident(thread)?;
    let offset = thread_struct::id_offset(threads::two())?;
    let id: i32 = read(ident.wrapping_add(offset))?;
    if id <= 0 || !signals::is_there(process_id(), id) {
        return None;
    }
    // The clock of a thread is its number, turned round, with three bits behind it: that of one thread, and of all
    // time in which it runs (include/linux/posix-timers_types.h, CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED).
    let clock = (!id << 3) | 4 | 2;
    let mut time = timespec(0);
    // SAFETY: the call writes to `time`, a local, and does nothing else.
    let known = unsafe { libc::clock_gettime(clock, &mut time) } == 0;
    known.then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_holder_does() {
        let place = Place {
            thread: 1,
            frame: 2,
            last_instruction: 3,
            ticks: 4,
        };
        let keeper = |share| Keeper {
            place,
            ident: 7,
            share,
            call: None,
        };
        let mut sleeps = keeper(Some(1));
        assert!(sleeps.may_starve());
        assert_eq!(
            sleeps.sleeps(b"gil 0x10\n70 71 running\n7 72 202 0x1\n"),
            Some(true)
        );
        assert_eq!(
            sleeps.to_string(),
            "thread 7 keeps the GIL and sleeps in C code (in futex)"
        );
        assert_eq!(keeper(Some(1)).sleeps(b"7 72 running\n"), Some(false));
        assert_eq!(keeper(Some(1)).sleeps(b"7 72 -1 0x1\n"), Some(true));
        for nothing in [&b""[..], b"70 72 running\n", b"7 72 \n", b"7\n"] {
            assert_eq!(keeper(Some(1)).sleeps(nothing), None);
        }
        let computes = keeper(Some(973));
        assert!(!computes.may_starve() && keeper(None).may_starve());
        assert_eq!(
            computes.to_string(),
            "thread 7 keeps the GIL and computes in C code (98 % of a processor)"
        );
    }
}
