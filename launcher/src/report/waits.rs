//! Who waits for whom, in words: one wait, and a deadlock.

use std::fmt::Write;

use crate::duration::duration;
use crate::printable::Printable;
use crate::report::frames::Frames;
use crate::report::page::Page;
use crate::state::frame::Frame;
use crate::state::greenlet_wait::GreenletWait;
use crate::state::greenlets::Greenlet;
use crate::state::thread::Thread;
use crate::state::wait::{Certainty, SuspendedHolder, Wait};
use crate::state::wait_graph::{Node, WaitGraph};
use protocol::state::{GoneKind, GreenletWaitKind, WaitKind};

/// Files of libraries that say nothing about a deadlock that the wait does not say: of the standard
/// library, of gevent and of eventlet.
const WAITING_FILES: [&str; 15] = [
    "threading.py",
    "Queue.py",
    "multiprocessing/forking.py",
    "multiprocessing/process.py",
    "multiprocessing/queues.py",
    "multiprocessing/synchronize.py",
    "multiprocessing/util.py",
    "gevent/hub.py",
    "gevent/lock.py",
    "gevent/greenlet.py",
    "gevent/thread.py",
    "eventlet/hubs/hub.py",
    "eventlet/semaphore.py",
    "eventlet/event.py",
    "eventlet/greenthread.py",
];

/// So many innermost frames are looked at.
const MOST_WAITING_FRAMES: usize = 20;

/// Writes what those in a deadlock wait for, and where.
pub(crate) fn write_deadlock(
    text: &mut Page,
    frames: &mut Frames,
    graph: &WaitGraph,
    circle: &[Node],
) {
    let _ = writeln!(text, "\nDeadlock: {}:", heading(graph, circle));
    for member in members(graph, circle) {
        let _ = writeln!(text, "  {}", Printable(&member.words));
        if let Some(frame) = place(&member.innermost) {
            frames.write(text, ' ', frame);
        }
    }
}

/// The innermost frame that is the program's, of frames from the innermost on.
pub(crate) fn place<'a>(innermost: &[&'a Frame]) -> Option<&'a Frame> {
    let is_the_programs = |frame: &&&Frame| match frame {
        Frame::At(place) => !WAITING_FILES.iter().any(|file| place.file.ends_with(file)),
        Frame::Mark(_) => false,
    };
    innermost.iter().find(is_the_programs).copied()
}

/// One in a deadlock.
pub(crate) struct Member<'a> {
    /// Who it is, and what it waits for.
    pub(crate) words: String,
    /// Its innermost frames, from the innermost on.
    pub(crate) innermost: Vec<&'a Frame>,
}

/// Those in a deadlock.
pub(crate) fn members<'a>(
    graph: &WaitGraph<'a>,
    circle: &[Node],
) -> impl Iterator<Item = Member<'a>> {
    let pairs = circle.iter().zip(circle.iter().cycle().skip(1));
    pairs.filter_map(|(&node, &next)| {
        let words = match (node, next) {
            (Node::Thread(ident), _) => {
                let thread = graph.thread(ident)?;
                let what = of_thread(graph, thread, thread.wait.as_ref()?);
                format!("thread {} waits for {what}", graph.name(ident))
            }
            (Node::Greenlet(_) | Node::Suspended(_), Node::Thread(ident)) => format!(
                "{} is suspended, and only thread {} can resume it",
                name(graph, node),
                graph.name(ident)
            ),
            (Node::Suspended(_), _) => return None,
            (Node::Greenlet(id), _) => {
                let greenlet = graph.greenlet(id)?;
                let what = of_greenlet(graph, greenlet).unwrap_or_default();
                format!("greenlet {} waits for {what}", greenlet.label())
            }
        };
        let innermost = innermost(graph, node);
        Some(Member { words, innermost })
    })
}

/// The innermost frames of a thread or a greenlet, from the innermost on.
pub(crate) fn innermost<'a>(graph: &WaitGraph<'a>, node: Node) -> Vec<&'a Frame> {
    match node {
        Node::Thread(ident) => {
            let frames = graph.thread(ident).map(|thread| thread.frames.iter());
            let frames = frames.into_iter().flatten().rev();
            frames.take(MOST_WAITING_FRAMES).collect()
        }
        Node::Greenlet(id) => {
            let frames = graph.greenlet(id).map(|greenlet| greenlet.frames.frames());
            let frames: Vec<&Frame> = frames
                .into_iter()
                .flatten()
                .map(|(frame, _)| frame)
                .collect();
            frames.into_iter().rev().take(MOST_WAITING_FRAMES).collect()
        }
        // Where it is suspended is said with its name.
        Node::Suspended(_) => Vec::new(),
    }
}

/// A thread, or what is suspended, by name.
pub(crate) fn name(graph: &WaitGraph, node: Node) -> String {
    match node {
        Node::Thread(ident) => format!("thread {}", graph.name(ident)),
        Node::Greenlet(id) => {
            let label = graph.greenlet(id).map(Greenlet::label);
            format!("greenlet {}", label.unwrap_or_else(|| format!("{id:#x}")))
        }
        Node::Suspended(frame) => {
            let label = graph.suspended(frame).map(SuspendedHolder::label);
            label.unwrap_or_default()
        }
    }
}

/// Who is in a deadlock.
pub(crate) fn heading(graph: &WaitGraph, circle: &[Node]) -> String {
    let threads = circle.iter().filter(|node| node.thread().is_some()).count();
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    let mut words = match (threads, circle) {
        (1, [_]) => "a thread waits for itself".to_owned(),
        (0, [_]) => "a greenlet waits for itself".to_owned(),
        (1, [_, _]) => "a thread waits for what only it can resume".to_owned(),
        _ => {
            let greenlets = circle.iter().filter(|one| matches!(one, Node::Greenlet(_)));
            let greenlets = greenlets.count();
            let counts = [
                counted(threads, "thread"),
                counted(greenlets, "greenlet"),
                counted(circle.len() - threads - greenlets, "generator"),
            ];
            let counts: Vec<String> = counts.into_iter().flatten().collect();
            format!("{} wait for each other", counts.join(" and "))
        }
    };
    // Of a semaphore it may not be known how many may have it.
    let waits = circle.iter().filter_map(|&node| match node {
        Node::Greenlet(id) => graph.greenlet(id)?.waits_for.as_ref(),
        _ => None,
    });
    let is_open =
        |wait: &&GreenletWait| wait.kind == GreenletWaitKind::Semaphore && wait.most != Some(1);
    if let Some(id) = waits.filter(is_open).find_map(|wait| wait.id) {
        let _ = write!(words, ", unless somebody else releases Semaphore {id:#x}");
    }
    words
}

/// What a thread waits for, and who keeps it waiting.
pub(crate) fn of_thread(graph: &WaitGraph, thread: &Thread, wait: &Wait) -> String {
    let mut words = wait.words();
    let waited = thread.task.as_ref().and_then(|task| task.seconds);
    if wait.kind == WaitKind::Sleep
        && let Some((seconds, waited)) = wait.seconds.zip(waited)
    {
        let left = duration((seconds - waited).max(0.0));
        let _ = write!(words, " ({} in all, {left} to go)", duration(seconds));
    }
    let holders = graph.holders(wait);
    let candidates = graph.candidates(wait);
    let likely = match graph.certainty(wait) {
        Some(Certainty::VeryLikely) => "very likely ",
        _ => "",
    };
    if let (Some(gone), Some(owner)) = (wait.gone, wait.owner) {
        let _ = match gone {
            GoneKind::Ended => write!(words, ", held by thread {owner}, which has ended"),
            GoneKind::Replaced => {
                write!(
                    words,
                    ", very likely held by thread {owner}, which has ended"
                )
            }
            GoneKind::Fork => {
                write!(
                    words,
                    ", held by thread {owner}, which the fork left behind"
                )
            }
        };
        return words;
    }
    let _ = match (wait.kind, &holders[..], &candidates[..]) {
        (WaitKind::Thread, [holder], _) => {
            let ident = holder.thread().unwrap_or_default();
            write!(words, " ({ident})")
        }
        (WaitKind::ProcessLock | WaitKind::ProcessRLock, [], _) if wait.value == Some(0) => {
            match wait.owner {
                Some(ident) => write!(words, ", held by thread {ident}, which has ended"),
                None => write!(words, ", held by a process that is gone or not known"),
            }
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
            write!(words, ", which it {likely}holds itself")
        }
        (_, holders, _) => write!(
            words,
            ", {likely}held by {}",
            names(graph, wait.id, holders)
        ),
    };
    words
}

/// What a greenlet waits for, and who keeps it waiting, if that is known.
pub(crate) fn of_greenlet(graph: &WaitGraph, greenlet: &Greenlet) -> Option<String> {
    let wait = greenlet.waits_for.as_ref()?;
    let mut words = wait.words();
    let holders = graph.holders_of_greenlet(wait);
    if !holders.is_empty() && wait.kind != GreenletWaitKind::Greenlet {
        let _ = write!(words, ", held by {}", names(graph, wait.id, &holders));
    }
    Some(words)
}

/// The names of those who hold a lock, and of what is suspended where it is.
fn names(graph: &WaitGraph, lock: Option<u64>, holders: &[Node]) -> String {
    let threads = holders.iter().filter_map(|node| node.thread());
    let threads: Vec<String> = threads.map(|ident| graph.name(ident)).collect();
    let threads = match &threads[..] {
        [] => None,
        names => Some(format!("thread {}", names.join(", "))),
    };
    let suspended = holders.iter().filter_map(|&node| match node {
        Node::Thread(_) => None,
        Node::Suspended(frame) => {
            let holder = graph.suspended(frame)?;
            Some(format!(
                "{}, suspended at {}:{}",
                holder.label(),
                holder.file,
                holder.line
            ))
        }
        Node::Greenlet(id) => {
            let label = graph.greenlet(id)?.label();
            let hold = lock.and_then(|lock| graph.hold(id, lock));
            Some(match hold {
                Some(hold) => format!("greenlet {label}, suspended at {}:{}", hold.file, hold.line),
                None => format!("greenlet {label}"),
            })
        }
    });
    let all: Vec<String> = threads.into_iter().chain(suspended).collect();
    all.join(", and by ")
}
