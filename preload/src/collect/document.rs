//! The document that the commands make their other formats of: all that was collected, written as
//! `marshal` would.
//!
//! [`protocol::state`] says what stands in it.

use crate::agent::failure::Failure;
use crate::cpython::api::PyObject;
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::system::hash::Table;
use protocol::marshal::MarshalWriter;
use protocol::state::document;

/// Makes it of what the snippet's `_collect` and `_read` have returned; nothing, if there is no thread.
///
/// # Safety
/// Holding the GIL, no exception set; the objects are alive, and nobody else knows of them.
pub unsafe fn of(
    objects: Objects,
    [collected, sources]: [*mut PyObject; 2],
    tasks: &[u8],
    holder: usize,
) -> Result<Vec<u8>, Failure> {
    let python = objects.python;
    // SAFETY: the caller's. All that is got here of tuples and lists is borrowed; they are as
    // `sleeper_agent.py` makes them.
    unsafe {
        let part = |index| (python.PyTuple_GetItem)(collected, index);
        let (threads, places, more) = (part(0), part(1), part(4));
        if (python.PyList_Size)(threads) == 0 {
            return Ok(Vec::new());
        }
        let mut words = MarshalWriter::default();
        words.pairs();
        words.key(document::PYTHON);
        let version = (python.PySys_GetObject)(c"version".as_ptr().cast_mut());
        // There may have been no memory for the name.
        (python.PyErr_Clear)();
        objects.write_text(version, &mut words);
        write_stacks(objects, threads, &mut words).ok_or(Failure::NoMemory)?;
        words.key(document::PLACES);
        each(objects, places, &mut words, |index, place, words| {
            words.list(4);
            for part in [0, 1] {
                objects.write_text((python.PyTuple_GetItem)(place, part), words);
            }
            words.number(objects.number((python.PyTuple_GetItem)(place, 2)));
            let source = (python.PyList_GetItem)(sources, index as isize);
            objects.write_text(source, words);
        });
        // With greenlets it is a tuple of both.
        let mut told = more;
        let mut suspended = python._Py_NoneStruct;
        if objects.is(more, python.PyTuple_Type) {
            [told, suspended] = [0, 1].map(|index| (python.PyTuple_GetItem)(more, index));
        }
        words.key(document::MORE);
        words.raw(objects.bytes(told).unwrap_or(b"N"));
        words.key(document::SUSPENDED);
        // By itself and not by the module, which may have to be imported, and then another thread may
        // hold the lock for that. It knows the kinds that are in it, and runs no code of theirs
        // (Python/marshal.c).
        let suspended = (python.PyMarshal_WriteObjectToString)(suspended, 0);
        if suspended.is_null() {
            return Err(raised(python));
        }
        words.raw(objects.bytes(suspended).unwrap_or(b"N"));
        (python.Py_DecRef)(suspended);
        words.key(document::TASKS);
        words.text(tasks);
        words.key(document::HOLDER);
        words.number(holder as i64);
        words.end();
        words.finish().ok_or(Failure::NoMemory)
    }
}

/// Writes the stacks of all threads, each once, and which of them are the threads'; `None`, if there is
/// no memory.
///
/// # Safety
/// As for [`of`].
unsafe fn write_stacks(
    objects: Objects,
    threads: *mut PyObject,
    words: &mut MarshalWriter,
) -> Option<()> {
    let python = objects.python;
    // SAFETY: the caller's.
    unsafe {
        let count = (python.PyList_Size)(threads).max(0);
        let thread = |index| {
            let thread = (python.PyList_GetItem)(threads, index);
            [0, 1].map(|part| (python.PyTuple_GetItem)(thread, part))
        };
        let mut stacks = Vec::new();
        let mut indices = Table::default();
        for [_, stack] in (0..count).map(thread) {
            indices.try_reserve(1).ok()?;
            stacks.try_reserve(1).ok()?;
            indices.entry(stack as usize).or_insert_with(|| {
                stacks.push(stack);
                stacks.len() - 1
            });
        }
        words.key(document::STACKS);
        words.list(stacks.len());
        for stack in stacks {
            each(objects, stack, words, |_, index, words| {
                match index == python._Py_NoneStruct {
                    true => words.none(),
                    false => words.number(objects.number(index)),
                }
            });
        }
        words.key(document::THREADS);
        words.list(count as usize);
        for [ident, stack] in (0..count).map(thread) {
            words.list(2);
            words.number(objects.number(ident));
            words.number(indices[&(stack as usize)] as i64);
        }
    }
    Some(())
}

/// Writes a list of what `write` makes of each item, and its index.
///
/// # Safety
/// As for [`of`]; it is a list.
unsafe fn each(
    objects: Objects,
    list: *mut PyObject,
    words: &mut MarshalWriter,
    write: impl Fn(usize, *mut PyObject, &mut MarshalWriter),
) {
    let python = objects.python;
    // SAFETY: the caller's.
    unsafe {
        let count = (python.PyList_Size)(list).max(0);
        words.list(count as usize);
        for index in 0..count {
            write(index as usize, (python.PyList_GetItem)(list, index), words);
        }
    }
}
