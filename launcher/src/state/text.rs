//! Reads the plain format: where the library could not take the GIL, it is all that comes.

use std::sync::Arc;

use crate::state::State;
use crate::state::frame::{Frame, Place};
use crate::state::search::Search;
use crate::state::thread::Thread;
use protocol::names::{THREAD_HEADING, WALK_HEADING};

/// Reads a text of stacks: why there is nothing but stacks, and the state.
pub fn parse(text: &str) -> (Option<String>, State) {
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
    let state = State {
        python: String::new(),
        holder: None,
        threads,
        is_cut: false,
        cut: Vec::new(),
        greenlets: Search::NotAsked,
        coroutines: Search::NotAsked,
    };
    (note, state)
}

/// Reads `  File "NAME", line N, in FUNCTION`.
fn read_place(line: &str) -> Option<Place> {
    let (rest, function) = line.strip_prefix("  File \"")?.rsplit_once(", in ")?;
    let (file, line) = rest.rsplit_once("\", line ")?;
    Some(Place {
        file: file.to_owned(),
        // `?` if the library could not read it.
        line: line.parse().unwrap_or(0),
        function: function.to_owned(),
        source: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn reads_a_state() {
        let text = "### Read from memory, without the GIL: why\n\n\n### Thread 12:\n  \
                    File \"a \", line 1, in b\", line 7, in f\n  ... 3 frames left out ...\n  \
                    File \"x\", line ?, in g\n\n\n### Thread 13:\n\n\n... cut here ...\n";
        let (note, state) = parse(text);
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
            *state.threads[0].frames,
            [
                place("a \", line 1, in b", 7, "f"),
                mark("3 frames left out"),
                place("x", 0, "g"),
            ]
        );
        assert_eq!(*state.threads[1].frames, [mark("cut here")]);
        assert_eq!(state.threads.len(), 2);
    }
}
