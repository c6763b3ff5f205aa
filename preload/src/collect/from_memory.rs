//! Takes everything down from memory, without the GIL: for where a thread keeps that.
//!
//! On the worker, which holds nothing. Objects are looked at in copies, so that whatever becomes of them harms nobody; and
//! as the thread that has the GIL has not moved meanwhile, nobody else has changed them.

use crate::agent::failure::Failure;
use crate::agent::{desk, hold, threads};
use crate::collect::collected::Collected;
use crate::collect::state;
use crate::cpython::api::{PyObject, Python};
use crate::cpython::copies::Copies;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Access;
use crate::cpython::object::{Frame, Object};
use crate::cpython::thread_states;
use crate::inspect::objects::Objects;
use crate::system::memory_budget;
use protocol::question::Question;

/// How long it may take, in milliseconds.
const LONGEST: u32 = 600;

/// Takes it down, as this thread keeps the GIL, in words for this reason. `None` where objects are laid out otherwise than CPython's own, or where that is not known yet.
pub fn collect(
    python: &'static Python,
    question: &Question,
    keeper: usize,
    mut reason: String,
) -> Option<Result<Collected, Failure>> {
    let copies = Copies::default();
    let access = Access::to_copies(python, &copies);
    let objects = Objects::of(&access)?;
    if question.state && question.greenlets {
        reason.push_str("; greenlets and generators are not looked for");
    }
    let hold = hold::begin(LONGEST, Some(desk::request().unwrap_or(u32::MAX)));
    let taken = innermost_frames(python, objects.fields())
        .and_then(|(frames, are_all)| state::take_copied(objects, question, (&frames, are_all)));
    drop(hold);
    Some(taken.map(|mut collected| {
        collected.native.keeps_gil = keeper;
        Collected {
            from_memory: Some(reason),
            ..collected
        }
    }))
}

/// The identifier and the innermost frame of each thread that runs Python, sorted, and whether those are all.
fn innermost_frames<'g>(
    python: &Python,
    fields: Fields<'g>,
) -> Result<(Vec<(i64, Frame<'g>)>, bool), Failure> {
    let mut frames: Vec<(i64, Frame<'g>)> = Vec::new();
    let mut has_room = true;
    let are_all = thread_states::for_each(python, &mut |thread| {
        if thread.frame == 0 || threads::is_worker(thread.ident) {
            return true;
        }
        has_room = frames.try_reserve(1).is_ok();
        // SAFETY: without the GIL it is looked at in a copy, whatever it is.
        let frame = unsafe { Object::borrowed(thread.frame as *mut PyObject) };
        let frame = frame.and_then(|frame| fields.as_frame(frame));
        if has_room && let Some(frame) = frame {
            frames.push((thread.ident as i64, frame));
        }
        has_room && hold::look()
    });
    if !has_room || !memory_budget::has_memory_for(frames.len()) {
        return Err(Failure::NoMemory);
    }
    frames.sort_unstable_by_key(|&(ident, _)| ident);
    // A thread state that is put in front meanwhile may make a thread appear twice.
    frames.dedup_by_key(|&mut (ident, _)| ident);
    Ok((frames, are_all && !hold::is_over()))
}
