//! Circles of those of whom each waits for the next.

use std::collections::HashSet;
use std::hash::Hash;

/// The circles among these, each from its lowest on and once, in order. `next` says for whom one waits.
pub(crate) fn circles<N: Copy + Ord + Hash>(
    mut nodes: Vec<N>,
    next: impl Fn(N) -> Option<N>,
) -> Vec<Vec<N>> {
    nodes.sort_unstable();
    let mut seen = HashSet::new();
    let mut circles = Vec::new();
    for first in nodes {
        let mut path = Vec::new();
        let mut node = Some(first);
        while let Some(one) = node.filter(|one| seen.insert(*one)) {
            path.push(one);
            node = next(one);
        }
        // The path has come back to itself: what stands before only leads into the circle.
        let begin = path.iter().position(|&one| Some(one) == node);
        if let Some(begin) = begin {
            let mut circle = path.split_off(begin);
            let lowest = (0..circle.len()).min_by_key(|&at| circle[at]).unwrap_or(0);
            circle.rotate_left(lowest);
            circles.push(circle);
        }
    }
    circles.sort_unstable();
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_circle_is_found_once() {
        let next = |one: u8| [3, 4, 9, 1, 2, 5, 4].get(usize::from(one)).copied();
        // 0 leads into 1, 4, 2 … no circle; 1 and 4 do not come back; 5 waits for itself; 6 leads to 4.
        assert_eq!(circles(vec![6, 5, 0], next), [vec![5]]);
        let pair = |one: u8| [1, 0, 1].get(usize::from(one)).copied();
        assert_eq!(circles(vec![2, 1, 0], pair), [vec![0, 1]]);
    }
}
