//! An answer, made in two steps: [`collect`] takes everything down under the GIL; once files have been read,
//! [`compose`] or [`compose_natively`] makes the answer of it.

use std::ffi::c_char;

use crate::agent::failure::Failure;
use crate::agent::page::Heap;
use crate::agent::{desk, hold};
use crate::collect::collected::{Collected, Found, Rest};
use crate::collect::document::{self, Sources};
use crate::collect::{plain, snippet, state};
use crate::cpython::gil::Gil;
use crate::cpython::object::Kept;
use crate::files::sources::LONGEST_LINE;
use crate::inspect::attributes;
use crate::inspect::objects::{LONGEST, Objects};
use crate::script::{threading_after_fork, undisturbed};
use crate::suspended::greenlets;
use protocol::names::NO_FRAMES;
use protocol::question::Question;
use protocol::state::VERSION_LINE;

/// What the second step needs of the interpreter's objects. Where there is no memory to take the GIL for
/// that step, the next question gives it back.
static KEPT: Kept = Kept::nothing();

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    KEPT.forget();
    snippet::forget();
    undisturbed::forget();
    threading_after_fork::forget();
    attributes::forget();
    greenlets::forget();
}

/// Compiles what the question needs of our Python text, once in an interpreter's life. Returns whether it has now:
/// that takes milliseconds, so the GIL should be let go of before [`collect`]. On the worker.
pub fn prepare(gil: &mut Gil, question: &Question) -> Result<bool, Failure> {
    undisturbed::find_collector(gil);
    match Objects::known(gil).is_some() {
        true => Ok(question.state && question.greenlets && greenlets::prepare(gil)?),
        false => snippet::prepare(gil),
    }
}

/// Compiles what [`compose`] needs to find lines of source; returns whether anything has been compiled now. Where that
/// fails, nothing is kept for the answer any more.
pub fn prepare_to_compose(gil: &mut Gil) -> Result<bool, Failure> {
    let prepared = snippet::prepare(gil);
    if prepared.is_err() {
        discard(gil);
    }
    prepared
}

/// Takes down where every thread is, on the worker, once that is prepared. `is_wanted` says whether somebody still
/// waits for the answer. No exception is set, before and after.
pub fn collect(
    gil: &mut Gil,
    question: &Question,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Collected, Failure> {
    KEPT.put(gil, None);
    let hold = hold::begin(question.hold, Some(desk::request().unwrap_or(u32::MAX)));
    // Where objects are laid out otherwise there is the text alone.
    let (mut collected, kept) = match Objects::known(gil).is_some() {
        true => state::collect(gil, question)?,
        false => snippet::collect(gil, question)?,
    };
    KEPT.put(gil, kept);
    drop(hold);
    if let Rest::State(state) = &mut collected.rest {
        // The program's code runs here, where that was asked for.
        undisturbed::keeping_exc_info(gil, |gil| {
            let length = question.length;
            state.variables.ask_objects(gil, length, is_wanted);
        });
    }
    Ok(collected)
}

/// Makes the answer where [`Collected::needs_interpreter`], once that is prepared ([`prepare_to_compose`]), on the heap.
/// `holder` is the identifier of the thread that held the GIL when it was asked for, or 0. No exception is set, before
/// and after.
pub fn compose(
    gil: &mut Gil,
    collected: Collected,
    found: &Found,
    holder: usize,
    is_wanted: &dyn Fn() -> bool,
) -> Result<*const c_char, Failure> {
    let kept = KEPT.take(gil);
    let longest = match collected.rest {
        Rest::OfSnippet => None,
        Rest::Plain => Some(LONGEST_LINE),
        Rest::State(_) => Some(LONGEST),
    };
    if let Some(longest) = longest {
        let lines = (&found.lines, longest);
        let missing = state::missing(gil, &collected.places, kept, lines, is_wanted)?;
        return finish(collected, found, &missing, holder);
    }
    let text = snippet::compose(gil, kept, collected.places.len(), &found.lines)?;
    match gil.bytes(text.object()) {
        Some(text) => on_heap(&[text], collected.question),
        None => Err(Failure::NoMemory),
    }
}

/// The same where the interpreter is not needed. On the worker.
pub fn compose_natively(
    collected: Collected,
    found: &Found,
    holder: usize,
) -> Result<*const c_char, Failure> {
    finish(collected, found, &Sources::default(), holder)
}

/// Gives back what is kept, where nobody waits for the answer any more.
pub fn discard(gil: &mut Gil) {
    KEPT.put(gil, None);
}

/// Finishes an answer that was taken down natively.
fn finish(
    mut collected: Collected,
    found: &Found,
    missing: &Sources,
    holder: usize,
) -> Result<*const c_char, Failure> {
    let question = collected.question;
    let sources = (&found.lines, missing);
    match std::mem::take(&mut collected.rest) {
        // No thread runs Python.
        _ if let (Some(reason), true) = (&collected.from_memory, collected.threads.is_empty()) => {
            on_heap(&[NO_FRAMES.as_bytes(), reason.as_bytes(), b"\n"], question)
        }
        _ if collected.threads.is_empty() => on_heap(&[], question),
        Rest::Plain => {
            let text = plain::compose(&collected, sources).ok_or(Failure::NoMemory)?;
            on_heap(&[&text], question)
        }
        Rest::State(state) => {
            let kernel = (&found.tasks[..], &found.native[..]);
            let document = document::write(&collected, &state, sources, kernel, holder);
            let document = document.ok_or(Failure::NoMemory)?;
            on_heap(
                &[VERSION_LINE, &document, &state.variables.finish()],
                question,
            )
        }
        // It always needs the interpreter.
        Rest::OfSnippet => Err(Failure::NoModules),
    }
}

fn on_heap(pieces: &[&[u8]], question: u64) -> Result<*const c_char, Failure> {
    let copy = Heap::copy(pieces, question);
    match copy.is_null() {
        true => Err(Failure::NoMemory),
        false => Ok(copy),
    }
}
