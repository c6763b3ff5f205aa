//! One kind of program, asked in every way, turn by turn.

use std::thread::sleep;
use std::time::Duration;
use tests::interpreters::Interpreter;
use tests::measured::median;
use tests::scratch::Scratch;

use crate::asking::ask;
use crate::subject::Subject;
use crate::ways::{WAKE, Way};

/// The cost of one way of asking.
pub struct Cost {
    /// The name of the way.
    pub way: &'static str,
    /// Whether it was asked only once, so that the measurement is not a median.
    pub once: bool,
    /// The measurement; `None` if no answer came within the limit.
    pub seen: Option<Seen>,
}

/// The measurement of one way of asking.
#[derive(Clone, Copy)]
pub struct Seen {
    /// Seconds until the answer was there.
    pub answer: f64,
    /// The longest pause of the program, in seconds.
    pub held_up: f64,
    /// How much the program's memory grew at its peak, in bytes.
    pub program: u64,
    /// The command's peak memory, in bytes.
    pub command: u64,
}

/// One kind of program.
pub struct Block {
    /// How many threads it has, beside the main thread and the heartbeat.
    pub threads: usize,
    /// Whether one of them computes.
    pub busy: bool,
    /// How often it was asked in each way, except the ways that ask only once.
    pub turns: usize,
    /// The longest pause of the program while nobody asked, in seconds, within a span as long as the
    /// way without a debugger takes.
    pub nobody: f64,
    /// The cost of each way, in the order of the ways.
    pub costs: Vec<Cost>,
}

impl Block {
    /// The measurement of a way.
    pub fn seen(&self, way: &str) -> Option<Seen> {
        self.costs.iter().find(|cost| cost.way == way)?.seen
    }
}

/// How often to ask, so that the whole benchmark takes minutes.
fn turns(threads: usize) -> usize {
    match threads {
        ..=100 => 21,
        101..=500 => 7,
        _ => 5,
    }
}

/// Measures a kind of program.
pub fn measure(python: &Interpreter, ways: &[Way], threads: usize, busy: bool) -> Block {
    let folder = Scratch::new();
    let ask = |subject: &mut Subject, way: &Way| {
        let pid = subject.pid();
        let (asked, noticed) = subject.watch(|| ask(way, pid, threads, &folder))?;
        sleep(Duration::from_millis(20));
        Some(Seen {
            answer: asked.took,
            held_up: noticed.held_up,
            program: noticed.grown,
            command: asked.memory,
        })
    };
    // Only the first question makes a program grow, so each way asks a fresh program first. This
    // also fills the machine's caches.
    let first = |way: &Way| ask(&mut Subject::start(python, threads, busy), way);
    let mut costs: Vec<Cost> = ways
        .iter()
        .map(|way| Cost {
            way: way.name,
            once: threads >= way.once_from,
            seen: first(way),
        })
        .collect();

    let mut subject = Subject::start(python, threads, busy);
    let turns = turns(threads);
    let mut nobody = Vec::new();
    let mut seen: Vec<Vec<Seen>> = ways.iter().map(|_| Vec::new()).collect();
    for turn in 0..=turns {
        for (index, way) in ways.iter().enumerate() {
            if costs[index].once || costs[index].seen.is_none() {
                continue;
            }
            let Some(one) = ask(&mut subject, way) else {
                panic!("{} answered once, and then not within the limit", way.name);
            };
            // In the first turn the agent still creates what it keeps.
            if turn > 0 {
                seen[index].push(one);
            }
            if turn > 0 && way.name == WAKE {
                let span = Duration::from_secs_f64(one.answer);
                let alone = subject.watch(|| {
                    sleep(span);
                    Some(())
                });
                nobody.extend(alone.map(|(_, noticed)| noticed.held_up));
            }
        }
    }
    for (cost, seen) in costs.iter_mut().zip(&seen) {
        if let (Some(cost), false) = (&mut cost.seen, seen.is_empty()) {
            cost.answer = median(seen.iter().map(|one| one.answer));
            cost.held_up = median(seen.iter().map(|one| one.held_up));
            cost.command = median(seen.iter().map(|one| one.command as f64)) as u64;
        }
    }
    Block {
        threads,
        busy,
        turns,
        nobody: median(nobody),
        costs,
    }
}
