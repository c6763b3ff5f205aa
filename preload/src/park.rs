//! Park: the one thread that the agent keeps, and how its threads are started.
//!
//! The parked thread waits in one system call and holds nothing: no descriptor, no lock, no
//! signal handler. It is where a debugger calls `sleeper_agent_state()`, because whatever that
//! function does there, no thread of the program's was interrupted in the middle of something.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::interface::PARKED_THREAD;
use crate::{wait, worker};

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

/// Whether the parked thread is in (or on its way to) its wait, where it holds nothing.
static AT_REST: AtomicBool = AtomicBool::new(false);

/// Counts what the parked thread was woken for; it waits on this word.
static BELL: AtomicU32 = AtomicU32::new(0);

/// What a thread is to the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The parked thread, waiting.
    ParkedAtRest,
    /// The parked thread, interrupted while it was doing something.
    ParkedAtWork,
    /// Any other.
    Another,
}

/// What the calling thread is to the agent. Any thread, interrupted or not.
pub fn who_calls() -> Who {
    // SAFETY: reads a register.
    if PARKED.load(Ordering::Acquire) != unsafe { libc::pthread_self() } as usize {
        Who::Another
    } else if AT_REST.load(Ordering::SeqCst) {
        Who::ParkedAtRest
    } else {
        Who::ParkedAtWork
    }
}

/// Wakes the parked thread, which then sees to it that a worker is there. Any thread.
pub fn ring() {
    BELL.fetch_add(1, Ordering::SeqCst);
    wait::wake(&BELL);
}

/// Starts the parked thread, unless there is one; the error is an errno.
///
/// Called by the boot, on the interpreter's main thread between two bytecodes: it allocates.
pub fn start() -> Result<(), c_int> {
    if PARKED.load(Ordering::Acquire) != 0 {
        return Ok(());
    }
    BELL.store(0, Ordering::SeqCst);
    let thread = spawn(park, &STACK_SIZES)?;
    PARKED.store(thread as usize, Ordering::Release);
    Ok(())
}

/// In a forked child: the thread was the parent's.
pub fn forget() {
    PARKED.store(0, Ordering::Release);
    AT_REST.store(false, Ordering::SeqCst);
}

/// The parked thread's life.
extern "C" fn park(_: *mut c_void) -> *mut c_void {
    name_this_thread(PARKED_THREAD);
    let mut heard = 0;
    loop {
        AT_REST.store(true, Ordering::SeqCst);
        wait::wait_while(&BELL, heard, None);
        AT_REST.store(false, Ordering::SeqCst);
        // Compared with what was heard last, not with the word as it was before the wait: a
        // request may have come while the last one was being seen to.
        let rung = BELL.load(Ordering::SeqCst);
        if rung != heard {
            heard = rung;
            let _ = std::panic::catch_unwind(worker::call);
        }
    }
}

/// Starts a detached thread with all signals blocked but its own faults, with the first of these stack sizes that
/// the system grants; the error is an errno.
///
/// It allocates: only between two bytecodes of the main thread, or on the parked thread.
pub fn spawn(
    entry: extern "C" fn(*mut c_void) -> *mut c_void,
    stack_sizes: &[usize],
) -> Result<libc::pthread_t, c_int> {
    let mut result = libc::EAGAIN;
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
            result = libc::pthread_create(&mut thread, attributes.as_ptr(), entry, ptr::null_mut());
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
            error => write!(out, "errno {error}"),
        }
    }
}
