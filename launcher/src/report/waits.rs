//! Who waits for whom, in words: one wait, and a deadlock.

use std::fmt::Write;

use crate::duration::duration;
use crate::printable::Printable;
use crate::report::frames::Frames;
use crate::report::page::Page;
use crate::state::frame::Frame;
use crate::state::greenlets::Greenlet;
use crate::state::thread::Thread;
use crate::state::wait::Wait;
use crate::state::wait_graph::{Node, WaitGraph};
use protocol::state::{GreenletWaitKind, WaitKind};

/// Files of libraries that say nothing about a deadlock that the wait does not say: of the standard
/// library, of gevent and of eventlet.
const WAITING_FILES: [&str; 10] = [
    "threading.py",
    "Queue.py",
    "gevent/hub.py",
    "gevent/lock.py",
    "gevent/greenlet.py",
    "gevent/thread.py",
    "eventlet/hubs/hub.py",
    "eventlet/semaphore.py",
    "eventlet/event.py",
    "eventlet/greenthread.py",
];

/// They are the innermost ones, and never more than this.
const MOST_WAITING_FRAMES: usize = 20;

/// Writes what those in a deadlock wait for, and where.
pub(crate) fn write_deadlock(
    text: &mut Page,
    frames: &mut Frames,
    graph: &WaitGraph,
    circle: &[Node],
) {
    let _ = writeln!(text, "\nDeadlock: {}:", heading(circle));
    for (index, &node) in circle.iter().enumerate() {
        let next = circle[(index + 1) % circle.len()];
        match node {
            Node::Thread(ident) => {
                let thread = graph.thread(ident);
                let Some((thread, wait)) = thread.and_then(|one| Some((one, one.wait.as_ref()?)))
                else {
                    continue;
                };
                let what = of_thread(graph, thread, wait);
                let line = format!("thread {} waits for {what}", graph.name(ident));
                let _ = writeln!(text, "  {}", Printable(&line));
                write_place(text, frames, thread.frames.iter().rev());
            }
            Node::Greenlet(id) => {
                let Some(greenlet) = graph.greenlet(id) else {
                    continue;
                };
                let name = greenlet.label();
                let what = match next {
                    Node::Thread(ident) => {
                        format!(
                            "is suspended, and runs only in thread {}",
                            graph.name(ident)
                        )
                    }
                    Node::Greenlet(_) => {
                        format!(
                            "waits for {}",
                            of_greenlet(graph, greenlet).unwrap_or_default()
                        )
                    }
                };
                let _ = writeln!(text, "  {}", Printable(&format!("greenlet {name} {what}")));
                let stack: Vec<&Frame> = greenlet.frames.frames().map(|(frame, _)| frame).collect();
                write_place(text, frames, stack.into_iter().rev());
            }
        }
    }
}

/// Who is in a deadlock.
fn heading(circle: &[Node]) -> String {
    let threads = circle.iter().filter(|node| node.thread().is_some()).count();
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    match (threads, circle) {
        (1, [_]) => "a thread waits for itself".to_owned(),
        (0, [_]) => "a greenlet waits for itself".to_owned(),
        (threads, _) => {
            let counts = [
                counted(threads, "thread"),
                counted(circle.len() - threads, "greenlet"),
            ];
            let counts: Vec<String> = counts.into_iter().flatten().collect();
            format!("{} wait for each other", counts.join(" and "))
        }
    }
}

/// Writes the innermost frame that is the program's, of frames from the innermost on.
fn write_place<'a>(
    text: &mut Page,
    frames: &mut Frames,
    innermost: impl Iterator<Item = &'a Frame>,
) {
    let is_the_programs = |frame: &&Frame| match frame {
        Frame::At(place) => !WAITING_FILES.iter().any(|file| place.file.ends_with(file)),
        Frame::Mark(_) => false,
    };
    let found = innermost.take(MOST_WAITING_FRAMES).find(is_the_programs);
    if let Some(frame) = found {
        frames.write(text, ' ', frame);
    }
}

/// What a thread waits for, and who keeps it waiting.
pub(crate) fn of_thread(graph: &WaitGraph, thread: &Thread, wait: &Wait) -> String {
    let mut words = wait.words();
    let waited = thread.task.as_ref().and_then(|task| task.seconds);
    if let Some((seconds, waited)) = wait.seconds.zip(waited) {
        let left = duration((seconds - waited).max(0.0));
        let _ = write!(words, " ({} in all, {left} to go)", duration(seconds));
    }
    let holders = graph.holders(wait);
    let candidates = graph.candidates(wait);
    let _ = match (wait.kind, &holders[..], &candidates[..]) {
        (WaitKind::Thread, [holder], _) => {
            let ident = holder.thread().unwrap_or_default();
            write!(words, " ({ident})")
        }
        (WaitKind::Thread, ..) | (_, [], []) => Ok(()),
        (_, [], candidates) => {
            let names = candidates.iter().map(|&ident| graph.name(ident));
            let names = names.collect::<Vec<_>>().join(", ");
            write!(
                words,
                ", whose holder is not known; in a variable of thread {names}"
            )
        }
        (_, [Node::Thread(holder)], _) if *holder == thread.ident => {
            words.push_str(", which it holds itself");
            Ok(())
        }
        (_, holders, _) => write!(words, ", held by {}", names(graph, holders)),
    };
    words
}

/// What a greenlet waits for, and who keeps it waiting, if that is known.
pub(crate) fn of_greenlet(graph: &WaitGraph, greenlet: &Greenlet) -> Option<String> {
    let wait = greenlet.waits_for.as_ref()?;
    let mut words = wait.words();
    let holders = graph.holders_of_greenlet(wait);
    if !holders.is_empty() && wait.kind != GreenletWaitKind::Greenlet {
        let _ = write!(words, ", held by {}", names(graph, &holders));
    }
    Some(words)
}

/// The names of these, threads first.
fn names(graph: &WaitGraph, nodes: &[Node]) -> String {
    let threads = nodes.iter().filter_map(|node| node.thread());
    let threads: Vec<String> = threads.map(|ident| graph.name(ident)).collect();
    let greenlets = nodes.iter().filter_map(|node| match node {
        Node::Greenlet(id) => graph.greenlet(*id).map(Greenlet::label),
        Node::Thread(_) => None,
    });
    let greenlets: Vec<String> = greenlets.collect();
    let kinds = [("thread", threads), ("greenlet", greenlets)];
    let kinds = kinds.into_iter().filter(|(_, names)| !names.is_empty());
    let kinds = kinds.map(|(kind, names)| format!("{kind} {}", names.join(", ")));
    kinds.collect::<Vec<_>>().join(" and ")
}
