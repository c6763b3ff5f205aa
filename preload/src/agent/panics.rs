//! A panic of the agent's own: a fault in it, and never the program's loss.
//!
//! Most threads catch it ([`caught`]) and say so. The worker cannot: code of the program's may end that
//! thread by `pthread_exit`, and what unwinds then must not meet anything that catches (Rust ends the
//! process there). So on the worker a panic ends the thread in just that way, before it is unwound by
//! Rust: what it held is given back as it is unwound (`worker.rs`), and a new one is started.
//!
//! What was being counted and made when it came may be left as it was: references are not given back.

use std::cell::UnsafeCell;
use std::fmt::{self, Write};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::agent::threads;

/// How many [`caught`] the worker is in.
static CAUGHT: AtomicU32 = AtomicU32::new(0);

/// What the last panic said, and where it was.
struct Said(UnsafeCell<[u8; 256]>, AtomicUsize);
// SAFETY: written by one panicking thread at a time (`TELLING`), up to the length that is told after.
unsafe impl Sync for Said {}
static SAID: Said = Said(UnsafeCell::new([0; 256]), AtomicUsize::new(0));
static TELLING: AtomicBool = AtomicBool::new(false);

/// Has panics looked at as they come. At the boot, before a thread is started: a box is made, for a
/// function that has nothing in it, which takes no memory.
pub fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Ordering::SeqCst) {
        panic::set_hook(Box::new(came));
    }
}

/// In a forked child, and before a worker is started: it is in nothing.
pub fn forget() {
    CAUGHT.store(0, Ordering::SeqCst);
    TELLING.store(false, Ordering::SeqCst);
}

/// Runs what may panic; `None` if it did. Nothing of the program's may run in it on the worker.
pub fn caught<R>(work: impl FnOnce() -> R) -> Option<R> {
    let count = u32::from(threads::this_is_worker());
    CAUGHT.fetch_add(count, Ordering::SeqCst);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.fetch_sub(count, Ordering::SeqCst);
    result.ok()
}

/// On the thread that panics, before anything is unwound. The program's standard error is the
/// program's: what is said is kept for the answer.
fn came(info: &PanicHookInfo<'_>) {
    if !TELLING.swap(true, Ordering::SeqCst) {
        let mut line = Line(0);
        let _ = write!(line, "{info}");
        SAID.1.store(line.0, Ordering::SeqCst);
        TELLING.store(false, Ordering::SeqCst);
    }
    if threads::this_is_worker() && CAUGHT.load(Ordering::SeqCst) == 0 {
        // SAFETY: our own thread, whose frames all let this through: they are Rust's, and CPython's,
        // which have nothing to clean up. It does not return.
        unsafe { pthread_exit(ptr::null_mut()) };
    }
}

unsafe extern "C-unwind" {
    /// As in `libc`, which has it as a function that does not unwind.
    fn pthread_exit(value: *mut std::ffi::c_void) -> !;
}

/// [`SAID`], as it is written: in one line, with what is printable.
struct Line(usize);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: this thread tells, and no other.
        let room = unsafe { &mut *SAID.0.get() };
        for byte in text.bytes() {
            if let Some(place) = room.get_mut(self.0) {
                *place = if (32..127).contains(&byte) {
                    byte
                } else {
                    b' '
                };
                self.0 += 1;
            }
        }
        Ok(())
    }
}

/// What an answer says of the last panic.
pub struct Last;

impl fmt::Display for Last {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: it may be written anew meanwhile, by another panic; all of it is ASCII always.
        let said = unsafe { (*SAID.0.get()).get(..SAID.1.load(Ordering::SeqCst)) };
        let said = said.and_then(|said| std::str::from_utf8(said).ok());
        let said = said.unwrap_or_default();
        write!(out, "the agent failed; please report it: {said}")
    }
}

/// Where a library that is built to be tried (the feature `panics`) panics, if the environment names
/// the place.
#[inline(always)]
pub fn may_come(_place: &str) {
    #[cfg(feature = "panics")]
    if crate::system::environment::value("SLEEPER_AGENT_PANIC") == Some(_place) {
        panic!("on purpose, {_place}");
    }
}
