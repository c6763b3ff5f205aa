//! The answer that needs no GIL: frames read straight from memory.
//!
//! Runs on the thread that asked, whatever that holds: no lock, no allocation, no Python, and
//! every read is one that fails instead of faulting. What it meets is believed only where its
//! type pointer says what it is, so that a list that changes meanwhile costs lines, not the
//! program; a list that goes in a circle is noticed, and every loop is bounded, so that a torn
//! list ends.

use std::cell::UnsafeCell;
use std::fmt::{self, Write};

use crate::agent::page::Page;
use crate::agent::threads;
use crate::cpython::api::Python;
use crate::cpython::guarded_frame::{self, Frame};
use crate::cpython::thread_states;
use crate::system::futex::Instant;
use crate::system::memory::{Lap, read_bytes};
use protocol::names::{THREAD_HEADING, WALK_HEADING};

/// A bound, so that the walk of a torn stack ends.
const MOST_FRAMES: usize = 200_000;
/// A walk that has taken longer, in nanoseconds, stops where it is.
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

/// Longer names and file names are cut.
const LONGEST_NAME: usize = 1024;

/// Writes all threads' stacks to `page`, under a heading that gives the reason.
///
/// Returns how many threads were written, and whether these are all that there are.
///
/// # Safety
/// The caller has claimed the desk.
pub unsafe fn write_state(
    python: &Python,
    page: &mut Page,
    reason: fmt::Arguments<'_>,
) -> (usize, bool) {
    let mut written = 0;
    let end = Instant::now().after(LONGEST);
    let _ = writeln!(page, "{WALK_HEADING}{reason}");
    let whole = thread_states::for_each(python, &mut |thread| {
        if thread.frame != 0 && !threads::is_worker(thread.ident) {
            let _ = write!(page, "\n\n{THREAD_HEADING}{}:\n", thread.ident);
            write_stack(python, page, thread.frame, end);
            written += 1;
        }
        if Instant::now() > end {
            page.push(b"\n\n... cut here: reading memory takes too long ...\n");
            return false;
        }
        !page.is_cut()
    });
    if !whole {
        page.push(b"\n\n... the list of threads could not be followed to its end ...\n");
    }
    (written, whole)
}

/// Writes one stack, outermost frame first.
fn write_stack(python: &Python, page: &mut Page, innermost: usize, end: Instant) {
    // Frames point outwards only. A ring holds the last of them seen, that is the outermost,
    // once it is known how many there are; the innermost are kept as they are met.
    // SAFETY: the desk is claimed, so nobody else walks; no reference outlives this call.
    let (inner, outer) = unsafe { &mut *SCRATCH.0.get() };
    let mut depth = 0;
    let mut frame = innermost;
    let mut torn = None;
    let mut lap = Lap::default();
    while frame != 0 {
        if depth == MOST_FRAMES {
            torn = Some("too many frames to be a stack");
            break;
        }
        if lap.is_closed_by(frame) {
            torn = Some("frames that go in a circle");
            break;
        }
        let Some(back) = guarded_frame::back(python, frame) else {
            torn = Some("frames that could not be read");
            break;
        };
        if depth < MOST_SHOWN {
            inner[depth] = frame;
        } else {
            outer[(depth - MOST_SHOWN) % OUTERMOST_SHOWN] = frame;
        }
        depth += 1;
        frame = back;
    }
    if let Some(what) = torn {
        let _ = writeln!(page, "  ... {what} ...");
    }
    let beyond = depth.saturating_sub(MOST_SHOWN);
    for index in (beyond.saturating_sub(OUTERMOST_SHOWN)..beyond).rev() {
        write_frame(python, page, outer[index % OUTERMOST_SHOWN], end);
    }
    if beyond > OUTERMOST_SHOWN {
        let _ = writeln!(
            page,
            "  ... {} frames left out ...",
            beyond - OUTERMOST_SHOWN
        );
    }
    for index in (0..depth.min(MOST_SHOWN)).rev() {
        write_frame(python, page, inner[index], end);
    }
}

/// Writes one frame as `traceback.format_stack` does, without the source line.
fn write_frame(python: &Python, page: &mut Page, frame: usize, end: Instant) {
    // Whoever called says that it took too long.
    if page.is_cut() || Instant::now() > end {
        return;
    }
    let Some(frame) = Frame::read(python, frame) else {
        page.push(b"  ... a frame that could not be read ...\n");
        return;
    };
    page.push(b"  File \"");
    write_string(page, frame.file_name(python));
    page.push(b"\", line ");
    match frame.line(python) {
        Some(line) => {
            let _ = write!(page, "{line}");
        }
        None => page.push(b"?"),
    }
    page.push(b", in ");
    write_string(page, frame.name(python));
    page.push(b"\n");
}

fn write_string(page: &mut Page, string: Option<(usize, usize)>) {
    let mut bytes = [0; LONGEST_NAME];
    let text = string.and_then(|(address, length)| {
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
