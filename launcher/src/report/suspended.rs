//! Suspended greenlets and generators, in the full format.

use std::fmt::Write;

use crate::printable::Printable;
use crate::report::frames::Frames;
use crate::report::page::Page;
use crate::report::waits;
use crate::state::coroutines::Coroutines;
use crate::state::greenlets::{Greenlet, Greenlets};
use crate::state::search::Search;
use crate::state::suspended::SuspendedChain;
use crate::state::wait_graph::WaitGraph;

/// Writes what stands above the threads: that the search has failed, or how many are left out.
pub(crate) fn write_notes(
    text: &mut Page,
    greenlets: &Search<Greenlets>,
    coroutines: &Search<Coroutines>,
) {
    let left_out = greenlets.found().map_or(0, |found| found.left_out);
    if *greenlets == Search::Failed {
        text.push_str("Greenlets cannot be found here.\n");
    }
    write_left_out(text, left_out, "greenlet");
    let left_out = coroutines.found().map_or(0, |found| found.left_out);
    if *coroutines == Search::Failed {
        text.push_str("Suspended generators cannot be found here.\n");
    }
    write_left_out(text, left_out, "suspended generator");
}

fn write_left_out(text: &mut Page, count: u64, what: &str) {
    let _ = match count {
        0 => Ok(()),
        1 => writeln!(text, "1 more {what} is not shown"),
        count => writeln!(text, "{count} more {what}s are not shown"),
    };
}

/// The number of suspended greenlets and generators, for the first line.
pub(crate) fn counts(greenlets: Option<&Greenlets>, coroutines: Option<&Coroutines>) -> String {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let mut words = String::new();
    if let Some(greenlets) = greenlets {
        let count = greenlets.suspended.len() as u64;
        let _ = write!(words, ", {count} suspended greenlet{}", plural(count));
    }
    let count = coroutines.map_or(0, |all| all.count.saturating_add(all.left_out));
    if count > 0 {
        let _ = write!(words, ", {count} suspended generator{}", plural(count));
    }
    words
}

/// More such lines of one kind are left out: a thread has one.
const MOST_LINES: usize = 10;

/// What stands below the heading of a thread: its current greenlet, and how many have not started.
/// `None` stands for all unknown threads.
pub(crate) fn lines_of_thread(greenlets: &Greenlets, thread: Option<u64>) -> Vec<String> {
    let current = greenlets.current_of(thread).iter().take(MOST_LINES);
    let mut lines: Vec<String> = current
        .map(|greenlet| format!("its current greenlet is {}", greenlet.label()))
        .collect();
    let not_started = greenlets.not_started_of(thread).iter().take(MOST_LINES);
    lines.extend(not_started.map(|one| match one.count {
        1 => "a greenlet of it has not started".to_owned(),
        count => format!("{count} greenlets of it have not started"),
    }));
    lines
}

/// Writes suspended greenlets.
pub(crate) fn write_greenlets<'a>(
    text: &mut Page,
    frames: &mut Frames,
    graph: &WaitGraph,
    greenlets: impl IntoIterator<Item = &'a Greenlet>,
) {
    for greenlet in greenlets {
        if text.is_full() {
            break;
        }
        let _ = writeln!(text, "\n{}", Printable(&heading(greenlet)));
        if let Some(what) = waits::of_greenlet(graph, greenlet) {
            let _ = writeln!(text, "  - waits for {}", Printable(&what));
        }
        write_stack(text, frames, &greenlet.frames);
    }
}

/// Writes what is known of greenlets of threads that are not known.
pub(crate) fn write_of_unknown(text: &mut Page, greenlets: &Greenlets) {
    for line in lines_of_thread(greenlets, None) {
        let line = format!("Of a thread that is not known: {line}");
        let _ = writeln!(text, "\n{}", Printable(&line));
    }
}

/// The line above a greenlet's stack.
fn heading(greenlet: &Greenlet) -> String {
    let thread = match greenlet.thread {
        Some(thread) => format!("thread {thread}"),
        None => "a thread that is not known".to_owned(),
    };
    let what = match greenlet.suspended {
        true => "suspended",
        // It has no Python frames to tell by.
        false => "suspended, or the thread's current one",
    };
    format!("### Greenlet {} of {thread}: {what}", greenlet.label())
}

/// Writes all chains of generators.
pub(crate) fn write_coroutines(text: &mut Page, frames: &mut Frames, coroutines: &Coroutines) {
    for chain in &coroutines.suspended {
        if text.is_full() {
            break;
        }
        let name = chain.name.as_deref().unwrap_or("a generator");
        let library = chain.library.name();
        let mut line = format!("### Generator {name}, driven by {library}: suspended");
        let count = chain.frames.len();
        if count > 1 {
            let _ = write!(line, ", each of these {count} waits for the next");
        }
        let _ = writeln!(text, "\n{}", Printable(&line));
        if let Some(wait) = &chain.waits_for {
            let _ = writeln!(text, "  - waits for {}", Printable(&wait.words()));
        }
        write_stack(text, frames, &chain.frames);
    }
}

/// Writes a stack, with the variables of its frames.
fn write_stack(text: &mut Page, frames: &mut Frames, chain: &SuspendedChain) {
    if let Some(stack) = chain.bare_stack() {
        return frames.write_stack(text, stack);
    }
    frames.write_frames(text, (chain.frames(), chain.len()), |_| ' ', |_, _| ());
}
