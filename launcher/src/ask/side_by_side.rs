//! Several processes at once: a process that is stuck holds up no other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::system::interrupt;

/// How many results may wait for [`each`] to hand them on.
const MOST_WAITING: usize = 4;

/// Does `work` for each item, `at_a_time` of them side by side, and hands every result to `done` as soon
/// as it is there, on the calling thread. Once a signal asks us to stop, no further item is begun.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    at_a_time: usize,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(&T, R),
) {
    let next = AtomicUsize::new(0);
    // Results take memory: no more are made than are taken.
    let (sender, results) = mpsc::sync_channel(MOST_WAITING);
    let next_item = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let wanted = interrupt::asked_to_stop().is_none();
        Some((number, items.get(number).filter(|_| wanted)?))
    };
    // A thread takes one item after another until none is left.
    let serve = |sender: mpsc::SyncSender<(usize, R)>| {
        while let Some((number, item)) = next_item() {
            if sender.send((number, work(item))).is_err() {
                return;
            }
        }
    };
    // A single item needs no thread of its own: starting one takes time.
    let threads = if items.len() == 1 {
        0
    } else {
        at_a_time.min(items.len())
    };
    thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..threads {
            let (serve, sender) = (&serve, sender.clone());
            // The system may grant fewer threads, or none.
            let thread = thread::Builder::new().spawn_scoped(scope, move || serve(sender));
            started += usize::from(thread.is_ok());
        }
        drop(sender);
        if started == 0 {
            while let Some((_, item)) = next_item() {
                done(item, work(item));
            }
        }
        for (number, result) in results {
            done(&items[number], result);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_slow_one_comes_last() {
        let mut order = Vec::new();
        let work = |number: &u64| {
            thread::sleep(Duration::from_millis(number * 300));
            number + 1
        };
        each(&[1, 0, 0, 0], 2, work, |item, result| {
            assert_eq!(result, item + 1);
            order.push(*item);
        });
        assert_eq!(order, [0, 0, 0, 1]);
        each(&[], 2, work, |_, _| panic!("nothing was to be done"));
    }
}
