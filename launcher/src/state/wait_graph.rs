//! Who waits for whom, and which threads wait for each other in a circle.

use std::collections::{HashMap, HashSet};

use crate::state::thread::Thread;
use crate::state::wait::{MOST_CANDIDATES, Wait};
use protocol::state::WaitKind;

/// A thread's identifier, and its name.
pub(crate) fn name(waits: &Waits, ident: u64) -> String {
    match waits.thread(ident).and_then(|thread| thread.name.as_ref()) {
        Some(name) => format!("{ident} {name:?}"),
        None => ident.to_string(),
    }
}

/// Who waits for whom.
pub struct Waits<'a> {
    threads: HashMap<u64, &'a Thread>,
    /// The threads that hold a lock for a `with` block, by its address.
    holding: HashMap<u64, Vec<u64>>,
    /// Those that have it in a variable, and may hold it.
    candidates: HashMap<u64, Vec<u64>>,
}

impl<'a> Waits<'a> {
    /// Of these threads.
    pub fn of(threads: &'a [Thread]) -> Waits<'a> {
        let mut waits = Waits {
            threads: threads.iter().map(|one| (one.ident, one)).collect(),
            holding: HashMap::new(),
            candidates: HashMap::new(),
        };
        for thread in threads {
            for hold in &thread.holds {
                let holding = waits.holding.entry(hold.id).or_default();
                if holding.last() != Some(&thread.ident) {
                    holding.push(thread.ident);
                }
            }
            // Once for all that wait for a lock: these may be thousands, and all of them have it.
            for &id in &thread.has {
                let candidates = waits.candidates.entry(id).or_default();
                let waits_too = || thread.wait.as_ref().is_some_and(|wait| wait.id == Some(id));
                if candidates.len() < MOST_CANDIDATES && !waits_too() {
                    candidates.push(thread.ident);
                }
            }
        }
        waits
    }

    /// The thread with this identifier.
    pub fn thread(&self, ident: u64) -> Option<&'a Thread> {
        self.threads.get(&ident).copied()
    }

    /// The threads, by identifier, that are known to keep one waiting that waits for this.
    pub fn holders(&self, wait: &Wait) -> Vec<u64> {
        let there = |ident: &u64| self.threads.contains_key(ident);
        match (wait.kind, wait.id) {
            (WaitKind::RLock | WaitKind::Import, _) => {
                wait.owner.filter(there).into_iter().collect()
            }
            (WaitKind::Thread, _) => wait.joined.filter(there).into_iter().collect(),
            (WaitKind::Lock, Some(id)) => self.holding.get(&id).cloned().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The threads that have a lock in a variable, where it is not known which of them holds it:
    /// Python 2 keeps no record of that for a plain lock. Those that wait for it themselves are left
    /// out, and after the first so many all others.
    pub fn candidates(&self, wait: &Wait) -> Vec<u64> {
        let Some(id) = wait.id.filter(|_| wait.kind == WaitKind::Lock) else {
            return Vec::new();
        };
        if !self.holders(wait).is_empty() {
            return Vec::new();
        }
        self.candidates.get(&id).cloned().unwrap_or_default()
    }

    /// Whom a thread waits for without limit, if that is one thread and known.
    fn next(&self, ident: u64) -> Option<u64> {
        let wait = self.thread(ident)?.wait.as_ref()?;
        match self.holders(wait)[..] {
            [holder] if wait.limited != Some(true) => Some(holder),
            _ => None,
        }
    }

    /// Threads that wait for each other in a circle, each for the next one, by identifier. Each
    /// circle once, from its lowest identifier on.
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
            // Back on this very path: what comes before leads into the circle.
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
