//! The walk: stacks read straight from memory, without the GIL.
//!
//! It runs on the asking thread, whatever that holds: no lock, no allocation, no Python, and every read
//! fails instead of faulting. The program may change the lists meanwhile. So an object is believed only
//! if its type pointer says what it is, a list that goes in a circle is noticed, and every loop is
//! bounded: a torn list costs lines of the answer, never the program.

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
use protocol::walk::{self, INNERMOST_SHOWN, LONGEST_NAME, MOST_FRAMES, OUTERMOST_SHOWN};

/// A walk stops where it is after this time, in nanoseconds.
const LONGEST: u64 = 2_000_000_000;

/// The addresses of one stack's frames. A static, as the asking thread may have little stack left.
struct Frames(UnsafeCell<([usize; INNERMOST_SHOWN], [usize; OUTERMOST_SHOWN])>);
// SAFETY: only the thread that has claimed the desk uses it.
unsafe impl Sync for Frames {}
static FRAMES: Frames = Frames(UnsafeCell::new((
    [0; INNERMOST_SHOWN],
    [0; OUTERMOST_SHOWN],
)));

/// Writes all threads' stacks to `page`, under a heading that gives the reason.
///
/// Returns how many stacks were written, and whether the list of threads was read to its end.
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
            page.push(walk::CUT.as_bytes());
            return false;
        }
        !page.is_cut()
    });
    if !whole {
        page.push(walk::TORN_LIST.as_bytes());
    }
    (written, whole)
}

/// Writes one stack, outermost frame first.
fn write_stack(python: &Python, page: &mut Page, innermost: usize, end: Instant) {
    // Frames point outwards only, and the depth is known at the end only. So `inner` takes the first
    // frames met, and `outer` is a circular buffer of the last ones.
    // SAFETY: this thread has claimed the desk (see `write_state`), so no other walks; no reference
    // outlives this call.
    let (inner, outer) = unsafe { &mut *FRAMES.0.get() };
    let mut depth = 0;
    let mut frame = innermost;
    let mut torn = None;
    let mut lap = Lap::default();
    while frame != 0 {
        if depth == MOST_FRAMES {
            torn = Some(walk::TOO_MANY);
            break;
        }
        if lap.is_closed_by(frame) {
            torn = Some(walk::CIRCLE);
            break;
        }
        let Some(back) = guarded_frame::back(python, frame) else {
            torn = Some(walk::UNREADABLE);
            break;
        };
        if depth < INNERMOST_SHOWN {
            inner[depth] = frame;
        } else {
            outer[(depth - INNERMOST_SHOWN) % OUTERMOST_SHOWN] = frame;
        }
        depth += 1;
        frame = back;
    }
    if let Some(what) = torn {
        let _ = writeln!(page, "  ... {what} ...");
    }
    let beyond = depth.saturating_sub(INNERMOST_SHOWN);
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
    for index in (0..depth.min(INNERMOST_SHOWN)).rev() {
        write_frame(python, page, inner[index], end);
    }
}

/// Writes one frame as `traceback.format_stack` does, without the source line.
fn write_frame(python: &Python, page: &mut Page, frame: usize, end: Instant) {
    // `write_state` notes that the answer was cut.
    if page.is_cut() || Instant::now() > end {
        return;
    }
    let Some(frame) = Frame::read(python, frame) else {
        page.push(walk::UNREADABLE_FRAME.as_bytes());
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
