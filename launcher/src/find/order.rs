//! In which order to ask: no user's processes keep another's waiting.

use std::collections::{HashMap, VecDeque};

use crate::find::chosen::Chosen;

/// The processes in their order, but one of each user in turn. A user may have thousands of processes that
/// never answer.
pub fn in_turn(chosen: Vec<Chosen>) -> Vec<Chosen> {
    let user_of = |one: &Chosen| one.process.status().ok().map(|status| status.users[1]);
    one_of_each(chosen, user_of)
}

/// The items in their order, but one of each kind in turn.
fn one_of_each<T, K: Eq + std::hash::Hash>(items: Vec<T>, kind_of: impl Fn(&T) -> K) -> Vec<T> {
    let mut queues: Vec<VecDeque<T>> = Vec::new();
    let mut numbers: HashMap<K, usize> = HashMap::new();
    let count = items.len();
    for item in items {
        let number = *numbers.entry(kind_of(&item)).or_insert(queues.len());
        if number == queues.len() {
            queues.push(VecDeque::new());
        }
        queues[number].push_back(item);
    }
    let mut ordered = Vec::with_capacity(count);
    while ordered.len() < count {
        ordered.extend(queues.iter_mut().filter_map(VecDeque::pop_front));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_turn() {
        let items = vec!["a1", "a2", "a3", "b1", "c1", "b2"];
        let ordered = one_of_each(items, |item| item.as_bytes()[0]);
        assert_eq!(ordered, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(one_of_each(Vec::<u8>::new(), |item| *item).is_empty());
    }
}
