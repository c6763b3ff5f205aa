//! The memory that the agent's own code allocates: the C library's `malloc`, and a small reserve for when that has none.
//!
//! Where a small allocation fails, the standard library ends the process (`handle_alloc_error`,
//! library/std/src/alloc.rs), and the process is somebody else's. What may become large is asked for by `try_reserve`, and an answer is not begun
//! without memory (`memory_budget`). But threads of the program's may take what was there a moment before. Then small
//! allocations are served from here, and large ones fail.
//!
//! The reserve is a static that nobody touches before: it takes address space, and no memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The reserve's size, in bytes. An answer that runs out of memory half-way makes some hundred small allocations.
const SIZE: usize = 256 << 10;

/// The largest allocation that the reserve serves, in bytes.
const SMALL: usize = 4 << 10;

/// The agent's allocator.
struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

#[repr(align(64))]
struct Reserve(UnsafeCell<[u8; SIZE]>);
// SAFETY: `take` gives each byte to one allocation at a time.
unsafe impl Sync for Reserve {}
static RESERVE: Reserve = Reserve(UnsafeCell::new([0; SIZE]));

/// How many allocations live in the reserve (high half), and how many of its bytes are used up (low half). Once none
/// lives any more, all bytes are free again.
static USED: AtomicU64 = AtomicU64::new(0);
const ONE: u64 = 1 << 32;

fn start() -> usize {
    RESERVE.0.get() as usize
}

fn is_from_reserve(address: *mut u8) -> bool {
    (start()..start() + SIZE).contains(&(address as usize))
}

/// Takes bytes of the reserve; null if it has too few, or if they are many. Any thread.
fn take(layout: Layout) -> *mut u8 {
    if layout.size() > SMALL || layout.align() > 64 {
        return ptr::null_mut();
    }
    let mut place = 0;
    let taken = USED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
        let (lives, end) = (used >> 32, used as u32 as usize);
        place = end.next_multiple_of(layout.align());
        let end = place + layout.size();
        (end <= SIZE).then_some((lives << 32) + ONE + end as u64)
    });
    match taken {
        Ok(_) => RESERVE.0.get().cast::<u8>().wrapping_add(place),
        Err(_) => ptr::null_mut(),
    }
}

/// Notes that an allocation of the reserve's is not used any more.
fn give_back() {
    let _ = USED.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
        let left = used - ONE;
        Some(if left < ONE { 0 } else { left })
    });
}

// SAFETY: memory comes from the C library, or is a part of the reserve that no other allocation has, is aligned as asked
// for, and lies where `is_from_reserve` says.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        let memory = unsafe { System.alloc(layout) };
        match memory.is_null() {
            true => take(layout),
            false => memory,
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match is_from_reserve(memory) {
            true => give_back(),
            // SAFETY: the C library's, so the caller's promise is passed on.
            false => unsafe { System.dealloc(memory, layout) },
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_ours = is_from_reserve(memory);
        if !is_ours {
            // SAFETY: the C library's, so the caller's promise is passed on.
            let larger = unsafe { System.realloc(memory, layout, size) };
            if !larger.is_null() {
                return larger;
            }
        }
        // SAFETY: the caller promises that the size is valid for this alignment. The new memory is as large, and apart
        // from the old one, of which as much is copied as both have.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            let larger = match is_ours {
                true => self.alloc(wanted),
                false => take(wanted),
            };
            if !larger.is_null() {
                ptr::copy_nonoverlapping(memory, larger, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            larger
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_small_allocations_and_is_free_again_afterwards() {
        let layout = |size| Layout::from_size_align(size, 16).expect("a layout");
        assert!(take(layout(SMALL + 1)).is_null());
        let mut taken = Vec::new();
        loop {
            let one = take(layout(1000));
            if one.is_null() {
                break;
            }
            assert!(is_from_reserve(one) && (one as usize).is_multiple_of(16));
            // SAFETY: 1000 bytes that nobody else has.
            unsafe { one.write_bytes(taken.len() as u8, 1000) };
            taken.push(one);
        }
        assert!(taken.len() >= SIZE / 1008 - 1);
        for (number, one) in taken.iter().enumerate() {
            // SAFETY: written above.
            assert_eq!(unsafe { one.add(999).read() }, number as u8);
        }
        // SAFETY: taken above with this layout. It moves to the C library's memory.
        let moved = unsafe { MEMORY.realloc(taken[0], layout(1000), 2000) };
        assert!(!is_from_reserve(moved));
        // SAFETY: as large as that.
        assert_eq!(unsafe { moved.add(999).read() }, 0);
        // SAFETY: from `realloc`, with this layout.
        unsafe { MEMORY.dealloc(moved, layout(2000)) };
        for one in &taken[1..] {
            // SAFETY: taken above with this layout.
            unsafe { MEMORY.dealloc(*one, layout(1000)) };
        }
        assert_eq!(USED.load(Ordering::SeqCst), 0);
    }
}
