//! The snippet: `py-shim/sleeper_agent.py`, carried in the library, run under the GIL.

use std::ffi::{c_char, c_long};

use crate::agent::failure::Failure;
use crate::agent::page::Heap;
use crate::collect::collected::{Collected, Found};
use crate::collect::lock_frames::Noted;
use crate::collect::variables::{self, Values};
use crate::collect::{document, stacks, thread_details};
use crate::cpython::gil::Gil;
use crate::cpython::object::{Kept, Object, Owned};
use crate::cpython::thread_states;
use crate::files::sources::Lines;
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::script::{compile, undisturbed};
use crate::suspended::greenlets;
use protocol::message::FACTS;
use protocol::question::Question;

/// The text of the shim, NUL-terminated.
const TEXT: &str = concat!(include_str!("../../../py-shim/sleeper_agent.py"), "\0");

/// The snippet's functions, once it has been compiled.
static COLLECT: Kept = Kept::nothing();
static READ: Kept = Kept::nothing();
static COMPOSE: Kept = Kept::nothing();

/// What was taken down last, until it is made use of. Where the GIL comes back without the memory
/// that it takes to do so, the next question gives it back.
static UNUSED: Kept = Kept::nothing();

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for object in [&COLLECT, &READ, &COMPOSE, &UNUSED] {
        object.forget();
    }
    undisturbed::forget();
    thread_details::forget();
    greenlets::forget();
    stacks::forget();
}

/// Takes down where every thread is, for this request. No exception is set.
pub fn collect(gil: &mut Gil, request: u32, wanted: &Question) -> Result<Collected, Failure> {
    UNUSED.put(gil, None);
    prepare(gil)?;
    // Objects that are laid out otherwise are not looked into: there is the text alone.
    let facts = wanted.facts && Objects::known(gil).is_some();
    if facts {
        if !undisturbed::can_stop_collector(gil) {
            return Err(Failure::NoCollector);
        }
        thread_details::prepare(gil)?;
    }
    let also_greenlets = facts && wanted.greenlets;
    if also_greenlets {
        greenlets::prepare(gil)?;
    }
    let more = thread_details::MORE.get(gil).filter(|_| facts);
    let more = gil.own(more.unwrap_or_else(|| gil.none()));
    let mut frames = gil.own(gil.none());
    // Beside them are the frames of greenlets put: none of ours may be among them.
    if thread_states::has_dead() || also_greenlets {
        let live = undisturbed::alone(gil, |gil| live_frames(gil));
        frames = live.ok_or_else(|| raised(gil))?;
    }
    let mut values = Ok(Values::default());
    let object = undisturbed::alone(gil, |gil| {
        // Of greenlets it leaves out what there is no sense in, by way of an `except` clause.
        let object = match also_greenlets {
            true => undisturbed::keeping_exc_info(gil, |gil| {
                let collect = COLLECT.get(gil).map(|collect| gil.own(collect));
                gil.call(&greenlets::COLLECT, [collect, Some(more), Some(frames)])
            }),
            false => gil.call(&COLLECT, [Some(frames), Some(more)]),
        };
        if facts && (wanted.locals || wanted.globals) && object.is_some() {
            values = variables::take(gil, wanted);
        }
        object
    });
    // Of no use any more, if it was not asked for.
    drop(Noted::take(gil));
    let object = object.ok_or_else(|| raised(gil))?;
    let mut values = values?;
    // Kept, as the GIL may be let go of next.
    UNUSED.put(gil, Some(object));
    if wanted.repr {
        undisturbed::keeping_exc_info(gil, |gil| {
            values.ask_objects(gil, request, wanted.length);
        });
    }
    let values = values.finish();
    let made = UNUSED.get(gil).ok_or(Failure::ShuttingDown)?;
    // SAFETY: it is kept in UNUSED until what is returned has been made use of.
    Ok(unsafe { Collected::of(gil, made, facts, (wanted.number(), values)) })
}

/// Finds the lines of source that are missing, and makes the answer; it is on the heap. `holder` is
/// the identifier of the thread that held the GIL when it was asked for, or 0. No exception is set.
pub fn compose(
    gil: &mut Gil,
    collected: Collected,
    found: &Found,
    holder: usize,
) -> Result<*const c_char, Failure> {
    let wanted = collected.places.len();
    let facts = collected.idents.is_some();
    let (values, question) = (collected.values, collected.question);
    let heap = |pieces: &[&[u8]]| {
        let copy = Heap::copy(pieces, question);
        match copy.is_null() {
            true => Err(Failure::NoMemory),
            false => Ok(copy),
        }
    };
    let known = undisturbed::alone(gil, |gil| dictionary(gil, &found.lines));
    let collected = UNUSED.take(gil);
    let known = known.ok_or_else(|| raised(gil))?;
    let read = [
        collected.as_ref().map(|one| gil.own(one.object())),
        Some(known),
    ];
    let sources = if wanted > 0 && found.lines.iter().count() == wanted {
        undisturbed::alone(gil, |gil| gil.call(&READ, read))
    } else {
        // It asks linecache, which does input and output.
        undisturbed::keeping_exc_info(gil, |gil| gil.call(&READ, read))
    };
    let sources = sources.ok_or_else(|| raised(gil))?;
    if let Some(collected) = &collected
        && facts
        && Objects::known(gil).is_some()
    {
        let parts = [collected.object(), sources.object()];
        let document = document::of(gil, parts, &found.tasks, holder)?;
        return match document.is_empty() {
            true => heap(&[]),
            false => heap(&[FACTS, &document, &values]),
        };
    }
    let text = undisturbed::alone(gil, |gil| gil.call(&COMPOSE, [collected, Some(sources)]));
    let text = text.ok_or_else(|| raised(gil))?;
    match gil.bytes(text.object()) {
        Some(text) => heap(&[text]),
        None => Err(raised(gil)),
    }
}

/// Gives back what was taken down, where nobody waits for it any more.
pub fn discard(gil: &mut Gil, collected: Collected) {
    drop(collected);
    UNUSED.put(gil, None);
}

/// The lines that were found, by their places' numbers; `None`, with an exception set, if there is
/// no memory.
fn dictionary<'gil>(gil: &Gil<'gil>, lines: &Lines) -> Option<Owned<'gil>> {
    let known = gil.new_dict()?;
    for (index, line) in lines.iter() {
        let line = gil.new_str(line)?;
        put(gil, known.object(), index as c_long, line.object())?;
    }
    Some(known)
}

/// What `sys._current_frames()` would be, but for the threads that a fork has left behind; `None`,
/// with an exception set, if there is no memory.
fn live_frames<'gil>(gil: &Gil<'gil>) -> Option<Owned<'gil>> {
    let frames = gil.new_dict()?;
    let mut done = Some(());
    thread_states::for_each_frame(gil, &mut |ident, frame| {
        done = put(gil, frames.object(), ident as c_long, *frame);
        done.is_some()
    });
    done.map(|()| frames)
}

/// Puts an object into a dictionary under a number; `None`, with an exception set, if there is no
/// memory.
fn put(gil: &Gil, dictionary: Object, number: c_long, object: Object) -> Option<()> {
    let number = gil.new_int(number)?;
    gil.set_item(dictionary, number.object(), object)
}

/// Compiles the snippet, once.
fn prepare(gil: &mut Gil) -> Result<(), Failure> {
    undisturbed::find_collector(gil);
    if !COLLECT.is_empty() {
        return Ok(());
    }
    let functions = [
        (c"_read", &READ),
        (c"_compose", &COMPOSE),
        (c"_collect", &COLLECT),
    ];
    undisturbed::alone(gil, |gil| {
        compile::compile(
            gil,
            (TEXT, c"sleeper_agent.py"),
            &[c"sys", c"linecache"],
            stacks::put_in_place,
            &functions,
        )
    })
}
