//! Waits for the GIL, and looks meanwhile whether who has it lets go of it.
//!
//! A thread that calls into C code and keeps the GIL there runs no Python until it comes back, which may be never. Then
//! neither its innermost frame nor its place in it moves, nor does the interpreter's count of bytecodes, whoever looks.
//! Once that has been so for a while the wait is given up: the answer is read from memory instead.

use std::fmt;

use crate::agent::threads;
use crate::cpython::api::Python;
use crate::cpython::gil_semaphore::{self, Waited};
use crate::cpython::thread_states;
use crate::system::filter;
use crate::system::futex::{Instant, timespec};
use crate::system::identity::process_id;
use crate::system::memory::read;
use crate::system::{signals, thread_struct};

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
}

impl Keeper {
    /// Whether it has not moved since.
    pub fn stands(&self, python: &Python) -> bool {
        Place::now(python) == Some(self.place)
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "thread {} keeps the GIL and ", self.ident)?;
        match self.share {
            None => write!(out, "is in C code"),
            // On a busy machine it gets a small share of a processor, and computes all the same.
            Some(share @ 20..) => {
                let share = share.div_ceil(10).min(100);
                write!(out, "computes in C code ({share} % of a processor)")
            }
            Some(_) => write!(out, "sleeps in C code"),
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
            share: used.map(|(now_used, used)| {
                now_used.saturating_sub(used).saturating_mul(1000) / (now.0 - since.0).max(1)
            }),
        })
    }
}

/// Takes the GIL's lock, as `PyEval_AcquireLock` does, unless a thread keeps it that does not move.
///
/// # Safety
/// On the worker, holding nothing.
pub unsafe fn take(python: &Python) -> Result<(), Keeper> {
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
        if let Some(keeper) = watch.look(python) {
            return Err(keeper);
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
