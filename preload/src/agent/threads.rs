//! The agent's threads: how they are started, and how they are told from the program's.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use crate::system::c_library;
use crate::system::filter::{self, Call};
use crate::system::identity::{process_id, this_thread_id};
use crate::system::signals::{self, FAULTS, Set};
use crate::system::{proc_file, thread_struct};

/// Whether a new thread of the agent's begins at its work, or asleep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    AtWork,
    Asleep,
}

/// musl's signal for a change of users (SIGSYNCCALL, src/internal/pthread_impl.h). Its handler runs at once, also
/// while a thread sleeps: it waits for all threads.
const MUSL_SETXID: c_int = 34;

/// The signals that a new thread blocks; `shut_in`: it starts shut in.
///
/// At work, the agent's threads must not block the signals that the kernel raises for a fault of the thread itself: a
/// blocked fault cannot wait, so the kernel resets the handler of the whole process (`force_sig_info_to_task`,
/// kernel/signal.c). Asleep there is no fault, and a program may block these signals in all its threads, and wait for
/// them, so the agent's thread blocks them too (`crew/nap.rs`).
///
/// Nor may they block the signal by which the C library changes the user of all threads, but while they sleep.
fn blocked(begins: Begins, shut_in: bool) -> Set {
    let user = if shut_in { 0 } else { signals::SETXID };
    let of_musl = if c_library::is_glibc() {
        0
    } else {
        MUSL_SETXID
    };
    let asleep = Set::all_but(&[user, of_musl]);
    match begins {
        Begins::Asleep => asleep,
        Begins::AtWork => asleep.without(Set::of(&FAULTS)),
    }
}

/// Opens the signals of faults, if the calling thread is the parked one: a debugger has it call a function, which
/// always ends in such a signal. From its next sleep on it blocks them again. (Asleep by futex, it goes on sleeping
/// when the debugger has gone, with these signals open, until it is woken.)
///
/// Any thread, interrupted or not.
pub fn open_faults_if_parked() {
    if ident_of(Role::Parked) == this_ident() && filter::may(Call::SignalMask) {
        Set::of(&FAULTS).unblock();
    }
}

/// What a thread runs.
pub type Entry = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// Starts a detached thread that blocks all signals but its own faults, with the first of these stack
/// sizes that the system grants; the error is an errno.
///
/// It allocates: see `crew::start`.
pub fn spawn(entry: Entry, stack_sizes: &[usize]) -> Result<(), c_int> {
    spawn_with(entry, ptr::null_mut(), Begins::AtWork, stack_sizes)
}

/// The same, with an argument for `entry`, which has to be what `entry` takes it for. A thread that begins asleep
/// blocks the signals of its own faults too.
pub fn spawn_with(
    entry: Entry,
    argument: *mut c_void,
    begins: Begins,
    stack_sizes: &[usize],
) -> Result<(), c_int> {
    if !filter::may_start_threads() {
        return Err(libc::EACCES);
    }
    let mut result = libc::EAGAIN;
    // The new thread inherits the mask, so it never sees a signal of the program, nor a nudge before it sleeps.
    let before = blocked(begins, are_shut_in()).block_only();
    // SAFETY: the attributes are a local, initialised before use. `entry` stays mapped (-z nodelete). As a C
    // function it differs only in that `pthread_exit` may unwind it, and glibc, which calls it, expects that. A
    // child forked meanwhile has no such thread and starts its own.
    unsafe {
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
                argument,
            );
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            if result == 0 {
                break;
            }
        }
    }
    before.block_only();
    match result {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Names the calling thread, as `ps -L` and `/proc/PID/task/TID/comm` show it.
pub fn name_this_thread(name: &str) {
    let mut bytes = [0_u8; 16];
    let count = name.len().min(15);
    bytes[..count].copy_from_slice(&name.as_bytes()[..count]);
    if filter::may(Call::Control) {
        // SAFETY: PR_SET_NAME reads up to 16 bytes, the last of which is NUL.
        unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
    } else {
        let mut path = [0; 64];
        if let Some(path) = proc_file::of_this_thread("comm", &mut path) {
            proc_file::write(path, &bytes[..count]);
        }
    }
}

/// Why a thread could not be started: an errno. It is worded here because libc's `strerror` may take
/// locks and allocate.
pub struct Why(pub c_int);

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // The last: `copy_fs` in kernel/fork.c, Linux 2.6.29 to 6.18.
            libc::EAGAIN => write!(
                out,
                "EAGAIN: no more threads, no memory for one, or the program is just being replaced (exec)"
            ),
            libc::ENOMEM => write!(out, "ENOMEM: no memory"),
            libc::EPERM => write!(out, "EPERM: not permitted"),
            libc::EACCES => write!(out, "a filter of system calls forbids what a thread needs"),
            error => write!(out, "errno {error}"),
        }
    }
}

/// The agent's threads.
#[derive(Clone, Copy)]
pub enum Role {
    /// Sleeps, and starts the others.
    Parked,
    /// Takes the GIL.
    Worker,
    /// Reads files.
    Reader,
    /// Answers a ring of the bell.
    BellAnswerer,
    /// Answers a command that has sent a signal.
    WakeAnswerer,
}

/// How many roles there are.
const ROLES: usize = 5;

/// Their thread IDs, by [`Role`]; 0: there is no such thread, or it has not called [`begin`] yet.
static THREAD_IDS: [AtomicI32; ROLES] = [const { AtomicI32::new(0) }; ROLES];

/// Their `pthread_t`s, in the same way.
static IDENTS: [AtomicUsize; ROLES] = [const { AtomicUsize::new(0) }; ROLES];

/// Whether there is such a thread, or one is being started.
static PLACES: [AtomicBool; ROLES] = [const { AtomicBool::new(false) }; ROLES];

/// The first call of each of these threads: notes its thread ID and names it.
pub fn begin(role: Role, name: &str) {
    note(role);
    name_this_thread(name);
}

/// Notes the calling thread's ID. Once that is done, nudges reach it.
pub fn note(role: Role) {
    // glibc since 2.32 leaves this one open in a new thread, whatever the mask of the thread that starts it.
    Set::of(&[signals::NUDGE]).block();
    let (ident, id) = (this_ident(), this_thread_id());
    let starter = (
        STARTER.0.load(Ordering::SeqCst),
        STARTER.1.load(Ordering::SeqCst),
    );
    thread_struct::id_offset([(ident, id), starter]);
    IDENTS[role as usize].store(ident, Ordering::SeqCst);
    THREAD_IDS[role as usize].store(id, Ordering::SeqCst);
}

/// Notes that there is no such thread, as it ends.
pub fn forget(role: Role) {
    forget_number(role as usize);
}

fn forget_number(role: usize) {
    THREAD_IDS[role].store(0, Ordering::SeqCst);
    IDENTS[role].store(0, Ordering::SeqCst);
    PLACES[role].store(false, Ordering::SeqCst);
}

/// In a forked child, where none of these threads is.
pub fn forget_all() {
    (0..ROLES).for_each(forget_number);
}

/// A thread's ID; 0: there is none. Any thread, interrupted or not.
pub fn id_of(role: Role) -> i32 {
    THREAD_IDS[role as usize].load(Ordering::SeqCst)
}

/// Takes the calling thread out of reach of the C library's `setuid` and its kin: a thread with an impossible ID
/// is passed over (`setxid_signal_thread`, nptl/nptl_setxid.c, glibc 2.36). It still differs from all others, as
/// the owner of the C library's mutexes. For a thread that shuts itself in, whose user does not matter any more.
/// False if the place of the ID is not known.
///
/// On a thread of the agent's. Other C libraries than glibc are left alone: they would give up.
pub fn get_out_of_reach() -> bool {
    if !c_library::is_glibc() {
        return true;
    }
    let (ident, id) = (this_ident(), this_thread_id());
    let Some(offset) = thread_struct::known_id_offset() else {
        return false;
    };
    // SAFETY: the aligned word of this thread's own structure in which its ID stands. The C library reads it as an
    // atomic word.
    unsafe { AtomicI32::from_ptr((ident + offset) as *mut i32) }.store(-id, Ordering::SeqCst);
    true
}

/// Whether a thread of the agent's has shut itself in. Threads that it starts are shut in too.
static SHUT_IN: AtomicBool = AtomicBool::new(false);

/// Notes that the calling thread has shut itself in.
pub fn note_shut_in() {
    SHUT_IN.store(true, Ordering::SeqCst);
}

/// Whether threads are shut in from their start.
pub fn are_shut_in() -> bool {
    SHUT_IN.load(Ordering::SeqCst)
}

/// A thread that runs on while the agent's threads start: its `pthread_t` and ID.
static STARTER: (AtomicUsize, AtomicI32) = (AtomicUsize::new(0), AtomicI32::new(0));

/// Notes the calling thread, which starts the agent's.
pub fn note_starter() {
    STARTER.0.store(this_ident(), Ordering::SeqCst);
    STARTER.1.store(this_thread_id(), Ordering::SeqCst);
    SHUT_IN.store(false, Ordering::SeqCst);
}

/// The thread IDs of these threads, as far as they are there.
pub fn thread_ids() -> impl Iterator<Item = i32> {
    let ids = THREAD_IDS.iter().map(|id| id.load(Ordering::SeqCst));
    ids.filter(|&id| id != 0)
}

/// Takes the place of such a thread; false if it is taken. Whoever has taken it starts the thread, or gives
/// the place back by [`forget`].
pub fn take_place(role: Role) -> bool {
    !PLACES[role as usize].swap(true, Ordering::SeqCst)
}

/// Whether such a thread is there, or is being started. Any thread, interrupted or not.
pub fn has(role: Role) -> bool {
    PLACES[role as usize].load(Ordering::SeqCst)
}

/// Notes that there is no worker, if a system call of the program's own has ended it. Returns whether that is so. Any
/// thread, interrupted or not.
pub fn forget_dead_worker() -> bool {
    let worker = id_of(Role::Worker);
    if worker == 0 || !filter::may(Call::SignalThread) || signals::is_there(process_id(), worker) {
        return false;
    }
    // One that ends by itself has taken its ID back before, and another may have its place by now.
    let is_its = THREAD_IDS[Role::Worker as usize]
        .compare_exchange(worker, 0, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok();
    if is_its {
        forget(Role::Worker);
    }
    is_its
}

/// A thread's `pthread_t`; 0: there is none. Any thread, interrupted or not.
pub fn ident_of(role: Role) -> usize {
    IDENTS[role as usize].load(Ordering::SeqCst)
}

/// The `pthread_t`s and IDs of the parked thread and the worker; zeros: there is no such thread. Any thread.
pub fn two() -> [(usize, i32); 2] {
    [Role::Parked, Role::Worker].map(|role| (ident_of(role), id_of(role)))
}

/// Whether a `pthread_t` is that of a thread of the agent's. Any thread, interrupted or not.
pub fn is_ours(ident: usize) -> bool {
    let mut idents = IDENTS.iter();
    ident != 0 && idents.any(|one| one.load(Ordering::SeqCst) == ident)
}

/// Whether a `pthread_t` is the worker's. Any thread, interrupted or not.
pub fn is_worker(ident: usize) -> bool {
    ident != 0 && ident_of(Role::Worker) == ident
}

/// Whether the calling thread is the worker. Any thread.
pub fn this_is_worker() -> bool {
    is_worker(this_ident())
}

/// The calling thread's `pthread_t`. Any thread, interrupted or not.
fn this_ident() -> usize {
    // SAFETY: it reads a register, and cannot fail.
    unsafe { libc::pthread_self() as usize }
}
