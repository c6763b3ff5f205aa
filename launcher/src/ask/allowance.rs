//! What one question may take: its time, and its place among the debuggers that run at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::system::interrupt;

/// The most debuggers at once, of all questions: each takes memory, and a processor to start.
const MOST_DEBUGGERS: usize = 8;

/// The debuggers that run now.
static DEBUGGERS: Mutex<usize> = Mutex::new(0);

/// Wakes whoever waits for a debugger to end.
static ENDS: Condvar = Condvar::new();

/// How often to look whether a signal asks us to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// What one question may take. It is shared by the thread that asks, which keeps to it, and the thread that
/// waits for the answer, which gives up on a thread that is stuck.
pub struct Allowance(Mutex<State>);

struct State {
    time: Duration,
    /// How much of the time was over before it began.
    spent: Duration,
    /// When its time began; `None` while it waits for its turn.
    begun: Option<Instant>,
    /// Whether it has a place among the debuggers.
    has_place: bool,
    /// Whether the thread that asks has been given up on.
    is_over: bool,
    /// How much longer than its time it may take where no other thread watches over that: then the kernel ends
    /// this command.
    unwatched: Option<Duration>,
}

impl State {
    /// The time begins, or goes on.
    fn begin(&mut self) {
        let now = Instant::now();
        self.begun = Some(now.checked_sub(self.spent).unwrap_or(now));
        self.set_alarm();
    }

    fn set_alarm(&self) {
        if let (Some(more), Some(begun)) = (self.unwatched, self.begun) {
            let left = self.time.saturating_sub(begun.elapsed());
            interrupt::end_after(Some(left + more));
        }
    }
}

impl Allowance {
    /// This time, from [`Allowance::begin`] on.
    pub fn new(time: Duration) -> Allowance {
        Allowance::partly_spent(time, Duration::ZERO)
    }

    /// The same, and so much of it is over by then.
    pub fn partly_spent(time: Duration, spent: Duration) -> Allowance {
        Allowance(Mutex::new(State {
            time,
            spent,
            begun: None,
            has_place: false,
            is_over: false,
            unwatched: None,
        }))
    }

    /// No thread watches over this question: the kernel ends this command if the question takes longer than its
    /// time by this.
    pub fn is_unwatched(&self, more: Duration) {
        self.state().unwatched = Some(more);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time begins.
    pub fn begin(&self) {
        self.state().begin();
    }

    /// Makes the time longer, if it is shorter than this.
    pub fn lengthen(&self, time: Duration) {
        let mut state = self.state();
        state.time = state.time.max(time);
        state.set_alarm();
    }

    /// The whole time.
    pub fn time(&self) -> Duration {
        self.state().time
    }

    /// The end of the time, if it has begun.
    pub fn end(&self) -> Option<Instant> {
        let state = self.state();
        state.begun.map(|begun| begun + state.time)
    }

    /// The end of the time, or of all of it from now on.
    pub fn until(&self) -> Instant {
        self.end().unwrap_or_else(|| Instant::now() + self.time())
    }

    /// What is left of the time.
    pub fn left(&self) -> Duration {
        self.until().saturating_duration_since(Instant::now())
    }

    /// Waits for a place among the debuggers; `None` if a signal asks us to stop, or at the end of the time.
    /// With `pauses` the time does not run meanwhile.
    pub fn place(&self, pauses: bool) -> Option<Place<'_>> {
        if pauses {
            let mut state = self.state();
            if let Some(begun) = state.begun.take() {
                state.spent = begun.elapsed();
            }
        }
        let mut count = DEBUGGERS.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let is_over = self.is_over() || (!pauses && self.left().is_zero());
            if is_over || interrupt::asked_to_stop().is_some() {
                return None;
            }
            if *count < MOST_DEBUGGERS {
                break;
            }
            let waited = ENDS.wait_timeout(count, GLANCE);
            count = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut state = self.state();
        *count += 1;
        state.has_place = true;
        if pauses {
            state.begin();
        }
        Some(Place(self))
    }

    /// The thread that asks is stuck: it may no longer keep others waiting.
    pub fn give_up(&self) {
        self.state().is_over = true;
        self.leave();
    }

    /// Whether this question has been given up.
    pub fn is_over(&self) -> bool {
        self.state().is_over
    }

    fn leave(&self) {
        if std::mem::take(&mut self.state().has_place) {
            *DEBUGGERS.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            ENDS.notify_one();
        }
    }
}

/// A place among the debuggers, until it is dropped.
pub struct Place<'a>(&'a Allowance);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let short = || Allowance::new(Duration::from_millis(60));
        let all: Vec<Allowance> = (0..MOST_DEBUGGERS).map(|_| short()).collect();
        let mut places: Vec<_> = all.iter().map(|one| one.place(true)).collect();
        assert!(places.iter().all(Option::is_some));
        let late = short();
        late.begin();
        assert!(late.place(false).is_none());
        assert!(late.left().is_zero());
        // A stuck thread keeps nobody waiting, and gives its place back only once.
        all[0].give_up();
        let next = short();
        let held = next.place(true);
        assert!(held.is_some() && !next.left().is_zero());
        places.remove(0);
        late.begin();
        assert!(late.place(false).is_none());
        assert!(all[0].place(true).is_none(), "it was given up");
        drop(held);
        assert!(late.place(true).is_some());
    }

    #[test]
    fn time_is_only_made_longer() {
        let one = Allowance::new(Duration::from_secs(30));
        one.begin();
        one.lengthen(Duration::from_secs(8));
        assert_eq!(one.time(), Duration::from_secs(30));
        one.lengthen(Duration::from_secs(65));
        assert!(one.left() > Duration::from_secs(60));
    }
}
