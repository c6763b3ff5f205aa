//! The answer that needs no GIL: frames read straight from memory.
//!
//! Runs on the thread that asked, whatever that holds: no lock, no allocation, no Python, and
//! every read is one that fails instead of faulting. What it meets is believed only where its
//! type pointer says what it is, so that a list that changes meanwhile costs lines, not the
//! program; and every loop is bounded, so that a torn list ends.
//!
//! Layouts: Include/frameobject.h, code.h, stringobject.h of CPython 2.6 and 2.7,
//! the same in both. Debug builds (Py_TRACE_REFS) put two pointers in front of every object,
//! which is found out per object by where its type pointer stands.

use std::cell::UnsafeCell;
use std::fmt::{self, Write};

use crate::answer::Page;
use crate::interface::THREAD_HEADING;
use crate::memory::{read, read_bytes};
use crate::python::Python;
use crate::wait::Instant;
use crate::{threads, worker};

const WORD: usize = size_of::<usize>();

/// A bound, so that the walk of a torn stack ends.
const MOST_FRAMES: usize = 200_000;
/// A walk that has taken longer, in nanoseconds, stops after the thread it is at.
const LONGEST: u64 = 2_000_000_000;
/// Frames shown of one stack: so many innermost, and half of them outermost where it is deeper.
const MOST_SHOWN: usize = 512;
const OUTERMOST_SHOWN: usize = 256;

/// The frames of one stack. Not on the stack: the thread that asks may have little left of its
/// own.
struct Scratch(UnsafeCell<([usize; MOST_SHOWN], [usize; OUTERMOST_SHOWN])>);
// SAFETY: only the thread that has claimed the desk uses it.
unsafe impl Sync for Scratch {}
static SCRATCH: Scratch = Scratch(UnsafeCell::new(([0; MOST_SHOWN], [0; OUTERMOST_SHOWN])));

/// PyFrameObject (frameobject.h), counted from the end of PyObject_VAR_HEAD.
const FRAME_BACK: usize = 0;
const FRAME_CODE: usize = WORD;
const FRAME_LAST_INSTRUCTION: usize = 12 * WORD;

/// PyCodeObject (code.h), counted from the end of PyObject_HEAD: four ints, then co_code,
/// co_consts, co_names, co_varnames, co_freevars, co_cellvars, co_filename, co_name,
/// co_firstlineno (an int and its padding), co_lnotab.
const CODE_FILENAME: usize = 8 * WORD;
const CODE_NAME: usize = 9 * WORD;
const CODE_FIRST_LINE: usize = 10 * WORD;
const CODE_LINE_TABLE: usize = 11 * WORD;

/// PyStringObject (stringobject.h), counted from the end of PyObject_VAR_HEAD: the hash (a
/// long), the state (an int), then the bytes.
const STRING_BYTES: usize = WORD + 4;
/// Longer names and file names are cut.
const LONGEST_NAME: usize = 1024;
/// Longer line tables are not followed to their end.
const LONGEST_LINE_TABLE: usize = 1 << 20;

/// Whether the calling thread holds the GIL.
///
/// By the identifier in the current thread state, not by `PyGILState_GetThisThreadState`: that
/// takes a lock of CPython 2's own (`keymutex`, Python/thread.c), which the interrupted thread
/// may be holding.
pub fn this_thread_holds_gil(python: &Python) -> bool {
    let current = python.current_thread_state();
    current != 0 && threads::ident(current) == Some(Python::this_thread_ident() as usize)
}

/// Writes all threads' stacks to `page`, under a heading that gives the reason.
///
/// Returns how many threads were written.
///
/// # Safety
/// The caller has claimed the desk.
pub unsafe fn write_state(python: &Python, page: &mut Page, reason: fmt::Arguments<'_>) -> usize {
    let mut written = 0;
    let end = Instant::now().after(LONGEST);
    let _ = writeln!(page, "### Read from memory, without the GIL: {reason}");
    threads::for_each(python, &mut |thread| {
        if thread.frame != 0 && !worker::is_worker(thread.ident) {
            let _ = write!(page, "\n\n{THREAD_HEADING}{}:\n", thread.ident);
            write_stack(python, page, thread.frame);
            written += 1;
        }
        if Instant::now() > end {
            page.push(b"\n\n... cut here: reading memory takes too long\n");
            return false;
        }
        !page.is_cut()
    });
    written
}

/// Writes one stack, outermost frame first.
fn write_stack(python: &Python, page: &mut Page, innermost: usize) {
    // Frames point outwards only. A ring holds the last of them seen, that is the outermost,
    // once it is known how many there are; the innermost are kept as they are met.
    // SAFETY: the desk is claimed, so nobody else walks; no reference outlives this call.
    let (inner, outer) = unsafe { &mut *SCRATCH.0.get() };
    let mut depth = 0;
    let mut frame = innermost;
    let mut torn = false;
    while frame != 0 {
        if depth == MOST_FRAMES {
            torn = true;
            break;
        }
        let Some(body) = body(python.frame_type, frame, true) else {
            torn = true;
            break;
        };
        if depth < MOST_SHOWN {
            inner[depth] = frame;
        } else {
            outer[(depth - MOST_SHOWN) % OUTERMOST_SHOWN] = frame;
        }
        depth += 1;
        match read::<usize>(body + FRAME_BACK) {
            Some(back) => frame = back,
            None => {
                torn = true;
                break;
            }
        }
    }
    if torn {
        page.push(b"  ... frames that could not be read ...\n");
    }
    let beyond = depth.saturating_sub(MOST_SHOWN);
    for index in (beyond.saturating_sub(OUTERMOST_SHOWN)..beyond).rev() {
        write_frame(python, page, outer[index % OUTERMOST_SHOWN]);
    }
    if beyond > OUTERMOST_SHOWN {
        let _ = writeln!(
            page,
            "  ... {} frames left out ...",
            beyond - OUTERMOST_SHOWN
        );
    }
    for index in (0..depth.min(MOST_SHOWN)).rev() {
        write_frame(python, page, inner[index]);
    }
}

/// Writes one frame as `traceback.format_stack` does, without the source line.
fn write_frame(python: &Python, page: &mut Page, frame: usize) {
    if page.is_cut() {
        return;
    }
    let place = body(python.frame_type, frame, true).and_then(|body| {
        let code = self::body(
            python.code_type,
            read(body.checked_add(FRAME_CODE)?)?,
            false,
        )?;
        let last = read::<i32>(body.checked_add(FRAME_LAST_INSTRUCTION)?)?;
        Some((code, last))
    });
    let Some((code, last)) = place else {
        page.push(b"  ... a frame that could not be read ...\n");
        return;
    };
    page.push(b"  File \"");
    write_string(python, page, code + CODE_FILENAME);
    page.push(b"\", line ");
    match line(python, code, last) {
        Some(line) => {
            let _ = write!(page, "{line}");
        }
        None => page.push(b"?"),
    }
    page.push(b", in ");
    write_string(python, page, code + CODE_NAME);
    page.push(b"\n");
}

/// Where an object's own fields begin, if it is an object of this very type.
///
/// `variable` objects have a size in their head (PyObject_VAR_HEAD).
fn body(type_object: usize, object: usize, variable: bool) -> Option<usize> {
    if !object.is_multiple_of(WORD) {
        return None;
    }
    let tail = if variable { WORD } else { 0 };
    // ob_refcnt, ob_type; in debug builds after _ob_next and _ob_prev.
    for type_at in [WORD, 3 * WORD] {
        if read::<usize>(object.checked_add(type_at)?)? == type_object {
            return object.checked_add(type_at + WORD + tail);
        }
    }
    None
}

/// Whether this is the address of a frame. Any thread, interrupted or not.
pub fn is_frame(python: &Python, address: usize) -> bool {
    body(python.frame_type, address, true).is_some()
}

/// The bytes of the string that the pointer at `pointer` points to: address and length.
fn string(python: &Python, pointer: usize) -> Option<(usize, usize)> {
    let body = body(python.string_type, read(pointer)?, true)?;
    let length = read::<usize>(body - WORD)?;
    Some((body + STRING_BYTES, length))
}

fn write_string(python: &Python, page: &mut Page, pointer: usize) {
    let mut bytes = [0; LONGEST_NAME];
    let text = string(python, pointer).and_then(|(address, length)| {
        let bytes = &mut bytes[..length.min(LONGEST_NAME)];
        read_bytes(address, bytes).then_some((&*bytes, length > LONGEST_NAME))
    });
    match text {
        Some((text, long)) => {
            page.push_printable(text);
            if long {
                page.push(b"...");
            }
        }
        None => page.push(b"?"),
    }
}

/// The line of an instruction, as `PyCode_Addr2Line` has it (Objects/codeobject.c, 2.6 and 2.7;
/// the table is described in Objects/lnotab_notes.txt).
fn line(python: &Python, code: usize, last_instruction: i32) -> Option<i64> {
    let mut line = i64::from(read::<i32>(code + CODE_FIRST_LINE)?);
    let (table, length) = string(python, code + CODE_LINE_TABLE)?;
    let mut address = 0;
    let mut chunk = [0; 256];
    let mut at = 0;
    while at + 1 < length.min(LONGEST_LINE_TABLE) {
        let count = (length - at).min(chunk.len()) & !1;
        if !read_bytes(table.checked_add(at)?, &mut chunk[..count]) {
            return None;
        }
        for pair in chunk[..count].chunks_exact(2) {
            address += i64::from(pair[0]);
            if address > i64::from(last_instruction) {
                return Some(line);
            }
            line += i64::from(pair[1]);
        }
        at += count;
    }
    Some(line)
}
