//! The stacks of what is suspended: greenlets and generators.

use std::collections::HashMap;
use std::sync::Arc;

use crate::state::frame::Stack;
use crate::state::variables::Variables;

/// Stacks by the numbers below zero that they have in the document.
pub type SuspendedStacks = HashMap<i64, SuspendedStack>;

/// A stack, and the variables of its frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SuspendedStack {
    /// The frames.
    pub stack: Stack,
    /// The variables of each frame, where they are known; empty if they were not asked for. Many chains
    /// of generators may have the same.
    variables: Vec<Option<Arc<Variables>>>,
}

impl SuspendedStack {
    /// A stack, and the variables of its frames, innermost first, as far as they are known.
    pub fn new(frames: Stack, innermost_first: Vec<Variables>) -> SuspendedStack {
        let mut variables = Vec::new();
        if !innermost_first.is_empty() {
            variables.resize(frames.len(), None);
            for (place, known) in variables.iter_mut().rev().zip(innermost_first) {
                *place = Some(Arc::new(known));
            }
        }
        SuspendedStack {
            stack: frames,
            variables,
        }
    }

    /// One stack of several, of which each waits for the next.
    pub fn chain<'a>(stacks: impl Iterator<Item = &'a SuspendedStack>) -> SuspendedStack {
        let (mut frames, mut variables) = (Vec::new(), Vec::new());
        for stack in stacks {
            frames.extend(stack.stack.iter().cloned());
            if stack.has_variables() {
                variables.resize(frames.len() - stack.stack.len(), None);
                variables.extend(stack.variables.iter().cloned());
            }
        }
        SuspendedStack {
            stack: Arc::new(frames),
            variables,
        }
    }

    /// Whether variables of any frame are known.
    pub fn has_variables(&self) -> bool {
        !self.variables.is_empty()
    }

    /// The variables of the frame with this index in the stack.
    pub fn variables_at(&self, index: usize) -> Option<&Variables> {
        self.variables.get(index)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::frame::Frame;

    fn stack(frames: &[&str], known: usize) -> SuspendedStack {
        let frames = frames.iter().map(|frame| Frame::Mark(frame.to_string()));
        let variables = vec![Variables::default(); known];
        SuspendedStack::new(Arc::new(frames.collect()), variables)
    }

    fn known(stack: &SuspendedStack) -> Vec<bool> {
        let indices = 0..stack.stack.len();
        indices.map(|at| stack.variables_at(at).is_some()).collect()
    }

    #[test]
    fn frames_have_their_own_variables() {
        let (none, inner, whole) = (stack(&["a"], 0), stack(&["b", "c"], 1), stack(&["d"], 1));
        assert!(!none.has_variables());
        assert_eq!(known(&none), [false]);
        assert_eq!(known(&inner), [false, true]);
        let chain = SuspendedStack::chain([&none, &inner, &none, &whole, &none].into_iter());
        assert_eq!(known(&chain), [false, false, true, false, true, false]);
        let frames = ["a", "b", "c", "a", "d", "a"];
        assert_eq!(chain.stack, stack(&frames, 0).stack);
        // More than there are frames say nothing.
        assert_eq!(known(&stack(&["a"], 2)), [true]);
    }
}
