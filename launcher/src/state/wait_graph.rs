//! Who waits for whom, and the deadlocks among them.

use std::collections::HashMap;

use crate::state::State;
use crate::state::circles::circles;
use crate::state::greenlet_wait::GreenletWait;
use crate::state::greenlets::Greenlet;
use crate::state::thread::Thread;
use crate::state::wait::{Certainty, Hold, SuspendedHolder, Wait};
use protocol::state::{GreenletWaitKind, WaitKind};

/// How many are named that hold a lock, or may hold it: more would not help anybody.
const MOST_CANDIDATES: usize = 20;

/// One that waits, or keeps others waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// The thread with this identifier.
    Thread(u64),
    /// The suspended greenlet at this address.
    Greenlet(u64),
    /// The suspended generator, or unknown greenlet, that has the frame at this address.
    Suspended(u64),
}

impl Node {
    /// The identifier, if it is a thread.
    pub fn thread(self) -> Option<u64> {
        match self {
            Node::Thread(ident) => Some(ident),
            Node::Greenlet(_) | Node::Suspended(_) => None,
        }
    }
}

/// Who waits for whom.
#[derive(Default)]
pub struct WaitGraph<'a> {
    threads: HashMap<u64, &'a Thread>,
    /// The suspended greenlets, by address.
    greenlets: HashMap<u64, &'a Greenlet>,
    /// What else is suspended and holds locks, by the address of its frame.
    suspended: HashMap<u64, &'a SuspendedHolder>,
    /// By address of a lock, those who hold it.
    holders: HashMap<u64, Vec<Node>>,
    /// By address of a lock, those who very likely hold it.
    likely: HashMap<u64, Vec<Node>>,
    /// By address of a lock, the threads that have it in a variable, and may hold it.
    candidates: HashMap<u64, Vec<u64>>,
}

impl<'a> WaitGraph<'a> {
    /// The graph of a process.
    pub fn of(state: &'a State) -> WaitGraph<'a> {
        let mut graph = WaitGraph::default();
        state.threads.iter().for_each(|one| graph.add_thread(one));
        let greenlets = state.greenlets.found();
        let suspended = greenlets.into_iter().flat_map(|found| &found.suspended);
        for greenlet in suspended.filter(|one| one.suspended) {
            graph.greenlets.insert(greenlet.id, greenlet);
            for hold in &greenlet.holds {
                graph.add_holder(hold, Node::Greenlet(greenlet.id));
            }
        }
        state
            .threads
            .iter()
            .for_each(|one| graph.add_suspended(one));
        graph
    }

    fn add_thread(&mut self, thread: &'a Thread) {
        self.threads.insert(thread.ident, thread);
        for hold in &thread.holds {
            self.add_holder(hold, Node::Thread(thread.ident));
        }
        // By lock and not by waiting thread: thousands may wait for one lock, and each has it in
        // a variable.
        for &id in &thread.may_hold {
            let candidates = self.candidates.entry(id).or_default();
            let waits_too = || thread.wait.as_ref().is_some_and(|wait| wait.id == Some(id));
            if candidates.len() < MOST_CANDIDATES && !waits_too() {
                candidates.push(thread.ident);
            }
        }
    }

    /// Adds what else is suspended and holds the lock that a thread waits for.
    fn add_suspended(&mut self, thread: &'a Thread) {
        let Some(lock) = thread.wait.as_ref().and_then(|wait| wait.id) else {
            return;
        };
        // Greenlets are known better where they have been searched for.
        let holders = self.holders_of(lock);
        let has_greenlet = holders.iter().any(|one| matches!(one, Node::Greenlet(_)));
        for holder in &thread.suspended_holders {
            let node = Node::Suspended(holder.frame);
            if (holder.generator || !has_greenlet) && !holders.contains(&node) {
                self.suspended.insert(holder.frame, holder);
                let holders = self.holders.entry(lock).or_default();
                if holders.len() < MOST_CANDIDATES {
                    holders.push(node);
                }
            }
        }
    }

    fn add_holder(&mut self, hold: &Hold, holder: Node) {
        let by_lock = match hold.certainty {
            Certainty::Held => &mut self.holders,
            Certainty::VeryLikely => &mut self.likely,
        };
        let holders = by_lock.entry(hold.id).or_default();
        if holders.len() < MOST_CANDIDATES && holders.last() != Some(&holder) {
            holders.push(holder);
        }
    }

    /// The thread with this identifier.
    pub fn thread(&self, ident: u64) -> Option<&'a Thread> {
        self.threads.get(&ident).copied()
    }

    /// The suspended greenlet at this address.
    pub fn greenlet(&self, id: u64) -> Option<&'a Greenlet> {
        self.greenlets.get(&id).copied()
    }

    /// What is suspended and has the frame at this address, and holds a lock.
    pub fn suspended(&self, frame: u64) -> Option<&'a SuspendedHolder> {
        self.suspended.get(&frame).copied()
    }

    /// Where a suspended greenlet holds this lock.
    pub fn hold(&self, greenlet: u64, lock: u64) -> Option<&'a Hold> {
        let mut holds = self.greenlet(greenlet)?.holds.iter();
        holds.find(|hold| hold.id == lock)
    }

    /// A thread's identifier, and its name if it has one.
    pub fn name(&self, ident: u64) -> String {
        match self.thread(ident).and_then(|thread| thread.name.as_ref()) {
            Some(name) => format!("{ident} {name:?}"),
            None => ident.to_string(),
        }
    }

    /// Those who are known to keep a thread in this wait.
    pub fn holders(&self, wait: &Wait) -> Vec<Node> {
        let thread = |ident: Option<u64>| {
            let ident = ident.filter(|ident| self.threads.contains_key(ident));
            ident.map(Node::Thread).into_iter().collect()
        };
        match (wait.kind, wait.id) {
            (
                WaitKind::RLock
                | WaitKind::Import
                | WaitKind::Gil
                | WaitKind::ProcessLock
                | WaitKind::ProcessRLock,
                _,
            ) => thread(wait.owner.filter(|_| wait.gone.is_none())),
            (WaitKind::Mutex | WaitKind::RwLock, _) => {
                thread(wait.c_owner.and_then(|owner| owner.ident))
            }
            (WaitKind::Thread, _) => thread(wait.joined),
            (WaitKind::Lock, Some(id)) => self.holders_of(id),
            _ => Vec::new(),
        }
    }

    /// Those who are known to keep a greenlet in this wait.
    pub fn holders_of_greenlet(&self, wait: &GreenletWait) -> Vec<Node> {
        match (wait.kind, wait.id) {
            (GreenletWaitKind::Greenlet, Some(id)) => {
                let ends = self.greenlet(id).map(|_| Node::Greenlet(id));
                ends.into_iter().collect()
            }
            (GreenletWaitKind::RLock, _) if wait.owner.is_some() => {
                let owner = wait.owner.filter(|id| self.greenlets.contains_key(id));
                owner.map(Node::Greenlet).into_iter().collect()
            }
            (
                GreenletWaitKind::Semaphore | GreenletWaitKind::Lock | GreenletWaitKind::RLock,
                Some(id),
            ) => self.holders_of(id),
            _ => Vec::new(),
        }
    }

    fn holders_of(&self, lock: u64) -> Vec<Node> {
        let by_lock = match self.holders.contains_key(&lock) {
            true => &self.holders,
            false => &self.likely,
        };
        by_lock.get(&lock).cloned().unwrap_or_default()
    }

    /// How certain it is that [`WaitGraph::holders`] hold what is waited for; `None` where there are none, or it is no
    /// lock.
    pub fn certainty(&self, wait: &Wait) -> Option<Certainty> {
        let id = wait.id?;
        match wait.kind {
            WaitKind::RLock => wait
                .owner
                .filter(|_| wait.gone.is_none())
                .map(|_| Certainty::Held),
            WaitKind::Lock if self.holders.contains_key(&id) => Some(Certainty::Held),
            WaitKind::Lock if self.likely.contains_key(&id) => Some(Certainty::VeryLikely),
            _ => None,
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

    /// The one that this one waits for, if it is the only one and the wait has no timeout.
    fn next(&self, node: Node) -> Option<Node> {
        let holders = match node {
            Node::Suspended(frame) => {
                let thread = self.suspended(frame)?.thread;
                let thread = thread.filter(|ident| self.threads.contains_key(ident));
                thread.map(Node::Thread).into_iter().collect()
            }
            Node::Thread(ident) => {
                let wait = self.thread(ident)?.wait.as_ref()?;
                let goes_on = wait.limited == Some(true);
                // Processes signal to each other with such a lock: whoever waits acquires it twice. So may threads.
                let is_signal = wait.kind == WaitKind::ProcessLock
                    || self.certainty(wait) == Some(Certainty::VeryLikely);
                let holders = self.holders(wait).into_iter();
                holders
                    .filter(|&holder| !(goes_on || is_signal && holder == node))
                    .collect()
            }
            Node::Greenlet(id) => {
                let greenlet = self.greenlet(id)?;
                // No greenlet of a thread runs while the thread itself waits for somebody.
                let thread = greenlet.thread.map(Node::Thread);
                let stuck = thread.filter(|&thread| self.next(thread).is_some());
                match (stuck, &greenlet.waits_for) {
                    (Some(thread), _) => vec![thread],
                    (None, Some(wait)) if wait.has_one_holder() => self.holders_of_greenlet(wait),
                    (None, _) => Vec::new(),
                }
            }
        };
        match holders[..] {
            [holder] => Some(holder),
            _ => None,
        }
    }

    /// The deadlocks: circles of those of whom each waits for the next. A circle begins with its lowest
    /// thread or, if it has none, its lowest greenlet, and is listed once.
    pub fn deadlocks(&self) -> Vec<Vec<Node>> {
        let threads = self.threads.keys().map(|&ident| Node::Thread(ident));
        let greenlets = self.greenlets.keys().map(|&id| Node::Greenlet(id));
        // Whatever else is suspended is only found by who waits for it.
        circles(threads.chain(greenlets).collect(), |node| self.next(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::greenlets::{Greenlets, tests::greenlet};
    use crate::state::search::Search;
    use crate::state::wait::tests::wait;
    use protocol::state::GoneKind;

    fn thread(ident: u64, wait: Wait, holds: &[u64]) -> Thread {
        let hold = |&id: &u64| Hold {
            id,
            file: String::new(),
            line: 1,
            certainty: Certainty::Held,
        };
        Thread {
            ident,
            wait: Some(wait),
            holds: holds.iter().map(hold).collect(),
            ..Thread::default()
        }
    }

    fn circles(threads: Vec<Thread>) -> Vec<Vec<Node>> {
        WaitGraph::of(&State::of_threads(threads)).deadlocks()
    }

    fn of_threads(idents: &[u64]) -> Vec<Node> {
        idents.iter().map(|&ident| Node::Thread(ident)).collect()
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
        assert_eq!(circles(of_three), [of_threads(&[5, 6, 7])]);
        let own = vec![thread(5, wait(WaitKind::Lock, 1), &[1])];
        assert_eq!(circles(own), [of_threads(&[5])]);
        let mut by_owner = wait(WaitKind::RLock, 9);
        by_owner.owner = Some(6);
        let mut joins = wait(WaitKind::Thread, 8);
        joins.joined = Some(5);
        let mixed = vec![
            thread(5, by_owner.clone(), &[]),
            thread(6, joins.clone(), &[]),
        ];
        assert_eq!(circles(mixed), [of_threads(&[5, 6])]);
        // It will go on by itself.
        joins.limited = Some(true);
        let limited = vec![thread(5, by_owner, &[]), thread(6, joins, &[])];
        assert!(circles(limited).is_empty());
    }

    #[test]
    fn believes_in_what_is_very_likely_where_two_wait() {
        let likely = |ident, lock, held: &[u64]| {
            let mut thread = thread(ident, wait(WaitKind::Lock, lock), held);
            let holds = thread.holds.iter_mut();
            holds.for_each(|hold| hold.certainty = Certainty::VeryLikely);
            thread
        };
        let two = vec![likely(5, 1, &[2]), likely(6, 2, &[1])];
        assert_eq!(circles(two), [of_threads(&[5, 6])]);
        assert!(circles(vec![likely(5, 1, &[1])]).is_empty());
        // Who certainly holds it does so alone.
        let three = vec![
            likely(5, 1, &[2]),
            likely(6, 2, &[1]),
            thread(7, wait(WaitKind::Sleep, 0), &[1]),
        ];
        assert!(circles(three).is_empty());
        let mut gone = wait(WaitKind::RLock, 9);
        (gone.owner, gone.gone) = (Some(6), Some(GoneKind::Replaced));
        let replaced = vec![
            thread(5, gone, &[3]),
            thread(6, wait(WaitKind::Lock, 3), &[]),
        ];
        assert!(circles(replaced).is_empty());
    }

    #[test]
    fn finds_circles_of_greenlets() {
        use GreenletWaitKind::{Greenlet, Sleep};
        let found = |suspended: Vec<_>| {
            let mut state = State::of_threads(vec![thread(5, wait(WaitKind::Sleep, 1), &[])]);
            state.greenlets = Search::Found(Greenlets {
                suspended,
                ..Greenlets::default()
            });
            WaitGraph::of(&state).deadlocks()
        };
        let circle = vec![
            greenlet(16, 5, Greenlet, 32),
            greenlet(32, 5, Greenlet, 16),
            greenlet(48, 5, Greenlet, 16),
        ];
        let nodes = vec![Node::Greenlet(16), Node::Greenlet(32)];
        assert_eq!(found(circle), [nodes]);
        let ends = vec![greenlet(16, 5, Greenlet, 32), greenlet(32, 5, Sleep, 16)];
        assert!(found(ends).is_empty());
    }
}
