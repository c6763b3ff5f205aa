//! Stacks as text: frames with their source lines, and their variables.

use std::collections::HashMap;
use std::fmt::Write;

use crate::options::extent::Extent;
use crate::printable::Printable;
use crate::report::page::Page;
use crate::report::parts::{Part, Parts};
use crate::secrets::Secrets;
use crate::state::frame::{Frame, Place, Stack};
use crate::state::variables::{Variable, Variables};

/// Writes frames as `traceback` prints them, with a mark in the first column.
///
/// Most places stand in many stacks, and many threads share a stack. So the text of a place, and of a
/// stack without marks, is made once, and found by address: all of them live as long as the report. As far as
/// there is room: a stack may have megabytes of text.
pub(crate) struct Frames<'a> {
    secrets: &'a Secrets,
    extent: &'a Extent,
    places: HashMap<*const Frame, String>,
    stacks: HashMap<(*const u32, *const Frame), String>,
    /// By value, how many attributes of an object have been written.
    objects: HashMap<String, usize>,
    /// How many more bytes of text are kept.
    room: usize,
}

/// How much text is kept, in bytes.
const ROOM: usize = 16 << 20;

/// The text of a longer stack is not kept, in bytes.
const LONGEST_KEPT: usize = 1 << 20;

impl<'a> Frames<'a> {
    /// Nothing is kept yet.
    pub(crate) fn new(secrets: &'a Secrets, extent: &'a Extent) -> Frames<'a> {
        Frames {
            secrets,
            extent,
            places: HashMap::new(),
            stacks: HashMap::new(),
            objects: HashMap::new(),
            room: ROOM,
        }
    }

    /// Writes a stack, without marks.
    pub(crate) fn write_stack(&mut self, page: &mut Page, stack: &Stack) {
        if let Some(lines) = self.stacks.get(&stack.identity()) {
            return page.push_str(lines);
        }
        let mut lines = String::new();
        let mut is_whole = true;
        for part in Parts::of(
            stack.iter().map(|frame| (frame, ())),
            stack.len(),
            self.extent,
        ) {
            if page.is_full() {
                return;
            }
            lines.push(' ');
            match part {
                Part::Instead(_, what) => lines.push_str(&note(&what)),
                Part::Frame(_, frame, ()) => match self.kept(frame) {
                    Some(text) => lines.push_str(text),
                    None => lines.push_str(&lines_of(frame)),
                },
            }
            if lines.len() > self.room.min(LONGEST_KEPT) {
                // It is too long to be kept.
                page.push_str(&std::mem::take(&mut lines));
                is_whole = false;
            }
        }
        page.push_str(&lines);
        if is_whole {
            self.room = self.room.saturating_sub(lines.len());
            self.stacks.insert(stack.identity(), lines);
        }
    }

    /// Writes a stack of so many frames, with their variables. `mark` gives the mark of the frame with an index;
    /// `behind` writes what stands behind so many frames.
    pub(crate) fn write_frames<'s>(
        &mut self,
        page: &mut Page,
        (frames, count): (
            impl Iterator<Item = (&'s Frame, Option<Variables<'s>>)> + Clone,
            usize,
        ),
        mark: impl Fn(usize) -> char,
        mut behind: impl FnMut(&mut Page, usize),
    ) {
        for part in Parts::of(frames, count, self.extent) {
            if page.is_full() {
                break;
            }
            match part {
                Part::Instead(mut hidden, what) => {
                    // The first that has moved, if one has.
                    let (first, end) = (mark(hidden.start), hidden.end);
                    let mark = hidden.find_map(|at| Some(mark(at)).filter(|&one| one == MOVED));
                    push_mark(page, mark.unwrap_or(first));
                    page.push_str(&note(&what));
                    behind(page, end);
                }
                Part::Frame(index, frame, variables) => {
                    self.write(page, mark(index), frame);
                    if let Some(variables) = variables {
                        self.write_variables(page, frame, variables);
                    }
                    behind(page, index + 1);
                }
            }
        }
    }

    /// Writes a frame.
    pub(crate) fn write(&mut self, page: &mut Page, mark: char, frame: &Frame) {
        push_mark(page, mark);
        match self.kept(frame) {
            Some(lines) => page.push_str(lines),
            None => page.push_str(&lines_of(frame)),
        }
    }

    /// The lines of a frame, but for the first column, if they are kept.
    fn kept(&mut self, frame: &Frame) -> Option<&str> {
        let key = std::ptr::from_ref(frame);
        if !self.places.contains_key(&key) {
            let lines = lines_of(frame);
            self.room = self.room.checked_sub(lines.len())?;
            self.places.insert(key, lines);
        }
        self.places.get(&key).map(String::as_str)
    }

    /// Writes the variables of a frame, which stand below it. What a module defines and imports is only counted.
    fn write_variables(&mut self, page: &mut Page, frame: &Frame, variables: Variables) {
        let is_module = frame
            .place()
            .is_some_and(|place| place.function == "<module>");
        let locals = variables.locals().map(|one| ("", one));
        let globals = variables.globals().map(|one| ("global ", one));
        let mut definitions = 0;
        for (start, variable) in locals.chain(globals) {
            if page.is_full() {
                break;
            }
            if is_module && start.is_empty() && is_definition(&variable.value) {
                definitions += 1;
                continue;
            }
            self.write_variable(page, start, &variable);
        }
        let _ = match definitions {
            0 => Ok(()),
            1 => writeln!(page, "      ... a function, class or module"),
            count => writeln!(page, "      ... {count} functions, classes and modules"),
        };
    }

    fn write_variable(&mut self, page: &mut Page, start: &str, variable: &Variable) {
        let has_any = !variable.attributes.is_empty() || variable.attributes_left_out > 0;
        let is_shown = has_any && !self.extent.no_attributes && !self.is_known(variable);
        let known = match has_any && !is_shown && !self.extent.no_attributes {
            true => " (see above)",
            false => "",
        };
        let mut write = |start: &str, one: &Variable, end: &str| {
            let value = self.secrets.value(&one.name, &one.value);
            // A long one takes time, also where it is hidden, and many may have it.
            page.spend(one.value.len().saturating_sub(value.len()));
            let (name, value) = (Printable(&one.name), Printable(&value));
            let _ = writeln!(page, "      {start}{name} = {value}{end}");
        };
        write(start, variable, known);
        if !is_shown {
            return;
        }
        for attribute in &variable.attributes {
            write("  .", attribute, "");
        }
        if variable.attributes_left_out > 0 {
            let _ = writeln!(page, "        ... {} more", variable.attributes_left_out);
        }
    }

    /// Whether as many attributes of this object stand above. From now on they do, if there is room to remember it.
    fn is_known(&mut self, variable: &Variable) -> bool {
        let count = variable.attributes.len();
        if let Some(shown) = self.objects.get_mut(&*variable.value) {
            let is_known = *shown >= count;
            *shown = count.max(*shown);
            return is_known;
        }
        let has_address = variable.value.contains(" at 0x");
        if let Some(room) = self
            .room
            .checked_sub(2 * variable.value.len())
            .filter(|_| has_address)
        {
            self.room = room;
            self.objects.insert(variable.value.to_string(), count);
        }
        false
    }
}

/// Values that are what a program defines or imports, and no data of it.
const DEFINITIONS: [&str; 5] = [
    "<function ",
    "<class ",
    "<module ",
    "<built-in ",
    "<unbound method ",
];

fn is_definition(value: &str) -> bool {
    DEFINITIONS.iter().any(|start| value.starts_with(start))
}

/// The mark of the first frame that has moved.
const MOVED: char = '>';

fn push_mark(page: &mut Page, mark: char) {
    let mut column = [0; 4];
    page.push_str(mark.encode_utf8(&mut column));
}

/// The line of a note that stands in place of frames, but for the first column.
fn note(what: &str) -> String {
    format!(" ... {} ...\n", Printable(what))
}

/// The lines of a frame, but for the first column.
pub(crate) fn lines_of(frame: &Frame) -> String {
    match frame {
        Frame::Mark(what) => note(what),
        Frame::At(place) => lines_of_place(place),
    }
}

fn lines_of_place(place: &Place) -> String {
    let (file, function) = (Printable(&place.file), Printable(&place.function));
    let mut lines = format!(" File \"{file}\", line {}, in {function}\n", place.line);
    if !place.source.is_empty() {
        let _ = writeln!(lines, "    {}", Printable(&place.source));
    }
    lines
}
