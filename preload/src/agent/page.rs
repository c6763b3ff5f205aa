//! Where answers are written. Each has an [`AnswerHeader`] directly before its text and a NUL after it.
//!
//! There are three kinds. To a [`Page`] the asking thread writes a walk or a refusal; a debugger may
//! have interrupted it inside `malloc`, so a page needs neither `malloc` nor a lock. A text of [`Heap`]
//! the worker makes. A [`Constant`] stands in the library.

use std::ffi::c_char;
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

use crate::system::filter::{self, Call};
use protocol::answer::AnswerHeader;
use protocol::names::ANSWER_MAGIC;

const HEADER: usize = size_of::<AnswerHeader>();

/// Ends a text that does not fit its page.
const CUT: &[u8] = b"\n... cut here: no memory for more\n";

/// Sizes tried for a walk's page, in bytes. The kernel gives memory only to what is written to.
const PAGE_SIZES: [usize; 3] = [16 << 20, 1 << 20, 64 << 10];

/// The mapping that holds the last walk, and its size. Only the thread that has claimed the desk
/// (`agent/desk.rs`) touches them.
static MAPPING: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static MAPPING_SIZE: AtomicUsize = AtomicUsize::new(0);

/// The small page: for answers of one line, and for a walk where no memory can be mapped.
#[repr(C, align(16))]
struct Spare(std::cell::UnsafeCell<[u8; 4096]>);
// SAFETY: only the thread that has claimed the desk writes to it. Commands may read it from outside.
unsafe impl Sync for Spare {}
static SPARE: Spare = Spare(std::cell::UnsafeCell::new([0; 4096]));

/// An answer being written.
pub struct Page {
    start: *mut u8,
    size: usize,
    length: usize,
    cut: bool,
}

impl Page {
    /// The small page, for an answer of one line.
    ///
    /// # Safety
    /// The caller has claimed the desk: no other thread writes, and the text of the answer before is no
    /// longer good.
    pub unsafe fn small() -> Self {
        let start = SPARE.0.get().cast::<u8>();
        // SAFETY: the page begins with space for a header and is aligned for it; the caller promises that
        // no other thread writes.
        unsafe { clear_header(start) };
        Self {
            start,
            size: size_of::<Spare>(),
            length: 0,
            cut: false,
        }
    }

    /// A page for many threads' stacks; the small one if the kernel gives no memory.
    ///
    /// # Safety
    /// As for [`Page::small`].
    pub unsafe fn large() -> Self {
        let sizes = PAGE_SIZES.into_iter().filter(|_| filter::may(Call::Map));
        for size in sizes {
            // SAFETY: a new private mapping, which replaces none. mmap is a bare system call, without a
            // lock of libc, so an interrupted thread may make it.
            let start = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    size,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            if start != libc::MAP_FAILED {
                MAPPING_SIZE.store(size, Ordering::Relaxed);
                MAPPING.store(start.cast(), Ordering::Relaxed);
                return Self {
                    start: start.cast(),
                    size,
                    length: 0,
                    cut: false,
                };
            }
        }
        // SAFETY: the caller promises what `small` requires: it has claimed the desk.
        unsafe { Self::small() }
    }

    /// Gives up the mapping of the walk before without unmapping it: the thread that wrote to it may come
    /// back and go on writing.
    pub fn abandon() {
        MAPPING.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Unmaps the walk before.
    ///
    /// # Safety
    /// As for [`Page::small`].
    pub unsafe fn give_back() {
        let start = MAPPING.swap(ptr::null_mut(), Ordering::Relaxed);
        if !start.is_null() {
            // SAFETY: `large` mapped it, and its text is good only until this claim of the desk. The swap
            // has taken it out of the static, so it is unmapped once.
            unsafe { libc::munmap(start.cast(), MAPPING_SIZE.load(Ordering::Relaxed)) };
        }
    }

    /// Empties the page.
    pub fn begin_again(&mut self) {
        self.length = 0;
        self.cut = false;
    }

    /// Appends bytes as they are.
    pub fn push(&mut self, bytes: &[u8]) {
        let free = self.size - HEADER - CUT.len() - 1 - self.length;
        let count = bytes.len().min(free);
        self.cut |= count < bytes.len();
        // SAFETY: `count` bytes fit behind the header and what was written; the page is this thread's
        // while it holds the desk.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(HEADER + self.length), count);
        }
        self.length += count;
    }

    /// Appends bytes, with control characters and NUL as `\xNN`, as the snippet writes them.
    pub fn push_printable(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if (byte < 32 && byte != b'\t') || byte == 127 {
                let digit = |value: u8| b"0123456789abcdef"[value as usize];
                self.push(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
            } else {
                self.push(&[byte]);
            }
        }
    }

    /// Whether something did not fit.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Ends the text and returns its address, good until the next claim of the desk.
    pub fn finish(mut self) -> *const c_char {
        if self.cut {
            // SAFETY: `push` always leaves space for `CUT` and the NUL.
            unsafe {
                ptr::copy_nonoverlapping(
                    CUT.as_ptr(),
                    self.start.add(HEADER + self.length),
                    CUT.len(),
                );
            }
            self.length += CUT.len();
        }
        // The unused tail goes back at once: the program's address space may be limited.
        let used = (HEADER + self.length + 1).next_multiple_of(4096);
        if self.start == MAPPING.load(Ordering::Relaxed) && used < self.size {
            // The size is stored first: a child that is forked in between must not unmap what it has
            // mapped there itself.
            MAPPING_SIZE.store(used, Ordering::Relaxed);
            // SAFETY: the tail of our own mapping, in which nothing was written. Where the system's pages
            // are larger than 4096 bytes, the kernel may refuse.
            if unsafe { libc::munmap(self.start.add(used).cast(), self.size - used) } != 0 {
                MAPPING_SIZE.store(self.size, Ordering::Relaxed);
            }
        }
        // SAFETY: `push` left space for header, text and NUL; every page is aligned for the header.
        unsafe { seal(self.start, self.length, 0) }
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// The number of the next answer. Constant answers have number 0.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Writes header and NUL around a text of `length` bytes, and returns the text's address.
///
/// # Safety
/// `start` points to HEADER + `length` + 1 writable bytes, aligned for the header.
unsafe fn seal(start: *mut u8, length: usize, question: u64) -> *const c_char {
    // SAFETY: the caller promises memory for all three, aligned for the header.
    unsafe {
        start.cast::<AnswerHeader>().write(AnswerHeader {
            magic: ANSWER_MAGIC,
            length: length as u64,
            number: NUMBER.fetch_add(1, Ordering::SeqCst),
            question,
        });
        start.add(HEADER + length).write(0);
        start.add(HEADER).cast_const().cast()
    }
}

/// Takes an answer back: a command that still reads its text from outside sees by the header that another may
/// have replaced it.
///
/// # Safety
/// `start` points to writable memory for a header, aligned for it, which no other thread writes to.
unsafe fn clear_header(start: *mut u8) {
    let none = AnswerHeader {
        magic: [0; 8],
        length: 0,
        number: 0,
        question: 0,
    };
    // SAFETY: the caller promises the memory. (Volatile: the compiler must not leave it out, although this
    // process does not read it again.)
    unsafe { start.cast::<AnswerHeader>().write_volatile(none) };
    // Before anything that is written there next.
    fence(Ordering::SeqCst);
}

/// The header of an answer.
///
/// # Safety
/// `text` is an answer of this file, and still good.
pub unsafe fn header(text: *const c_char) -> AnswerHeader {
    // SAFETY: the caller promises an answer of this file: `seal` wrote the header directly before it.
    unsafe { text.cast::<u8>().sub(HEADER).cast::<AnswerHeader>().read() }
}

/// Copies the text of an answer; `None` if there is no memory.
///
/// # Safety
/// `text` is a fresh answer that no other thread can replace meanwhile. On a thread that may allocate.
pub unsafe fn copy(text: *const c_char) -> Option<Vec<u8>> {
    // SAFETY: the caller promises a fresh answer, whose header has the length of its text.
    let bytes = unsafe {
        let length = header(text).length as usize;
        std::slice::from_raw_parts(text.cast::<u8>(), length)
    };
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).ok()?;
    copy.extend_from_slice(bytes);
    Some(copy)
}

/// Answers on the heap, made by the worker.
pub struct Heap;

impl Heap {
    /// Joins the pieces of a text, the answer to this question ([`AnswerHeader::question`]); null if there
    /// is no memory.
    ///
    /// Only on a thread of ours: it calls `malloc`.
    pub fn copy(pieces: &[&[u8]], question: u64) -> *const c_char {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        // SAFETY: the block has space for header, pieces and NUL, and `malloc` aligns it for the header.
        unsafe {
            let start = libc::malloc(HEADER + length + 1).cast::<u8>();
            if start.is_null() {
                return ptr::null();
            }
            let mut end = start.add(HEADER);
            for piece in pieces {
                ptr::copy_nonoverlapping(piece.as_ptr(), end, piece.len());
                end = end.add(piece.len());
            }
            seal(start, length, question)
        }
    }

    /// Frees a text made by [`Heap::copy`], or does nothing for null.
    ///
    /// # Safety
    /// No thread reads the text any more. (A command may, from outside.) On a thread of ours: it calls `free`.
    pub unsafe fn free(text: *const c_char) {
        if text.is_null() {
            return;
        }
        // SAFETY: `copy` got the block from `malloc`, and it begins HEADER bytes before the text; the caller
        // promises that no thread reads it. The header goes first: `free` leaves it as it is where it joins the
        // block to a free one before it, and the next owner of the memory may write to the text only.
        unsafe {
            let start = text.cast::<u8>().sub(HEADER).cast_mut();
            clear_header(start);
            libc::free(start.cast());
        }
    }
}

/// A constant answer, for a thread that could not claim the desk and so may not write to a page.
#[repr(C)]
pub struct Constant<const LENGTH: usize> {
    header: AnswerHeader,
    text: [u8; LENGTH],
}

impl<const LENGTH: usize> Constant<LENGTH> {
    /// From a text that ends in NUL.
    pub const fn new(text: &[u8]) -> Self {
        let mut answer = Self {
            header: AnswerHeader {
                magic: ANSWER_MAGIC,
                length: LENGTH as u64 - 1,
                number: 0,
                question: 0,
            },
            text: [0; LENGTH],
        };
        answer.text.copy_from_slice(text);
        answer
    }

    /// The address of its text.
    pub fn text(&'static self) -> *const c_char {
        self.text.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::memory;
    use std::ffi::CStr;
    use std::fmt::Write;

    /// A command may read a text long after it was freed. It goes by the header.
    #[test]
    #[cfg_attr(miri, ignore = "it reads memory that has been freed")]
    fn a_text_that_was_freed_has_no_header() {
        let text = [b'a'; 50_000];
        let [before, freed, behind] = [0, 1, 2].map(|_| Heap::copy(&[&text], 7));
        let magic = || memory::read::<u64>(freed as usize - HEADER);
        assert_eq!(magic(), Some(u64::from_ne_bytes(ANSWER_MAGIC)));
        // SAFETY: both are from `copy`, and nothing but a read that cannot fault touches them again.
        unsafe {
            Heap::free(before);
            Heap::free(freed);
        }
        assert_ne!(magic(), Some(u64::from_ne_bytes(ANSWER_MAGIC)));
        // SAFETY: as before.
        unsafe { Heap::free(behind) };
    }

    #[test]
    fn a_page_is_sealed_escaped_and_cut() {
        // SAFETY: no other test writes to a page, so this thread may as if it held the desk.
        unsafe {
            let mut page = Page::large();
            write!(page, "line {}: ", 7).unwrap();
            page.push_printable(b"a\0\x1b[1m\tz");
            let text = page.finish();
            assert_eq!(
                CStr::from_ptr(text).to_bytes(),
                b"line 7: a\\x00\\x1b[1m\tz"
            );
            assert_eq!(header(text).length, 22);
            Page::give_back();

            let mut page = Page::small();
            for _ in 0..1000 {
                page.push(b"0123456789");
            }
            let text = page.finish();
            assert!(CStr::from_ptr(text).to_bytes().ends_with(CUT));
            assert_eq!(
                header(text).length as usize,
                size_of::<Spare>() - HEADER - 1
            );
        }
    }
}
