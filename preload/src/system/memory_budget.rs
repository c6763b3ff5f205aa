//! How much memory an answer needs, and whether the kernel would give it.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::system::filter::{self, Call};

/// An answer is not tried with less memory, in bytes. Where its heap cannot grow, glibc takes a megabyte
/// at a time from the kernel (MMAP_AS_MORECORE_SIZE, malloc/malloc.c), and the first answer needs more
/// than one.
const MEMORY_TO_ANSWER: usize = 4 << 20;

/// The memory needed besides for each thread. (With stacks of 30 frames an answer takes 8 kB for each.)
/// It is checked beforehand, as running out half-way is not safe: CPython 2.6 calls a C function without
/// its arguments if there is no memory for them (Python/ceval.c, `call_function`).
const MEMORY_PER_THREAD: usize = 32 << 10;

/// The memory needed for each object that the greenlets' answer describes. (10,000 greenlets of gevent,
/// each with a waiter and a timer, take 2.5 kB for each object.)
const MEMORY_PER_OBJECT: usize = 4 << 10;

/// How many threads there were when they were last counted.
pub static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Whether the kernel gives as much memory as an answer for so many threads needs. `malloc` is not asked:
/// it would keep blocks of that size on its heap from then on, the program's blocks too (mallopt(3),
/// M_MMAP_THRESHOLD).
///
/// On the worker.
pub fn has_memory_for(threads: usize) -> bool {
    THREADS.store(threads, Ordering::Relaxed);
    has_memory(MEMORY_TO_ANSWER + threads * MEMORY_PER_THREAD)
}

/// The same for so many objects that the greenlets' answer describes: the greenlets, and what they wait
/// for. On the worker.
pub fn has_memory_for_greenlets(objects: usize) -> bool {
    has_memory(MEMORY_TO_ANSWER + objects * MEMORY_PER_OBJECT)
}

fn has_memory(size: usize) -> bool {
    if !filter::may(Call::Map) {
        return false;
    }
    // SAFETY: a new private mapping, which replaces none and is unmapped untouched.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let start = libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0);
        start != libc::MAP_FAILED && libc::munmap(start, size) == 0
    }
}
