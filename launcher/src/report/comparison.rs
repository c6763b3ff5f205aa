//! Compares stacks of two reports, frame by frame, within a bound.

use std::collections::HashMap;

use crate::state::frame::{Frame, Stack};

/// How many frames are compared, of all stacks together. (5,000 threads with 1,000 frames each have half as many.)
const MOST_COMPARED: usize = 10_000_000;

/// Compares stacks.
#[derive(Default)]
pub(crate) struct Comparison<'a> {
    /// For each pair of stacks that has been compared, how many frames are where they were. Many threads may share one.
    kept: HashMap<(StackIdentity, StackIdentity), usize>,
    /// Two frames are at the same place if they have the same number. Many stacks may share one frame, whose texts are
    /// long.
    places: HashMap<PlaceOf<'a>, usize>,
    /// The numbers, by the address of the frame.
    numbers: HashMap<*const Frame, usize>,
    /// How many frames have been compared.
    compared: usize,
}

/// What tells a stack from others ([`Stack::identity`]).
type StackIdentity = (*const u32, *const Frame);

/// What makes a frame's place. Source text does not count: it may have become available meanwhile.
type PlaceOf<'a> = (Option<(&'a str, i64)>, &'a str);

impl<'a> Comparison<'a> {
    /// How many frames of a stack are where they were, counted from the outermost; `None` if that takes too long.
    pub(crate) fn kept_frames(&mut self, old: &'a Stack, new: &'a Stack) -> Option<usize> {
        let pair = (old.identity(), new.identity());
        if let Some(&kept) = self.kept.get(&pair) {
            return Some(kept);
        }
        if self.compared > MOST_COMPARED {
            return None;
        }
        let mut kept = 0;
        for (old, new) in old.iter().zip(new.iter()) {
            if self.number(old) != self.number(new) {
                break;
            }
            kept += 1;
        }
        self.compared += kept + 1;
        self.kept.insert(pair, kept);
        Some(kept)
    }

    fn number(&mut self, frame: &'a Frame) -> usize {
        let (places, next) = (&mut self.places, self.numbers.len());
        *self.numbers.entry(frame).or_insert_with(|| {
            let place = match frame {
                Frame::At(place) => (Some((&*place.file, place.line)), &*place.function),
                Frame::Mark(what) => (None, &**what),
            };
            *places.entry(place).or_insert(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_only_so_much() {
        let (old, new) = (
            Stack::at_lines(&[1, 2, 1, 2]),
            Stack::at_lines(&[1, 2, 1, 3]),
        );
        let mut comparison = Comparison::default();
        assert_eq!(comparison.kept_frames(&old, &new), Some(3));
        assert_eq!((comparison.compared, comparison.places.len()), (4, 3));
        comparison.compared = MOST_COMPARED + 1;
        assert_eq!(comparison.kept_frames(&old, &new), Some(3), "it is known");
        assert_eq!(comparison.kept_frames(&new, &old), None);
    }
}
