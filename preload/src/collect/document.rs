//! The document of a state, written as `marshal` would: [`protocol::state`] says what stands in it.

use crate::collect::places::Places;
use crate::collect::stacks::{Stacks, Thread};
use crate::files::sources::Lines;
use crate::inspect::objects::{LONGEST, Objects};
use crate::system::hash::Table;
use protocol::marshal::MarshalWriter;
use protocol::state::document;

/// A deeper stack is cut in the middle to this many frames; the snippet does the same.
const DEEPEST: usize = 10_000;

/// Lines of source that only the interpreter could find, as they stand in the document, by the number of
/// their place.
pub type Sources = Table<usize, Vec<u8>>;

/// Begins it, with all that is known while the threads stand still. `details` and `suspended` are values as
/// they stand in it. `None`, with an exception set, if there is no memory.
pub fn begin<'g>(
    objects: Objects<'g>,
    stacks: &Stacks<'g>,
    threads: &[Thread<'g>],
    (details, suspended): (&[u8], Option<&[u8]>),
) -> Option<MarshalWriter> {
    let mut words = MarshalWriter::default();
    words.pairs();
    words.key(document::PYTHON);
    let version = objects.gil().of_sys(c"version");
    // There may have been no memory for the name.
    objects.clear_exception();
    objects.write_text(version, &mut words);
    let each = stacks.each()?;
    words.key(document::STACKS);
    words.list(each.len());
    for calls in each {
        write_stack(calls, &mut words);
    }
    words.key(document::THREADS);
    words.list(threads.len());
    for thread in threads {
        words.list(2);
        words.number(thread.ident);
        words.number(thread.stack.index as i64);
    }
    words.key(document::MORE);
    words.raw(details);
    words.key(document::SUSPENDED);
    match suspended {
        Some(suspended) => words.raw(suspended),
        None => words.none(),
    }
    Some(words)
}

/// Writes a stack, given innermost frame first.
fn write_stack(calls: &[usize], words: &mut MarshalWriter) {
    let half = DEEPEST / 2;
    let (inner, left_out, outer) = match calls.len() > DEEPEST {
        true => (
            &calls[..half],
            calls.len() - 2 * half,
            &calls[calls.len() - half..],
        ),
        false => (calls, 0, &[][..]),
    };
    let numbers = |calls: &[usize], words: &mut MarshalWriter| {
        let outermost_first = calls.iter().rev();
        outermost_first.for_each(|&index| words.number(index as i64));
    };
    let mark = if left_out > 0 { 2 } else { 0 };
    words.list(outer.len() + mark + inner.len());
    numbers(outer, words);
    if left_out > 0 {
        words.none();
        words.number(left_out as i64);
    }
    numbers(inner, words);
}

/// Finishes it, with the lines of source that were found in files and by the interpreter. `None` if there is
/// no memory.
pub fn finish(
    mut words: MarshalWriter,
    places: &Places,
    (lines, missing): (&Lines, &Sources),
    tasks: &[u8],
    holder: usize,
) -> Option<Vec<u8>> {
    let mut sources: Vec<&[u8]> = Vec::new();
    sources.try_reserve_exact(places.len()).ok()?;
    sources.resize(places.len(), b"");
    for (index, line) in lines.iter() {
        sources[index] = line;
    }
    let cut = |text: &[u8]| text.len().min(LONGEST);
    words.key(document::PLACES);
    words.list(places.len());
    for (index, place) in places.iter().enumerate() {
        words.list(4);
        for text in [places.file(place), places.function(place)] {
            words.text(&text[..cut(text)]);
        }
        words.number(place.line);
        match missing.get(&index) {
            Some(value) => words.raw(value),
            None => words.text(&sources[index][..cut(sources[index])]),
        }
    }
    words.key(document::TASKS);
    words.text(tasks);
    words.key(document::HOLDER);
    words.number(holder as i64);
    words.end();
    words.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::marshal::{Value, parse};

    #[test]
    fn cuts_deep_stacks_in_the_middle() {
        let written = |depth: usize| {
            let calls: Vec<usize> = (0..depth).collect();
            let mut words = MarshalWriter::default();
            write_stack(&calls, &mut words);
            words.finish().expect("memory")
        };
        let numbers = |from: usize, to: usize| (from..to).rev().map(|n| Value::Number(n as i64));
        let read = |depth: usize| {
            let bytes = written(depth);
            let (value, rest) = parse(&bytes).expect("a value");
            assert!(rest.is_empty());
            let items = value.list().expect("a list").iter();
            // What a list holds borrows from the bytes, which end here.
            items
                .map(|item| item.number::<i64>())
                .collect::<Vec<Option<i64>>>()
        };
        let expected = |values: &mut dyn Iterator<Item = Value<'static>>| {
            values
                .map(|value| value.number())
                .collect::<Vec<Option<i64>>>()
        };
        assert_eq!(read(DEEPEST), expected(&mut numbers(0, DEEPEST)));
        let outer = numbers(DEEPEST / 2 + 7, DEEPEST + 7);
        let inner = numbers(0, DEEPEST / 2);
        let mut all = outer.chain([Value::None, Value::Number(7)]).chain(inner);
        assert_eq!(read(DEEPEST + 7), expected(&mut all));
    }
}
