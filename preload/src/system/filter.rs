//! What a filter of system calls (seccomp) lets the agent do.
//!
//! A filter may refuse a call, answer it with any error, or end the process for it. So under a filter the
//! agent first has a child process try the calls, and never makes those that do not work there. The calls that
//! the trial itself needs are made by every Python program as it starts: to open and read a file, to fork, to
//! wait on a futex.

use std::ffi::{CStr, c_int, c_long};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::system::futex::{self, Instant};
use crate::system::kernel;
use crate::system::proc_file;
use crate::system::rights::Filters;
use crate::system::signals::Set;

/// A system call that the agent makes, or has the C library make, and that a Python program may do without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// prctl(2): first, as it keeps the trial from leaving a core dump.
    Control,
    /// wait4(2), which the trial itself needs.
    WaitForChild,
    /// waitid(2): the trial's other means.
    WaitForChildElse,
    /// prlimit(2), for the trial itself.
    Limit,
    /// getpid(2).
    ProcessId,
    /// gettid(2).
    ThreadId,
    /// geteuid(2).
    UserId,
    /// tgkill(2).
    SignalThread,
    /// rt_sigqueueinfo(2).
    QueueSignal,
    /// kill(2).
    Signal,
    /// rt_sigtimedwait(2).
    AwaitSignal,
    /// rt_sigprocmask(2).
    SignalMask,
    /// process_vm_readv(2).
    ReadMemory,
    /// pread(2).
    ReadAt,
    /// readlink(2).
    ReadLink,
    /// stat(2), as the C library makes it.
    Stat,
    /// fstat(2), as the C library makes it.
    StatOpen,
    /// lseek(2).
    Seek,
    /// fcntl(2).
    ControlFile,
    /// close_range(2).
    CloseRange,
    /// unshare(2).
    Unshare,
    /// getdents64(2).
    ListFolder,
    /// socket(2), of a local socket.
    Socket,
    /// connect(2).
    Connect,
    /// getsockopt(2).
    SocketOption,
    /// sendto(2).
    Send,
    /// recvfrom(2).
    Receive,
    /// poll(2).
    Poll,
    /// clock_gettime(2), as the C library makes it: mostly without a system call.
    Clock,
    /// sched_yield(2).
    Yield,
    /// mmap(2) and munmap(2).
    Map,
    /// mprotect(2).
    Protect,
    /// madvise(2).
    Advise,
    /// clone(2).
    Clone,
    /// clone3(2).
    Clone3,
    /// set_robust_list(2).
    RobustList,
    /// rseq(2).
    RestartableSequences,
    /// exit(2), of one thread. Last, as the trial ends by it.
    EndThread,
}

/// All of them, in the order in which they are tried.
const CALLS: [Call; 38] = [
    Call::Control,
    Call::WaitForChild,
    Call::WaitForChildElse,
    Call::Limit,
    Call::ProcessId,
    Call::ThreadId,
    Call::UserId,
    Call::SignalThread,
    Call::QueueSignal,
    Call::Signal,
    Call::AwaitSignal,
    Call::SignalMask,
    Call::ReadMemory,
    Call::ReadAt,
    Call::ReadLink,
    Call::Stat,
    Call::StatOpen,
    Call::Seek,
    Call::ControlFile,
    Call::CloseRange,
    Call::Unshare,
    Call::ListFolder,
    Call::Socket,
    Call::Connect,
    Call::SocketOption,
    Call::Send,
    Call::Receive,
    Call::Poll,
    Call::Clock,
    Call::Yield,
    Call::Map,
    Call::Protect,
    Call::Advise,
    Call::Clone,
    Call::Clone3,
    Call::RobustList,
    Call::RestartableSequences,
    Call::EndThread,
];

/// What a thread needs to start, to work and to end.
const FOR_THREADS: [Call; 8] = [
    Call::SignalMask,
    Call::Map,
    Call::Protect,
    Call::Advise,
    Call::Clone,
    Call::RobustList,
    Call::EndThread,
    Call::Clock,
];

/// What it takes to be woken by a signal, and to answer.
const FOR_WAKING: [Call; 8] = [
    Call::AwaitSignal,
    Call::SignalThread,
    Call::Socket,
    Call::Connect,
    Call::SocketOption,
    Call::Send,
    Call::Receive,
    Call::Poll,
];

/// The calls that do not work, as bits.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// The calls that end the process, as bits.
static DEADLY: AtomicU64 = AtomicU64::new(0);

/// The filters under which that holds, as [`Filters::count`]; none as long as nothing was looked at.
static KNOWN: AtomicU32 = AtomicU32::new(0);

/// Whether no filter has been seen so far. Any thread.
pub fn knows_of_none() -> bool {
    KNOWN.load(Ordering::SeqCst) == 0
}

/// Whether a call works. Any thread, interrupted or not.
pub fn may(call: Call) -> bool {
    REFUSED.load(Ordering::Relaxed) & 1 << call as u64 == 0
}

/// Whether a thread can be started without harm. (If it is refused, that is known when it is tried.)
pub fn may_start_threads() -> bool {
    let deadly = |call: &Call| DEADLY.load(Ordering::Relaxed) & 1 << *call as u64 != 0;
    may(Call::SignalMask)
        && may(Call::EndThread)
        && !FOR_THREADS.iter().any(deadly)
        && ![Call::Clone3, Call::RestartableSequences]
            .iter()
            .any(deadly)
}

/// Whether a signal can wake the agent, and it can answer.
pub fn may_be_woken() -> bool {
    FOR_WAKING.into_iter().all(may)
}

/// Whether a thread may sleep where signals reach it, and be woken by one.
pub fn may_nap_by_signal() -> bool {
    [Call::AwaitSignal, Call::SignalThread, Call::SignalMask]
        .into_iter()
        .all(may)
}

/// Looks which filters the calling thread is under. If they have changed, has a child try what works.
///
/// On a thread that is not interrupted: at the load, the boot and the import, in a child that was just forked,
/// and on a thread of the agent's that has just been woken.
pub fn learn() {
    if let Some(filters) = filters_here() {
        learn_from(filters);
    }
}

/// The same, in a child that was just forked, on its only thread: most children end or exec at once. The kernel
/// makes an entry for each file of `/proc` that is looked at, and takes them all away as the process ends, so this
/// looks at one of the first thread's.
pub fn learn_in_child() {
    if let Some(filters) = filters_in(c"/proc/self/status") {
        learn_from(filters);
    }
}

/// The same, where the filters of the calling thread have been looked at.
pub fn learn_from(filters: Filters) {
    if KNOWN.load(Ordering::SeqCst) == filters.count {
        return;
    }
    let (refused, deadly) = match filters.count {
        0 => (0, 0),
        _ if filters.resident > LARGEST => (u64::MAX, u64::MAX),
        _ => try_out(),
    };
    REFUSED.store(refused, Ordering::SeqCst);
    DEADLY.store(deadly, Ordering::SeqCst);
    KNOWN.store(filters.count, Ordering::SeqCst);
}

/// The filters of the calling thread; `None` where there is no `/proc`, and on a thread that has shut itself in.
fn filters_here() -> Option<Filters> {
    // The thread may have little stack left.
    let mut buffer = [0; 3072];
    proc_file::read_of_this_thread("status", &mut buffer).map(Filters::parse)
}

/// The filters in this status.
fn filters_in(status: &CStr) -> Option<Filters> {
    // The thread may have little stack left.
    let mut buffer = [0; 3072];
    proc_file::read(status, &mut buffer).map(Filters::parse)
}

/// Makes sure that the calling thread, one of the program's, is under no other filters than are known; else
/// nothing is taken to work. Any thread, interrupted or not.
pub fn distrust_this_thread() {
    let filters = filters_here().unwrap_or_default();
    if KNOWN.load(Ordering::SeqCst) != filters.count {
        REFUSED.store(u64::MAX, Ordering::SeqCst);
        DEADLY.store(u64::MAX, Ordering::SeqCst);
        // A thread of the agent's looks anew.
        KNOWN.store(u32::MAX, Ordering::SeqCst);
    }
}

/// The most memory, in bytes, of a process that is forked for a trial. The kernel copies the tables of what is
/// resident, and the program stands still meanwhile.
const LARGEST: u64 = 4 << 30;

/// What the child writes, in memory that it shares with this process.
#[repr(C)]
struct Trial {
    /// The number of the call that it tries.
    at: AtomicU32,
    /// 1 once the two calls that wait for a child have been tried.
    awaits: AtomicU32,
    /// For each call whether it works.
    works: [AtomicU8; CALLS.len()],
}

/// How the child ends if it comes to its end.
const DONE: c_int = 77;

/// How long the child may take to the first call, in nanoseconds.
const PATIENCE: u64 = 200_000_000;

/// Has children try all calls: the ones that do not work, and among them the ones that ended a child.
fn try_out() -> (u64, u64) {
    const ALL: (u64, u64) = (u64::MAX, u64::MAX);
    // SAFETY: a new mapping, of zeros, which are valid for a `Trial`, and larger than one. It is unmapped
    // below, after the last child has ended.
    let trial = unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(
            ptr::null_mut(),
            size_of::<Trial>(),
            protection,
            flags,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return ALL;
        }
        &*start.cast::<Trial>()
    };
    let mut deadly = 0;
    let mut from = 0;
    while from < CALLS.len() {
        match try_from(trial, from) {
            None => return ALL,
            Some(true) => break,
            Some(false) => {
                let at = trial.at.load(Ordering::SeqCst) as usize;
                deadly |= 1 << at;
                trial.works[at].store(0, Ordering::SeqCst);
                from = at.max(from) + 1;
            }
        }
    }
    let mut refused = deadly;
    for (number, works) in trial.works.iter().enumerate() {
        refused |= u64::from(works.load(Ordering::SeqCst) == 0) << number;
    }
    // SAFETY: mapped above, and no reference to it is used any more.
    unsafe { libc::munmap(ptr::from_ref(trial).cast_mut().cast(), size_of::<Trial>()) };
    (refused, deadly)
}

/// Has one child try the calls from this number on. Returns whether it came to the end; `None` if it cannot be
/// told.
fn try_from(trial: &Trial, from: usize) -> Option<bool> {
    trial.at.store(from as u32, Ordering::SeqCst);
    // No exit signal: the program sees neither SIGCHLD nor, when it waits for its own, this child.
    // SAFETY: as `fork`, but that no handler runs. The child makes system calls only, and never returns.
    let child = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    if child == 0 {
        try_in_child(trial, from);
    }
    if child < 0 {
        return None;
    }
    let until = Instant::now().after(PATIENCE);
    while trial.awaits.load(Ordering::SeqCst) == 0 {
        if !wait_shared(&trial.awaits, until) {
            // One of the two calls has ended the child: the other one may work.
            break;
        }
    }
    let works = |call: Call| trial.works[call as usize].load(Ordering::SeqCst) == 1;
    let (first, second) = (works(Call::WaitForChild), works(Call::WaitForChildElse));
    if !first && !second {
        // Not known yet: the next child tries the other call.
        return (from <= Call::WaitForChild as usize).then_some(false);
    }
    let until = Instant::now().after(LONGEST_TRIAL);
    let status = loop {
        if let Some(status) = status_of(child as i32, first) {
            break status;
        }
        if until.left().is_none() {
            // Something holds the child: a tracer, or whoever the filter asks.
            if works(Call::Signal) {
                // SAFETY: the child is this function's own, and has not been waited for.
                unsafe { libc::kill(child as i32, libc::SIGKILL) };
            }
            return None;
        }
        let word = AtomicU32::new(0);
        futex::wait_while(&word, 0, Some(Instant::now().after(50_000)));
    };
    Some(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == DONE)
}

/// How long a trial may take, in nanoseconds.
const LONGEST_TRIAL: u64 = 1_000_000_000;

/// How the child has ended, if it has: as wait4(2) says it, or by waitid(2).
fn status_of(child: i32, by_first: bool) -> Option<c_int> {
    let options = libc::WNOHANG | libc::__WALL;
    let mut status = 0;
    // SAFETY: the kernel writes to locals, for which zeros are valid. The child is the caller's own.
    unsafe {
        if by_first {
            let ended = libc::wait4(child, &mut status, options, ptr::null_mut());
            return (ended == child).then_some(status);
        }
        let mut info = std::mem::zeroed::<libc::siginfo_t>();
        let id = child as libc::id_t;
        let done = libc::waitid(libc::P_PID, id, &mut info, libc::WEXITED | options) == 0;
        (done && info.si_pid() == child).then(|| match info.si_code {
            libc::CLD_EXITED => info.si_status() << 8,
            _ => info.si_status(),
        })
    }
}

/// Waits until another process wakes this word; false once `until` has passed.
fn wait_shared(word: &AtomicU32, until: Instant) -> bool {
    let Some(left) = until.left() else {
        return false;
    };
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: left.min(999_999_999) as c_long,
    };
    // SAFETY: the word and the time outlive the call; the kernel compares and sleeps.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            0,
            &raw const time,
        );
    }
    true
}

/// The child's life.
fn try_in_child(trial: &Trial, from: usize) -> ! {
    // No handler of the program's runs here. Every Python program makes these two calls as it starts.
    let default = [0_usize; 4];
    // SAFETY: it sets the action of this child alone, to the default, whose structure is all zeros.
    unsafe {
        let action = default.as_ptr();
        libc::syscall(
            libc::SYS_rt_sigaction,
            libc::SIGSYS,
            action,
            0_usize,
            8_usize,
        );
    }
    Set::all_but(&[]).block();
    for (number, &call) in CALLS.iter().enumerate().skip(from) {
        trial.at.store(number as u32, Ordering::SeqCst);
        let works = works(call, trial);
        trial.works[number].store(u8::from(works), Ordering::SeqCst);
        if call == Call::WaitForChildElse {
            trial.awaits.store(1, Ordering::SeqCst);
            // SAFETY: the kernel uses the address only to find the thread that waits there.
            unsafe {
                let word = trial.awaits.as_ptr();
                libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, 1);
            }
        }
    }
    // SAFETY: the child ends, without any handler of the program's.
    unsafe {
        libc::syscall(libc::SYS_exit_group, DONE);
    }
    loop {
        std::hint::spin_loop();
    }
}

/// Makes a call so that it has no effect, and compares its result with what the kernel answers to that.
fn works(call: Call, trial: &Trial) -> bool {
    const NOWHERE: usize = 0;
    let made = |number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize| {
        // SAFETY: a system call in a process of its own, which ends afterwards. What it writes to are locals
        // of the calling function, or nothing.
        let result = unsafe { libc::syscall(number, a, b, c, d, e, 0_usize) };
        let error = std::io::Error::last_os_error().raw_os_error();
        if result < 0 { error.unwrap_or(0) } else { 0 }
    };
    let nobody = usize::MAX;
    let no_file = -1_isize as usize;
    let mut word = [0_u64; 64];
    let local = word.as_mut_ptr() as usize;
    match call {
        Call::WaitForChild => made(libc::SYS_wait4, nobody, NOWHERE, 1, 0, 0) == libc::ECHILD,
        Call::WaitForChildElse => {
            let kind = libc::WEXITED as usize;
            made(libc::SYS_waitid, libc::P_ALL as usize, 0, NOWHERE, kind, 0) == libc::ECHILD
        }
        // It has the kernel write no core dump of this child.
        Call::Control => {
            made(libc::SYS_prctl, libc::PR_SET_DUMPABLE as usize, 0, 0, 0, 0) == 0
                && made(libc::SYS_prctl, libc::PR_GET_DUMPABLE as usize, 0, 0, 0, 0) == 0
                && made(libc::SYS_prctl, libc::PR_SET_NAME as usize, local, 0, 0, 0) == 0
        }
        Call::Limit => {
            made(
                libc::SYS_prlimit64,
                0,
                libc::RLIMIT_CORE as usize,
                local,
                0,
                0,
            ) == 0
        }
        Call::ProcessId => made(libc::SYS_getpid, 0, 0, 0, 0, 0) == 0,
        Call::ThreadId => made(libc::SYS_gettid, 0, 0, 0, 0, 0) == 0,
        Call::UserId => made(libc::SYS_geteuid, 0, 0, 0, 0, 0) == 0,
        Call::SignalThread => made(libc::SYS_tgkill, nobody, nobody, 0, 0, 0) == libc::EINVAL,
        Call::QueueSignal => made(libc::SYS_rt_sigqueueinfo, 0, 0, NOWHERE, 0, 0) == libc::EFAULT,
        Call::Signal => made(libc::SYS_kill, 0, 65, 0, 0, 0) == libc::EINVAL,
        Call::AwaitSignal => {
            let no_time = [0_u64; 2].as_ptr() as usize;
            made(libc::SYS_rt_sigtimedwait, local, NOWHERE, no_time, 8, 0) == libc::EAGAIN
        }
        Call::SignalMask => made(libc::SYS_rt_sigprocmask, 0, NOWHERE, local, 8, 0) == 0,
        Call::ReadMemory => {
            // SAFETY: a system call that touches no memory.
            let this = unsafe { libc::syscall(libc::SYS_set_tid_address, 0) } as usize;
            let from = [local as u64, 8];
            let into = [(local + 64) as u64, 8];
            let (from, into) = (from.as_ptr() as usize, into.as_ptr() as usize);
            made(kernel::PROCESS_VM_READV, this, into, 1, from, 1) == 0
        }
        Call::ReadAt => made(libc::SYS_pread64, no_file, local, 8, 0, 0) == libc::EBADF,
        Call::ReadLink => {
            let path = c"/proc/self/exe".as_ptr() as usize;
            made(libc::SYS_readlink, path, local, 512, 0, 0) == 0
        }
        Call::Stat | Call::StatOpen => {
            // SAFETY: it writes to the local, for which zeros are valid.
            let result = unsafe {
                let mut status = std::mem::zeroed::<libc::stat>();
                match call {
                    Call::Stat => libc::stat(c"/".as_ptr(), &mut status),
                    _ => libc::fstat(-1, &mut status) + 1,
                }
            };
            let error = std::io::Error::last_os_error().raw_os_error();
            result == 0 && (call == Call::Stat || error == Some(libc::EBADF))
        }
        Call::Seek => made(libc::SYS_lseek, no_file, 0, 0, 0, 0) == libc::EBADF,
        Call::ControlFile => {
            let operation = libc::F_DUPFD_CLOEXEC as usize;
            made(libc::SYS_fcntl, no_file, operation, 512, 0, 0) == libc::EBADF
        }
        Call::CloseRange => {
            const UNSHARE: usize = 1 << 1;
            let all = u32::MAX as usize;
            made(kernel::CLOSE_RANGE, all, all, UNSHARE, 0, 0) == 0
        }
        Call::ListFolder => made(libc::SYS_getdents64, no_file, local, 64, 0, 0) == libc::EBADF,
        Call::Unshare => made(libc::SYS_unshare, libc::CLONE_FILES as usize, 0, 0, 0, 0) == 0,
        Call::Socket => {
            made(
                libc::SYS_socket,
                libc::AF_UNIX as usize,
                libc::SOCK_STREAM as usize,
                0,
                0,
                0,
            ) == 0
        }
        Call::Connect => made(libc::SYS_connect, no_file, local, 8, 0, 0) == libc::EBADF,
        Call::SocketOption => {
            let option = libc::SO_PEERCRED as usize;
            let level = libc::SOL_SOCKET as usize;
            made(libc::SYS_getsockopt, no_file, level, option, local, local) == libc::EBADF
        }
        Call::Send => made(libc::SYS_sendto, no_file, local, 8, 0, 0) == libc::EBADF,
        Call::Receive => made(libc::SYS_recvfrom, no_file, local, 8, 0, 0) == libc::EBADF,
        Call::Poll => made(libc::SYS_poll, NOWHERE, 0, 0, 0, 0) == 0,
        Call::Clock => {
            let mut time = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: it writes to the local.
            unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) == 0 }
        }
        Call::Yield => made(libc::SYS_sched_yield, 0, 0, 0, 0, 0) == 0,
        Call::Map => {
            // SAFETY: a new mapping, which is unmapped at once.
            unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
                let start = libc::mmap(ptr::null_mut(), 4096, libc::PROT_NONE, flags, -1, 0);
                start != libc::MAP_FAILED && libc::munmap(start, 4096) == 0
            }
        }
        Call::Protect => made(libc::SYS_mprotect, 0, 0, libc::PROT_READ as usize, 0, 0) == 0,
        Call::Advise => made(libc::SYS_madvise, 0, 0, libc::MADV_DONTNEED as usize, 0, 0) == 0,
        Call::Clone => {
            made(libc::SYS_clone, libc::CLONE_THREAD as usize, 0, 0, 0, 0) == libc::EINVAL
        }
        Call::Clone3 => made(libc::SYS_clone3, NOWHERE, 0, 0, 0, 0) == libc::EINVAL,
        Call::RobustList => made(libc::SYS_set_robust_list, local, 0, 0, 0, 0) == libc::EINVAL,
        Call::RestartableSequences => made(libc::SYS_rseq, NOWHERE, 0, 64, 0, 0) == libc::EINVAL,
        Call::EndThread => {
            // If it works, the child has no time to say so.
            trial.works[call as usize].store(1, Ordering::SeqCst);
            // SAFETY: the child's only thread ends, and the child with it.
            unsafe { libc::syscall(libc::SYS_exit, DONE) };
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_works_without_a_filter() {
        for (number, call) in CALLS.iter().enumerate() {
            assert_eq!(*call as usize, number);
        }
        // Where the kernel is older than the call.
        let old = [Call::CloseRange, Call::Clone3, Call::RestartableSequences];
        let old = old
            .iter()
            .fold(0, |bits, &call| bits | 1_u64 << call as u64);
        let (refused, deadly) = try_out();
        assert_eq!((refused & !old, deadly), (0, 0), "{refused:b}");
    }
}
