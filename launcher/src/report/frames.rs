//! Stacks as text: frames with their source lines, and their variables.

use std::collections::HashMap;
use std::fmt::Write;

use crate::printable::Printable;
use crate::report::page::Page;
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
    places: HashMap<*const Frame, String>,
    stacks: HashMap<(*const u32, *const Frame), String>,
    /// How many more bytes of text are kept.
    room: usize,
}

/// How much text is kept, in bytes.
const ROOM: usize = 16 << 20;

/// The text of a longer stack is not kept, in bytes.
const LONGEST_KEPT: usize = 1 << 20;

impl<'a> Frames<'a> {
    /// Nothing is kept yet.
    pub(crate) fn new(secrets: &'a Secrets) -> Frames<'a> {
        Frames {
            secrets,
            places: HashMap::new(),
            stacks: HashMap::new(),
            room: ROOM,
        }
    }

    /// Writes a stack, without marks.
    pub(crate) fn write_stack(&mut self, page: &mut Page, stack: &Stack) {
        if let Some(lines) = self.stacks.get(&stack.identity()) {
            return page.push_str(lines);
        }
        let mut lines = String::new();
        let mut rest = stack.iter();
        while lines.len() < self.room.min(LONGEST_KEPT)
            && let Some(frame) = rest.next()
        {
            lines.push(' ');
            match self.kept(frame) {
                Some(text) => lines.push_str(text),
                None => lines.push_str(&lines_of(frame)),
            }
        }
        page.push_str(&lines);
        if rest.next_back().is_none() {
            self.room = self.room.saturating_sub(lines.len());
            self.stacks.insert(stack.identity(), lines);
            return;
        }
        // It is too long to be kept.
        let written = stack.len() - (rest.count() + 1);
        for frame in stack.iter().skip(written) {
            if page.is_full() {
                break;
            }
            self.write(page, ' ', frame);
        }
    }

    /// Writes a frame.
    pub(crate) fn write(&mut self, page: &mut Page, mark: char, frame: &Frame) {
        let mut column = [0; 4];
        page.push_str(mark.encode_utf8(&mut column));
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

    /// Writes the variables of a frame, which stand below it.
    pub(crate) fn write_variables(&self, page: &mut Page, variables: Variables) {
        let locals = variables.locals().map(|one| ("", one));
        let globals = variables.globals().map(|one| ("global ", one));
        for (start, variable) in locals.chain(globals) {
            if page.is_full() {
                break;
            }
            self.write_variable(page, start, &variable);
        }
    }

    fn write_variable(&self, page: &mut Page, start: &str, variable: &Variable) {
        let mut write = |start, one: &Variable| {
            let value = self.secrets.value(&one.name, &one.value);
            // A long one takes time, also where it is hidden, and many may have it.
            page.spend(one.value.len().saturating_sub(value.len()));
            let (name, value) = (Printable(&one.name), Printable(&value));
            let _ = writeln!(page, "      {start}{name} = {value}");
        };
        write(start, variable);
        for attribute in &variable.attributes {
            write("  .", attribute);
        }
        if variable.attributes_left_out > 0 {
            let _ = writeln!(page, "        ... {} more", variable.attributes_left_out);
        }
    }
}

/// The lines of a frame, but for the first column.
pub(crate) fn lines_of(frame: &Frame) -> String {
    match frame {
        Frame::Mark(what) => format!(" ... {} ...\n", Printable(what)),
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
