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

use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bell::{self, BELL};
use crate::interface::PARKED_THREAD;
use crate::wait::{self, Instant};
use crate::{boot, last_thread, panics, reader, waker, worker};

/// Stack sizes tried, in bytes; only what is touched costs memory. The static TLS of the
/// program's libraries comes out of it, so there is room for that.
const STACK_SIZES: [usize; 2] = [256 << 10, 1 << 20];

/// Signals that the kernel raises for what a thread itself does. Blocked, they cannot wait: the
/// kernel then takes the whole process's handler away (`force_sig_info_to_task`, kernel/signal.c).
/// A debugger's call on the parked thread always ends in one of them. Sent from outside they go
/// to the main thread first, as any signal does.
const FAULTS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
];

/// The parked thread (`pthread_t`); 0: none in this process.
static PARKED: AtomicUsize = AtomicUsize::new(0);

/// Starts the threads, unless they are there; the error is an errno.
///
/// Called by the boot, on the interpreter's main thread between two bytecodes, or in a child
/// that was just forked: it allocates.
pub fn start() -> Result<(), c_int> {
    #[cfg(not(any(test, miri)))]
    crate::unwinder::load()?;
    panics::watch();
    last_thread::watch_this_one();
    worker::start()?;
    // Without it the worker reads by itself; without the waker there is still gdb.
    let _ = reader::start();
    let _ = waker::start();
    if PARKED.load(Ordering::Acquire) == 0 {
        let thread = spawn(park, &STACK_SIZES)?;
        PARKED.store(thread as usize, Ordering::Release);
        BELL.listens.store(1, Ordering::SeqCst);
    }
    Ok(())
}

/// In a forked child: the threads were the parent's.
pub fn forget() {
    PARKED.store(0, Ordering::Release);
    BELL.listens.store(0, Ordering::SeqCst);
    worker::forget();
    reader::forget();
    waker::forget();
    panics::forget();
}

/// Has the parked thread look after the worker. Any thread, interrupted or not.
pub fn revive_worker() {
    wait::wake(&BELL.rung);
}

/// The parked thread's life: asleep until the bell is rung.
///
/// A debugger rings by changing the word that this thread waits on, while it holds the thread:
/// let go, the kernel starts the wait anew (`futex_wait`, kernel/futex), which ends at once.
extern "C-unwind" fn park(_: *mut c_void) -> *mut c_void {
    let mut heard = BELL.rung.load(Ordering::SeqCst);
    BELL.answered.store(heard, Ordering::SeqCst);
    boot::is_parked();
    // Found by its name, so this comes last.
    name_this_thread(PARKED_THREAD);
    let mut pause = 5_000_000;
    loop {
        let look_again = last_thread::has_ended().then(|| Instant::now().after(pause));
        wait::wait_while(&BELL.rung, heard, look_again);
        if last_thread::has_ended() {
            last_thread::end_if_alone();
            pause = (2 * pause).min(1_000_000_000);
        }
        let _ = panics::caught(|| {
            panics::may_come("parked");
            if !worker::is_alive() {
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
        bell::answer(rung);
    }
}

/// Starts a detached thread with all signals blocked but its own faults, with the first of these
/// stack sizes that the system grants; the error is an errno.
///
/// It allocates: see [`start`].
pub fn spawn(
    entry: extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    stack_sizes: &[usize],
) -> Result<libc::pthread_t, c_int> {
    let mut result = libc::EAGAIN;
    // A C function, but for its being unwound by `pthread_exit`, should that be called on it.
    // SAFETY: attributes and masks are locals, initialised before use and destroyed after. The
    // mask of the calling thread is restored before anything else runs on it. `entry` stays
    // mapped, takes no argument, and lets nothing unwind out of it.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        for fault in FAULTS {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        // Before the thread starts, so that it never sees one of the program's signals.
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        for &size in stack_sizes {
            let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
            let mut thread = 0;
            result = libc::pthread_attr_init(attributes.as_mut_ptr());
            if result != 0 {
                break;
            }
            libc::pthread_attr_setdetachstate(
                attributes.as_mut_ptr(),
                libc::PTHREAD_CREATE_DETACHED,
            );
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size);
            result = libc::pthread_create(
                &mut thread,
                attributes.as_ptr(),
                std::mem::transmute::<
                    extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                    extern "C" fn(*mut c_void) -> *mut c_void,
                >(entry),
                ptr::null_mut(),
            );
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            if result == 0 {
                libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
                return Ok(thread);
            }
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
    Err(result)
}

/// Gives the calling thread a name, as `ps -L` and `/proc/PID/task/TID/comm` show it.
pub fn name_this_thread(name: &str) {
    let mut bytes = [0_u8; 16];
    let count = name.len().min(15);
    bytes[..count].copy_from_slice(&name.as_bytes()[..count]);
    // SAFETY: PR_SET_NAME reads up to 16 bytes, the last of which is NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Why a thread could not be started: an errno, told without libc, whose `strerror` may take
/// locks and allocate.
pub struct Why(pub c_int);

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            libc::EAGAIN => write!(out, "EAGAIN: no more threads, or no memory for one"),
            libc::ENOMEM => write!(out, "ENOMEM: no memory"),
            libc::EPERM => write!(out, "EPERM: not permitted"),
            libc::ELIBACC => write!(out, "ELIBACC: no libgcc_s.so.1 that it could end by"),
            error => write!(out, "errno {error}"),
        }
    }
}
