//! What has moved in a process between two reports on it.

use std::collections::HashMap;
use std::fmt::Write;

use crate::duration::duration;
use crate::report::Report;
use crate::report::comparison::Comparison;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::state::wait_graph::WaitGraph;

/// How the threads of a process have moved since an earlier report.
#[derive(Debug)]
pub struct Movements {
    /// The time between the reports, in seconds, if that is known.
    seconds: Option<f64>,
    /// By identifier, the threads of the later report.
    threads: HashMap<u64, Movement>,
    /// The names of threads that are in the earlier report only.
    gone: Vec<String>,
    /// How many threads of the later report are in none of these, as comparing them would take too long.
    not_compared: usize,
}

/// How a thread has moved.
#[derive(Debug, PartialEq)]
pub struct Movement {
    what: Change,
    /// How many frames are where they were, counted from the outermost.
    kept: usize,
    /// Whether it waits for the same as before.
    waits_still: bool,
    /// What it no longer waits for, in words.
    waited: Option<String>,
}

/// How a thread has moved, in all.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// It is not in the earlier report.
    New,
    /// It is at another place, or waits for something else.
    Moved,
    /// It is where it was, but has run meanwhile.
    Ran,
    /// It is where it was, and is not known to have run.
    Still {
        /// For how many reports in a row.
        looks: u32,
        /// For how many seconds, if that is known.
        seconds: Option<f64>,
    },
}

impl Movements {
    /// Compares two reports. `before` is how the threads had moved up to the earlier one.
    pub fn between(old: &Report, new: &Report, before: Option<&Movements>) -> Movements {
        let seconds = old.time.zip(new.time).map(|(old, new)| new - old);
        // The clock may have been set back meanwhile.
        let seconds = seconds.filter(|&seconds| seconds >= 0.0);
        let graph = WaitGraph::of(&old.state);
        let now: HashMap<u64, &Thread> = by_ident(&new.state.threads);
        let then: HashMap<u64, &Thread> = by_ident(&old.state.threads);
        let mut comparison = Comparison::default();
        let mut threads = HashMap::new();
        let mut not_compared = 0;
        for new in &new.state.threads {
            let old = then.get(&new.ident).filter(|old| is_same(old, new));
            let movement = match old {
                None => Some(Movement::of_new()),
                Some(old) => comparison
                    .kept_frames(&old.frames, &new.frames)
                    .map(|kept| {
                        let before = before.and_then(|before| before.of(new.ident));
                        Movement::of_frames((old, new), kept, seconds, before)
                    }),
            };
            match movement {
                Some(movement) => drop(threads.insert(new.ident, movement)),
                None => not_compared += 1,
            }
        }
        let is_gone = |old: &&Thread| now.get(&old.ident).is_none_or(|new| !is_same(old, new));
        let gone = old.state.threads.iter().filter(is_gone);
        Movements {
            seconds,
            threads,
            gone: gone.map(|old| graph.name(old.ident)).collect(),
            not_compared,
        }
    }

    /// How this thread has moved, if it is in the later report.
    pub fn of(&self, ident: u64) -> Option<&Movement> {
        self.threads.get(&ident)
    }

    /// How many threads have moved in which way, in words.
    pub fn summary(&self) -> String {
        let count = |counted: fn(&Change) -> bool| {
            let mut threads = self.threads.values();
            threads.by_ref().filter(|one| counted(&one.what)).count()
        };
        let counts = [
            (count(|what| *what == Change::New), "new"),
            (self.gone.len(), "gone"),
            (count(|what| *what == Change::Moved), "moved"),
            (count(|what| *what == Change::Ran), "ran in place"),
            (
                count(|what| matches!(what, Change::Still { .. })),
                "did not move",
            ),
            (self.not_compared, "not compared"),
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

    /// The names of threads that are in the earlier report only.
    pub fn gone(&self) -> &[String] {
        &self.gone
    }
}

impl Movement {
    fn of_new() -> Movement {
        Movement {
            what: Change::New,
            kept: 0,
            waits_still: false,
            waited: None,
        }
    }

    /// `kept`: how many frames are where they were, from the outermost on; `seconds`: the time between the
    /// reports; `before`: how it had moved up to the earlier one.
    fn of_frames(
        (old, new): (&Thread, &Thread),
        kept: usize,
        seconds: Option<f64>,
        before: Option<&Movement>,
    ) -> Movement {
        let in_place = kept == old.frames.len() && kept == new.frames.len();
        let waits_still = waits_for_the_same(old, new);
        let what = if !in_place || !waits_still {
            Change::Moved
        } else if has_run(old, new, seconds) {
            Change::Ran
        } else {
            let (looks, before) = match before.map(|before| before.what) {
                Some(Change::Still { looks, seconds }) => (looks, seconds),
                _ => (0, Some(0.0)),
            };
            Change::Still {
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

    /// How it has moved, in words.
    pub fn words(&self) -> String {
        match self.what {
            Change::New => "new".to_owned(),
            Change::Moved => "moved".to_owned(),
            Change::Ran => "ran in place".to_owned(),
            Change::Still { looks, seconds } => {
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

    /// The mark of the frame with this index: `=` where it was, `>` where it has moved.
    pub fn mark_of_frame(&self, index: usize) -> char {
        match self.what {
            Change::New => ' ',
            _ if index < self.kept => '=',
            _ if index == self.kept => '>',
            _ => ' ',
        }
    }

    /// The mark of what it waits for: `=` as before, `>` anew.
    pub fn mark_of_wait(&self) -> char {
        match self.what {
            Change::New => ' ',
            _ if self.waits_still => '=',
            _ => '>',
        }
    }

    /// What it no longer waits for, in words.
    pub fn waited(&self) -> Option<&str> {
        self.waited.as_deref()
    }
}

fn by_ident(threads: &[Thread]) -> HashMap<u64, &Thread> {
    threads.iter().map(|one| (one.ident, one)).collect()
}

/// Whether it is the same thread. An identifier is often used again at once, for the next thread; a
/// TID is not.
fn is_same(old: &Thread, new: &Thread) -> bool {
    let numbers = old.task.as_ref().zip(new.task.as_ref());
    numbers.is_none_or(|(old, new)| old.number == new.number)
}

/// Whether both wait for the same. What may change during a wait, such as the size of a queue, does not
/// count.
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

/// Whether a thread is known to have run between two reports. Off-CPU times tell, in seconds. The last
/// tenth of a second does not count: the agent itself may have woken the thread.
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
    use crate::state::frame::Stack;
    use crate::state::thread::Task;

    fn thread(lines: &[i64], idle: Option<f64>) -> Thread {
        let task = |seconds| Task {
            number: 7,
            call: None,
            runs: false,
            seconds: Some(seconds),
        };
        Thread {
            ident: 1,
            task: idle.map(task),
            frames: Stack::at_lines(lines),
            ..Thread::default()
        }
    }

    fn between(old: &Thread, new: &Thread, seconds: f64, before: Option<&Movement>) -> Movement {
        let kept = Comparison::default().kept_frames(&old.frames, &new.frames);
        let kept = kept.expect("they are few");
        Movement::of_frames((old, new), kept, Some(seconds), before)
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
            assert_eq!((movement.what, movement.kept), (Change::Moved, kept));
        }
        let marks = |movement: Movement| [0, 1, 2].map(|index| movement.mark_of_frame(index));
        let movement = between(&old, &thread(&[1, 5, 3], None), 2.0, None);
        assert_eq!(marks(movement), ['=', '>', ' ']);
        assert_eq!(marks(between(&old, &old, 2.0, None)), ['=', '=', '=']);
        assert_eq!(marks(Movement::of_new()), [' ', ' ', ' ']);
    }

    #[test]
    fn counts_the_reports_without_movement() {
        let at = |idle| thread(&[1, 2], Some(idle));
        let first = between(&at(0.5), &at(2.5), 2.0, None);
        assert_eq!(first.words(), "has not moved for 2.0 s");
        let second = between(&at(2.5), &at(4.5), 2.0, Some(&first));
        assert_eq!(second.words(), "has not moved for 2 looks (4.0 s)");
        // It has run and come back: counting begins anew.
        let ran = between(&at(4.5), &at(0.7), 2.0, Some(&second));
        assert_eq!(ran.words(), "ran in place");
        let third = between(&at(0.7), &at(2.7), 2.0, Some(&ran));
        assert_eq!(third.words(), "has not moved for 2.0 s");
        // The agent woke it.
        let woken = between(&at(5.0), &at(1.93), 2.0, None);
        assert_eq!(woken.words(), "has not moved for 2.0 s");
        let unknown = Movement::of_frames((&at(5.0), &at(5.5)), 2, None, None);
        assert_eq!(unknown.words(), "has not moved");
        let unknown = Movement::of_frames((&at(5.0), &at(0.5)), 2, None, None);
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
