//! Whether a thread's filters of system calls would end it, or the threads that it starts, for what loading takes.
//!
//! A container's filter mostly refuses calls, which does no harm; systemd's and a program's own may kill for them. The
//! kernel hands filters out to root (PTRACE_SECCOMP_GET_FILTER, Linux 4.4), and they are run here on the calls that will
//! be made. What the agent does afterwards is the library's concern: it has a child of its own try that
//! (`preload/src/system/filter.rs`). What it takes to start that child is judged here.

use std::io;

use syscalls::x86_64::Sysno;

use crate::system::bpf::{self, Call, Instruction};
use crate::trouble::Trouble;

/// The filters of a thread.
pub type Filters = Vec<Vec<Instruction>>;

/// SECCOMP_RET_ACTION_FULL: the part of an answer that says what is done.
const ACTION: u32 = 0xffff_0000;

/// What lets a call through: SECCOMP_RET_LOG, SECCOMP_RET_ALLOW.
const LETS_THROUGH: [u32; 2] = [0x7ffc_0000, 0x7fff_0000];

/// SECCOMP_RET_ERRNO: the call fails. All other answers end the thread or the process, or ask somebody who may never
/// answer.
const REFUSES: u32 = 0x0005_0000;

/// The system calls of loading, each with what a filter may look at: the detour's, those of two threads' lives, and the
/// loader's and malloc's on them (glibc 2.17 to 2.41).
const CALLS: &[(Sysno, [u64; 6])] = &[
    (Sysno::rt_sigprocmask, [0; 6]),
    (Sysno::rt_sigprocmask, [2, 0, 0, 8, 0, 0]),
    (Sysno::rt_sigpending, [0, 8, 0, 0, 0, 0]),
    (Sysno::rt_sigaction, [10, 0, 0, 8, 0, 0]),
    // A stack, an arena, a file's parts.
    (Sysno::mmap, [0, 8 << 20, 0, 0x2_0022, u64::MAX, 0]),
    (Sysno::mmap, [0, 128 << 20, 0, 0x4022, u64::MAX, 0]),
    (Sysno::mmap, [0, 8192, 3, 0x22, u64::MAX, 0]),
    (Sysno::mmap, [0, 8192, 3, 0x32, u64::MAX, 0]),
    (Sysno::mmap, [0, 8192, 1, 0x802, 3, 0]),
    (Sysno::mmap, [0, 8192, 1, 0x812, 3, 0]),
    (Sysno::mmap, [0, 8192, 5, 0x802, 3, 0]),
    (Sysno::mmap, [0, 8192, 5, 0x812, 3, 4096]),
    (Sysno::mmap, [0, 8192, 3, 0x812, 3, 8192]),
    (Sysno::munmap, [0; 6]),
    (Sysno::mprotect, [0, 4096, 0, 0, 0, 0]),
    (Sysno::mprotect, [0, 4096, 1, 0, 0, 0]),
    (Sysno::mprotect, [0, 4096, 3, 0, 0, 0]),
    (Sysno::brk, [0; 6]),
    (Sysno::madvise, [0, 4096, 4, 0, 0, 0]),
    // CLONE_VM and others, as pthread_create has them.
    (Sysno::clone, [0x3d_0f00, 0, 0, 0, 0, 0]),
    (Sysno::clone3, [0, 88, 0, 0, 0, 0]),
    // The library's trial.
    (Sysno::clone, [0; 6]),
    (Sysno::mmap, [0, 4096, 3, 0x21, u64::MAX, 0]),
    (Sysno::set_robust_list, [0, 24, 0, 0, 0, 0]),
    (Sysno::rseq, [0, 32, 0, 0x5305_3053, 0, 0]),
    (Sysno::gettid, [0; 6]),
    (Sysno::getpid, [0; 6]),
    (Sysno::futex, [0, 0, 2, 0, 0, 0]),
    (Sysno::futex, [0, 1, 1, 0, 0, 0]),
    (Sysno::futex, [0, 128, 2, 0, 0, 0]),
    (Sysno::futex, [0, 129, 1, 0, 0, 0]),
    (Sysno::futex, [0, 0x109, 2, 0, 0, u64::MAX]),
    (Sysno::futex, [0, 0x189, 0, 0, 0, u64::MAX]),
    (Sysno::sched_getaffinity, [0, 8, 0, 0, 0, 0]),
    (Sysno::prlimit64, [0, 3, 0, 0, 0, 0]),
    (Sysno::getrandom, [0, 8, 1, 0, 0, 0]),
    (Sysno::exit, [0; 6]),
    // The table of descriptors, and a file in memory.
    (Sysno::close_range, [0, 0xffff_ffff, 2, 0, 0, 0]),
    (Sysno::unshare, [0x400, 0, 0, 0, 0, 0]),
    (Sysno::memfd_create, [0, 1, 0, 0, 0, 0]),
    (Sysno::nanosleep, [0; 6]),
    // Files.
    (Sysno::open, [0, 0x8_0000, 0, 0, 0, 0]),
    (Sysno::openat, [0xffff_ff9c, 0, 0x8_0000, 0, 0, 0]),
    (Sysno::access, [0, 4, 0, 0, 0, 0]),
    (Sysno::read, [3, 0, 832, 0, 0, 0]),
    (Sysno::pread64, [3, 0, 64, 64, 0, 0]),
    (Sysno::fstat, [3, 0, 0, 0, 0, 0]),
    (Sysno::newfstatat, [3, 0, 0, 0x1000, 0, 0]),
    (Sysno::readlink, [0, 0, 4096, 0, 0, 0]),
    (Sysno::lseek, [3, 0, 0, 0, 0, 0]),
    (Sysno::close, [3, 0, 0, 0, 0, 0]),
];

/// Calls that must not fail: without them a thread stays deaf to signals, or tries for ever to end, and glibc ends the
/// program (`futex_fatal_error`, nptl/futex-internal.h; `__nptl_free_stacks`, nptl/nptl-stack.c, 2.36).
const NEEDED: [Sysno; 4] = [
    Sysno::rt_sigprocmask,
    Sysno::exit,
    Sysno::futex,
    Sysno::munmap,
];

/// The first call of loading for which these filters would do harm; `None` if there is none. `counter`: where the code
/// lies that makes it.
fn harmful(filters: &[Vec<Instruction>], counter: u64) -> Option<Sysno> {
    let harms = |&&(number, arguments): &&(Sysno, [u64; 6])| {
        let call = Call {
            number: number.id(),
            counter,
            arguments,
        };
        let verdict = verdict(filters, &call);
        let may_fail = !NEEDED.contains(&number);
        !(LETS_THROUGH.contains(&verdict) || verdict == REFUSES && may_fail)
    };
    CALLS.iter().find(harms).map(|call| call.0)
}

/// Lists of filters that let the library be loaded.
#[derive(Default)]
pub struct Harmless(Vec<Filters>);

impl Harmless {
    /// Whether these have been found harmless.
    pub fn has(&self, filters: &Filters) -> bool {
        self.0.contains(filters)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes filters that let the library be loaded by code at this address.
    ///
    /// # Errors
    /// What they would do; or why they cannot be seen.
    pub fn judge(&mut self, filters: io::Result<Filters>, counter: u64) -> Result<(), Trouble> {
        let advice = "start it with `sa-run COMMAND`: then the agent is there before the filter";
        let filters = filters.map_err(|error| match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => Trouble::new(
                "a filter of system calls (seccomp) binds it, which only root may see, and only from where no such \
                 filter binds root",
                "run `sa-load` as root, outside of its container",
            ),
            _ => Trouble::new(
                format!(
                    "a filter of system calls (seccomp) binds it, which this kernel does not show ({error}), and which \
                     may end it for what loading takes"
                ),
                advice,
            ),
        })?;
        match harmful(&filters, counter) {
            None => {
                if self.0.len() == MOST_HARMLESS {
                    self.0.clear();
                }
                self.0.push(filters);
                Ok(())
            }
            Some(call) => Err(Trouble::new(
                format!(
                    "a filter of system calls (seccomp) binds it, which would end it for a call that loading takes \
                     ({call})"
                ),
                advice,
            )),
        }
    }
}

/// So many different lists are remembered.
const MOST_HARMLESS: usize = 16;

/// What is done for a call: the gravest of what the filters say (`seccomp_run_filters`, kernel/seccomp.c, Linux 6.18).
/// A filter that cannot be read kills.
fn verdict(filters: &[Vec<Instruction>], call: &Call) -> u32 {
    let said = filters
        .iter()
        .map(|filter| bpf::run(filter, call).unwrap_or(0) & ACTION);
    said.min_by_key(|action| *action as i32).unwrap_or(0)
}
