//! What has moved in a process from one look at it to the next.

use std::collections::HashMap;
use std::fmt::Write;

use crate::duration::duration;
use crate::report::Report;
use crate::state::frame::Frame;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::state::wait_graph::{self, Waits};

/// What has become of the threads of a process since an earlier look.
#[derive(Debug)]
pub struct Movements {
    /// The time between the looks, in seconds, if it is known.
    seconds: Option<f64>,
    /// By identifier, of those that are there now.
    threads: HashMap<u64, Movement>,
    /// Those that are there no longer, by name.
    gone: Vec<String>,
}

/// What has become of a thread.
#[derive(Debug, PartialEq)]
pub struct Movement {
    /// In all.
    what: What,
    /// So many of its frames, from the outermost one on, are where they were.
    kept: usize,
    /// Whether it waits for what it waited for then.
    waits_still: bool,
    /// What it waited for then, and does no longer, in words.
    waited: Option<String>,
}

/// What has become of a thread, in all.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// It was not there.
    New,
    /// It is at another place, or waits for another thing.
    Moved,
    /// It is where it was, and has run meanwhile.
    Ran,
    /// It is where it was, and has not run as far as is known,
    Still {
        /// for so many looks,
        looks: u32,
        /// and seconds, if they are known.
        seconds: Option<f64>,
    },
}

impl Movements {
    /// From one look to a later one. `before` is what had moved up to the first of them.
    pub fn between(old: &Report, new: &Report, before: Option<&Movements>) -> Movements {
        let seconds = old.time.zip(new.time).map(|(old, new)| new - old);
        // A clock may have been set meanwhile.
        let seconds = seconds.filter(|&seconds| seconds >= 0.0);
        let waits = Waits::of(&old.facts.threads);
        let now: HashMap<u64, &Thread> = by_ident(&new.facts.threads);
        let then: HashMap<u64, &Thread> = by_ident(&old.facts.threads);
        let threads = new.facts.threads.iter().map(|new| {
            let old = then.get(&new.ident).filter(|old| is_same(old, new));
            let movement = old.map_or_else(Movement::of_new, |old| {
                let before = before.and_then(|before| before.of(new.ident));
                Movement::between(old, new, seconds, before)
            });
            (new.ident, movement)
        });
        let is_gone = |old: &&Thread| now.get(&old.ident).is_none_or(|new| !is_same(old, new));
        let gone = old.facts.threads.iter().filter(is_gone);
        Movements {
            seconds,
            threads: threads.collect(),
            gone: gone
                .map(|old| wait_graph::name(&waits, old.ident))
                .collect(),
        }
    }

    /// Of this thread.
    pub fn of(&self, ident: u64) -> Option<&Movement> {
        self.threads.get(&ident)
    }

    /// How many threads have done what.
    pub fn summary(&self) -> String {
        let count = |counted: fn(&What) -> bool| {
            let mut threads = self.threads.values();
            threads.by_ref().filter(|one| counted(&one.what)).count()
        };
        let counts = [
            (count(|what| *what == What::New), "new"),
            (self.gone.len(), "gone"),
            (count(|what| *what == What::Moved), "moved"),
            (count(|what| *what == What::Ran), "ran in place"),
            (
                count(|what| matches!(what, What::Still { .. })),
                "did not move",
            ),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let since = match self.seconds {
            Some(seconds) => format!("{} later", duration(seconds)),
            None => "Since then".to_owned(),
        };
        format!("{since}: {}", counts.join(", "))
    }

    /// The threads that are there no longer, by name.
    pub fn gone(&self) -> &[String] {
        &self.gone
    }
}

impl Movement {
    fn of_new() -> Movement {
        Movement {
            what: What::New,
            kept: 0,
            waits_still: false,
            waited: None,
        }
    }

    /// `seconds` have gone by.
    fn between(
        old: &Thread,
        new: &Thread,
        seconds: Option<f64>,
        before: Option<&Movement>,
    ) -> Movement {
        let pairs = old.frames.iter().zip(new.frames.iter());
        let kept = pairs
            .take_while(|(old, new)| is_same_place(old, new))
            .count();
        let in_place = kept == old.frames.len() && kept == new.frames.len();
        let waits_still = waits_for_the_same(old, new);
        let what = if !in_place || !waits_still {
            What::Moved
        } else if has_run(old, new, seconds) {
            What::Ran
        } else {
            let (looks, before) = match before.map(|before| before.what) {
                Some(What::Still { looks, seconds }) => (looks, seconds),
                _ => (0, Some(0.0)),
            };
            What::Still {
                looks: looks + 1,
                seconds: before.zip(seconds).map(|(before, more)| before + more),
            }
        };
        Movement {
            what,
            kept,
            waits_still,
            waited: old.wait.as_ref().filter(|_| !waits_still).map(Wait::words),
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self.what {
            What::New => "new".to_owned(),
            What::Moved => "moved".to_owned(),
            What::Ran => "ran in place".to_owned(),
            What::Still { looks, seconds } => {
                let mut words = "has not moved".to_owned();
                let _ = match (looks, seconds.map(duration)) {
                    (1, None) => Ok(()),
                    (1, Some(time)) => write!(words, " for {time}"),
                    (_, None) => write!(words, " for {looks} looks"),
                    (_, Some(time)) => write!(words, " for {looks} looks ({time})"),
                };
                words
            }
        }
    }

    /// The mark of its frame of this index: still there, or the one where it has moved.
    pub fn mark_of_frame(&self, index: usize) -> char {
        match self.what {
            What::New => ' ',
            _ if index < self.kept => '=',
            _ if index == self.kept => '>',
            _ => ' ',
        }
    }

    /// The mark of what it waits for: still that, or that now.
    pub fn mark_of_wait(&self) -> char {
        match self.what {
            What::New => ' ',
            _ if self.waits_still => '=',
            _ => '>',
        }
    }

    /// What it waited for, and does no longer, in words.
    pub fn waited(&self) -> Option<&str> {
        self.waited.as_deref()
    }
}

fn by_ident(threads: &[Thread]) -> HashMap<u64, &Thread> {
    threads.iter().map(|one| (one.ident, one)).collect()
}

/// An identifier is used again for the next thread, often at once; the kernel's number is not.
fn is_same(old: &Thread, new: &Thread) -> bool {
    let numbers = old.task.as_ref().zip(new.task.as_ref());
    numbers.is_none_or(|(old, new)| old.number == new.number)
}

/// The source is not looked at: it may be had in one of two looks only.
fn is_same_place(old: &Frame, new: &Frame) -> bool {
    match (old, new) {
        (Frame::At(old), Frame::At(new)) => {
            (&old.file, old.line, &old.function) == (&new.file, new.line, &new.function)
        }
        (Frame::Mark(old), Frame::Mark(new)) => old == new,
        _ => false,
    }
}

/// What may change meanwhile, such as the length of a queue, does not count.
fn waits_for_the_same(old: &Thread, new: &Thread) -> bool {
    match (&old.wait, &new.wait) {
        (Some(old), Some(new)) => {
            (old.kind, old.id, old.joined, old.seconds)
                == (new.kind, new.id, new.joined, new.seconds)
        }
        (None, None) => true,
        _ => false,
    }
}

/// Whether a thread is known to have run between two looks. What it did in the last tenth of a second
/// does not count: it may have been for our sake.
fn has_run(old: &Thread, new: &Thread, between: Option<f64>) -> bool {
    let idle = |thread: &Thread| thread.task.as_ref().and_then(|task| task.seconds);
    if new.task.as_ref().is_some_and(|task| task.runs) {
        return true;
    }
    match (idle(old), idle(new), between) {
        (_, Some(now), Some(between)) => now + f64::min(0.1, between / 2.0) < between,
        (Some(then), Some(now), None) => now < then,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::frame::Place;
    use crate::state::thread::Task;
    use std::sync::Arc;

    fn thread(lines: &[i64], idle: Option<f64>) -> Thread {
        let frame = |&line: &i64| {
            Frame::At(Arc::new(Place {
                file: "a.py".to_owned(),
                line,
                function: "f".to_owned(),
                source: String::new(),
            }))
        };
        let task = |seconds| Task {
            number: 7,
            call: None,
            runs: false,
            seconds: Some(seconds),
            on_gil: None,
            wait: None,
        };
        Thread {
            ident: 1,
            task: idle.map(task),
            frames: Arc::new(lines.iter().map(frame).collect()),
            ..Thread::default()
        }
    }

    fn between(old: &Thread, new: &Thread, seconds: f64, before: Option<&Movement>) -> Movement {
        Movement::between(old, new, Some(seconds), before)
    }

    #[test]
    fn tells_where_it_moved() {
        let old = thread(&[1, 2, 3], None);
        for (lines, kept) in [
            (&[1, 2, 4][..], 2),
            (&[1, 9, 3], 1),
            (&[1, 2], 2),
            (&[1, 2, 3, 4], 3),
            (&[], 0),
        ] {
            let movement = between(&old, &thread(lines, None), 2.0, None);
            assert_eq!((movement.what, movement.kept), (What::Moved, kept));
        }
        let marks = |movement: Movement| [0, 1, 2].map(|index| movement.mark_of_frame(index));
        let movement = between(&old, &thread(&[1, 5, 3], None), 2.0, None);
        assert_eq!(marks(movement), ['=', '>', ' ']);
        assert_eq!(marks(between(&old, &old, 2.0, None)), ['=', '=', '=']);
        assert_eq!(marks(Movement::of_new()), [' ', ' ', ' ']);
    }

    #[test]
    fn counts_the_looks_that_it_did_not_move_for() {
        let at = |idle| thread(&[1, 2], Some(idle));
        let first = between(&at(0.5), &at(2.5), 2.0, None);
        assert_eq!(first.words(), "has not moved for 2.0 s");
        let second = between(&at(2.5), &at(4.5), 2.0, Some(&first));
        assert_eq!(second.words(), "has not moved for 2 looks (4.0 s)");
        // It has run, and is there again; then it counts anew.
        let ran = between(&at(4.5), &at(0.7), 2.0, Some(&second));
        assert_eq!(ran.words(), "ran in place");
        let third = between(&at(0.7), &at(2.7), 2.0, Some(&ran));
        assert_eq!(third.words(), "has not moved for 2.0 s");
        // For our sake.
        let woken = between(&at(5.0), &at(1.93), 2.0, None);
        assert_eq!(woken.words(), "has not moved for 2.0 s");
        let unknown = Movement::between(&at(5.0), &at(5.5), None, None);
        assert_eq!(unknown.words(), "has not moved");
        let unknown = Movement::between(&at(5.0), &at(0.5), None, None);
        assert_eq!(unknown.words(), "ran in place");
    }

    #[test]
    fn knows_an_identifier_that_is_used_again() {
        let (old, mut new) = (thread(&[1], Some(1.0)), thread(&[1], Some(1.0)));
        assert!(is_same(&old, &new));
        new.task.as_mut().expect("it has one").number = 8;
        assert!(!is_same(&old, &new));
        new.task = None;
        assert!(is_same(&old, &new));
    }
}
