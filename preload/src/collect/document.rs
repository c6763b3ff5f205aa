//! The document that the commands make their other formats of: all that was collected, written as
//! `marshal` would.
//!
//! It is a dictionary of
//!
//! * `python`: `sys.version`.
//! * `stacks`: a list of stacks. A stack is a list of indices of places, outermost first; where frames
//!   were left out it has `None`, and their number. Many threads are often in the same.
//! * `threads`: a list of threads: their identifiers, and the indices of their stacks. Numbers below
//!   zero are greenlets and generators.
//! * `places`: a list of places: file, function, line, and that line's text, or `None`.
//! * `more`: what there is to tell of threads beside that ([`crate::facts`]).
//! * `suspended`: the same of greenlets and generators (`greenlets.py`); or `None`.
//! * `tasks`: what the kernel says ([`crate::tasks`]).
//! * `holder`: the identifier of the thread that held the GIL when it was asked for, or 0.

use crate::agent::failure::Failure;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Object, Owned};
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::system::hash::Table;
use protocol::marshal::MarshalWriter;

/// Makes it of what the snippet's `_collect` and `_read` have returned; nothing, if there is no thread.
/// The objects are as `sleeper_agent.py` makes them, and nobody else knows of them.
pub fn of(
    gil: &mut Gil,
    [collected, sources]: [Object; 2],
    tasks: &[u8],
    holder: usize,
) -> Result<Vec<u8>, Failure> {
    let part = |gil: &Gil, index| match gil.tuple_item(collected, index) {
        Some(part) => Ok(part),
        None => Err(Failure::Raised),
    };
    let (threads, places, more) = (part(gil, 0)?, part(gil, 1)?, part(gil, 4)?);
    if gil.list_size(threads) == 0 {
        return Ok(Vec::new());
    }
    // With greenlets it is a tuple of both.
    let mut told = more;
    let mut suspended = gil.none();
    if more_is_pair(gil, more) {
        told = gil.tuple_item(more, 0).ok_or(Failure::Raised)?;
        suspended = gil.tuple_item(more, 1).ok_or(Failure::Raised)?;
    }
    // By itself and not by the module, which may have to be imported, and then another thread may
    // hold the lock for that. It knows the kinds that are in it, and runs no code of theirs
    // (Python/marshal.c).
    // SAFETY: the object is alive, and the reference is new.
    let suspended = unsafe {
        Owned::new(
            gil,
            (gil.PyMarshal_WriteObjectToString)(suspended.as_ptr(), 0),
        )
    };
    let suspended = suspended.ok_or_else(|| raised(gil))?;
    let objects = Objects::known(gil).ok_or(Failure::NoModules)?;
    let mut words = MarshalWriter::default();
    words.pairs();
    words.text(b"python");
    let version = objects.gil().of_sys(c"version");
    // There may have been no memory for the name.
    objects.clear_exception();
    objects.write_text(version, &mut words);
    write_stacks(objects, threads, &mut words).ok_or(Failure::NoMemory)?;
    words.text(b"places");
    each(objects, places, &mut words, |index, place, words| {
        words.list(4);
        for part in [0, 1] {
            objects.write_text(objects.tuple_item(place, part), words);
        }
        words.number(objects.number(objects.tuple_item(place, 2)));
        objects.write_text(objects.gil().list_item(sources, index), words);
    });
    words.text(b"more");
    words.raw(objects.text(told).unwrap_or(b"N"));
    words.text(b"suspended");
    words.raw(objects.text(suspended.object()).unwrap_or(b"N"));
    words.text(b"tasks");
    words.text(tasks);
    words.text(b"holder");
    words.number(holder as i64);
    words.end();
    words.finish().ok_or(Failure::NoMemory)
}

fn more_is_pair(gil: &Gil, more: Object) -> bool {
    Objects::known(gil).is_some_and(|objects| objects.is(more, gil.PyTuple_Type))
}

/// Writes the stacks of all threads, each once, and which of them are the threads'; `None`, if there is
/// no memory.
fn write_stacks<'g>(
    objects: Objects<'g>,
    threads: Object<'g>,
    words: &mut MarshalWriter,
) -> Option<()> {
    let pairs = || {
        objects.gil().list_items(threads).map(|thread| {
            let [ident, stack] = [0, 1].map(|part| objects.tuple_item(thread, part));
            Some((ident?, stack?))
        })
    };
    let mut stacks = Vec::new();
    let mut indices = Table::default();
    for pair in pairs() {
        let (_, stack) = pair?;
        indices.try_reserve(1).ok()?;
        stacks.try_reserve(1).ok()?;
        indices.entry(stack.address()).or_insert_with(|| {
            stacks.push(stack);
            stacks.len() - 1
        });
    }
    words.text(b"stacks");
    words.list(stacks.len());
    for stack in stacks {
        each(objects, stack, words, |_, index, words| {
            match index == objects.none() {
                true => words.none(),
                false => words.number(objects.number(index)),
            }
        });
    }
    words.text(b"threads");
    words.list(objects.list_size(threads));
    for pair in pairs() {
        let (ident, stack) = pair?;
        words.list(2);
        words.number(objects.number(ident));
        words.number(indices[&stack.address()] as i64);
    }
    Some(())
}

/// Writes a list of what `write` makes of each item, and its index.
fn each<'g>(
    objects: Objects<'g>,
    list: Object<'g>,
    words: &mut MarshalWriter,
    write: impl Fn(usize, Object<'g>, &mut MarshalWriter),
) {
    words.list(objects.list_size(list));
    for (index, item) in objects.gil().list_items(list).enumerate() {
        write(index, item, words);
    }
}
