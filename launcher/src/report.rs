//! One process's state in the formats `full`, for people, and `json`, for programs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::answer::Answer;
use crate::descriptors;
use crate::duration::duration;
use crate::facts::{Facts, Frame, Place, Stack, Thread};
use crate::interface::THREAD_HEADING;
use crate::movement::{Movement, Movements};
use crate::printable::Printable;
use crate::process::Process;
use crate::state_text;
use crate::trouble::Trouble;
use crate::variables;
use crate::waits::{Wait, Waits};

/// Changes whenever the meaning of anything in the JSON document does;
/// `launcher/schema/state.json` describes it.
pub const VERSION: u32 = 1;

/// What is told of one process.
#[derive(Debug)]
pub struct Report {
    pub(crate) process: Process,
    /// Its command line.
    pub(crate) command: Vec<String>,
    /// When it was asked, in seconds since 1970, if that is known.
    pub(crate) time: Option<f64>,
    /// Why it is less than it could be.
    pub(crate) note: Option<String>,
    pub(crate) facts: Facts,
}

impl Report {
    /// Of this process, which has given this answer. `command` is its command line, and `times` say
    /// for how long its threads have not run ([`crate::idle_times`]).
    pub fn new(
        process: Process,
        command: Vec<String>,
        answer: Answer,
        times: &HashMap<i32, f64>,
    ) -> Result<Report, Trouble> {
        let (note, mut facts) = match answer {
            Answer::Facts(facts) => (None, facts),
            Answer::State(text) => state_text::parse(&String::from_utf8_lossy(&text)),
            Answer::Reason(reason) => return Err(Trouble::plain(reason)),
        };
        for task in facts.threads.iter_mut().filter_map(|one| one.task.as_mut()) {
            let seconds = times.get(&task.number).copied();
            task.seconds = seconds.filter(|_| !task.runs);
        }
        descriptors::look_up(process, &mut facts.threads);
        for wait in facts.threads.iter_mut().filter_map(|one| one.wait.as_mut()) {
            wait.name_child(process);
        }
        Ok(Report {
            process,
            command,
            time: None,
            note,
            facts,
        })
    }

    /// The same, of a process that was asked at this time.
    pub fn asked_at(self, time: SystemTime) -> Report {
        let time = time.duration_since(UNIX_EPOCH).ok();
        Report {
            time: time.map(|time| time.as_millis() as f64 / 1e3),
            ..self
        }
    }

    /// The process, and its command line.
    pub fn of(&self) -> (Process, &[String]) {
        (self.process, &self.command)
    }

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
                            variables::write(&mut text, variables);
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

    /// Whether it held the GIL when it was asked for.
    pub fn held_gil(&self, thread: &Thread) -> bool {
        self.facts.holder == Some(thread.ident)
    }
}

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

/// A thread's identifier, and its name.
pub(crate) fn name(waits: &Waits, ident: u64) -> String {
    match waits.thread(ident).and_then(|thread| thread.name.as_ref()) {
        Some(name) => format!("{ident} {name:?}"),
        None => ident.to_string(),
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
    if wait.kind == "thread" {
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

/// Writes frames as `traceback` prints them, with a mark in the first column. Most stand in many
/// stacks, and many threads are often in the same: what is behind the mark is made once of each place,
/// and so is a stack without marks.
#[derive(Default)]
pub(crate) struct Frames {
    places: BTreeMap<*const Place, String>,
    stacks: HashMap<*const Vec<Frame>, String>,
}

impl Frames {
    /// A whole stack, of which as long as there is this report no other can stand there.
    pub(crate) fn write_stack(&mut self, text: &mut String, stack: &Stack) {
        if !self.stacks.contains_key(&Arc::as_ptr(stack)) {
            let mut words = String::new();
            for frame in stack.iter() {
                self.write(&mut words, ' ', frame);
            }
            self.stacks.insert(Arc::as_ptr(stack), words);
        }
        text.push_str(&self.stacks[&Arc::as_ptr(stack)]);
    }

    pub(crate) fn write(&mut self, text: &mut String, mark: char, frame: &Frame) {
        text.push(mark);
        match frame {
            Frame::Mark(what) => {
                let _ = writeln!(text, " ... {} ...", Printable(what));
            }
            // As long as there is this report no other can stand there.
            Frame::At(place) => {
                let words = self.places.entry(Arc::as_ptr(place));
                text.push_str(words.or_insert_with(|| words_of(place)));
            }
        }
    }
}

fn words_of(place: &Place) -> String {
    let (file, function) = (Printable(&place.file), Printable(&place.function));
    let mut words = format!(" File \"{file}\", line {}, in {function}\n", place.line);
    if !place.source.is_empty() {
        let _ = writeln!(words, "    {}", Printable(&place.source));
    }
    words
}
