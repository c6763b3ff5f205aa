//! Frames that `stacks.rs` notes for `facts.rs`.
//!
//! On the worker, under the GIL, from the one to the other.

use std::cell::UnsafeCell;
use std::hash::BuildHasherDefault;
use std::ops::Range;

use crate::cpython::api::PyObject;
use crate::cpython::gil::Gil;
use crate::system::hash::Table;

/// Frames in which a thread may hold a lock or have let go of it, as met while stacks are taken down: those
/// in `with` blocks or the like, and those of functions named `wait`. To follow all frames once more, for a
/// few, takes as long again where they do not fit into the processor's cache.
#[derive(Default)]
pub struct Noted {
    frames: Vec<*mut PyObject>,
    /// Which of them are in a stack, by its innermost frame.
    stacks: Table<usize, Range<usize>>,
    /// Where those of the present stack begin.
    begin: usize,
}

impl Noted {
    /// Notes a frame of the present stack; false if there is no memory.
    pub fn add(&mut self, frame: *mut PyObject) -> bool {
        let enough = self.frames.try_reserve(1).is_ok();
        if enough {
            self.frames.push(frame);
        }
        enough
    }

    /// Ends the stack that has this innermost frame; false if there is no memory.
    pub fn end_stack(&mut self, innermost: *mut PyObject) -> bool {
        let enough = self.stacks.try_reserve(1).is_ok();
        if enough {
            let range = self.begin..self.frames.len();
            self.begin = range.end;
            self.stacks.insert(innermost as usize, range);
        }
        enough
    }

    /// Keeps all that was noted until it is taken.
    pub fn keep(self, _: &mut Gil) {
        // SAFETY: only who holds the GIL is at it.
        unsafe { *NOTED.0.get() = self };
    }

    /// Those of the stacks that were last taken down, borrowed, if they have not been taken yet.
    pub fn take(_: &Gil) -> Noted {
        // SAFETY: only who holds the GIL is at it.
        unsafe { std::mem::take(&mut *NOTED.0.get()) }
    }

    /// Those of the stack with this innermost frame; `None` if it was not among them.
    pub fn of(&self, innermost: *mut PyObject) -> Option<&[*mut PyObject]> {
        let range = self.stacks.get(&(innermost as usize))?;
        self.frames.get(range.clone())
    }
}

struct Last(UnsafeCell<Noted>);
// SAFETY: read and written only by who holds the GIL.
unsafe impl Sync for Last {}
static NOTED: Last = Last(UnsafeCell::new(Noted {
    frames: Vec::new(),
    stacks: Table::with_hasher(BuildHasherDefault::new()),
    begin: 0,
}));

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn tells_which_frames_are_in_which_stack() {
        let [first, second, third] = [1, 2, 3].map(|number| (16 * number) as *mut PyObject);
        let mut noted = Noted::default();
        assert!(noted.add(first) && noted.add(second) && noted.end_stack(first));
        assert!(noted.end_stack(second));
        assert!(noted.add(third) && noted.end_stack(third));
        assert_eq!(noted.of(first), Some(&[first, second][..]));
        assert_eq!(noted.of(second), Some(&[][..]));
        assert_eq!(noted.of(third), Some(&[third][..]));
        assert_eq!(noted.of(std::ptr::null_mut()), None);
    }
}
