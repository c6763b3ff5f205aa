//! The agent's threads: how one is started, and which of them is which.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

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

/// The worker (`pthread_t`); 0: none in this process.
pub static WORKER: AtomicUsize = AtomicUsize::new(0);

/// Its thread ID; 0: it has not got as far as telling.
pub static THREAD_ID: AtomicI32 = AtomicI32::new(0);

/// Whether a thread identifier is the worker's. Any thread, interrupted or not.
pub fn is_worker(ident: usize) -> bool {
    ident != 0 && WORKER.load(Ordering::SeqCst) == ident
}

/// Its identifier; 0: none in this process.
pub fn ident() -> usize {
    WORKER.load(Ordering::SeqCst)
}

/// Whether the worker is still there: code of the program's that runs on it, such as a module's
/// loader that is asked for source lines, may end any thread it runs on.
///
/// Any thread, interrupted or not.
pub fn is_alive() -> bool {
    let thread = THREAD_ID.load(Ordering::SeqCst);
    // SAFETY: signal 0 is never sent, it only asks whether there is such a thread in this process.
    WORKER.load(Ordering::SeqCst) != 0
        && (thread == 0
            || unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) } == 0)
}

/// Its thread ID; 0 if it is not there (yet).
pub fn thread_id() -> i32 {
    THREAD_ID.load(Ordering::SeqCst)
}

/// Whether this is the worker. Any thread.
pub fn is_this_one() -> bool {
    let worker = THREAD_ID.load(Ordering::SeqCst);
    // SAFETY: has no conditions.
    worker != 0 && worker == unsafe { libc::gettid() }
}
