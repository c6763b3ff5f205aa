//! The parked thread, `sleeper-agent`: it waits for a ring of the bell, and then asks.
//!
//! As this thread asks, no thread of the program is interrupted for the question. It is also the thread
//! on which a debugger should call `sleeper_agent_state()` by hand. Besides, it starts a new worker if
//! the worker has ended, and ends the process with the program's last thread (`crew/last_thread.rs`).

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

/// Stack sizes tried, in bytes; only what is touched costs memory. The static TLS of the program's
/// libraries is on this stack too, so the thread itself needs less.
pub const STACK_SIZES: [usize; 2] = [256 << 10, 1 << 20];

/// The parked thread's `pthread_t`; 0: there is none in this process.
pub static PARKED: AtomicUsize = AtomicUsize::new(0);

/// The parked thread's life: asleep until the bell is rung.
///
/// A command rings by having gdb stop this thread and change the word it waits on. When gdb lets go, the
/// kernel starts the wait anew (`futex_wait`, kernel/futex), and that wait ends at once.
pub extern "C-unwind" fn park(_: *mut c_void) -> *mut c_void {
    let mut heard = BELL.rung.load(Ordering::SeqCst);
    BELL.answered.store(heard, Ordering::SeqCst);
    stage::set_parked();
    // Commands find the thread by its name, so this comes last.
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
                // A thread of ours, which no debugger made do this: it may allocate.
                worker::forget();
                let _ = worker::start();
            }
        });
        let rung = BELL.rung.load(Ordering::SeqCst);
        // The end of the first thread rings too, and asks nothing.
        if rung.wrapping_sub(heard) <= last_thread::take_rings() {
            heard = rung;
            BELL.answered.store(heard, Ordering::SeqCst);
            continue;
        }
        heard = rung;
        ring::answer(rung, has_booted);
    }
}
