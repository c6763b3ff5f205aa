//! The text of a state, read again: where the agent could not get at more, it is all there is.

use std::sync::Arc;

use crate::state::Facts;
use crate::state::coroutines::Coroutines;
use crate::state::frame::{Frame, Place};
use crate::state::greenlets::Greenlets;
use crate::state::thread::Thread;
use protocol::names::THREAD_HEADING;

/// What an answer that was read from memory begins with; the reason follows.
const WALK_HEADING: &str = "### Read from memory, without the GIL: ";

/// The text of a state, read again: why it is no more, and what it tells.
pub fn parse(text: &str) -> (Option<String>, Facts) {
    let mut note = None;
    let mut threads: Vec<Thread> = Vec::new();
    for line in text.lines() {
        if let Some(reason) = line.strip_prefix(WALK_HEADING) {
            note = Some(reason.to_owned());
        } else if let Some(ident) = line
            .strip_prefix(THREAD_HEADING)
            .and_then(|rest| rest.strip_suffix(':')?.parse().ok())
        {
            threads.push(Thread {
                ident,
                ..Thread::default()
            });
        } else if let Some(thread) = threads.last_mut() {
            let mark = line.trim().trim_matches('.').trim();
            if let Some(place) = read_place(line) {
                Arc::make_mut(&mut thread.frames).push(Frame::At(Arc::new(place)));
            } else if !mark.is_empty() {
                Arc::make_mut(&mut thread.frames).push(Frame::Mark(mark.to_owned()));
            }
        }
    }
    let facts = Facts {
        python: String::new(),
        holder: None,
        threads,
        is_cut: false,
        greenlets: Greenlets::NotAsked,
        coroutines: Coroutines::NotAsked,
    };
    (note, facts)
}

/// `  File "NAME", line N, in FUNCTION`
fn read_place(line: &str) -> Option<Place> {
    let (rest, function) = line.strip_prefix("  File \"")?.rsplit_once(", in ")?;
    let (file, line) = rest.rsplit_once("\", line ")?;
    Some(Place {
        file: file.to_owned(),
        // `?` where it could not be read.
        line: line.parse().unwrap_or(0),
        function: function.to_owned(),
        source: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reads_a_state_again() {
        let text = "### Read from memory, without the GIL: why\n\n\n### Thread 12:\n  \
                    File \"a \", line 1, in b\", line 7, in f\n  ... 3 frames left out ...\n  \
                    File \"x\", line ?, in g\n\n\n### Thread 13:\n\n\n... cut here ...\n";
        let (note, facts) = parse(text);
        assert_eq!(note.as_deref(), Some("why"));
        let place = |file: &str, line, function: &str| {
            Frame::At(Arc::new(Place {
                file: file.to_owned(),
                line,
                function: function.to_owned(),
                source: String::new(),
            }))
        };
        let mark = |what: &str| Frame::Mark(what.to_owned());
        assert_eq!(
            *facts.threads[0].frames,
            [
                place("a \", line 1, in b", 7, "f"),
                mark("3 frames left out"),
                place("x", 0, "g"),
            ]
        );
        assert_eq!(*facts.threads[1].frames, [mark("cut here")]);
        assert_eq!(facts.threads.len(), 2);
    }
}
