//! One thread of another process, stopped by PTRACE_SEIZE and PTRACE_INTERRUPT (ptrace(2), Linux 3.4).
//!
//! No signal is sent, so nothing of the stop is left if this command is killed: the kernel detaches what a thread of
//! ours has attached to when that thread ends. So all of it happens on one thread of ours that ends afterwards.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, Instant};

use crate::system::bpf::Instruction;
use crate::system::process::Process;
use crate::system::scheduling;
use libc::{c_int, c_uint, c_void, user_regs_struct};

/// A thread that is stopped; dropping this lets it go on.
pub struct Tracee {
    thread: i32,
    /// A signal that was about to be delivered.
    signal: c_int,
}

/// How a thread was found.
pub enum Halt {
    /// It stopped because we asked it to.
    Stopped(Tracee),
    /// It was about to take a signal, or is stopped by job control: it has been let go.
    Busy,
    /// It has ended.
    Gone,
}

/// What came of a look at a thread that was to be stopped meanwhile.
pub enum Look<T> {
    /// What was seen.
    Seen(T),
    /// As [`Halt::Busy`].
    Busy,
    /// The thread has ended.
    Gone,
}

/// Looks at a thread of a process while it is stopped. It may take so long to stop. What attaches is a thread of ours that
/// ends: so it always detaches.
///
/// # Errors
/// Those of [`Tracee::stop`], and of the start of our thread.
pub fn while_stopped<T: Send>(
    process: Process,
    thread: i32,
    patience: Duration,
    look: impl FnOnce(&Tracee) -> T + Send,
) -> io::Result<Look<T>> {
    let stop_and_look = || {
        scheduling::go_first();
        let tracee = match Tracee::stop(thread, Instant::now() + patience)? {
            Halt::Stopped(tracee) => tracee,
            Halt::Busy => return Ok(Look::Busy),
            Halt::Gone => return Ok(Look::Gone),
        };
        // The number may be another process's by now.
        match process.path(&format!("task/{thread}")).exists() {
            true => Ok(Look::Seen(look(&tracee))),
            false => Ok(Look::Gone),
        }
    };
    std::thread::scope(|scope| {
        let looks = std::thread::Builder::new().spawn_scoped(scope, stop_and_look)?;
        let panicked = |_| Err(io::Error::other("it could not be looked at"));
        looks.join().unwrap_or_else(panicked)
    })
}

const EVENT_STOP: c_int = 128;

/// What a system call returns to the kernel itself if a stop or a signal has ended it (include/linux/errno.h): the kernel
/// makes the call again, unless a signal with a handler waits: then it ends with [`EINTR`].
pub const RESTART_NO_HANDLER: i64 = -514;

/// A stop or a signal has ended the call.
pub const EINTR: i64 = -4;

/// System calls that have let go of a descriptor when they return EINTR. Its number may be another file's by now.
pub const LETS_GO: [i64; 3] = [libc::SYS_close, libc::SYS_dup2, libc::SYS_dup3];

/// PTRACE_SECCOMP_GET_FILTER.
const GET_FILTER: c_uint = 0x420c;

/// The most filters of a thread that are read.
const MOST_FILTERS: usize = 64;

/// BPF_MAXINSNS.
const LONGEST_FILTER: usize = 4096;

impl Tracee {
    /// Stops a thread, or gives up at this time. The calling thread must end soon after that.
    ///
    /// # Errors
    /// The kernel's, of PTRACE_SEIZE; TimedOut if the thread did not stop.
    pub fn stop(thread: i32, until: Instant) -> io::Result<Halt> {
        request(libc::PTRACE_SEIZE, thread, ptr::null_mut(), ptr::null_mut())?;
        if request(
            libc::PTRACE_INTERRUPT,
            thread,
            ptr::null_mut(),
            ptr::null_mut(),
        )
        .is_err()
        {
            return Ok(Halt::Gone);
        }
        let mut tries = 0;
        loop {
            let mut status = 0;
            // SAFETY: the kernel writes to a local only.
            match unsafe { libc::waitpid(thread, &mut status, libc::__WALL | libc::WNOHANG) } {
                // Mostly it stops within microseconds, and stands still until we notice.
                0 if Instant::now() < until => {
                    tries += 1;
                    match tries {
                        ..100 => std::thread::yield_now(),
                        _ => std::thread::sleep(Duration::from_micros(100)),
                    }
                }
                0 => return Err(io::ErrorKind::TimedOut.into()),
                found if found == thread && libc::WIFSTOPPED(status) => {
                    let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
                    let is_ours = event == EVENT_STOP && signal == libc::SIGTRAP;
                    let tracee = Tracee {
                        thread,
                        signal: if event == 0 { signal } else { 0 },
                    };
                    // First of all: if we are killed before that, the program sees the error.
                    tracee.make_call_again()?;
                    return Ok(match is_ours {
                        true => Halt::Stopped(tracee),
                        false => Halt::Busy,
                    });
                }
                _ => return Ok(Halt::Gone),
            }
        }
    }

    /// Has the kernel make the system call again that the stop has ended, where it would not do so by itself, as of
    /// `epoll_wait` and a few others (signal(7)). If a signal with a handler waits, the call ends with EINTR, as it would
    /// have without the stop (`arch_do_signal_or_restart`, arch/x86/kernel/signal.c).
    fn make_call_again(&self) -> io::Result<()> {
        let mut registers = self.registers()?;
        let number = registers.orig_rax as i64;
        if number >= 0 && registers.rax as i64 == EINTR && !LETS_GO.contains(&number) {
            registers.rax = RESTART_NO_HANDLER as u64;
            self.set_registers(&registers)?;
        }
        Ok(())
    }

    /// Its registers.
    pub fn registers(&self) -> io::Result<user_regs_struct> {
        let mut registers = MaybeUninit::<user_regs_struct>::zeroed();
        request(
            libc::PTRACE_GETREGS,
            self.thread,
            ptr::null_mut(),
            registers.as_mut_ptr().cast(),
        )?;
        // SAFETY: plain integers; the kernel has filled them in.
        Ok(unsafe { registers.assume_init() })
    }

    /// Sets its registers.
    pub fn set_registers(&self, registers: &user_regs_struct) -> io::Result<()> {
        let registers = ptr::from_ref(registers).cast_mut().cast();
        request(
            libc::PTRACE_SETREGS,
            self.thread,
            ptr::null_mut(),
            registers,
        )
    }

    /// The signals that it blocks; an error before Linux 3.11.
    pub fn mask(&self) -> io::Result<u64> {
        let mut mask = 0_u64;
        let data = (&raw mut mask).cast();
        request(
            libc::PTRACE_GETSIGMASK as c_uint,
            self.thread,
            SET_SIZE,
            data,
        )?;
        Ok(mask)
    }

    /// Has it block these signals.
    pub fn set_mask(&self, mask: u64) -> io::Result<()> {
        let data = (&raw const mask).cast_mut().cast();
        request(
            libc::PTRACE_SETSIGMASK as c_uint,
            self.thread,
            SET_SIZE,
            data,
        )
    }

    /// Its filters of system calls. (Not while a filter binds us, and only for root.)
    ///
    /// # Errors
    /// EACCES if we may not; others if this kernel does not hand them out (before Linux 4.4, or as it was built).
    pub fn filters(&self) -> io::Result<Vec<Vec<Instruction>>> {
        let mut all = Vec::new();
        while all.len() < MOST_FILTERS {
            let number: *mut c_void = ptr::without_provenance_mut(all.len());
            let mut filter = vec![Instruction::default(); LONGEST_FILTER];
            // SAFETY: the kernel writes one filter at most, which has no more instructions than there is room for
            // (BPF_MAXINSNS, include/uapi/linux/bpf_common.h).
            let length = unsafe {
                let into: *mut c_void = filter.as_mut_ptr().cast();
                libc::ptrace(GET_FILTER, self.thread, number, into)
            };
            match usize::try_from(length) {
                Ok(length) => {
                    filter.truncate(length);
                    filter.shrink_to_fit();
                }
                // There is no filter of that number.
                Err(_)
                    if io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT)
                        && !all.is_empty() =>
                {
                    return Ok(all);
                }
                Err(_) => return Err(io::Error::last_os_error()),
            }
            all.push(filter);
        }
        Err(io::ErrorKind::FileTooLarge.into())
    }

    /// The word at this address of its memory as it is now, also if it has replaced its program meanwhile.
    pub fn word(&self, address: u64) -> io::Result<u64> {
        let mut word = 0_u64;
        let data = &raw mut word;
        // The system call itself stores the word; the C library's wrapper would return it.
        // SAFETY: the kernel writes to a local only; a bad address is an error.
        let done = unsafe {
            libc::syscall(
                libc::SYS_ptrace,
                libc::PTRACE_PEEKDATA,
                self.thread,
                address,
                data,
            )
        };
        match done {
            0 => Ok(word),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        let signal = ptr::without_provenance_mut(self.signal as usize);
        // It may have been killed: then there is nothing to let go.
        let _ = request(libc::PTRACE_DETACH, self.thread, ptr::null_mut(), signal);
    }
}

/// The size of a set of signals, which the kernel wants to be told.
const SET_SIZE: *mut c_void = ptr::without_provenance_mut(8);

fn request(what: c_uint, thread: i32, address: *mut c_void, data: *mut c_void) -> io::Result<()> {
    // SAFETY: of the requests made here the kernel writes only to what `data` points to, which the callers own and
    // which is as large as the request says.
    match unsafe { libc::ptrace(what, thread, address, data) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
