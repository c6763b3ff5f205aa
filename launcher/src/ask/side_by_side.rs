//! Several processes at once: a process that is stuck holds up no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::ask::allowance::Allowance;
use crate::system::interrupt;

/// How often to look for threads that are stuck, and whether a signal asks us to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// The longest time from the end of a question's time to its outcome. By then the thread that asks has let
/// go whatever it held; it is stuck if it has not.
const LETTING_GO: Duration = Duration::from_millis(700);

/// The longest time that the questions under way get when a signal asks us to stop.
const STOPPING: Duration = Duration::from_millis(600);

/// How many results may wait for [`each`] to hand them on.
const MOST_WAITING: usize = 4;

/// What the threads share.
struct Work<T, W> {
    items: Vec<T>,
    allowances: Vec<Allowance>,
    /// Which items have a result, which may wait to be taken.
    done: Vec<AtomicBool>,
    /// The number of the next item.
    next: AtomicUsize,
    work: W,
}

/// Does `work` for each item, at most `at_a_time` of them side by side, and hands every result to `done` as
/// soon as it is there, on the calling thread. Every 50 ms without one it gets `None`. Results take memory: no more are made than are taken. Each item
/// has `time`, of which `spent` is over. Once a signal asks us to stop, no further item is begun.
///
/// A thread that is stuck in a system call is left alone, and `done` gets the result of `late` in place of
/// its own. So no process can keep this command from ending, whatever it does to its files in `/proc`. (Where the
/// system grants no thread, the calling thread does the work, and the kernel ends the command if that is stuck.)
pub fn each<T, R, W>(
    items: Vec<T>,
    at_a_time: usize,
    (time, spent): (Duration, Duration),
    work: W,
    mut late: impl FnMut(&T, &Allowance) -> R,
    mut done: impl FnMut(Option<(&T, R)>),
) where
    T: Send + Sync + 'static,
    R: Send + 'static,
    W: Fn(&T, &Allowance) -> R + Send + Sync + 'static,
{
    let done_yet = items.iter().map(|_| AtomicBool::new(false)).collect();
    let allowances = items
        .iter()
        .map(|_| Allowance::partly_spent(time, spent))
        .collect();
    let shared = Arc::new(Work {
        items,
        allowances,
        done: done_yet,
        next: AtomicUsize::new(0),
        work,
    });
    let count = shared.items.len();
    let (sender, results) = mpsc::sync_channel(MOST_WAITING);
    // The system may grant fewer threads, or none.
    let start = || start_thread(&shared, &sender);
    let started = (0..at_a_time.min(count)).filter(|_| start()).count();
    if started == 0 {
        for allowance in &shared.allowances {
            allowance.is_unwatched(LETTING_GO);
        }
        while let Some((number, result)) = work_on_next(&shared) {
            interrupt::end_after(None);
            done(Some((&shared.items[number], result)));
        }
        return;
    }
    let mut open: Vec<usize> = (0..count).collect();
    while !open.is_empty() {
        match results.recv_timeout(GLANCE) {
            Ok((number, result)) => {
                if let Ok(at) = open.binary_search(&number) {
                    open.remove(at);
                    done(Some((&shared.items[number], result)));
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => done(None),
        }
        if interrupt::asked_to_stop_at().is_some_and(|at| at.elapsed() > STOPPING) {
            return;
        }
        if interrupt::asked_to_stop().is_some() {
            let begun = shared.next.load(Ordering::SeqCst);
            open.retain(|&number| number < begun);
        }
        let now = Instant::now();
        let is_stuck = |number: &usize| {
            let end = shared.allowances[*number].end();
            let has_result = || shared.done[*number].load(Ordering::SeqCst);
            end.is_some_and(|end| now > end + LETTING_GO) && !has_result()
        };
        let stuck: Vec<usize> = open.extract_if(.., |number| is_stuck(number)).collect();
        for number in stuck {
            let allowance = &shared.allowances[number];
            allowance.give_up();
            let item = &shared.items[number];
            done(Some((item, late(item, allowance))));
            // In place of the thread that is stuck.
            start();
        }
    }
}

/// Starts a thread that takes one item after another until none is left.
fn start_thread<T, R, W>(shared: &Arc<Work<T, W>>, sender: &SyncSender<(usize, R)>) -> bool
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    W: Fn(&T, &Allowance) -> R + Send + Sync + 'static,
{
    let (shared, sender) = (shared.clone(), sender.clone());
    let builder = thread::Builder::new();
    builder.spawn(move || serve(&shared, &sender)).is_ok()
}

fn serve<T, R, W: Fn(&T, &Allowance) -> R>(shared: &Work<T, W>, sender: &SyncSender<(usize, R)>) {
    while let Some((number, result)) = work_on_next(shared) {
        if sender.send((number, result)).is_err() || shared.allowances[number].is_over() {
            // Another thread is there in place of this one.
            return;
        }
    }
}

/// Does the work for the next item; `None` if there is none, or a signal asks us to stop.
fn work_on_next<T, R, W: Fn(&T, &Allowance) -> R>(shared: &Work<T, W>) -> Option<(usize, R)> {
    if interrupt::asked_to_stop().is_some() {
        return None;
    }
    let number = shared.next.fetch_add(1, Ordering::SeqCst);
    let item = shared.items.get(number)?;
    let allowance = &shared.allowances[number];
    allowance.begin();
    let result = (shared.work)(item, allowance);
    shared.done[number].store(true, Ordering::SeqCst);
    Some((number, result))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    const LONG_TIME: (Duration, Duration) = (LONG, Duration::ZERO);

    #[test]
    fn the_slow_one_comes_last() {
        let mut order = Vec::new();
        let work = |number: &u64, _: &Allowance| {
            thread::sleep(Duration::from_millis(number * 300));
            number + 1
        };
        let late = |_: &u64, _: &Allowance| panic!("it is not late");
        each(vec![1, 0, 0, 0], 2, LONG_TIME, work, late, |done| {
            if let Some((item, result)) = done {
                assert_eq!(result, item + 1);
                order.push(*item);
            }
        });
        assert_eq!(order, [0, 0, 0, 1]);
        each(Vec::new(), 2, LONG_TIME, work, late, |_| {
            panic!("nothing was to be done")
        });
    }

    #[test]
    fn stuck_ones_are_left_alone() {
        let begun = Instant::now();
        let mut order = Vec::new();
        let work = |stuck: &bool, _: &Allowance| {
            if *stuck {
                thread::sleep(LONG);
            }
            "done"
        };
        // What is spent does not come back.
        let time = (LONG, LONG - Duration::from_millis(50));
        let items = vec![true, true, false, false];
        each(
            items,
            2,
            time,
            work,
            |_, _| "late",
            |done| {
                if let Some((item, result)) = done {
                    assert_eq!(result, if *item { "late" } else { "done" });
                    order.push(*item);
                }
            },
        );
        // Two threads begin with those that are stuck, at about the same time.
        order.sort();
        assert_eq!(order, [false, false, true, true]);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn results_wait_for_whoever_takes_them() {
        let made = Arc::new(AtomicUsize::new(0));
        let work = {
            let made = made.clone();
            move |_: &(), _: &Allowance| made.fetch_add(1, Ordering::SeqCst)
        };
        let late = |_: &(), _: &Allowance| panic!("it has a result");
        let mut taken = 0;
        each(vec![(); 100], 2, (LONG, LONG), work, late, |done| {
            if taken == 0 {
                // Longer than each has.
                thread::sleep(LETTING_GO + Duration::from_millis(100));
                assert!(made.load(Ordering::SeqCst) <= MOST_WAITING + 4);
            }
            taken += usize::from(done.is_some());
        });
        assert_eq!(taken, 100);
    }
}
