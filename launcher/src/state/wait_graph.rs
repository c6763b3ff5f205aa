//! Which threads wait for which, and the deadlocks among them.

use std::collections::{HashMap, HashSet};

use crate::state::thread::Thread;
use crate::state::wait::Wait;
use protocol::state::WaitKind;

/// How many threads are named that hold a lock, or may hold it: more would not help anybody.
const MOST_CANDIDATES: usize = 20;

/// Which threads wait for which.
pub struct WaitGraph<'a> {
    threads: HashMap<u64, &'a Thread>,
    /// By address of a lock, the threads that hold it for a `with` block.
    holders: HashMap<u64, Vec<u64>>,
    /// By address of a lock, the threads that have it in a variable, and may hold it.
    candidates: HashMap<u64, Vec<u64>>,
}

impl<'a> WaitGraph<'a> {
    /// The graph of all threads of a process.
    pub fn of(threads: &'a [Thread]) -> WaitGraph<'a> {
        let mut graph = WaitGraph {
            threads: threads.iter().map(|one| (one.ident, one)).collect(),
            holders: HashMap::new(),
            candidates: HashMap::new(),
        };
        for thread in threads {
            for hold in &thread.holds {
                let holders = graph.holders.entry(hold.id).or_default();
                if holders.len() < MOST_CANDIDATES && holders.last() != Some(&thread.ident) {
                    holders.push(thread.ident);
                }
            }
            // By lock and not by waiting thread: thousands may wait for one lock, and each has it in
            // a variable.
            for &id in &thread.may_hold {
                let candidates = graph.candidates.entry(id).or_default();
                let waits_too = || thread.wait.as_ref().is_some_and(|wait| wait.id == Some(id));
                if candidates.len() < MOST_CANDIDATES && !waits_too() {
                    candidates.push(thread.ident);
                }
            }
        }
        graph
    }

    /// The thread with this identifier.
    pub fn thread(&self, ident: u64) -> Option<&'a Thread> {
        self.threads.get(&ident).copied()
    }

    /// A thread's identifier, and its name if it has one.
    pub fn name(&self, ident: u64) -> String {
        match self.thread(ident).and_then(|thread| thread.name.as_ref()) {
            Some(name) => format!("{ident} {name:?}"),
            None => ident.to_string(),
        }
    }

    /// The identifiers of the threads that are known to keep a thread in this wait.
    pub fn holders(&self, wait: &Wait) -> Vec<u64> {
        let exists = |ident: &u64| self.threads.contains_key(ident);
        match (wait.kind, wait.id) {
            (WaitKind::RLock | WaitKind::Import, _) => {
                wait.owner.filter(exists).into_iter().collect()
            }
            (WaitKind::Thread, _) => wait.joined.filter(exists).into_iter().collect(),
            (WaitKind::Lock, Some(id)) => self.holders.get(&id).cloned().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The identifiers of threads that have the lock in a variable, where its holder is not known:
    /// Python 2 does not record who holds a plain lock. Threads that wait for it themselves are left
    /// out; and so are all after the first 20.
    pub fn candidates(&self, wait: &Wait) -> Vec<u64> {
        let Some(id) = wait.id.filter(|_| wait.kind == WaitKind::Lock) else {
            return Vec::new();
        };
        if !self.holders(wait).is_empty() {
            return Vec::new();
        }
        self.candidates.get(&id).cloned().unwrap_or_default()
    }

    /// The thread that this one waits for, if it is the only one and the wait has no timeout.
    fn next(&self, ident: u64) -> Option<u64> {
        let wait = self.thread(ident)?.wait.as_ref()?;
        match self.holders(wait)[..] {
            [holder] if wait.limited != Some(true) => Some(holder),
            _ => None,
        }
    }

    /// The deadlocks: circles of threads, by identifier, each of which waits for the next. A circle
    /// begins with its lowest identifier, and is listed once.
    pub fn deadlocks(&self) -> Vec<Vec<u64>> {
        let mut idents: Vec<u64> = self.threads.keys().copied().collect();
        idents.sort_unstable();
        let mut seen = HashSet::new();
        let mut circles = Vec::new();
        for first in idents {
            let mut path = Vec::new();
            let mut ident = Some(first);
            while let Some(one) = ident.filter(|one| seen.insert(*one)) {
                path.push(one);
                ident = self.next(one);
            }
            // The path has come back to itself: what stands before only leads into the circle.
            let begin = path.iter().position(|&one| Some(one) == ident);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::wait::{Hold, tests::wait};

    fn thread(ident: u64, wait: Wait, holds: &[u64]) -> Thread {
        let hold = |&id: &u64| Hold {
            id,
            file: String::new(),
            line: 1,
        };
        Thread {
            ident,
            wait: Some(wait),
            holds: holds.iter().map(hold).collect(),
            ..Thread::default()
        }
    }

    fn circles(threads: Vec<Thread>) -> Vec<Vec<u64>> {
        WaitGraph::of(&threads).deadlocks()
    }

    #[test]
    fn finds_each_circle_once() {
        let of_three = vec![
            thread(7, wait(WaitKind::Lock, 1), &[3]),
            thread(5, wait(WaitKind::Lock, 2), &[1]),
            thread(6, wait(WaitKind::Lock, 3), &[2]),
            // It waits for one of them, and is in no circle itself.
            thread(4, wait(WaitKind::Lock, 1), &[]),
        ];
        assert_eq!(circles(of_three), [[5, 6, 7]]);
        let own = vec![thread(5, wait(WaitKind::Lock, 1), &[1])];
        assert_eq!(circles(own), [[5]]);
        let mut by_owner = wait(WaitKind::RLock, 9);
        by_owner.owner = Some(6);
        let mut joins = wait(WaitKind::Thread, 8);
        joins.joined = Some(5);
        let mixed = vec![
            thread(5, by_owner.clone(), &[]),
            thread(6, joins.clone(), &[]),
        ];
        assert_eq!(circles(mixed), [[5, 6]]);
        // It will go on by itself.
        joins.limited = Some(true);
        let limited = vec![thread(5, by_owner, &[]), thread(6, joins, &[])];
        assert!(circles(limited).is_empty());
    }
}
