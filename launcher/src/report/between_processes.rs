//! Deadlocks between processes: circles of threads of several processes that wait for each other.
//!
//! Enters: the reports of processes that are printed together. Leaves: the circles, in
//! words. A thread is held up if it waits without a time limit and everybody who could end its wait is held up too. Who
//! could, is known of threads and locks in a process ([`WaitGraph`]), of the end of a child, of pipes and sockets, and of
//! locks on files. All of them have to have waited at one moment: processes are asked one after the other, and two that
//! talk to each other wait in turn. A process is held up for others if none of its threads could do anything but wait for each other.
//! Whoever was not asked may do anything, so no circle leads through them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use crate::printable::Printable;
use crate::report::Report;
use crate::report::frames;
use crate::report::page::Page;
use crate::report::waits;
use crate::report::wakers::{Node, Waker, wakers};
use crate::state::circles::circles;
use crate::state::thread::Thread;
use crate::state::wait_graph::{self, WaitGraph};
use protocol::state::WaitKind;

/// The most threads that are kept of all processes together.
const MOST_THREADS: usize = 100_000;

/// The most circles that are told.
const MOST_CIRCLES: usize = 20;

/// A time off the CPU may be too high by this factor, and by so many seconds more ([`crate::system::idle_times`]).
const TOO_HIGH: f64 = 1.02;
const INEXACT: f64 = 0.05;

/// What is kept of a thread.
#[derive(Debug)]
struct Kept {
    main: bool,
    /// Those who could end its wait, if they are known and the wait has no time limit.
    wakers: Vec<Waker>,
    /// When its wait has begun at the latest, in seconds since 1970.
    since: f64,
    /// Whether only other threads of its process could end its wait, and it has no time limit.
    passive: bool,
    /// What is said of it in a circle: it waits for what, and where.
    words: String,
    place: String,
}

/// The waits of several processes.
#[derive(Debug)]
pub struct BetweenProcesses {
    threads: HashMap<Node, Kept>,
    /// The locks of multiprocessing, by the place of their semaphores.
    locks: HashMap<(String, u64), usize>,
    /// By index of a lock, the thread that holds it, and its name.
    owners: HashMap<usize, (Node, String)>,
    /// The threads of each process, in order.
    processes: HashMap<i32, Vec<u64>>,
    /// When the first of them was asked, in seconds since 1970: the waits that count had begun then.
    moment: f64,
    /// Whether there were too many.
    is_cut: bool,
}

impl Default for BetweenProcesses {
    fn default() -> BetweenProcesses {
        BetweenProcesses {
            threads: HashMap::new(),
            locks: HashMap::new(),
            owners: HashMap::new(),
            processes: HashMap::new(),
            moment: f64::INFINITY,
            is_cut: false,
        }
    }
}

impl BetweenProcesses {
    /// Those of these processes.
    pub fn of(reports: &[&Report]) -> BetweenProcesses {
        let mut between = BetweenProcesses::default();
        if reports.len() > 1 {
            reports.iter().for_each(|report| between.add(report));
        }
        between
    }

    /// Adds what a process has answered.
    fn add(&mut self, report: &Report) {
        let threads = &report.state.threads;
        if self.threads.len() + threads.len() > MOST_THREADS {
            self.is_cut = true;
            return;
        }
        let pid = report.process.pid;
        let asked = report.time.unwrap_or(f64::NEG_INFINITY);
        self.moment = self.moment.min(asked);
        let graph = WaitGraph::of(&report.state);
        // The process ends as its first thread does, which has its number; the module threading may call another the
        // main one.
        let innermost = report.process.status().ok().and_then(|one| one.innermost);
        let first = innermost.unwrap_or(pid);
        let is_main = |thread: &Thread| match &thread.task {
            Some(task) => task.number == first,
            None => thread.main,
        };
        let mut locks = HashMap::new();
        for lock in &report.state.process_locks {
            let Some(place) = &lock.place else {
                continue;
            };
            let next = self.locks.len();
            let index = *self.locks.entry(place.clone()).or_insert(next);
            locks.insert(lock.id, index);
            if let Some(owner) = lock.owner {
                self.owners.insert(index, ((pid, owner), graph.name(owner)));
            }
        }
        for thread in threads {
            let mut kept = kept((pid, asked), &graph, thread, is_main(thread));
            let wait = thread.wait.as_ref().filter(|_| kept.wakers.is_empty());
            let wait = wait.filter(|wait| wait.limited == Some(false));
            let lock = wait.and_then(|wait| Some((wait, *locks.get(&wait.id?)?)));
            if let Some((wait, lock)) = lock {
                kept.wakers = vec![Waker::Lock(lock)];
                kept.say(thread, &graph, &wait.words());
            }
            self.threads.insert((pid, thread.ident), kept);
        }
        let idents = threads.iter().map(|thread| thread.ident).collect();
        self.processes.insert(pid, idents);
    }

    /// The threads that are held up for ever: each waits, and so does everybody who could end its wait.
    fn held_up(&self) -> HashSet<Node> {
        let waits = self.threads.iter();
        let waits = waits.filter(|(_, one)| !one.wakers.is_empty() && one.since <= self.moment);
        let mut held: HashSet<Node> = waits.map(|(&node, _)| node).collect();
        loop {
            // Those who are not, because somebody may end their wait.
            let is_free = |node: &&Node| {
                let mut wakers = self.threads[*node].wakers.iter();
                wakers.any(|&waker| !self.is_held(waker, &held))
            };
            let free: Vec<Node> = held.iter().filter(is_free).copied().collect();
            if free.is_empty() {
                return held;
            }
            for node in free {
                held.remove(&node);
            }
        }
    }

    fn is_held(&self, waker: Waker, held: &HashSet<Node>) -> bool {
        match waker {
            Waker::Thread(node) => held.contains(&node),
            Waker::Lock(lock) => {
                (self.owners.get(&lock)).is_some_and(|(node, _)| held.contains(node))
            }
            Waker::Main(_) => self.node_of(waker, held).is_some(),
            Waker::Process(pid) => self.processes.get(&pid).is_some_and(|idents| {
                let mut nodes = idents.iter().map(|&ident| (pid, ident));
                let still = |node: &Node| {
                    let thread = &self.threads[node];
                    held.contains(node) || thread.passive && thread.since <= self.moment
                };
                !idents.is_empty() && nodes.all(|node| still(&node))
            }),
        }
    }

    /// The thread that stands for this waker: of a process the main thread, if it is held up.
    fn node_of(&self, waker: Waker, held: &HashSet<Node>) -> Option<Node> {
        let pid = match waker {
            Waker::Thread(node) => return Some(node),
            Waker::Lock(lock) => return self.owners.get(&lock).map(|&(node, _)| node),
            Waker::Main(pid) | Waker::Process(pid) => pid,
        };
        let nodes = self.processes.get(&pid)?.iter().map(|&ident| (pid, ident));
        let mut nodes = nodes.filter(|node| held.contains(node));
        let main = nodes.clone().find(|node| self.threads[node].main);
        match waker {
            Waker::Main(_) => main,
            _ => main.or_else(|| nodes.next()),
        }
    }

    /// The circles that lead through several processes, each from its lowest PID on.
    fn circles(&self) -> Vec<Vec<Node>> {
        let held = self.held_up();
        let next = |one: Node| {
            // One that leads to another process, as those lead out of it.
            let wakers = &self.threads[&one].wakers;
            let next = wakers.iter().filter_map(|&one| self.node_of(one, &held));
            let elsewhere = next.clone().find(|next| next.0 != one.0);
            elsewhere.or_else(|| next.clone().next())
        };
        let mut circles = circles(held.iter().copied().collect(), next);
        circles.retain(|circle| circle.iter().any(|one| one.0 != circle[0].0));
        circles
    }

    /// Writes the circles, if there are any.
    pub fn write(&self, text: &mut Page) {
        let circles = self.circles();
        for circle in circles.iter().take(MOST_CIRCLES) {
            let _ = writeln!(text, "Deadlock: {}:", heading(circle));
            circle.iter().for_each(|node| self.write_wait(text, node));
            text.push_str("\n");
        }
        if circles.len() > MOST_CIRCLES {
            let more = circles.len() - MOST_CIRCLES;
            let _ = writeln!(text, "and {more} more deadlocks between processes\n");
        }
        self.write_held_elsewhere(text, &circles);
        if self.is_cut {
            text.push_str("Not all processes were searched for deadlocks between them: there are too many threads\n\n");
        }
    }
}

impl BetweenProcesses {
    /// Of each circle what it is, and a line for each thread in it.
    pub fn lines(&self) -> Vec<(String, Vec<String>)> {
        let circles = self.circles().into_iter();
        let lines = circles.map(|circle| {
            let lines = circle.iter().map(|node| self.line(node));
            (heading(&circle), lines.collect())
        });
        lines.collect()
    }

    /// Writes what a thread waits for, and where.
    fn write_wait(&self, text: &mut Page, node: &Node) {
        let _ = writeln!(text, "  {}", Printable(&self.line(node)));
        text.push_str(&self.threads[node].place);
    }

    /// What a thread waits for.
    fn line(&self, node: &Node) -> String {
        let kept = &self.threads[node];
        let mut line = format!("PID {}: {}", node.0, kept.words);
        if let [Waker::Lock(lock)] = kept.wakers[..]
            && let Some(((pid, _), name)) = self.owners.get(&lock)
        {
            let _ = write!(line, ", held by PID {pid}, thread {name}");
        }
        line
    }

    /// Writes which locks of multiprocessing another process holds, but for those in circles.
    fn write_held_elsewhere(&self, text: &mut Page, circles: &[Vec<Node>]) {
        let told: HashSet<&Node> = circles.iter().flatten().collect();
        let waits = self.threads.iter().filter(|(node, kept)| {
            matches!(kept.wakers[..], [Waker::Lock(lock)] if self.owners.contains_key(&lock))
                && !told.contains(node)
        });
        let mut waits: Vec<&Node> = waits.map(|(node, _)| node).collect();
        waits.sort_unstable();
        if waits.is_empty() {
            return;
        }
        text.push_str("Another process holds what they wait for:\n");
        let (shown, rest) = waits.split_at(waits.len().min(MOST_CIRCLES));
        shown.iter().for_each(|node| self.write_wait(text, node));
        if !rest.is_empty() {
            let _ = writeln!(text, "  and {} more", rest.len());
        }
        text.push_str("\n");
    }
}

/// Who is in a circle.
fn heading(circle: &[Node]) -> String {
    let pids: HashSet<i32> = circle.iter().map(|one| one.0).collect();
    format!("{} processes wait for each other", pids.len())
}

impl Kept {
    /// Notes what is said of the thread's wait.
    fn say(&mut self, thread: &Thread, graph: &WaitGraph, what: &str) {
        self.words = format!("thread {} waits for {what}", graph.name(thread.ident));
        let innermost = waits::innermost(graph, wait_graph::Node::Thread(thread.ident));
        if let Some(frame) = waits::place(&innermost) {
            self.place = format!(" {}", frames::lines_of(frame));
        }
    }
}

/// What is kept of a thread of this process.
fn kept((pid, asked): (i32, f64), graph: &WaitGraph, thread: &Thread, main: bool) -> Kept {
    let off_cpu = thread.task.as_ref().and_then(|task| task.seconds);
    let mut kept = Kept {
        main,
        since: off_cpu.map_or(f64::INFINITY, |seconds| {
            asked - seconds / TOO_HIGH + INEXACT
        }),
        wakers: Vec::new(),
        passive: false,
        words: String::new(),
        place: String::new(),
    };
    let runs = thread.task.as_ref().is_some_and(|task| task.runs);
    let Some(wait) = thread
        .wait
        .as_ref()
        .filter(|wait| wait.limited != Some(true) && !runs)
    else {
        return kept;
    };
    kept.wakers = wakers(pid, graph, wait);
    // Without the threads that hold it, which others of the process may be.
    kept.passive = matches!(
        wait.kind,
        WaitKind::Lock
            | WaitKind::RLock
            | WaitKind::Condition
            | WaitKind::Event
            | WaitKind::Semaphore
            | WaitKind::Thread
            | WaitKind::QueueGet
            | WaitKind::QueuePut
            | WaitKind::QueueJoin
            | WaitKind::Import
    );
    if !kept.wakers.is_empty() {
        kept.say(thread, graph, &waits::of_thread(graph, thread, wait));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(between: &mut BetweenProcesses, node: Node, main: bool, wakers: &[Waker]) {
        let kept = Kept {
            main,
            since: 0.0,
            wakers: wakers.to_vec(),
            passive: false,
            words: String::new(),
            place: String::new(),
        };
        between.threads.insert(node, kept);
        between.processes.entry(node.0).or_default().push(node.1);
    }

    #[test]
    fn finds_circles_through_processes() {
        let mut between = BetweenProcesses::default();
        // A parent joins its child, whose exit waits for a thread that writes to a pipe of the parent's.
        thread(&mut between, (1, 10), true, &[Waker::Main(2)]);
        thread(&mut between, (2, 20), true, &[Waker::Thread((2, 21))]);
        thread(&mut between, (2, 21), false, &[Waker::Process(1)]);
        assert_eq!(between.circles(), [[(1, 10), (2, 20), (2, 21)]]);
        // It leads into the circle, and is in none.
        thread(&mut between, (3, 30), true, &[Waker::Process(2)]);
        assert_eq!(between.circles().len(), 1);
        // Somebody else may read the pipe.
        let kept = between.threads.get_mut(&(2, 21)).expect("a thread");
        kept.wakers.push(Waker::Process(4));
        assert!(between.circles().is_empty());
        kept_free_again(&mut between);
        // A thread of the parent's that may do anything.
        thread(&mut between, (1, 11), false, &[]);
        assert!(between.circles().is_empty());
        // One that waits for others of its process alone.
        between.threads.get_mut(&(1, 11)).expect("a thread").passive = true;
        assert_eq!(between.circles().len(), 1);
    }

    #[test]
    fn all_wait_at_one_moment() {
        let mut between = BetweenProcesses::default();
        thread(&mut between, (1, 10), true, &[Waker::Process(2)]);
        thread(&mut between, (2, 20), true, &[Waker::Process(1)]);
        between.moment = 7.0;
        assert_eq!(between.circles().len(), 1);
        // When the first was asked, this one had not begun to wait.
        between.threads.get_mut(&(2, 20)).expect("a thread").since = 7.5;
        assert!(between.circles().is_empty());
    }

    fn kept_free_again(between: &mut BetweenProcesses) {
        let kept = between.threads.get_mut(&(2, 21)).expect("a thread");
        kept.wakers.pop();
        assert_eq!(between.circles().len(), 1);
    }

    #[test]
    fn a_process_alone_makes_no_circle_here() {
        let mut between = BetweenProcesses::default();
        thread(&mut between, (1, 10), true, &[Waker::Process(1)]);
        thread(&mut between, (2, 20), true, &[Waker::Process(1)]);
        assert!(between.circles().is_empty());
    }
}
