//! Reading memory that may not be there, or may be changing: an error instead of a fault.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once the kernel has refused `process_vm_readv` (a seccomp filter, an old kernel).
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Values that any bytes are a valid instance of.
///
/// # Safety
/// Only for types without padding or invalid bit patterns.
pub unsafe trait Plain: Copy {}
// SAFETY: every bit pattern is a value of these types.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for usize {}

/// Reads a value at an address of this process; `None` if it is not mapped readable.
///
/// Takes no lock and allocates nothing: may be called on any thread, interrupted or not.
pub fn read<T: Plain>(address: usize) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the slice covers just `value`, and bytes may be written to it in any way.
    let bytes =
        unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
    if !read_bytes(address, bytes) {
        return None;
    }
    // SAFETY: all bytes were written, and T is Plain.
    Some(unsafe { value.assume_init() })
}

/// Fills `words` from an address of this process; false if it is not all mapped readable.
pub fn read_words(address: usize, words: &mut [usize]) -> bool {
    // SAFETY: the slice covers just `words`, and bytes may be written to them in any way.
    let bytes = unsafe {
        std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), size_of_val(words))
    };
    read_bytes(address, bytes)
}

/// Fills `bytes` from an address of this process; false if it is not all mapped readable.
pub fn read_bytes(address: usize, bytes: &mut [u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    if address < 4096 {
        return false;
    }
    if !REFUSED.load(Ordering::Relaxed) {
        let local = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: bytes.len(),
        };
        // SAFETY: the kernel writes only to `bytes`, and reports an unmapped source as EFAULT
        // instead of a signal. A thread may always read its own process: __ptrace_may_access
        // (kernel/ptrace.c) lets the same thread group pass before any other check.
        let count = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
        if count >= 0 {
            return count as usize == bytes.len();
        }
        // SAFETY: errno is this thread's own.
        match unsafe { *libc::__errno_location() } {
            libc::ENOSYS | libc::EPERM => REFUSED.store(true, Ordering::Relaxed),
            _ => return false,
        }
    }
    read_through_proc(address, bytes)
}

/// How many addresses [`read_each`] takes at most.
pub const AT_ONCE: usize = 64;

/// What [`read`] reads at each of these addresses, no more than [`AT_ONCE`], mostly in one call of the
/// kernel.
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
    // SAFETY: as for `read_bytes`. It stops at the first that cannot be read.
    let count = unsafe {
        let remotes = addresses.len() as libc::c_ulong;
        libc::process_vm_readv(libc::getpid(), &local, 1, remote.as_ptr(), remotes, 0)
    };
    let done = usize::try_from(count).unwrap_or(0) / SIZE;
    std::array::from_fn(|index| match index < done {
        true => Some(values[index]),
        false => addresses.get(index).and_then(|&address| read(address)),
    })
}

/// The second way: a descriptor is open for the time of one read.
fn read_through_proc(address: usize, bytes: &mut [u8]) -> bool {
    // SAFETY: a constant path; the descriptor is ours alone and closed below, before anyone
    // else could have learnt its number. O_CLOEXEC keeps it from a program that execs now.
    unsafe {
        let file = libc::open(c"/proc/self/mem".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return false;
        }
        let count = libc::pread64(
            file,
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            address as libc::off64_t,
        );
        libc::close(file);
        count == bytes.len() as isize
    }
}

/// Notices that a linked list goes in a circle, as one may that is read while it changes.
///
/// Brent's method: one place is kept for twice as many steps each time, so a circle is noticed
/// within three times the number of places that there are.
#[derive(Default)]
pub struct Lap {
    mark: usize,
    steps: usize,
    length: usize,
}

impl Lap {
    /// Takes down the next place in the list; true if it has been there before.
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
        // So many places on the way to the circle, and so many in it.
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
