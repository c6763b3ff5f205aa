//! Runs a piece of work on a short-lived task with a table of descriptors of its own, while the calling thread
//! waits: so what the work opens takes no number that the program could see.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::system::descriptor_table;
use crate::system::filter::{self, Call};

/// The size of the task's stack, which stands on that of the calling thread, in bytes.
const STACK: usize = 64 << 10;

#[repr(align(64))]
struct Stack([std::mem::MaybeUninit<u8>; STACK]);

/// Runs `work` aside; where that is not possible, on the calling thread itself. `None` if a filter has ended the
/// task.
///
/// On a thread of the agent's. The task uses that thread's thread-local storage, which is safe as the thread
/// waits. `work` must not panic.
#[inline(never)]
pub fn run<W: FnOnce() -> R, R>(work: W) -> Option<R> {
    // Without this call the task would need a copy of the table, and to close a copy has effects: on some file
    // systems it writes what the program has written.
    if !descriptor_table::can_at_once()
        || ![Call::Clone, Call::EndThread].into_iter().all(filter::may)
    {
        return Some(work());
    }
    let mut job = (Some(work), None);
    let mut stack = Stack([const { std::mem::MaybeUninit::uninit() }; STACK]);
    let running = AtomicI32::new(1);
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: the task runs on `stack` and touches `job` alone, both locals of this function, which waits
    // until the kernel has cleared `running` as the last act of the task. It blocks all signals, as the calling
    // thread does.
    let started = unsafe {
        let top = stack.0.as_mut_ptr().add(STACK);
        let argument = ptr::from_mut(&mut job).cast();
        let nothing = ptr::null_mut::<c_void>();
        let word = running.as_ptr();
        libc::clone(
            begin::<W, R>,
            top.cast(),
            flags,
            argument,
            nothing,
            nothing,
            word,
        ) > 0
    };
    while started && running.load(Ordering::SeqCst) != 0 {
        // SAFETY: the word outlives the call; the kernel compares and sleeps. It wakes this word as one that
        // processes may share (`mm_release`, kernel/fork.c).
        unsafe {
            let no_time = ptr::null::<libc::timespec>();
            libc::syscall(
                libc::SYS_futex,
                running.as_ptr(),
                libc::FUTEX_WAIT,
                1,
                no_time,
            );
        }
    }
    match job {
        (_, Some(result)) => Some(result),
        (Some(work), None) => Some(work()),
        (None, None) => None,
    }
}

/// The task. It must not return: `clone` of glibc before 2.26 would then end the process.
extern "C" fn begin<W: FnOnce() -> R, R>(job: *mut c_void) -> c_int {
    if descriptor_table::have_own_at_once() {
        // SAFETY: `run` passes its job, and waits.
        let job = unsafe { &mut *job.cast::<(Option<W>, Option<R>)>() };
        job.1 = job.0.take().map(|work| work());
    }
    loop {
        // SAFETY: it ends this task alone.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn opens_nothing_in_the_calling_threads_table() {
        let file: i32 = run(|| {
            let file = std::fs::File::open("/proc/cpuinfo").expect("it is there");
            let number = file.as_raw_fd();
            std::mem::forget(file);
            number
        })
        .expect("nothing ends it");
        let own = std::fs::read_link(format!("/proc/self/fd/{file}"));
        assert!(own.is_err() || own.is_ok_and(|path| !path.ends_with("cpuinfo")));
    }
}
