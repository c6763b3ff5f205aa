//! A panic is a fault of the agent, and must never harm the program.
//!
//! Most threads catch it ([`caught`]), and the answer says so. The worker cannot: code of the program
//! that runs there may end the thread by `pthread_exit`, and that unwinding must not meet a frame that
//! catches (Rust aborts the process there). So a panic on the worker ends the thread by `pthread_exit`
//! as well, before Rust unwinds it: the unwinding gives back what the thread held (`crew/worker.rs`,
//! `crew/with_gil.rs`), and a new worker is started.
//!
//! Where there is no unwinder, a panic leaves all frames as they are, and goes on behind [`caught`], or at the
//! worker's end ([`lived`]).
//!
//! A panic may leave references to Python's objects behind: they are not given back.

use std::cell::UnsafeCell;
use std::fmt::{self, Write};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::agent::threads;
use crate::system::{unwinder, way_out};

/// How many calls of [`caught`] the worker is in.
static CATCHERS: AtomicU32 = AtomicU32::new(0);

/// The message of the last panic with its place in the source, and the message's length.
struct Message(UnsafeCell<[u8; 256]>, AtomicUsize);
// SAFETY: one panicking thread writes at a time (`WRITING`), and stores the length afterwards.
unsafe impl Sync for Message {}
static MESSAGE: Message = Message(UnsafeCell::new([0; 256]), AtomicUsize::new(0));
static WRITING: AtomicBool = AtomicBool::new(false);

/// Sets the panic hook. At the boot, before a thread is started. (The box is of a function without
/// captures, so it takes no memory.)
pub fn watch() {
    static IS_SET: AtomicBool = AtomicBool::new(false);
    if !IS_SET.swap(true, Ordering::SeqCst) {
        panic::set_hook(Box::new(on_panic));
    }
}

/// In a forked child, and before a worker is started: no worker is in [`caught`].
pub fn forget() {
    CATCHERS.store(0, Ordering::SeqCst);
    WRITING.store(false, Ordering::SeqCst);
}

/// Runs what may panic; `None` if it did. On the worker, `work` must run no code of the program.
pub fn caught<R>(work: impl FnOnce() -> R) -> Option<R> {
    let count = u32::from(threads::this_is_worker());
    CATCHERS.fetch_add(count, Ordering::SeqCst);
    let mut result = None;
    let run = || result = panic::catch_unwind(AssertUnwindSafe(work)).ok();
    match unwinder::is_loaded() {
        true => run(),
        false => {
            way_out::run(run);
        }
    }
    CATCHERS.fetch_sub(count, Ordering::SeqCst);
    result
}

/// Runs the worker's life; false if a panic has ended it, and nothing could be unwound.
pub fn lived(life: impl FnOnce()) -> bool {
    match unwinder::is_loaded() {
        true => {
            life();
            true
        }
        false => way_out::run(life),
    }
}

/// The panic hook: on the thread that panics, before anything is unwound. The message is kept for the
/// answer and not printed, as standard error belongs to the program.
fn on_panic(info: &PanicHookInfo<'_>) {
    if !WRITING.swap(true, Ordering::SeqCst) {
        let mut line = Line(0);
        let _ = write!(line, "{info}");
        MESSAGE.1.store(line.0, Ordering::SeqCst);
        WRITING.store(false, Ordering::SeqCst);
    }
    let is_caught = CATCHERS.load(Ordering::SeqCst) > 0 || !unwinder::is_loaded();
    if threads::this_is_worker() && !is_caught {
        // SAFETY: on the worker, our own thread. Its frames let the unwinding through: Rust's clean
        // up, as none of them catches (`CATCHERS` is 0), and CPython's have nothing to clean up.
        unsafe { pthread_exit(ptr::null_mut()) };
    }
}

unsafe extern "C-unwind" {
    /// The crate `libc` declares it as a function that does not unwind.
    fn pthread_exit(value: *mut std::ffi::c_void) -> !;
}

/// Writes to [`MESSAGE`]: one line of printable ASCII. The number is the length so far.
struct Line(usize);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: only the thread that has set `WRITING` makes a `Line`, so no other thread writes.
        let buffer = unsafe { &mut *MESSAGE.0.get() };
        for byte in text.bytes() {
            if let Some(place) = buffer.get_mut(self.0) {
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

/// The last panic, as an answer reports it.
pub struct Last;

impl fmt::Display for Last {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: a static of plain bytes. Another panic may be writing it meanwhile: the text is then
        // a mixture, but ASCII.
        let said = unsafe { (*MESSAGE.0.get()).get(..MESSAGE.1.load(Ordering::SeqCst)) };
        let said = said.and_then(|said| std::str::from_utf8(said).ok());
        let said = said.unwrap_or_default();
        write!(out, "the agent failed; please report it: {said}")
    }
}

/// A place where a library built with the feature `panics` panics on purpose, if the environment
/// names the place. For tests.
#[inline(always)]
pub fn may_come(_place: &str) {
    #[cfg(feature = "panics")]
    if crate::system::environment::value("SLEEPER_AGENT_PANIC")
        .is_some_and(|value| value.text() == _place)
    {
        panic!("on purpose, {_place}");
    }
}
