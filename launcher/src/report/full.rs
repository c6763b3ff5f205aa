//! The full format: a process's state, for people.

use std::fmt::Write;

use crate::duration::duration;
use crate::options::extent::Extent;
use crate::printable::{self, Printable};
use crate::report::Report;
use crate::report::fold;
use crate::report::frames::Frames;
use crate::report::idle;
use crate::report::movement::{Movement, Movements};
use crate::report::native_lines::{NativeLines, write_native_note};
use crate::report::page::{CUT, Page};
use crate::report::suspended;
use crate::report::waits;
use crate::state::NO_TIME;
use crate::state::thread::Thread;
use crate::state::wait_graph::WaitGraph;
use protocol::names::{OTHER_HEADING, THREAD_HEADING};
use protocol::state::CutPart;

/// Off-CPU time is shown from here on, in seconds: the agent itself may have caused less.
const SHORTEST_SHOWN: f64 = 0.1;

/// Stands above the threads where there was no room for all variables.
const MISSING_VARIABLES: &str =
    "Some variables are missing for lack of room or time: ask for less of each\n";

/// What a part is called where it is not whole.
fn name_of(part: CutPart) -> &'static str {
    match part {
        CutPart::Threads => "the list of threads",
        CutPart::Stacks => "stacks",
        CutPart::Waits => "what threads wait for and hold",
        CutPart::Variables => "variables",
        CutPart::Suspended => "greenlets and generators",
    }
}

impl Report {
    /// Writes the report in lines, without control characters; with marks for what has moved since an
    /// earlier report, if that is known. Where the page has no room for all of it, it says so.
    pub fn write_full(&self, movements: Option<&Movements>, extent: &Extent, text: &mut Page) {
        let state = &self.state;
        self.write_summary(text, movements, extent);
        let mut frames = Frames::new(&self.secrets, extent);
        let graph = WaitGraph::of(state);
        for circle in graph.deadlocks() {
            waits::write_deadlock(text, &mut frames, &graph, &circle);
        }
        let greenlets = state.greenlets.found();
        let (mut shown, mut count) = (0, 0);
        for threads in fold::alike(self, &graph, movements, extent) {
            count += threads.len();
            if text.is_full() {
                continue;
            }
            match &threads[..] {
                [thread] => {
                    let moved = movements.and_then(|movements| movements.of(thread.ident));
                    self.write_thread(text, &mut frames, (&graph, thread), moved);
                    if let Some(greenlets) = greenlets {
                        let its = greenlets.suspended_of(Some(thread.ident));
                        suspended::write_greenlets(text, &mut frames, &graph, its);
                    }
                }
                threads => self.write_alike(text, &mut frames, (&graph, threads), movements),
            }
            shown += if text.is_full() { 0 } else { threads.len() };
        }
        // What belongs to no thread, or to one that is not known.
        let are_all_meant = extent.thread.is_empty();
        if let Some(greenlets) = greenlets.filter(|_| are_all_meant && !text.is_full()) {
            let of_others = greenlets.suspended.iter();
            let of_others = of_others
                .filter(|one| one.thread.is_none_or(|ident| graph.thread(ident).is_none()));
            suspended::write_greenlets(text, &mut frames, &graph, of_others);
            suspended::write_of_unknown(text, greenlets);
        }
        let coroutines = state.coroutines.found();
        if let Some(coroutines) = coroutines.filter(|_| are_all_meant && !text.is_full()) {
            suspended::write_coroutines(text, &mut frames, coroutines);
        }
        if text.is_full() {
            let missing = match count - shown {
                0 => "all threads are shown, and not all of what is suspended".to_owned(),
                missing => format!("{missing} of {count} threads are not shown"),
            };
            text.note(&format!("{CUT}: {missing}, as there is too much to print"));
        }
    }

    /// The same, as one text.
    pub fn full(&self, movements: Option<&Movements>, most: u64) -> String {
        let mut text = Vec::new();
        let mut page = Page::new(&mut text, false, most);
        self.write_full(movements, &Extent::default(), &mut page);
        // A vector takes everything.
        let _ = page.finish();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Writes the lines above all threads.
    fn write_summary(&self, text: &mut Page, movements: Option<&Movements>, extent: &Extent) {
        let state = &self.state;
        let mut line = String::new();
        if let Some(version) = state.version() {
            let _ = write!(line, "Python {version}, ");
        }
        let count = state.shown().count();
        let plural = if count == 1 { "" } else { "s" };
        let _ = write!(line, "{count} thread{plural}");
        let (greenlets, coroutines) = (state.greenlets.found(), state.coroutines.found());
        line.push_str(&suspended::counts(greenlets, coroutines));
        let _ = writeln!(text, "{}", Printable(&line));
        if !extent.thread.is_empty() {
            let shown = state
                .shown()
                .filter(|one| one.is_among(&extent.thread))
                .count();
            let are = if shown == 1 { "is" } else { "are" };
            let _ = writeln!(text, "{shown} of them {are} shown (--thread)");
        }
        match &self.note {
            Some(note) if idle::is_idle(note) => {
                let _ = writeln!(text, "No stacks: {}", Printable(note));
            }
            Some(note) => {
                let note = Printable(note);
                let _ = writeln!(text, "Read from memory, without the GIL: {note}");
            }
            None => {}
        }
        suspended::write_notes(text, &state.greenlets, &state.coroutines);
        if state.is_cut && !state.cut.contains(&CutPart::Variables) {
            text.push_str(MISSING_VARIABLES);
        }
        if !state.cut.is_empty() {
            let parts: Vec<&str> = state.cut.iter().map(|&part| name_of(part)).collect();
            let _ = writeln!(
                text,
                "Not everything is shown, {NO_TIME}: {}",
                parts.join(", ")
            );
        }
        for line in &state.left_out {
            // From a file it may be anything.
            let line = Printable(line).to_string();
            let _ = printable::write_line(text, line.as_bytes());
            text.end_line();
        }
        if let Some(movements) = movements {
            let _ = writeln!(text, "{}", movements.summary());
            for name in movements.gone() {
                let _ = writeln!(text, "< thread {} is gone", Printable(name));
            }
        }
    }

    /// Writes a thread: its heading, what it waits for, its stack.
    fn write_thread(
        &self,
        text: &mut Page,
        frames: &mut Frames,
        (graph, thread): (&WaitGraph, &Thread),
        moved: Option<&Movement>,
    ) {
        let heading = self.heading(thread, moved);
        let _ = writeln!(text, "\n{}", Printable(&heading));
        if let Some(waited) = moved.and_then(Movement::waited) {
            let _ = writeln!(text, "< - no longer waits for {}", Printable(waited));
        }
        if let Some(wait) = &thread.wait {
            let mark = moved.map_or(' ', Movement::mark_of_wait);
            let what = waits::of_thread(graph, thread, wait);
            let _ = writeln!(text, "{mark} - waits for {}", Printable(&what));
        }
        if let Some(greenlets) = self.state.greenlets.found() {
            for line in suspended::lines_of_thread(greenlets, Some(thread.ident)) {
                let _ = writeln!(text, "  - {}", Printable(&line));
            }
        }
        if thread.variables_cut {
            text.push_str(VARIABLES_CUT);
        }
        write_stack(text, frames, thread, moved);
    }

    /// Writes threads that are alike, in one entry.
    fn write_alike(
        &self,
        text: &mut Page,
        frames: &mut Frames,
        (graph, threads): (&WaitGraph, &[&Thread]),
        movements: Option<&Movements>,
    ) {
        let first = threads[0];
        let moved = movements.and_then(|movements| movements.of(first.ident));
        let mut line = format!("### {} threads: {}", threads.len(), fold::names(threads));
        if first.daemon == Some(true) {
            line.push_str(", daemons");
        }
        let what = [
            doing_of(threads),
            moved.map_or(String::new(), Movement::words),
        ];
        let what: Vec<String> = what.into_iter().filter(|one| !one.is_empty()).collect();
        if !what.is_empty() {
            let _ = write!(line, ": {}", what.join(", "));
        }
        let _ = writeln!(text, "\n{}", Printable(&line));
        if let Some(waited) = moved.and_then(Movement::waited) {
            let _ = writeln!(text, "< - no longer wait for {}", Printable(waited));
        }
        let waiting = threads
            .iter()
            .filter_map(|&one| Some((one, one.wait.as_ref()?)));
        let mut waiting = waiting.peekable();
        if waiting.peek().is_some() {
            let mark = moved.map_or(' ', Movement::mark_of_wait);
            let what = fold::few(waiting.map(|(one, wait)| waits::of_thread(graph, one, wait)));
            let _ = writeln!(text, "{mark} - wait for {}", Printable(&what));
        }
        if !first.variables.is_empty() {
            let name = graph.name(first.ident);
            let name = Printable(&name);
            let _ = writeln!(
                text,
                "  - the variables are those of thread {name} (--each shows all)"
            );
        }
        if first.variables_cut {
            text.push_str(VARIABLES_CUT);
        }
        write_stack(text, frames, first, moved);
    }

    /// The line above a thread's stack.
    fn heading(&self, thread: &Thread, moved: Option<&Movement>) -> String {
        let mut line = match (&thread.task, thread.ident) {
            (Some(task), 0) => format!("{OTHER_HEADING}{}", task.number),
            _ => format!("{THREAD_HEADING}{}", thread.ident),
        };
        if let Some(name) = &thread.name {
            let _ = write!(line, " {name:?}");
        }
        if thread.daemon == Some(true) {
            line.push_str(", daemon");
        }
        if let Some(task) = thread.task.as_ref().filter(|_| thread.ident != 0) {
            let _ = write!(line, ", TID {}", task.number);
        }
        let moved = moved.map_or(String::new(), Movement::words);
        let what = [self.doing(thread), moved];
        let what: Vec<String> = what.into_iter().filter(|one| !one.is_empty()).collect();
        if !what.is_empty() {
            let _ = write!(line, ": {}", what.join(", "));
        }
        line
    }

    /// What a thread was doing, in words; empty if that is not known.
    fn doing(&self, thread: &Thread) -> String {
        if self.held_gil(thread) {
            return "held the GIL".to_owned();
        }
        let Some((words, seconds)) = doing(thread) else {
            return String::new();
        };
        match seconds.filter(|&seconds| seconds >= SHORTEST_SHOWN) {
            Some(seconds) => format!("{words} for {}", duration(seconds)),
            None => words,
        }
    }
}

/// What a thread was doing, and for how many seconds; `None` if that is not known.
fn doing(thread: &Thread) -> Option<(String, Option<f64>)> {
    let task = thread.task.as_ref()?;
    let waited = thread.wait.as_ref().and_then(|wait| wait.waited);
    let waited = waited.filter(|&waited| waited >= SHORTEST_SHOWN && !task.runs);
    if waited.is_some() {
        // By short sleeps: the kernel knows the last of them.
        return Some(("waiting".to_owned(), waited));
    }
    let words = match &task.call {
        Some(call) => format!("in {call}"),
        None if task.runs => "running".to_owned(),
        None => "waiting".to_owned(),
    };
    Some((words, task.seconds))
}

/// What threads that are alike were doing, and from how long to how long they have not run.
fn doing_of(threads: &[&Thread]) -> String {
    let doings = || threads.iter().filter_map(|&one| doing(one));
    let mut words = doings().next().map_or(String::new(), |(words, _)| words);
    let times = || doings().filter_map(|(_, seconds)| seconds);
    let [shortest, longest] = [times().reduce(f64::min), times().reduce(f64::max)];
    if let Some((shortest, longest)) = shortest.zip(longest)
        && longest >= SHORTEST_SHOWN
    {
        let [shortest, longest] = [shortest, longest].map(duration);
        let _ = match shortest == longest {
            true => write!(words, " for {longest}"),
            false => write!(words, " for {shortest} to {longest}"),
        };
    }
    words
}

const VARIABLES_CUT: &str = "  - not all of its variables are shown: no time\n";

/// Writes a thread's stack, with what is known of its variables, of what has moved, and of its native frames.
fn write_stack(text: &mut Page, frames: &mut Frames, thread: &Thread, moved: Option<&Movement>) {
    if moved.is_none() && thread.variables.is_empty() && thread.native.frames.is_empty() {
        frames.write_stack(text, &thread.frames);
        return write_native_note(text, &thread.native);
    }
    let count = thread.frames.len();
    let mut native = NativeLines::of(&thread.native);
    native.write_until(text, count);
    let stack = thread.frames.iter().enumerate();
    let stack = stack.map(|(index, frame)| (frame, thread.variables_at(index)));
    let mark = |index| moved.map_or(' ', |moved| moved.mark_of_frame(index));
    let behind = |text: &mut Page, written| native.write_until(text, count - written);
    frames.write_frames(text, (stack, count), mark, behind);
    write_native_note(text, &thread.native);
}
