//! Reads the plain format: where the library could not take the GIL, it is all that comes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::state::State;
use crate::state::budget::{AnswerBytes, Memory};
use crate::state::frame::{Frame, Place, Stack};
use crate::state::thread::Thread;
use protocol::names::{THREAD_HEADING, WALK_HEADING};

/// A longer line is cut, in bytes. The library's are not as long.
const LONGEST_LINE: usize = 16 << 10;

/// Reads a text of stacks: why there is nothing but stacks, and the state.
pub fn parse(text: &AnswerBytes) -> (Option<String>, State) {
    let mut note = None;
    let mut memory = Memory::for_what_is_made_of(text);
    let mut threads: Vec<(u64, Vec<u32>)> = Vec::new();
    let (mut missing_threads, mut missing_frames) = (0_usize, 0_usize);
    // The same line is the same frame, in whichever stack.
    let mut indices: HashMap<&[u8], u32> = HashMap::new();
    let mut known: Vec<Frame> = Vec::new();
    for bytes in text.split(|&byte| byte == b'\n') {
        let bytes = &bytes[..bytes.len().min(LONGEST_LINE)];
        let index = indices.get(bytes).copied();
        let line = match index {
            Some(_) => Cow::default(),
            None => String::from_utf8_lossy(bytes),
        };
        let line = line.strip_suffix('\r').unwrap_or(&line);
        if let Some(reason) = line.strip_prefix(WALK_HEADING) {
            note = Some(reason.to_owned());
        } else if let Some(ident) = line
            .strip_prefix(THREAD_HEADING)
            .and_then(|rest| rest.strip_suffix(':')?.parse().ok())
        {
            match memory.take(2 * size_of::<Thread>()) {
                true => threads.push((ident, Vec::new())),
                false => missing_threads += 1,
            }
        } else if let Some((_, frames)) = threads.last_mut().filter(|_| missing_threads == 0) {
            let frame = || {
                let mark = line.trim().trim_matches('.').trim();
                match read_place(line) {
                    Some(place) => Some(Frame::At(place)),
                    None if !mark.is_empty() => Some(Frame::Mark(mark.to_owned())),
                    None => None,
                }
            };
            let index = match index {
                Some(index) => Some(index),
                None => match frame() {
                    Some(frame) if memory.take(frame.size() + 64) => {
                        known.push(frame);
                        let index = known.len() as u32 - 1;
                        indices.insert(bytes, index);
                        Some(index)
                    }
                    Some(_) => {
                        missing_frames += 1;
                        None
                    }
                    None => None,
                },
            };
            match index {
                Some(index) if memory.take(2 * size_of::<u32>()) => frames.push(index),
                Some(_) => missing_frames += 1,
                None => {}
            }
        }
    }
    let known = Arc::new(known);
    let threads = threads.into_iter().map(|(ident, frames)| Thread {
        ident,
        frames: Stack::among(&known, frames.into()),
        ..Thread::default()
    });
    let mut state = State::of_threads(threads.collect());
    for (count, what) in [(missing_threads, "threads"), (missing_frames, "frames")] {
        if count > 0 {
            let line = format!("{count} {what} are left out: this command has no memory for more");
            state.left_out.push(line);
        }
    }
    state.memory = memory;
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
        let (note, state) = parse(&text.as_bytes().to_vec().into());
        assert_eq!(note.as_deref(), Some("why"));
        let place = |file: &str, line, function: &str| {
            Frame::At(Place {
                file: file.to_owned(),
                line,
                function: function.to_owned(),
                source: String::new(),
            })
        };
        let mark = |what: &str| Frame::Mark(what.to_owned());
        let frames = vec![
            place("a \", line 1, in b", 7, "f"),
            mark("3 frames left out"),
            place("x", 0, "g"),
        ];
        assert_eq!(state.threads[0].frames, Stack::of(frames));
        assert_eq!(state.threads[1].frames, Stack::of(vec![mark("cut here")]));
        assert_eq!(state.threads.len(), 2);
    }
}
