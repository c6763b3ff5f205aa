//! States that are printed together, below one verdict on all of them.
//!
//! An answer waits for those of the other processes that are asked, if they come soon, and if there is memory for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::find::target::Alive;
use crate::options::extent::Extent;
use crate::report::between_processes::BetweenProcesses;
use crate::report::movement::Movements;
use crate::report::verdict::Verdict;
use crate::report::{Report, fold, terminal};
use crate::system::process::Process;
use crate::trouble::Trouble;

/// How long the first answer waits for others. (An agent that gets no GIL answers after three seconds.)
const PATIENCE: Duration = Duration::from_secs(4);

/// The most memory that answers may take while they wait for others, in bytes.
const MOST_HELD: usize = 16 << 20;

/// A state that has not been printed yet.
pub struct Held {
    /// The process, if it was still there.
    pub alive: Option<Alive>,
    /// Its state.
    pub report: Box<Report>,
    /// What has moved in it, where it was asked before.
    pub movements: Option<Movements>,
}

/// States that wait for others.
#[derive(Default)]
pub struct Together {
    held: Vec<Held>,
    since: Option<Instant>,
    bytes: usize,
    /// Whether they are so large that the next could not arrive while they wait.
    are_large: bool,
}

impl Together {
    /// Takes one more.
    pub fn take(&mut self, mut held: Held) {
        self.since.get_or_insert_with(Instant::now);
        let memory = &mut held.report.state.memory;
        self.bytes += memory.taken();
        self.are_large |= self.bytes > MOST_HELD || !memory.keep();
        self.held.push(held);
    }

    /// Whether they have waited long enough, or have grown too many.
    pub fn are_due(&self) -> bool {
        self.are_large
            || self.bytes > MOST_HELD
            || self.since.is_some_and(|since| since.elapsed() > PATIENCE)
    }

    /// Prints them all below a verdict, and hands each out. `unanswered`: how many processes have not answered yet;
    /// `most`: how much is printed of each, in bytes.
    pub fn print(
        &mut self,
        unanswered: usize,
        extent: &Extent,
        coloured: bool,
        most: u64,
        mut fail: impl FnMut(Process, &Trouble),
    ) -> Vec<Held> {
        let all = std::mem::take(self).held;
        let reports: Vec<&Report> = all.iter().map(|one| &*one.report).collect();
        let Some(first) = reports.first() else {
            return all;
        };
        let between = BetweenProcesses::of(&reports);
        let verdict = Verdict::of(&reports, &between, unanswered);
        let printed = terminal::print_verdict(&verdict, coloured);
        let printed = printed.and_then(|()| terminal::print_between(&between, coloured));
        if let Err(trouble) = printed {
            fail(first.process, &trouble);
            return all;
        }
        for (one, others) in alike(&all, extent) {
            let movements = one.movements.as_ref();
            let report = (&*one.report, &others[..]);
            let printed = terminal::print_full(report, movements, extent, coloured, most);
            if let Err(trouble) = printed {
                fail(one.report.process, &trouble);
            }
        }
        all
    }
}

/// The states, each with the processes that are like it and stand in the same entry.
fn alike<'a>(all: &'a [Held], extent: &Extent) -> Vec<(&'a Held, Vec<Process>)> {
    let mut entries: Vec<(&Held, Vec<Process>)> = Vec::new();
    let mut found: HashMap<String, usize> = HashMap::new();
    for held in all {
        // Where moves are marked, each process has its own.
        let is_alone = all.len() == 1 || held.movements.is_some();
        let likeness = (!is_alone).then(|| fold::likeness(&held.report, extent));
        let new = entries.len();
        let at = match likeness.flatten() {
            Some(likeness) => *found.entry(likeness).or_insert(new),
            None => new,
        };
        match entries.get_mut(at) {
            Some((_, others)) => others.push(held.report.process),
            None => entries.push((held, Vec::new())),
        }
    }
    entries
}
