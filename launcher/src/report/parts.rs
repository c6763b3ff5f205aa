//! Which frames of a stack are shown, and what stands in place of the others.

use std::ops::Range;

use crate::options::extent::Extent;
use crate::state::frame::Frame;

/// A part of a stack.
#[derive(Debug, PartialEq)]
pub(crate) enum Part<'a, T> {
    /// A frame that is shown, with its index in the stack and what belongs to it.
    Frame(usize, &'a Frame, T),
    /// Stands in place of the frames with these indices: a note.
    Instead(Range<usize>, String),
}

/// Functions of the standard library that only start what is below them: of a thread, or of a program.
const STARTS: [(&str, &[&str]); 2] = [
    (
        "/threading.py",
        &["__bootstrap", "__bootstrap_inner", "run"],
    ),
    ("/runpy.py", &["_run_module_as_main", "_run_code"]),
];

/// More frames than this are no start.
const LONGEST_START: usize = 4;

/// Whether a frame belongs to the start of a thread or of a program.
fn is_start(frame: &Frame) -> bool {
    frame.place().is_some_and(|place| {
        let mut starts = STARTS.iter();
        starts.any(|(file, functions)| {
            functions.contains(&&*place.function) && place.file.ends_with(file) && !place.is_own()
        })
    })
}

/// The parts of a stack, outermost first.
pub(crate) struct Parts<'a, I, T> {
    frames: I,
    /// The index of the next of them.
    next: usize,
    only_own: bool,
    /// What stands in place of the outermost ones.
    first: Option<Part<'a, T>>,
    /// A frame that follows upon a note.
    behind: Option<Part<'a, T>>,
}

impl<'a, T, I: Iterator<Item = (&'a Frame, T)> + Clone> Parts<'a, I, T> {
    /// The parts of a stack with so many frames.
    pub(crate) fn of(frames: I, count: usize, extent: &Extent) -> Parts<'a, I, T> {
        let begin = frames.clone().take(LONGEST_START);
        let starts = match extent.each {
            true => 0,
            false => begin.take_while(|(frame, _)| is_start(frame)).count(),
        };
        // Where a thread is in them itself, they say something.
        let starts = if starts == count { 0 } else { starts };
        let innermost = extent.innermost.map_or(count, |most| most as usize);
        let outer = count - innermost.min(count);
        let words = match (starts, outer) {
            (0, 0) => None,
            (starts, outer) if starts >= outer => {
                Some("started by the standard library".to_owned())
            }
            (_, outer) => Some(counted(outer, "outer frame", "")),
        };
        let hidden = starts.max(outer);
        let mut frames = frames;
        if hidden > 0 {
            frames.nth(hidden - 1);
        }
        Parts {
            frames,
            next: hidden,
            only_own: extent.only_own,
            first: words.map(|words| Part::Instead(0..hidden, words)),
            behind: None,
        }
    }
}

impl<'a, T, I: Iterator<Item = (&'a Frame, T)>> Iterator for Parts<'a, I, T> {
    type Item = Part<'a, T>;

    fn next(&mut self) -> Option<Part<'a, T>> {
        if let Some(ready) = self.first.take().or_else(|| self.behind.take()) {
            return Some(ready);
        }
        let begin = self.next;
        for (frame, what) in self.frames.by_ref() {
            let index = self.next;
            self.next += 1;
            if self.only_own && frame.place().is_some_and(|place| !place.is_own()) {
                continue;
            }
            let part = Part::Frame(index, frame, what);
            if index == begin {
                return Some(part);
            }
            self.behind = Some(part);
            return Some(of_libraries(begin..index));
        }
        (self.next > begin).then(|| of_libraries(begin..self.next))
    }
}

fn of_libraries<'a, T>(hidden: Range<usize>) -> Part<'a, T> {
    let words = counted(hidden.len(), "frame", " of libraries");
    Part::Instead(hidden, words)
}

fn counted(count: usize, what: &str, more: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::frame::Place;

    fn frame(file: &str, function: &str) -> Frame {
        Frame::At(Place {
            file: file.to_owned(),
            line: 1,
            function: function.to_owned(),
            source: String::new(),
        })
    }

    /// The functions that are shown, and the notes.
    fn shown(stack: &[Frame], extent: &Extent) -> Vec<String> {
        let frames = stack.iter().map(|frame| (frame, ()));
        let mut next = 0;
        let words = Parts::of(frames, stack.len(), extent).map(|part| match part {
            Part::Frame(index, frame, ()) => {
                assert_eq!(index, next);
                next += 1;
                assert_eq!(frame, &stack[index]);
                frame.place().expect("it is one").function.clone()
            }
            Part::Instead(hidden, what) => {
                assert_eq!(hidden.start, next);
                next = hidden.end;
                format!("({what})")
            }
        });
        let words = words.collect();
        assert_eq!(next, stack.len());
        words
    }

    #[test]
    fn leaves_frames_out() {
        let threading = "/usr/lib/python2.7/threading.py";
        let stack = [
            frame(threading, "__bootstrap"),
            frame(threading, "__bootstrap_inner"),
            frame(threading, "run"),
            frame("app.py", "work"),
            frame("/usr/lib/python2.7/socket.py", "readline"),
        ];
        let usual = Extent::default();
        let folded = ["(started by the standard library)", "work", "readline"];
        assert_eq!(shown(&stack, &usual), folded);
        let each = Extent {
            each: true,
            ..Extent::default()
        };
        let whole = [
            "__bootstrap",
            "__bootstrap_inner",
            "run",
            "work",
            "readline",
        ];
        assert_eq!(shown(&stack, &each), whole);
        // The thread is in them itself.
        assert_eq!(shown(&stack[..2], &usual), whole[..2]);
        // A program may have a file of that name.
        let own = [frame("./threading.py", "run"), frame("app.py", "work")];
        assert_eq!(shown(&own, &usual), ["run", "work"]);
        let only_own = Extent {
            only_own: true,
            ..Extent::default()
        };
        let rest = [folded[0], "work", "(1 frame of libraries)"];
        assert_eq!(shown(&stack, &only_own), rest);
        assert_eq!(shown(&stack[..2], &only_own), ["(2 frames of libraries)"]);
        let innermost = |count| Extent {
            innermost: Some(count),
            ..Extent::default()
        };
        assert_eq!(
            shown(&stack, &innermost(1)),
            ["(4 outer frames)", "readline"]
        );
        assert_eq!(shown(&stack, &innermost(2)), folded);
        assert_eq!(shown(&stack, &innermost(9)), folded);
        assert_eq!(shown(&[], &innermost(1)), [""; 0]);
    }
}
