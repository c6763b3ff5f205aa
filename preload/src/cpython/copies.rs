//! Copies of the process's memory, page by page: how objects are read without the GIL.
//!
//! The program may free or unmap anything meanwhile. So nothing is read in place: a page is copied when it is first
//! needed, by a read that fails instead of faulting, and is kept as it was until the answer is made. What cannot be
//! read, and what goes beyond the bound of all copies, is not there.

use std::cell::{Cell, RefCell};
use std::ptr;

use crate::agent::hold;
use crate::system::hash::Table;
use crate::system::memory::read_bytes;

/// A page: no memory is mapped in smaller pieces.
const PAGE: usize = 4096;

/// All copies together are no larger, in bytes.
const MOST: usize = 64 << 20;

/// Longer pieces than this are cut, in bytes: no text is shown at such a length.
pub const LONGEST: usize = 64 << 10;

/// Copies of memory. They stay where they are until this is dropped.
pub struct Copies {
    /// By the number of the page; empty: it cannot be read.
    pages: RefCell<Table<usize, Vec<u8>>>,
    /// What spans several pages, in one piece, by address and length.
    pieces: RefCell<Table<(usize, usize), Vec<u8>>>,
    /// The page that was last read from, and its copy.
    last: Cell<(usize, *const [u8; PAGE])>,
    /// How many bytes may still be copied.
    left: Cell<usize>,
}

impl Default for Copies {
    fn default() -> Self {
        Copies {
            pages: RefCell::default(),
            pieces: RefCell::default(),
            last: Cell::new((0, ptr::null())),
            left: Cell::new(MOST),
        }
    }
}

impl Copies {
    /// The word at this address; `None` if it cannot be read, or is not aligned as words are.
    #[inline]
    pub fn word(&self, address: usize) -> Option<usize> {
        self.aligned(address).map(usize::from_ne_bytes)
    }

    /// The int at this address; `None` as above.
    pub fn int(&self, address: usize) -> Option<i32> {
        self.aligned(address).map(i32::from_ne_bytes)
    }

    /// So many bytes, at an address that is a multiple of their number: they do not span two pages.
    #[inline]
    fn aligned<const SIZE: usize>(&self, address: usize) -> Option<[u8; SIZE]> {
        let at = address % PAGE;
        let bytes = self.page(address / PAGE)?.get(at..at + SIZE)?;
        bytes
            .try_into()
            .ok()
            .filter(|_| address.is_multiple_of(SIZE))
    }

    /// So many bytes at this address, at most [`LONGEST`]; fewer, where the rest cannot be read.
    pub fn bytes(&self, address: usize, length: usize) -> &[u8] {
        let length = length.min(LONGEST);
        let (number, at) = (address / PAGE, address % PAGE);
        let Some(first) = self.page(number) else {
            return b"";
        };
        if at + length <= PAGE {
            return &first[at..at + length];
        }
        match self.piece(address, length) {
            Some(piece) => piece,
            None => &first[at..],
        }
    }

    /// The bytes from this address to a NUL, at most so many.
    pub fn c_string(&self, address: usize, longest: usize) -> &[u8] {
        let bytes = self.bytes(address, longest);
        let end = bytes.iter().position(|&byte| byte == 0);
        &bytes[..end.unwrap_or(bytes.len())]
    }

    /// What spans several pages, as one; `None` if there is no memory.
    fn piece(&self, address: usize, length: usize) -> Option<&[u8]> {
        let mut pieces = self.pieces.borrow_mut();
        let piece = match pieces.get(&(address, length)) {
            Some(piece) => piece,
            None => {
                let mut piece: Vec<u8> = Vec::new();
                piece.try_reserve_exact(length).ok()?;
                pieces.try_reserve(1).ok()?;
                self.left.set(self.left.get().checked_sub(length)?);
                while piece.len() < length {
                    let here = address.checked_add(piece.len())?;
                    let Some(page) = self.page(here / PAGE) else {
                        break;
                    };
                    let rest = &page[here % PAGE..];
                    piece.extend_from_slice(&rest[..rest.len().min(length - piece.len())]);
                }
                pieces.entry((address, length)).or_insert(piece)
            }
        };
        // SAFETY: the bytes are on the heap, and stand there unchanged until `self` is dropped: no piece is taken out
        // or changed, and that the table moves does not move them.
        Some(unsafe { std::slice::from_raw_parts(piece.as_ptr(), piece.len()) })
    }

    #[inline]
    fn page(&self, number: usize) -> Option<&[u8; PAGE]> {
        let (last, copy) = self.last.get();
        let copy = match last == number && !copy.is_null() {
            true => copy,
            false => self.find_page(number)?,
        };
        // SAFETY: the copy is on the heap, and stands there unchanged until `self` is dropped, as above.
        Some(unsafe { &*copy })
    }

    fn find_page(&self, number: usize) -> Option<*const [u8; PAGE]> {
        let mut pages = self.pages.borrow_mut();
        let page = match pages.get(&number) {
            Some(page) => page,
            None => {
                // What it costs: a system call. Whoever looks at objects sees whether the time is up.
                let _ = hold::spend(100);
                let mut page: Vec<u8> = Vec::new();
                pages.try_reserve(1).ok()?;
                page.try_reserve_exact(PAGE).ok()?;
                self.left.set(self.left.get().checked_sub(PAGE)?);
                page.resize(PAGE, 0);
                if !read_bytes(number.checked_mul(PAGE)?, &mut page) {
                    page = Vec::new();
                }
                pages.entry(number).or_insert(page)
            }
        };
        let copy = (page.len() == PAGE).then(|| page.as_ptr().cast())?;
        self.last.set((number, copy));
        Some(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_stays_as_it_was_and_what_cannot_be_read_is_not_there() {
        let mut memory = vec![7_u8; 3 * PAGE];
        let start = memory.as_ptr() as usize;
        let copies = Copies::default();
        assert_eq!(copies.bytes(start, 3 * PAGE), &memory[..]);
        let word = start.next_multiple_of(8);
        assert_eq!(copies.word(word), Some(0x0707_0707_0707_0707));
        assert_eq!(copies.int(word + 4), Some(0x0707_0707));
        memory.fill(8);
        std::hint::black_box(&mut memory);
        assert_eq!(copies.bytes(start + 1, PAGE), vec![7; PAGE]);
        assert_eq!(copies.word(word + 1), None, "it is not aligned");
        for address in [0, 8, usize::MAX - 7, 1 << 63] {
            assert_eq!(copies.word(address), None, "{address:#x}");
            assert_eq!(copies.bytes(address, 100), b"");
            assert_eq!(copies.int(address & !3), None);
        }
        assert_eq!(copies.bytes(usize::MAX - 3, 100), b"");
        let text = *b"name\0more";
        let address = text.as_ptr() as usize;
        assert_eq!(copies.c_string(address, 100), b"name");
        assert_eq!(copies.c_string(address, 2), b"na");
    }

    #[test]
    fn a_piece_ends_where_memory_does() {
        // SAFETY: two new pages, of which the second is given back; nothing else uses them.
        let start = unsafe {
            let (access, flags) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            );
            let start = libc::mmap(ptr::null_mut(), 2 * PAGE, access, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::munmap(start.byte_add(PAGE), PAGE), 0);
            start as usize
        };
        let copies = Copies::default();
        assert_eq!(copies.bytes(start + PAGE - 10, 100), [0; 10]);
        assert_eq!(copies.word(start + PAGE), None);
        let many = (0..2 * MOST / PAGE).filter(|page| copies.word(page * PAGE).is_some());
        assert_eq!(many.count(), 0);
        assert_eq!(
            copies.word(&raw const copies as usize),
            None,
            "the bound is reached"
        );
        // SAFETY: the page is ours, and nobody has a reference to it.
        unsafe { libc::munmap(start as *mut libc::c_void, PAGE) };
    }
}
