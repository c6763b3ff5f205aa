//! The document of a state, written as `marshal` would: [`protocol::state`] says what stands in it.

use crate::collect::collected::{Collected, State};
use crate::collect::stacks::CUT;
use crate::files::sources::Lines;
use crate::inspect::objects::LONGEST;
use crate::system::hash::Table;
use protocol::marshal::MarshalWriter;
use protocol::state::document;

/// A deeper stack is cut in the middle to this many frames; the snippet does the same.
pub const DEEPEST: usize = 10_000;

/// Lines of source that only the interpreter could find, in UTF-8, by the number of their place.
pub type Sources = Table<usize, Vec<u8>>;

/// Writes it, with the lines of source that were found in files and by the interpreter, and what the kernel
/// says. `None` if there is no memory. Needs no GIL.
pub fn write(
    collected: &Collected,
    state: &State,
    (lines, missing): (&Lines, &Sources),
    (tasks, native): (&[u8], &[u8]),
    holder: usize,
) -> Option<Vec<u8>> {
    let mut words = MarshalWriter::default();
    words.pairs();
    words.key(document::PYTHON);
    words.raw(&state.version);
    words.key(document::STACKS);
    words.list(collected.stacks.len());
    for calls in &collected.stacks {
        write_stack(calls, &mut words);
    }
    words.key(document::THREADS);
    words.list(collected.threads.len());
    for &(ident, stack) in &collected.threads {
        words.list(2);
        words.number(ident);
        words.number(stack as i64);
    }
    words.key(document::MORE);
    words.raw(&state.details);
    words.key(document::SUSPENDED);
    match &state.suspended {
        Some(suspended) => words.raw(suspended),
        None => words.none(),
    }
    let places = &collected.places;
    let mut sources: Vec<&[u8]> = Vec::new();
    sources.try_reserve_exact(places.len()).ok()?;
    sources.resize(places.len(), b"");
    for (index, line) in lines.iter() {
        sources[index] = &line[..line.len().min(LONGEST)];
    }
    for (&index, line) in missing {
        sources[index] = line;
    }
    words.key(document::PLACES);
    words.list(places.len());
    for (place, source) in places.iter().zip(sources) {
        words.list(4);
        for text in [places.file(place), places.function(place)] {
            words.text(&text[..text.len().min(LONGEST)]);
        }
        words.number(place.line);
        words.text(source);
    }
    words.key(document::TASKS);
    words.text(tasks);
    words.key(document::NATIVE);
    words.text(native);
    words.key(document::HOLDER);
    words.number(holder as i64);
    words.key(document::CUT);
    words.list(state.cut.len());
    for part in &state.cut {
        words.text(part.name().as_bytes());
    }
    words.key(document::LATE);
    words.list(state.variables.late.len());
    for &number in &state.variables.late {
        words.number(number);
    }
    words.key(document::FROM_MEMORY);
    words.text(collected.from_memory.as_deref().unwrap_or("").as_bytes());
    words.key(document::PROCESS_LOCKS);
    match &state.process_locks[..] {
        [] => words.list(0),
        locks => words.raw(locks),
    }
    words.end();
    words.finish()
}

/// Writes a stack, given innermost frame first.
fn write_stack(calls: &[u32], words: &mut MarshalWriter) {
    let half = DEEPEST / 2;
    // Below zero, where its outer end is not known.
    let (inner, left_out, outer) = match calls.split_last() {
        Some((&CUT, calls)) => {
            let shown = calls.len().min(half);
            let left_out = (calls.len() - shown).max(1);
            (&calls[..shown], -(left_out as i64), &[][..])
        }
        _ if calls.len() > DEEPEST => (
            &calls[..half],
            (calls.len() - 2 * half) as i64,
            &calls[calls.len() - half..],
        ),
        _ => (calls, 0, &[][..]),
    };
    let numbers = |calls: &[u32], words: &mut MarshalWriter| {
        let outermost_first = calls.iter().rev();
        outermost_first.for_each(|&index| words.number(index.into()));
    };
    let mark = if left_out != 0 { 2 } else { 0 };
    words.list(outer.len() + mark + inner.len());
    numbers(outer, words);
    if left_out != 0 {
        words.none();
        words.number(left_out);
    }
    numbers(inner, words);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of these numbers, with a `None` before those that stand for frames that were left out.
    fn list(
        outer: impl Iterator<Item = u32>,
        mark: Option<i64>,
        inner: impl Iterator<Item = u32>,
    ) -> Vec<u8> {
        let (outer, inner): (Vec<u32>, Vec<u32>) = (outer.collect(), inner.collect());
        let mut words = MarshalWriter::default();
        words.list(outer.len() + mark.map_or(0, |_| 2) + inner.len());
        outer.iter().for_each(|&one| words.number(one.into()));
        if let Some(count) = mark {
            words.none();
            words.number(count);
        }
        inner.iter().for_each(|&one| words.number(one.into()));
        words.finish().expect("memory")
    }

    fn written(depth: usize, end: &[u32]) -> Vec<u8> {
        let calls: Vec<u32> = (0..depth as u32).chain(end.iter().copied()).collect();
        let mut words = MarshalWriter::default();
        write_stack(&calls, &mut words);
        words.finish().expect("memory")
    }

    #[test]
    fn cuts_deep_stacks_in_the_middle() {
        let deepest = DEEPEST as u32;
        let numbers = |from: u32, to: u32| (from..to).rev();
        let none = || numbers(0, 0);
        assert_eq!(
            written(DEEPEST, &[]),
            list(none(), None, numbers(0, deepest))
        );
        let (outer, inner) = (
            numbers(deepest / 2 + 7, deepest + 7),
            numbers(0, deepest / 2),
        );
        assert_eq!(written(DEEPEST + 7, &[]), list(outer, Some(7), inner));
        // Where the outer end is not known.
        assert_eq!(written(3, &[CUT]), list(none(), Some(-1), numbers(0, 3)));
        let inner = numbers(0, deepest / 2);
        let more = i64::from(deepest / 2 + 1);
        assert_eq!(
            written(DEEPEST + 1, &[CUT]),
            list(none(), Some(-more), inner)
        );
    }
}
