//! Stacks as text: frames with their source lines, and their variables.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use crate::printable::Printable;
use crate::state::frame::{Frame, Place, Stack};
use crate::state::variables::Variables;

/// Writes frames as `traceback` prints them, with a mark in the first column.
///
/// Most places stand in many stacks, and many threads share a stack. So the text of a place, and of a
/// stack without marks, is made once, and found by address: all of them live as long as the report.
#[derive(Default)]
pub(crate) struct Frames {
    places: BTreeMap<*const Place, String>,
    stacks: HashMap<*const Vec<Frame>, String>,
}

impl Frames {
    /// Writes a stack, without marks.
    pub(crate) fn write_stack(&mut self, text: &mut String, stack: &Stack) {
        if !self.stacks.contains_key(&Arc::as_ptr(stack)) {
            let mut lines = String::new();
            for frame in stack.iter() {
                self.write(&mut lines, ' ', frame);
            }
            self.stacks.insert(Arc::as_ptr(stack), lines);
        }
        text.push_str(&self.stacks[&Arc::as_ptr(stack)]);
    }

    /// Writes a frame.
    pub(crate) fn write(&mut self, text: &mut String, mark: char, frame: &Frame) {
        text.push(mark);
        match frame {
            Frame::Mark(what) => {
                let _ = writeln!(text, " ... {} ...", Printable(what));
            }
            Frame::At(place) => {
                let lines = self.places.entry(Arc::as_ptr(place));
                text.push_str(lines.or_insert_with(|| lines_of(place)));
            }
        }
    }
}

/// The lines of a frame, but for the first column.
fn lines_of(place: &Place) -> String {
    let (file, function) = (Printable(&place.file), Printable(&place.function));
    let mut lines = format!(" File \"{file}\", line {}, in {function}\n", place.line);
    if !place.source.is_empty() {
        let _ = writeln!(lines, "    {}", Printable(&place.source));
    }
    lines
}

/// Writes the variables of a frame, which stand below it.
pub(crate) fn write_variables(text: &mut String, variables: &Variables) {
    for (start, variables) in [("", &variables.locals), ("global ", &variables.globals)] {
        for variable in variables {
            let (name, value) = (Printable(&variable.name), Printable(&variable.value));
            let _ = writeln!(text, "      {start}{name} = {value}");
            for attribute in &variable.attributes {
                let (name, value) = (Printable(&attribute.name), Printable(&attribute.value));
                let _ = writeln!(text, "        .{name} = {value}");
            }
            if variable.attributes_left_out > 0 {
                let _ = writeln!(text, "        ... {} more", variable.attributes_left_out);
            }
        }
    }
}
