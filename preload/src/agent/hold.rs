//! The hold: how long the worker may keep the GIL for the answer that it is making.
//!
//! The program stands still meanwhile, and what it has in memory decides how much work there is: a dictionary
//! may have a hundred million empty slots. So every loop whose length the program decides calls [`spend`],
//! and ends when that says so. It also ends when the asker has withdrawn its request.
//!
//! On the worker, while it holds the GIL, or reads memory without it. Where no hold has begun, as at the boot, there is
//! no limit.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::agent::desk;
use crate::system::futex::Instant;

/// What is left of the hold after the work is for what nothing can cut: giving memory back, handing over.
const FOR_WORK: u64 = 2;
const IN_ALL: u64 = 3;

/// How many units are spent between two looks at the clock. A unit is a step of some 10 ns: a slot of a
/// dictionary that is in the processor's cache. A step that has to fetch memory takes ten times as long, so
/// the hold ends 0.1 ms late at most.
const BETWEEN_LOOKS: i32 = 1000;

/// When the hold has begun and when its work has to end, and the same of the present part of it ([`Instant`],
/// in nanoseconds).
static BEGUN: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(u64::MAX);
static PART_BEGUN: AtomicU64 = AtomicU64::new(0);
static PART_END: AtomicU64 = AtomicU64::new(u64::MAX);

/// The request that the hold is for; 0: it is for none.
static REQUEST: AtomicU32 = AtomicU32::new(0);

/// Units left until the next look at the clock.
static UNITS: AtomicI32 = AtomicI32::new(BETWEEN_LOOKS);

/// Whether the time for the present part is used up.
static OVER: AtomicBool = AtomicBool::new(false);

/// A hold. It ends when this is dropped.
pub struct Hold(());

/// Begins a hold of so many milliseconds for a request; two thirds of them are for work.
pub fn begin(milliseconds: u32, request: Option<u32>) -> Hold {
    let now = Instant::now();
    let work = u64::from(milliseconds) * 1_000_000 * FOR_WORK / IN_ALL;
    BEGUN.store(now.0, Relaxed);
    END.store(now.after(work).0, Relaxed);
    REQUEST.store(request.unwrap_or(0), Relaxed);
    set_part(now.after(work));
    Hold(())
}

impl Drop for Hold {
    fn drop(&mut self) {
        forget();
    }
}

/// There is no hold: it has ended, or this is a forked child, and it was the parent's.
pub fn forget() {
    END.store(u64::MAX, Relaxed);
    REQUEST.store(0, Relaxed);
    set_part(Instant(u64::MAX));
}

/// What comes next may go on until so many thousandths of the time for work are used up.
pub fn part(thousandths: u64) {
    let (begun, end) = (BEGUN.load(Relaxed), END.load(Relaxed));
    if end != u64::MAX {
        set_part(Instant(
            begun + (end - begun) / 1000 * thousandths.min(1000),
        ));
    }
}

/// What comes next may use so many thousandths of the time that is left for work.
pub fn share(thousandths: u64) {
    let (now, end) = (Instant::now(), END.load(Relaxed));
    if end != u64::MAX {
        set_part(now.after(end.saturating_sub(now.0) / 1000 * thousandths.min(1000)));
    }
}

fn set_part(end: Instant) {
    PART_BEGUN.store(Instant::now().0, Relaxed);
    PART_END.store(end.0, Relaxed);
    OVER.store(false, Relaxed);
    UNITS.store(BETWEEN_LOOKS, Relaxed);
}

/// How many thousandths of the present part are used up: 1000 or more if it is over.
pub fn used() -> u64 {
    let begun = PART_BEGUN.load(Relaxed);
    let all = (PART_END.load(Relaxed).saturating_sub(begun) / 1000).max(1);
    let used = Instant::now().0.saturating_sub(begun) / all;
    match is_withdrawn() {
        true => used.max(1000),
        false => used,
    }
}

/// When the present part has to end.
pub fn end() -> Instant {
    Instant(PART_END.load(Relaxed))
}

/// Spends so many units; false once the time for the present part is used up, or nobody waits for the answer.
#[inline]
pub fn spend(units: usize) -> bool {
    let left = UNITS.load(Relaxed) - units.min(BETWEEN_LOOKS as usize) as i32;
    UNITS.store(left, Relaxed);
    match left > 0 {
        true => !OVER.load(Relaxed),
        false => look(),
    }
}

/// The same, with a look at the clock: before a step that takes long and cannot be cut.
#[cold]
pub fn look() -> bool {
    UNITS.store(BETWEEN_LOOKS, Relaxed);
    if !OVER.load(Relaxed) {
        let is_late = Instant::now().0 >= PART_END.load(Relaxed);
        OVER.store(is_late || is_withdrawn(), Relaxed);
    }
    !OVER.load(Relaxed)
}

/// Whether [`spend`] has said that the time is used up.
pub fn is_over() -> bool {
    OVER.load(Relaxed)
}

/// Whether the asker has given up.
fn is_withdrawn() -> bool {
    let request = REQUEST.load(Relaxed);
    request != 0 && desk::request() != Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, as there is one hold.
    #[test]
    fn a_hold_ends_with_its_time_and_each_part_with_its_own() {
        let is_cut = |most: usize| (0..most).any(|_| !spend(1));
        assert!(!is_cut(100_000), "no hold, no limit");
        let hold = begin(30, None);
        let begun = Instant::now();
        part(100);
        assert!(is_cut(usize::MAX) && is_over() && used() >= 1000);
        part(1000);
        assert!(spend(1) && !is_over());
        share(1000);
        while spend(usize::MAX) {}
        assert!(Instant::now() >= begun.after(19_000_000));
        assert!(!look(), "it stays over");
        drop(hold);
        assert!(!is_over() && !is_cut(100_000));
        // Nobody has laid this request down.
        let hold = begin(1_000_000, Some(u32::MAX));
        assert!(is_cut(100_000));
        drop(hold);
    }
}
