//! The full format: a process's state, for people.

use std::fmt::Write;

use crate::duration::duration;
use crate::printable::Printable;
use crate::report::Report;
use crate::report::frames::{self, Frames};
use crate::report::movement::{Movement, Movements};
use crate::state::frame::Frame;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::state::wait_graph::{Waits, name};
use protocol::names::THREAD_HEADING;
use protocol::state::WaitKind;

/// What threads in a circle wait for, and where.
fn write_deadlock(text: &mut String, frames: &mut Frames, waits: &Waits, circle: &[u64]) {
    let _ = match circle {
        [_] => writeln!(text, "\nDeadlock: a thread waits for itself:"),
        _ => writeln!(
            text,
            "\nDeadlock: {} threads wait for each other:",
            circle.len()
        ),
    };
    for &ident in circle {
        let thread = waits.thread(ident);
        let Some((thread, wait)) = thread.and_then(|one| Some((one, one.wait.as_ref()?))) else {
            continue;
        };
        let (name, what) = (name(waits, ident), waits_for(waits, thread, wait));
        let line = format!("thread {name} waits for {what}");
        let _ = writeln!(text, "  {}", Printable(&line));
        // The library's own frames say nothing that is not said already.
        let own = |frame: &&Frame| match frame {
            Frame::At(place) => !["threading.py", "Queue.py"]
                .iter()
                .any(|library| place.file.ends_with(library)),
            Frame::Mark(_) => false,
        };
        if let Some(frame) = thread.frames.iter().rev().find(own) {
            frames.write(text, ' ', frame);
        }
    }
}

/// What is waited for, and who keeps one waiting.
fn waits_for(waits: &Waits, thread: &Thread, wait: &Wait) -> String {
    let mut words = wait.words();
    let waited = thread.task.as_ref().and_then(|task| task.seconds);
    if let Some((seconds, waited)) = wait.seconds.zip(waited) {
        let left = duration((seconds - waited).max(0.0));
        let _ = write!(words, " ({} in all, {left} to go)", duration(seconds));
    }
    let named = |idents: Vec<u64>| {
        let names = idents.into_iter().map(|ident| name(waits, ident));
        names.collect::<Vec<_>>().join(", ")
    };
    let holders = waits.holders(wait);
    let candidates = waits.candidates(wait);
    if wait.kind == WaitKind::Thread {
        if let [ident] = holders[..] {
            let _ = write!(words, " ({ident})");
        }
    } else if !holders.is_empty() {
        let _ = write!(words, ", held by thread {}", named(holders));
    } else if !candidates.is_empty() {
        let _ = write!(
            words,
            ", whose holder is not known; in a variable of thread {}",
            named(candidates)
        );
    }
    words
}

impl Report {
    /// As text, in lines; nothing in it does anything to a terminal.
    pub fn full(&self) -> String {
        self.lines(None)
    }

    /// The same, with marks of what has moved since an earlier look.
    pub fn full_since(&self, movements: &Movements) -> String {
        self.lines(Some(movements))
    }

    fn lines(&self, movements: Option<&Movements>) -> String {
        let lines: usize = self.facts.threads.iter().map(|one| one.frames.len()).sum();
        let mut text = String::with_capacity(100 * lines);
        let mut frames = Frames::default();
        let count = self.facts.threads.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut line = format!("{count} thread{plural}");
        let greenlets = self.facts.greenlets.told();
        if let Some(greenlets) = greenlets {
            let _ = match greenlets.suspended.len() {
                1 => write!(line, ", 1 suspended greenlet"),
                count => write!(line, ", {count} suspended greenlets"),
            };
        }
        let coroutines = self.facts.coroutines.told();
        if let Some(count) = coroutines.and_then(|all| all.counted()) {
            let _ = write!(line, ", {count}");
        }
        if let Some(version) = self.facts.version() {
            line = format!("Python {version}, {line}");
        }
        let _ = writeln!(text, "{}", Printable(&line));
        if let Some(note) = &self.note {
            let _ = writeln!(
                text,
                "Read from memory, without the GIL: {}",
                Printable(note)
            );
        }
        self.facts.greenlets.write_note(&mut text);
        self.facts.coroutines.write_note(&mut text);
        if self.facts.is_cut {
            let _ = writeln!(text, "Not all variables found room: ask for less of each");
        }
        if let Some(movements) = movements {
            let _ = writeln!(text, "{}", movements.summary());
            for name in movements.gone() {
                let _ = writeln!(text, "< thread {} is gone", Printable(name));
            }
        }
        let waits = Waits::of(&self.facts.threads);
        for circle in waits.deadlocks() {
            write_deadlock(&mut text, &mut frames, &waits, &circle);
        }
        for thread in &self.facts.threads {
            let moved = movements.and_then(|movements| movements.of(thread.ident));
            line.clear();
            self.write_heading(&mut line, thread, moved);
            let _ = writeln!(text, "\n{}", Printable(&line));
            if let Some(waited) = moved.and_then(Movement::waited) {
                let _ = writeln!(text, "< - no longer waits for {}", Printable(waited));
            }
            if let Some(wait) = &thread.wait {
                let mark = moved.map_or(' ', Movement::mark_of_wait);
                let what = waits_for(&waits, thread, wait);
                let _ = writeln!(text, "{mark} - waits for {}", Printable(&what));
            }
            for line in greenlets.map_or(Vec::new(), |all| all.of_thread(Some(thread.ident))) {
                let _ = writeln!(text, "  - {}", Printable(&line));
            }
            match moved {
                // Nothing that is this thread's own.
                None if thread.variables.is_empty() => {
                    frames.write_stack(&mut text, &thread.frames)
                }
                _ => {
                    for (index, frame) in thread.frames.iter().enumerate() {
                        let mark = moved.map_or(' ', |moved| moved.mark_of_frame(index));
                        frames.write(&mut text, mark, frame);
                        if let Some(variables) = thread.variables_at(index) {
                            frames::write(&mut text, variables);
                        }
                    }
                }
            }
            if let Some(greenlets) = greenlets {
                greenlets.write(&mut text, &mut frames, |one| one == Some(thread.ident));
            }
        }
        if let Some(greenlets) = greenlets {
            let is_there = |ident| self.facts.threads.iter().any(|one| one.ident == ident);
            greenlets.write(&mut text, &mut frames, |one| !one.is_some_and(is_there));
        }
        if let Some(coroutines) = coroutines {
            coroutines.write(&mut text, &mut frames);
        }
        text
    }

    /// Writes the line over a thread's stack.
    fn write_heading(&self, line: &mut String, thread: &Thread, moved: Option<&Movement>) {
        let _ = write!(line, "{THREAD_HEADING}{}", thread.ident);
        if let Some(name) = &thread.name {
            let _ = write!(line, " {name:?}");
        }
        if thread.daemon == Some(true) {
            line.push_str(", daemon");
        }
        if let Some(task) = &thread.task {
            let _ = write!(line, ", TID {}", task.number);
        }
        let end = line.len();
        line.push_str(": ");
        self.write_doing(line, thread);
        if let Some(moved) = moved.map(Movement::words).filter(|moved| !moved.is_empty()) {
            line.push_str(if line.len() > end + 2 { ", " } else { "" });
            line.push_str(&moved);
        }
        if line.len() == end + 2 {
            line.truncate(end);
        }
    }

    /// Writes what a thread was doing, in words; nothing, if that is not known.
    fn write_doing(&self, line: &mut String, thread: &Thread) {
        if self.held_gil(thread) {
            return line.push_str("held the GIL");
        }
        let Some(task) = &thread.task else {
            return;
        };
        match &task.call {
            Some(call) => {
                line.push_str("in ");
                line.push_str(call);
            }
            None if task.runs => line.push_str("running"),
            None => line.push_str("waiting"),
        }
        // Less than that it may be for our sake.
        if let Some(seconds) = task.seconds.filter(|&seconds| seconds >= 0.1) {
            line.push_str(" for ");
            line.push_str(&duration(seconds));
        }
    }
}
