//! An answer, made in two steps: [`collect`] takes everything down under the GIL; once files have been read,
//! [`compose`] or [`compose_natively`] makes the answer of it.

use std::ffi::c_char;

use crate::agent::failure::Failure;
use crate::agent::page::Heap;
use crate::collect::collected::{Collected, Found, State};
use crate::collect::document::{self, Sources};
use crate::collect::{snippet, state};
use crate::cpython::gil::Gil;
use crate::cpython::object::Kept;
use crate::inspect::attributes;
use crate::inspect::objects::Objects;
use crate::script::undisturbed;
use crate::suspended::greenlets;
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
    attributes::forget();
    greenlets::forget();
}

/// Takes down where every thread is, on the worker. `is_wanted` says whether somebody still waits for the
/// answer. No exception is set, before and after.
pub fn collect(
    gil: &mut Gil,
    question: &Question,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Collected, Failure> {
    KEPT.put(gil, None);
    // Also for a state: linecache may have to find some of its lines.
    snippet::prepare(gil)?;
    // Where objects are laid out otherwise there is the text alone.
    let is_state = question.state && Objects::known(gil).is_some();
    let (mut collected, kept) = match is_state {
        true => state::collect(gil, question)?,
        false => snippet::collect(gil, question)?,
    };
    collected.keeps = kept.is_some();
    KEPT.put(gil, kept);
    if let Some(state) = &mut collected.state {
        // The program's code runs here, where that was asked for.
        undisturbed::keeping_exc_info(gil, |gil| {
            let length = question.length;
            state.variables.ask_objects(gil, length, is_wanted);
        });
    }
    Ok(collected)
}

/// Makes the answer where [`Collected::needs_interpreter`], on the heap. `holder` is the identifier of the
/// thread that held the GIL when it was asked for, or 0. No exception is set, before and after.
pub fn compose(
    gil: &mut Gil,
    collected: Collected,
    found: &Found,
    holder: usize,
) -> Result<*const c_char, Failure> {
    let kept = KEPT.take(gil);
    if collected.state.is_some() {
        let missing = state::missing(gil, &collected.places, kept, &found.lines)?;
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

/// Finishes a state.
fn finish(
    collected: Collected,
    found: &Found,
    missing: &Sources,
    holder: usize,
) -> Result<*const c_char, Failure> {
    // The plain text always needs the interpreter.
    let State {
        document,
        variables,
    } = collected.state.ok_or(Failure::NoModules)?;
    let Some(document) = document else {
        return on_heap(&[], collected.question);
    };
    let sources = (&found.lines, missing);
    let tasks = &found.tasks;
    let document = document::finish(document, &collected.places, sources, tasks, holder);
    let document = document.ok_or(Failure::NoMemory)?;
    let pieces = [VERSION_LINE, &document, &variables.finish()];
    on_heap(&pieces, collected.question)
}

fn on_heap(pieces: &[&[u8]], question: u64) -> Result<*const c_char, Failure> {
    let copy = Heap::copy(pieces, question);
    match copy.is_null() {
        true => Err(Failure::NoMemory),
        false => Ok(copy),
    }
}
