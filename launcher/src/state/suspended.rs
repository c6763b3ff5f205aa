//! The stacks of what is suspended: greenlets and generators.

use std::collections::HashMap;
use std::sync::Arc;

use crate::state::frame::{Frame, Stack};
use crate::state::variables::{StackVariables, Variables};

/// Stacks by the numbers below zero that they have in the document.
pub type SuspendedStacks = HashMap<i64, Arc<SuspendedStack>>;

/// A stack, and the variables of its frames.
#[derive(Clone, Debug, Default)]
pub struct SuspendedStack {
    /// The frames.
    stack: Stack,
    /// The variables of its frames, where they are known; none if they were not asked for.
    variables: StackVariables,
}

/// One stack of several, of which each waits for the next. Many chains of generators may have the same
/// stacks, which are not copied for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SuspendedChain {
    stacks: Vec<Arc<SuspendedStack>>,
}

impl SuspendedStack {
    /// A stack, and the variables of its frames, as far as they are known.
    pub fn new(stack: Stack, variables: StackVariables) -> SuspendedStack {
        SuspendedStack { stack, variables }
    }

    /// The variables of the frame with this index in the stack.
    fn variables_at(&self, index: usize) -> Option<Variables<'_>> {
        self.variables.at(self.stack.len().checked_sub(index + 1)?)
    }
}

impl PartialEq for SuspendedStack {
    /// Compares the frames.
    fn eq(&self, other: &SuspendedStack) -> bool {
        self.stack == other.stack
    }
}

impl SuspendedChain {
    /// The chain of these stacks.
    pub fn of(stacks: Vec<Arc<SuspendedStack>>) -> SuspendedChain {
        SuspendedChain { stacks }
    }

    /// How many frames it has.
    pub fn len(&self) -> usize {
        self.stacks.iter().map(|one| one.stack.len()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.stacks.iter().all(|one| one.stack.is_empty())
    }

    /// Its only stack, if no variables of it are known.
    pub fn bare_stack(&self) -> Option<&Stack> {
        match &self.stacks[..] {
            [one] if one.variables.is_empty() => Some(&one.stack),
            _ => None,
        }
    }

    /// Its frames, outermost first, with their variables where they are known.
    pub fn frames(&self) -> impl Iterator<Item = (&Frame, Option<Variables<'_>>)> + Clone {
        self.stacks.iter().flat_map(|one| {
            let frames = one.stack.iter().enumerate();
            frames.map(|(index, frame)| (frame, one.variables_at(index)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::variables::tests::stack_of;

    fn stack(frames: &[&str], known: usize) -> Arc<SuspendedStack> {
        let frames = frames.iter().map(|frame| Frame::Mark(frame.to_string()));
        let variables = match known {
            0 => StackVariables::default(),
            known => stack_of(known),
        };
        Arc::new(SuspendedStack::new(Stack::of(frames.collect()), variables))
    }

    fn known(chain: &SuspendedChain) -> Vec<bool> {
        chain.frames().map(|(_, known)| known.is_some()).collect()
    }

    #[test]
    fn frames_have_their_own_variables() {
        let (none, inner, whole) = (stack(&["a"], 0), stack(&["b", "c"], 1), stack(&["d"], 1));
        let alone = SuspendedChain::of(vec![Arc::clone(&none)]);
        assert!(alone.bare_stack().is_some());
        assert_eq!(known(&alone), [false]);
        let alone = SuspendedChain::of(vec![Arc::clone(&inner)]);
        assert!(alone.bare_stack().is_none());
        assert_eq!(known(&alone), [false, true]);
        let chain = [&none, &inner, &none, &whole, &none].map(Arc::clone);
        let chain = SuspendedChain::of(chain.to_vec());
        assert_eq!(known(&chain), [false, false, true, false, true, false]);
        let marks = ["a", "b", "c", "a", "d", "a"].map(|what| Frame::Mark(what.to_owned()));
        assert!(chain.frames().map(|(frame, _)| frame).eq(&marks));
        assert_eq!((chain.len(), chain.is_empty()), (6, false));
        // More than there are frames say nothing.
        let more = SuspendedChain::of(vec![stack(&["a"], 2)]);
        assert_eq!(known(&more), [true]);
    }
}
