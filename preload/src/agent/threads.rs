//! The agent's threads: how they are started, and how they are told from the program's.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::agent::stage::process_id;

/// Signals that the kernel raises for a fault of the thread itself. The agent's threads must not block
/// them: a blocked fault cannot wait, so the kernel resets the handler of the whole process
/// (`force_sig_info_to_task`, kernel/signal.c). And a debugger's call on the parked thread always ends
/// in such a signal. Sent from outside they go to the main thread first, as any signal does.
const FAULTS: [c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
];

/// Starts a detached thread that blocks all signals but its own faults, with the first of these stack
/// sizes that the system grants; the error is an errno.
///
/// It allocates: see `crew::start`.
pub fn spawn(
    entry: extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    stack_sizes: &[usize],
) -> Result<libc::pthread_t, c_int> {
    let mut result = libc::EAGAIN;
    // SAFETY: attributes and masks are locals, initialised before use. The mask of the calling thread is
    // restored before anything else runs on it. `entry` stays mapped (-z nodelete) and ignores its
    // argument. As a C function it differs only in that `pthread_exit` may unwind it, and glibc, which
    // calls it, expects that. A child forked meanwhile has no such thread and starts its own.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        for fault in FAULTS {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        // The new thread inherits the mask, so it never sees a signal of the program.
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

/// Names the calling thread, as `ps -L` and `/proc/PID/task/TID/comm` show it.
pub fn name_this_thread(name: &str) {
    let mut bytes = [0_u8; 16];
    let count = name.len().min(15);
    bytes[..count].copy_from_slice(&name.as_bytes()[..count]);
    // SAFETY: PR_SET_NAME reads up to 16 bytes, the last of which is NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Why a thread could not be started: an errno. It is worded here because libc's `strerror` may take
/// locks and allocate.
pub struct Why(pub c_int);

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            libc::EAGAIN => write!(out, "EAGAIN: no more threads, or no memory for one"),
            libc::ENOMEM => write!(out, "ENOMEM: no memory"),
            libc::EPERM => write!(out, "EPERM: not permitted"),
            libc::ELIBACC => write!(out, "ELIBACC: libgcc_s.so.1 cannot be loaded"),
            error => write!(out, "errno {error}"),
        }
    }
}

/// The agent's threads whose IDs the agent keeps. The parked thread is not among them.
#[derive(Clone, Copy)]
pub enum Role {
    /// Takes the GIL.
    Worker,
    /// Reads files.
    Reader,
    /// Waits for a command's signal.
    Waker,
}

/// Their thread IDs, by [`Role`]; 0: there is no such thread, or it has not called [`begin`] yet.
static THREAD_IDS: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];

/// The worker's `pthread_t`; 0: there is no worker in this process.
static WORKER: AtomicUsize = AtomicUsize::new(0);

/// The first call of each of these threads: notes its thread ID and names it.
pub fn begin(role: Role, name: &str) {
    THREAD_IDS[role as usize].store(this_thread_id(), Ordering::SeqCst);
    name_this_thread(name);
}

/// Notes that there is no such thread: in a forked child, or after it has ended.
pub fn forget(role: Role) {
    if let Role::Worker = role {
        WORKER.store(0, Ordering::SeqCst);
    }
    THREAD_IDS[role as usize].store(0, Ordering::SeqCst);
}

/// The thread IDs of these threads, as far as they are there.
pub fn thread_ids() -> impl Iterator<Item = i32> {
    let ids = THREAD_IDS.iter().map(|id| id.load(Ordering::SeqCst));
    ids.filter(|&id| id != 0)
}

/// Notes that the worker has been started.
pub fn worker_has_started(ident: libc::pthread_t) {
    WORKER.store(ident as usize, Ordering::SeqCst);
}

/// The worker's `pthread_t`; 0: there is no worker in this process. Any thread, interrupted or not.
pub fn worker_ident() -> usize {
    WORKER.load(Ordering::SeqCst)
}

/// The worker's thread ID; 0: there is no worker, or it has not called [`begin`] yet. Any thread.
pub fn worker_id() -> i32 {
    THREAD_IDS[Role::Worker as usize].load(Ordering::SeqCst)
}

/// Whether a `pthread_t` is the worker's. Any thread, interrupted or not.
pub fn is_worker(ident: usize) -> bool {
    ident != 0 && worker_ident() == ident
}

/// Whether the calling thread is the worker. Any thread.
pub fn this_is_worker() -> bool {
    let worker = worker_id();
    worker != 0 && worker == this_thread_id()
}

/// Whether the worker is still there. Code of the program may run on it, such as a module's loader
/// that is asked for source, and that code may end the thread.
///
/// Any thread, interrupted or not.
pub fn worker_is_alive() -> bool {
    let worker = worker_id();
    let is_there = |id: i32| {
        // SAFETY: signal 0 is never sent: the kernel only says whether the process has this thread.
        unsafe { libc::syscall(libc::SYS_tgkill, process_id(), id, 0) == 0 }
    };
    worker_ident() != 0 && (worker == 0 || is_there(worker))
}

/// The calling thread's ID. Any thread, interrupted or not.
pub fn this_thread_id() -> i32 {
    // SAFETY: a system call that takes no argument, touches no memory and cannot fail.
    unsafe { libc::gettid() }
}
