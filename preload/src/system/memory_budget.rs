//! How much memory an answer takes, and whether the kernel would give it.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// With less memory to be had, in bytes, it is not tried at all. Where its heap cannot grow, glibc
/// takes a megabyte at a time from the kernel (MMAP_AS_MORECORE_SIZE, malloc/malloc.c), and the
/// first answer needs more than one.
const MEMORY_TO_ANSWER: usize = 4 << 20;

/// And so much more for each thread. (With stacks of 30 frames an answer takes 8 kB for each.) It is
/// made sure of beforehand, as running out of it half-way is not safe: a call of a C function whose
/// arguments find no memory is made with none (Python/ceval.c of 2.6, `call_function`).
const MEMORY_PER_THREAD: usize = 32 << 10;

/// And for each object that greenlets are told by. (10,000 of gevent's, of which each has a waiter and a
/// timer beside it, take 2.5 kB each.)
const MEMORY_PER_OBJECT: usize = 4 << 10;

/// How many threads there were when they were last counted.
pub static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Whether the kernel gives as much memory as it takes to answer for so many threads. Not asked of
/// `malloc`, which would keep blocks of that size on its heap from then on, the program's too
/// (mallopt(3), M_MMAP_THRESHOLD).
///
/// On the worker.
pub fn has_memory_for(threads: usize) -> bool {
    THREADS.store(threads, Ordering::Relaxed);
    has_memory(MEMORY_TO_ANSWER + threads * MEMORY_PER_THREAD)
}

/// As above, for so many objects that greenlets are told by: themselves, and what they wait for.
pub fn has_memory_for_greenlets(objects: usize) -> bool {
    has_memory(MEMORY_TO_ANSWER + objects * MEMORY_PER_OBJECT)
}

fn has_memory(size: usize) -> bool {
    // SAFETY: a new private mapping, given back untouched.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let start = libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0);
        start != libc::MAP_FAILED && libc::munmap(start, size) == 0
    }
}
