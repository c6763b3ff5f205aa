//! Several processes at once: a process that is stuck holds up no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
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

/// What the threads share.
struct Work<T, W> {
    items: Vec<T>,
    allowances: Vec<Allowance>,
    /// The number of the next item.
    next: AtomicUsize,
    work: W,
}

/// Does `work` for each item, at most `at_a_time` of them side by side, and hands every result to `done` as
/// soon as it is there, on the calling thread. Each item has `time`. Once a signal asks us to stop, no
/// further item is begun.
///
/// A thread that is stuck in a system call is left alone, and `done` gets the result of `late` in place of
/// its own. So no process can keep this command from ending, whatever it does to its files in `/proc`.
pub fn each<T, R, W>(
    items: Vec<T>,
    at_a_time: usize,
    time: Duration,
    work: W,
    mut late: impl FnMut(&T, &Allowance) -> R,
    mut done: impl FnMut(&T, R),
) where
    T: Send + Sync + 'static,
    R: Send + 'static,
    W: Fn(&T, &Allowance) -> R + Send + Sync + 'static,
{
    let allowances = items.iter().map(|_| Allowance::new(time)).collect();
    let shared = Arc::new(Work {
        items,
        allowances,
        next: AtomicUsize::new(0),
        work,
    });
    let count = shared.items.len();
    let (sender, results) = mpsc::channel();
    // The system may grant fewer threads, or none.
    let start = || start_thread(&shared, &sender);
    let started = (0..at_a_time.min(count)).filter(|_| start()).count();
    if started == 0 {
        serve(&shared, &sender);
    }
    let mut open: Vec<usize> = (0..count).collect();
    while !open.is_empty() {
        match results.recv_timeout(GLANCE) {
            Ok((number, result)) => {
                if let Ok(at) = open.binary_search(&number) {
                    open.remove(at);
                    done(&shared.items[number], result);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
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
            end.is_some_and(|end| now > end + LETTING_GO)
        };
        let stuck: Vec<usize> = open.extract_if(.., |number| is_stuck(number)).collect();
        for number in stuck {
            let allowance = &shared.allowances[number];
            allowance.give_up();
            done(
                &shared.items[number],
                late(&shared.items[number], allowance),
            );
            // In place of the thread that is stuck.
            start();
        }
    }
}

/// Starts a thread that takes one item after another until none is left.
fn start_thread<T, R, W>(shared: &Arc<Work<T, W>>, sender: &Sender<(usize, R)>) -> bool
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    W: Fn(&T, &Allowance) -> R + Send + Sync + 'static,
{
    let (shared, sender) = (shared.clone(), sender.clone());
    let builder = thread::Builder::new();
    builder.spawn(move || serve(&shared, &sender)).is_ok()
}

fn serve<T, R, W: Fn(&T, &Allowance) -> R>(shared: &Work<T, W>, sender: &Sender<(usize, R)>) {
    while interrupt::asked_to_stop().is_none() {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        let Some(item) = shared.items.get(number) else {
            return;
        };
        let allowance = &shared.allowances[number];
        allowance.begin();
        let result = (shared.work)(item, allowance);
        if sender.send((number, result)).is_err() || allowance.is_over() {
            // Another thread is there in place of this one.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_slow_one_comes_last() {
        let mut order = Vec::new();
        let work = |number: &u64, _: &Allowance| {
            thread::sleep(Duration::from_millis(number * 300));
            number + 1
        };
        let late = |_: &u64, _: &Allowance| panic!("it is not late");
        each(vec![1, 0, 0, 0], 2, LONG, work, late, |item, result| {
            assert_eq!(result, item + 1);
            order.push(*item);
        });
        assert_eq!(order, [0, 0, 0, 1]);
        each(Vec::new(), 2, LONG, work, late, |_, _| {
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
        let time = Duration::from_millis(50);
        let items = vec![true, true, false, false];
        each(
            items,
            2,
            time,
            work,
            |_, _| "late",
            |item, result| {
                assert_eq!(result, if *item { "late" } else { "done" });
                order.push(*item);
            },
        );
        assert_eq!(order, [true, true, false, false]);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
