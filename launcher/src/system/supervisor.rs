//! A command as two processes: one does the work, and its supervisor waits for it and for signals.
//!
//! Whoever is looked at can keep a thread of ours in the kernel where no signal ends it: by a file system of their own
//! (`request_wait_answer`, fs/fuse/dev.c, Linux 6.18), or by a lock on their memory. A process with such a thread
//! cannot end. The supervisor touches nothing of others', so it can: what the user has started always ends.
//!
//! It is a fork. A clone that shares its memory would start sooner, but the end of a process needs the lock of its
//! memory (`exit_mm`, kernel/exit.c, Linux 6.18), which the stuck thread may hold.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::exit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process,
    set_dumpable_behavior, set_parent_process_death_signal, waitpid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::system::interrupt::{self, Board, SIGNALS};

/// The longest time from a signal that asks us to stop to our end.
const LONGEST_END: Duration = Duration::from_millis(800);

/// How often to look at the board.
const GLANCE: Duration = Duration::from_millis(50);

/// Makes this command two processes, and returns in the one that does the work. Where the system grants no process, it
/// stays one, which SIGINT, SIGTERM and SIGHUP end at once.
///
/// To be called while the process has one thread.
pub fn start() {
    let Some(board) = shared_board() else {
        return;
    };
    let noted = Set::of(SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)));
    let awaited = noted.and(libc::SIGCHLD);
    // Whoever has started us may have it ignored; then nobody could wait for a child.
    // SAFETY: installs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    let before = awaited.block();
    let supervisor = getpid();
    // SAFETY: this process has one thread, so the child is a whole copy of it.
    match unsafe { libc::fork() } {
        0 => {
            before.set();
            noted.block();
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            // It may have ended before that.
            if getppid() != Some(supervisor) {
                exit(1);
            }
            interrupt::share(board);
        }
        child => match Pid::from_raw(child.max(0)) {
            Some(worker) => supervise(worker, board, &awaited),
            None => before.set(),
        },
    }
}

/// Whether a thread of ours has been left behind, and may be stuck still.
static MAY_BE_STUCK: AtomicBool = AtomicBool::new(false);

/// Notes that somebody has kept a thread of ours waiting, which is left behind. Any thread.
pub fn note_stuck() {
    MAY_BE_STUCK.store(true, Ordering::SeqCst);
}

/// The last act of the process that does the work: all is done but its end. If a thread of it may be stuck, whoever
/// reads our output should not wait for that thread, which would keep the streams open.
pub fn leave(status: u8) {
    if MAY_BE_STUCK.load(Ordering::SeqCst)
        && let Ok(nothing) = File::options().read(true).write(true).open("/dev/null")
    {
        let _ = dup2_stdin(nothing.as_fd());
        let _ = dup2_stdout(nothing.as_fd());
        let _ = dup2_stderr(nothing.as_fd());
    }
    interrupt::note_status(status);
}

/// Memory that a forked child shares, never given back.
fn shared_board() -> Option<&'static Board> {
    // SAFETY: new memory, at an address of the kernel's choice.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<Board>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: it is aligned to a page, as large as a board, all zeros, which is a valid board, and stays mapped.
    Some(unsafe { &*address.cast::<Board>() })
}

/// The life of the supervisor: it ends as the process does that does the work.
fn supervise(worker: Pid, board: &Board, awaited: &Set) -> ! {
    loop {
        if let Some(signal) = awaited.next_within(GLANCE)
            && signal != libc::SIGCHLD
        {
            board.note(signal as u32);
        }
        match waitpid(Some(worker), WaitOptions::NOHANG) {
            Ok(None) => {}
            Ok(Some((_, status))) => end_like(status),
            Err(_) => exit(1),
        }
        let late = |code| -> ! {
            let _ = kill_process(worker, Signal::KILL);
            exit(code)
        };
        // It has nothing left to do but to end, which a thread that is stuck would draw out.
        if let Some(status) = board.status() {
            late(status.into());
        }
        if let Some((signal, ago)) = board.noted()
            && ago > LONGEST_END
        {
            late(128 + signal as i32);
        }
        if board.is_late() {
            late(128 + libc::SIGALRM);
        }
    }
}

/// Ends this process as another has ended.
fn end_like(status: WaitStatus) -> ! {
    if let Some(signal) = status.terminating_signal() {
        // The other one has left the core, if one was wanted.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        Set::of([signal]).unblock();
        // SAFETY: installs no code, and sends this process a signal.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        exit(128 + signal);
    }
    exit(status.exit_status().unwrap_or(1));
}

/// Whether we were started to ignore this signal.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: `sigaction` is plain data for which all zeros is a valid value. Nothing is changed but it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &mut action);
        action.sa_sigaction == libc::SIG_IGN
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
struct Set(libc::sigset_t);

impl Set {
    fn of(signals: impl IntoIterator<Item = i32>) -> Set {
        // SAFETY: `sigset_t` is plain data for which all zeros is a valid value.
        let mut set = unsafe { std::mem::zeroed() };
        for signal in signals {
            // SAFETY: the set is ours.
            unsafe { libc::sigaddset(&mut set, signal) };
        }
        Set(set)
    }

    /// These signals and one more.
    fn and(mut self, signal: i32) -> Set {
        // SAFETY: the set is ours.
        unsafe { libc::sigaddset(&mut self.0, signal) };
        self
    }

    /// Blocks them in this thread; returns what was blocked before.
    fn block(&self) -> Set {
        self.change(libc::SIG_BLOCK)
    }

    /// Lets them in.
    fn unblock(&self) {
        self.change(libc::SIG_UNBLOCK);
    }

    /// Blocks them and no others.
    fn set(&self) {
        self.change(libc::SIG_SETMASK);
    }

    fn change(&self, how: libc::c_int) -> Set {
        let mut before = Set::of([]);
        // SAFETY: both sets are ours; this thread's mask changes, and nothing else.
        unsafe { libc::pthread_sigmask(how, &self.0, &mut before.0) };
        before
    }

    /// Waits for the next of them.
    fn next_within(&self, time: Duration) -> Option<i32> {
        let time = libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: both pointers are to values of ours, and no information is wanted.
        let signal = unsafe { libc::sigtimedwait(&self.0, ptr::null_mut(), &time) };
        (signal > 0).then_some(signal)
    }
}
