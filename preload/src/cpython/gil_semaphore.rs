//! Where the GIL's semaphore is, on which threads wait for it; and a wait for it that ends.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::cpython::api::Python;
use crate::system::futex::{self, timespec};
use crate::system::memory::{read, read_bytes};

/// The address of the semaphore, which is the word that its futex is called with
/// (nptl/sem_waitcommon.c: the value comes first). `None` if it cannot be found.
///
/// CPython keeps it in a variable that has no exported name. `PyEval_ThreadsInitialized` returns
/// whether that is null and does nothing else (Python/ceval.c, 2.6 and 2.7), so it is the one
/// variable that the function's instructions read. After a fork there is another semaphore
/// (`PyEval_ReInitThreads`), so this looks for it anew each time.
///
/// Any thread: reads memory, and calls nothing. Where threads wait in another way than on a
/// semaphore (Python/thread_pthread.h, without `USE_SEMAPHORES`), no futex has this address.
pub fn semaphore(python: &Python) -> Option<usize> {
    let function: unsafe extern "C-unwind" fn() -> c_int = python.PyEval_ThreadsInitialized;
    let function = function as usize;
    let mut code = [0; 24];
    if !read_bytes(function, &mut code) {
        return None;
    }
    let (end, distance) = variable(&code)?;
    let place = function.wrapping_add(end).wrapping_add_signed(distance);
    read::<usize>(place).filter(|&semaphore| semaphore != 0)
}

/// Where the first variable is that these instructions read, if they begin as compilers begin that
/// function: where the instruction ends, and how far from there the variable is (Intel SDM, vol. 2,
/// 2.2.1.6).
fn variable(code: &[u8]) -> Option<(usize, isize)> {
    let mut at = 0;
    loop {
        let rest = code.get(at..)?;
        let (before, after) = match rest {
            // endbr64 · push %rbp · mov %rsp,%rbp · xor %eax,%eax
            [0xf3, 0x0f, 0x1e, 0xfa, ..] => {
                at += 4;
                continue;
            }
            [0x55, ..] => {
                at += 1;
                continue;
            }
            [0x48, 0x89, 0xe5, ..] => {
                at += 3;
                continue;
            }
            [0x31, 0xc0, ..] => {
                at += 2;
                continue;
            }
            // cmpq $0,DISTANCE(%rip)
            [0x48, 0x83, 0x3d, _, _, _, _, 0, ..] => (3, 1),
            // mov DISTANCE(%rip),%rax, or one of the others
            [0x48, 0x8b, register, ..] if register & 0xc7 == 0x05 => (3, 0),
            _ => return None,
        };
        let distance = i32::from_le_bytes(*rest.get(before..)?.first_chunk()?);
        return Some((at + before + 4 + after, distance as isize));
    }
}

/// What came of a wait for the GIL's lock.
pub enum Waited {
    /// This thread has it.
    Taken,
    /// Another kept it all the time.
    InVain,
    /// Here it cannot be waited for so.
    Impossible,
}

/// How often it must look like a semaphore, and how long after each other, in nanoseconds.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: u64 = 250_000;

/// Whether the lock is a semaphore. 0: not known yet.
static IS_SEMAPHORE: AtomicU8 = AtomicU8::new(0);

/// Waits for the GIL's lock for so many nanoseconds, as `PyThread_acquire_lock` does where it waits on a semaphore
/// (Python/thread_pthread.h, `USE_SEMAPHORES`).
///
/// # Safety
/// On the worker, holding nothing.
pub unsafe fn wait_for(python: &Python, nanoseconds: u64) -> Waited {
    let Some(semaphore) = semaphore(python) else {
        return Waited::Impossible;
    };
    if IS_SEMAPHORE.load(Ordering::Relaxed) == 0 {
        // While a thread has the lock, the count of a semaphore is 0, and in what stands there where there are none, the
        // first byte is 1 (`pthread_lock`). musl notes in the highest bit that somebody waits.
        // Between the two looks at the thread state it may have let go and taken it again, so one look says too little.
        let looks_so = |look: u32| {
            if look > 0 {
                futex::pause(BETWEEN_LOOKS);
            }
            let before = python.current_thread_state();
            let count: Option<u32> = read(semaphore);
            let is_held = before != 0 && python.current_thread_state() == before;
            is_held && count.is_some_and(|count| count & 0x7fff_ffff == 0)
        };
        if !(0..LOOKS).all(looks_so) {
            return Waited::Impossible;
        }
        IS_SEMAPHORE.store(1, Ordering::Relaxed);
    }
    let mut end = timespec(0);
    // SAFETY: the call writes to a local. The semaphore is the interpreter's own, which never frees it; in a forked
    // child, which has another, this thread does not exist.
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut end);
        end.tv_nsec += nanoseconds as libc::c_long;
        if end.tv_nsec >= 1_000_000_000 {
            end.tv_sec += 1;
            end.tv_nsec -= 1_000_000_000;
        }
        match libc::sem_timedwait(semaphore as *mut libc::sem_t, &end) {
            0 => Waited::Taken,
            _ => match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::ETIMEDOUT | libc::EINTR) => Waited::InVain,
                _ => Waited::Impossible,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn finds_the_variable_in_what_compilers_make_of_it() {
        for (code, found) in [
            // As Debian's 2.7 has it,
            (
                &b"\x31\xc0\x48\x83\x3d\x36\x00\x26\x00\x00\x0f\x95\xc0\xc3"[..],
                Some((10, 0x26_0036)),
            ),
            // and its debug build.
            (
                b"\x55\x48\x89\xe5\x48\x8b\x05\x68\x08\x2c\x00\x48\x85\xc0\x0f\x95",
                Some((11, 0x2c_0868)),
            ),
            (
                b"\xf3\x0f\x1e\xfa\x48\x8b\x15\xff\xff\xff\xff\x31\xc0\x48\x85\xd2",
                Some((11, -1)),
            ),
            (b"\x31\xc0\xc3", None),
            (b"\xe9\x00\x00\x00\x00", None),
            (b"\x48\x83\x3d\x36\x00\x26\x00\x01", None),
            (b"\x48\x8b\x45\x10\x00\x00\x00\x00", None),
            (b"\x48\x8b\x05\x10", None),
            (b"", None),
        ] {
            assert_eq!(variable(code), found, "{code:x?}");
        }
    }
}
