//! Reads memory that may not be mapped, or may be changing: such a read fails instead of faulting.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::system::filter::{self, Call};
use crate::system::identity::process_id;
use crate::system::proc_file;

/// Whether the kernel has refused `process_vm_readv` (an old kernel).
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether `process_vm_readv` may be tried.
fn may_ask() -> bool {
    filter::may(Call::ReadMemory) && !REFUSED.load(Ordering::Relaxed)
}

/// The thread that reads as the loader does, as `pthread_self` names it; 0: none.
static LOADS: AtomicUsize = AtomicUsize::new(0);

/// The calling thread, without a system call.
fn this_thread() -> usize {
    // SAFETY: it reads the thread's own register.
    unsafe { libc::pthread_self() as usize }
}

/// Has the calling thread read the loader's list of objects, and what it leads to, without system calls: a filter
/// may forbid those, and nothing is known of filters yet.
///
/// For the constructor alone: on the thread that loads the library no other thread can change what the loader
/// has, as it holds the loader's lock, or is the only one. `work` reads nothing else.
pub fn as_the_loader<R>(work: impl FnOnce() -> R) -> R {
    LOADS.store(this_thread(), Ordering::SeqCst);
    let result = work();
    LOADS.store(0, Ordering::SeqCst);
    result
}

/// Types of which any bytes are a valid value.
///
/// # Safety
/// The type has no padding and no invalid bit pattern.
pub unsafe trait Plain: Copy {}
macro_rules! plain {
    ($($integer:ty),*) => {
        $(
            // SAFETY: an integer has no padding, and every bit pattern is a value of it.
            unsafe impl Plain for $integer {}
        )*
    };
}
plain!(u8, u16, u32, i32, u64, usize);

/// Reads a value at an address of this process; `None` if that memory cannot be read.
///
/// Any thread, interrupted or not: it takes no lock and allocates nothing.
pub fn read<T: Plain>(address: usize) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the slice covers `value` alone; any bytes written to it make a value, as T is `Plain`.
    let bytes =
        unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
    if !read_bytes(address, bytes) {
        return None;
    }
    // SAFETY: the kernel has written all bytes, and any bytes are a value of T, as it is `Plain`.
    Some(unsafe { value.assume_init() })
}

/// Fills `words` from an address of this process; false if not all of that memory can be read. Any thread.
pub fn read_words(address: usize, words: &mut [usize]) -> bool {
    // SAFETY: the slice covers `words` alone; any bytes written to it make integers.
    let bytes = unsafe {
        std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), size_of_val(words))
    };
    read_bytes(address, bytes)
}

/// Fills `bytes` from an address of this process; false if not all of that memory can be read. Any thread.
pub fn read_bytes(address: usize, bytes: &mut [u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    if address < 4096 {
        return false;
    }
    if LOADS.load(Ordering::Relaxed) == this_thread() {
        // SAFETY: the loader's own memory, of objects that stay loaded meanwhile ([`as_the_loader`]). `bytes` is
        // ours, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        return true;
    }
    if may_ask() {
        let local = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: bytes.len(),
        };
        // A thread may always read its own process: `__ptrace_may_access` (kernel/ptrace.c) lets the same
        // thread group pass before any other check.
        // SAFETY: the kernel writes to `bytes` only, and reports an unmapped source as EFAULT, without a
        // signal.
        let count = unsafe { libc::process_vm_readv(process_id(), &local, 1, &remote, 1, 0) };
        if count >= 0 {
            return count as usize == bytes.len();
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::ENOSYS | libc::EPERM) => REFUSED.store(true, Ordering::Relaxed),
            _ => return false,
        }
    }
    read_through_proc(address, bytes)
}

/// How many addresses [`read_each`] takes at most.
pub const AT_ONCE: usize = 64;

/// [`read`] at each of these addresses, at most [`AT_ONCE`] of them, mostly in one system call.
pub fn read_each(addresses: &[usize]) -> [Option<i32>; AT_ONCE] {
    const SIZE: usize = size_of::<i32>();
    let mut values = [0_i32; AT_ONCE];
    let addresses = &addresses[..addresses.len().min(AT_ONCE)];
    let local = libc::iovec {
        iov_base: values.as_mut_ptr().cast(),
        iov_len: addresses.len() * SIZE,
    };
    let mut remote = [local; AT_ONCE];
    for (place, &address) in remote.iter_mut().zip(addresses) {
        place.iov_base = address as *mut libc::c_void;
        place.iov_len = SIZE;
    }
    // It stops at the first address that cannot be read.
    let count = match may_ask() {
        // SAFETY: the kernel writes to `values` only, and reports an unmapped source as EFAULT, without a
        // signal.
        true => unsafe {
            let remotes = addresses.len() as libc::c_ulong;
            libc::process_vm_readv(process_id(), &local, 1, remote.as_ptr(), remotes, 0)
        },
        false => 0,
    };
    let done = usize::try_from(count).unwrap_or(0) / SIZE;
    std::array::from_fn(|index| match index < done {
        true => Some(values[index]),
        false => addresses.get(index).and_then(|&address| read(address)),
    })
}

/// The second way, which has a descriptor open for the time of one read.
fn read_through_proc(address: usize, bytes: &mut [u8]) -> bool {
    // By the thread's own file: before Linux 2.6.39 the process's lets the first thread read, and no other
    // (`check_mem_permission`, fs/proc/base.c).
    let mut path = [0; 64];
    let Some(path) = proc_file::of_this_thread("mem", &mut path) else {
        return false;
    };
    // SAFETY: the path ends in NUL, and the kernel writes to `bytes` only. The descriptor is closed
    // below, before another thread can learn its number; O_CLOEXEC closes it if the program execs now.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return false;
        }
        let place = address as libc::off64_t;
        let (to, length) = (bytes.as_mut_ptr().cast(), bytes.len());
        let count = if filter::may(Call::ReadAt) {
            libc::pread64(file, to, length, place)
        } else if filter::may(Call::Seek) && libc::lseek64(file, place, libc::SEEK_SET) == place {
            libc::read(file, to, length)
        } else {
            -1
        };
        libc::close(file);
        count == bytes.len() as isize
    }
}

/// Notices that a linked list goes in a circle, as it may if it changes while it is read.
///
/// Brent's method: it remembers one place, each time for twice as many steps, so it notices a circle
/// within three times as many steps as the list has places.
#[derive(Default)]
pub struct Lap {
    mark: usize,
    steps: usize,
    length: usize,
}

impl Lap {
    /// Takes the next place in the list; true if the list has come there before.
    pub fn is_closed_by(&mut self, place: usize) -> bool {
        if self.mark == place {
            return true;
        }
        if self.steps == self.length {
            self.mark = place;
            self.steps = 0;
            self.length = 2 * self.length + 1;
        }
        self.steps += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reads_what_is_mapped_and_nothing_else() {
        let value = 0x0123_4567_89ab_cdef_u64;
        let address = &raw const value as usize;
        assert_eq!(read::<u64>(address), Some(value));
        assert_eq!(read::<u64>(0), None);
        assert_eq!(read::<u64>(usize::MAX - 64), None);
        let words = [7_i32, 8, 9];
        let [first, second, third] = [0, 1, 2].map(|at| &raw const words[at] as usize);
        let read = read_each(&[first, second, 0, third]);
        assert_eq!(read[..5], [Some(7), Some(8), None, Some(9), None]);
        let mut bytes = [0; 8];
        assert!(read_through_proc(address, &mut bytes));
        assert_eq!(u64::from_ne_bytes(bytes), value);
        assert!(!read_through_proc(8, &mut bytes));
    }

    #[test]
    fn notices_circles_and_nothing_else() {
        // The number of places before the circle, and in it.
        for (before, around) in [(0, 1), (0, 2), (1, 1), (5, 3), (100, 7), (3, 1000)] {
            let mut lap = Lap::default();
            let at = |step: usize| match step.checked_sub(before) {
                Some(within) => 8 * (before + within % around + 1),
                None => 8 * (step + 1),
            };
            let noticed = (0..).position(|step| lap.is_closed_by(at(step))).unwrap();
            let places = before + around;
            assert!(
                (around..=3 * places + 2).contains(&noticed),
                "{noticed} of {places}"
            );
        }
        let mut lap = Lap::default();
        assert!(!(1..100_000).any(|place| lap.is_closed_by(place)));
    }
}
