//! Stacks as text: frames with their source lines, and variables.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use crate::printable::Printable;
use crate::state::frame::{Frame, Place, Stack};
use crate::state::variables::Variables;

/// Writes frames as `traceback` prints them, with a mark in the first column. Most stand in many
/// stacks, and many threads are often in the same: what is behind the mark is made once of each place,
/// and so is a stack without marks.
#[derive(Default)]
pub(crate) struct Frames {
    places: BTreeMap<*const Place, String>,
    stacks: HashMap<*const Vec<Frame>, String>,
}

impl Frames {
    /// A whole stack, of which as long as there is this report no other can stand there.
    pub(crate) fn write_stack(&mut self, text: &mut String, stack: &Stack) {
        if !self.stacks.contains_key(&Arc::as_ptr(stack)) {
            let mut words = String::new();
            for frame in stack.iter() {
                self.write(&mut words, ' ', frame);
            }
            self.stacks.insert(Arc::as_ptr(stack), words);
        }
        text.push_str(&self.stacks[&Arc::as_ptr(stack)]);
    }

    pub(crate) fn write(&mut self, text: &mut String, mark: char, frame: &Frame) {
        text.push(mark);
        match frame {
            Frame::Mark(what) => {
                let _ = writeln!(text, " ... {} ...", Printable(what));
            }
            // As long as there is this report no other can stand there.
            Frame::At(place) => {
                let words = self.places.entry(Arc::as_ptr(place));
                text.push_str(words.or_insert_with(|| words_of(place)));
            }
        }
    }
}

fn words_of(place: &Place) -> String {
    let (file, function) = (Printable(&place.file), Printable(&place.function));
    let mut words = format!(" File \"{file}\", line {}, in {function}\n", place.line);
    if !place.source.is_empty() {
        let _ = writeln!(words, "    {}", Printable(&place.source));
    }
    words
}

/// Writes a frame's variables below it.
pub fn write(text: &mut String, variables: &Variables) {
    for (start, variables) in [("", &variables.locals), ("global ", &variables.globals)] {
        for one in variables {
            let (name, value) = (Printable(&one.name), Printable(&one.value));
            let _ = writeln!(text, "      {start}{name} = {value}");
            for attribute in &one.attributes {
                let (name, value) = (Printable(&attribute.name), Printable(&attribute.value));
                let _ = writeln!(text, "        .{name} = {value}");
            }
            if one.attributes_left_out > 0 {
                let _ = writeln!(text, "        ... {} more", one.attributes_left_out);
            }
        }
    }
}
