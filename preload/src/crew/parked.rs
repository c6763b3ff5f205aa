//! Park: the threads that the agent keeps, and how they are started.
//!
//! One, `sleeper-agent`, waits for its bell to be rung, and then asks as anyone may: whatever
//! that does, no thread of the program's was interrupted in the middle of something. (A debugger
//! by hand may also call `sleeper_agent_state()` on it.) The other is the worker (`worker.rs`).
//! Both are started at the boot and not at a question: a thread that is born inside a debugger's
//! call is traced and stopped from its birth, and would take the GIL in that state. A third one
//! reads source files for the worker (`reader.rs`), a fourth is woken by commands that come without a
//! debugger (`waker.rs`).
//!
//! Asleep, each is in one system call and holds nothing: no descriptor, no lock, no signal.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::agent::bell::BELL;
use crate::agent::threads::{self, name_this_thread};
use crate::agent::{panics, stage};
use crate::ask::request::has_booted;
use crate::ask::ring;
use crate::crew::{last_thread, worker};
use crate::system::futex::{self, Instant};
use protocol::names::PARKED_THREAD;

/// Stack sizes tried, in bytes; only what is touched costs memory. The static TLS of the
/// program's libraries comes out of it, so there is room for that.
pub const STACK_SIZES: [usize; 2] = [256 << 10, 1 << 20];

/// The parked thread (`pthread_t`); 0: none in this process.
pub static PARKED: AtomicUsize = AtomicUsize::new(0);

/// The parked thread's life: asleep until the bell is rung.
///
/// A debugger rings by changing the word that this thread waits on, while it holds the thread:
/// let go, the kernel starts the wait anew (`futex_wait`, kernel/futex), which ends at once.
pub extern "C-unwind" fn park(_: *mut c_void) -> *mut c_void {
    let mut heard = BELL.rung.load(Ordering::SeqCst);
    BELL.answered.store(heard, Ordering::SeqCst);
    stage::is_parked();
    // Found by its name, so this comes last.
    name_this_thread(PARKED_THREAD);
    let mut pause = 5_000_000;
    loop {
        let look_again = last_thread::has_ended().then(|| Instant::now().after(pause));
        futex::wait_while(&BELL.rung, heard, look_again);
        if last_thread::has_ended() {
            last_thread::end_if_alone();
            pause = (2 * pause).min(1_000_000_000);
        }
        let _ = panics::caught(|| {
            panics::may_come("parked");
            if !threads::worker_is_alive() {
                // On our own thread, which nobody holds: it may allocate.
                worker::forget();
                let _ = worker::start();
            }
        });
        let rung = BELL.rung.load(Ordering::SeqCst);
        // Nobody asks who only tells us that the first thread has ended.
        if rung.wrapping_sub(heard) <= last_thread::rings() {
            heard = rung;
            BELL.answered.store(heard, Ordering::SeqCst);
            continue;
        }
        heard = rung;
        ring::answer(rung, has_booted);
    }
}
