//! Frames in which a thread may hold a lock, noted while its stack is taken down.

use std::ops::Range;

/// Frames in which a thread may hold a lock or have let go of it: frames in `with` blocks or the
/// like, and frames of functions named `wait`. Following all frames a second time for these few
/// takes as long again where they do not fit into the processor's cache.
pub struct LockFrames<F> {
    frames: Vec<F>,
    /// Where the frames of the present stack begin.
    begin: usize,
}

impl<F> Default for LockFrames<F> {
    fn default() -> Self {
        LockFrames {
            frames: Vec::new(),
            begin: 0,
        }
    }
}

impl<F> LockFrames<F> {
    /// Notes a frame of the present stack; `None` if there is no memory.
    pub fn add(&mut self, frame: F) -> Option<()> {
        self.frames.try_reserve(1).ok()?;
        self.frames.push(frame);
        Some(())
    }

    /// Ends the present stack; returns the range of its frames, for [`LockFrames::of`].
    pub fn end_stack(&mut self) -> Range<usize> {
        let range = self.begin..self.frames.len();
        self.begin = range.end;
        range
    }

    /// The frames of a stack, innermost first.
    pub fn of(&self, range: Range<usize>) -> &[F] {
        &self.frames[range]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn keeps_the_frames_of_stacks_apart() {
        let mut frames = LockFrames::default();
        assert!(frames.add("first").is_some() && frames.add("second").is_some());
        let both = frames.end_stack();
        let none = frames.end_stack();
        assert!(frames.add("third").is_some());
        let one = frames.end_stack();
        assert_eq!(frames.of(both), ["first", "second"]);
        assert!(frames.of(none).is_empty());
        assert_eq!(frames.of(one), ["third"]);
    }
}
