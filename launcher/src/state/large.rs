//! Large answers one after the other.
//!
//! Several large answers that have each got a part of the memory would all wait for the others. So each
//! waits until the one before it has been printed. Whoever answers slowly loses the turn, if others wait:
//! no process keeps others from being shown.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::system::interrupt;

/// How long a large answer may take to arrive while others wait. From memory 64 MB come in a few
/// hundredths of a second; in tests many run at once.
const LONGEST_ARRIVAL: Duration = Duration::from_secs(if cfg!(test) { 10 } else { 1 });

/// How often to look whether the turn has been held too long, and whether a signal asks us to stop.
const GLANCE: Duration = Duration::from_millis(20);

/// Whose turn it is.
struct Line {
    /// The number of the turn, and when its answer began to arrive; no time once it is there.
    now: Option<(u64, Option<Instant>)>,
    /// Those that wait, first come, first served.
    waiting: VecDeque<u64>,
    /// The number of the next that comes.
    next: u64,
}

static LINE: Mutex<Line> = Mutex::new(Line {
    now: None,
    waiting: VecDeque::new(),
    next: 0,
});

/// Wakes those that wait.
static ENDS: Condvar = Condvar::new();

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to be a large answer, until it is dropped.
#[derive(Debug)]
pub struct Turn(u64);

/// Waits for the turn, at most until then; `None` if it does not come. `arrives`: whether the answer has yet
/// to arrive, which may take so long only.
pub fn turn(until: Instant, arrives: bool) -> Option<Turn> {
    let mut line = line();
    let number = line.next;
    line.next += 1;
    line.waiting.push_back(number);
    loop {
        let now = Instant::now();
        let is_slow = |began: Instant| now.saturating_duration_since(began) > LONGEST_ARRIVAL;
        let is_free = match line.now {
            Some((_, began)) => began.is_some_and(is_slow),
            None => true,
        };
        if is_free && line.waiting.front() == Some(&number) {
            line.waiting.pop_front();
            line.now = Some((number, arrives.then_some(now)));
            return Some(Turn(number));
        }
        if now >= until || interrupt::asked_to_stop().is_some() {
            line.waiting.retain(|one| *one != number);
            ENDS.notify_all();
            return None;
        }
        let time = GLANCE.min(until - now);
        let waited = ENDS.wait_timeout(line, time);
        line = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Turn {
    /// Whether it has not been lost to another.
    pub fn is_ours(&self) -> bool {
        line().now.is_some_and(|(number, _)| number == self.0)
    }

    /// The answer is there: from here on the turn is not lost.
    pub fn has_arrived(&self) {
        if let Some((number, began)) = &mut line().now
            && *number == self.0
        {
            *began = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = line();
        if line.now.is_some_and(|(number, _)| number == self.0) {
            line.now = None;
            ENDS.notify_all();
        }
    }
}
