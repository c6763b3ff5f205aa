//! Native frames as text, between the Python frames that they stand between.

use std::fmt::Write;

use crate::printable::Printable;
use crate::report::page::Page;
use crate::state::native::{Native, NativeFrame};

/// The native frames of a thread that have not been written yet, outermost first.
pub(crate) struct NativeLines<'a> {
    rest: std::iter::Peekable<std::slice::Iter<'a, NativeFrame>>,
}

impl<'a> NativeLines<'a> {
    pub(crate) fn of(native: &'a Native) -> NativeLines<'a> {
        NativeLines {
            rest: native.frames.iter().peekable(),
        }
    }

    /// Writes those that have at least so many Python frames further inside.
    pub(crate) fn write_until(&mut self, text: &mut Page, inside: usize) {
        while let Some(frame) = self.rest.next_if(|frame| frame.inside >= inside) {
            if text.is_full() {
                return;
            }
            let _ = writeln!(text, "  {}", Printable(&frame.words()));
        }
    }
}

/// Writes why native frames are missing, if so.
pub(crate) fn write_native_note(text: &mut Page, native: &Native) {
    if let Some(note) = &native.note {
        let _ = writeln!(text, "  C: {}", Printable(note));
    }
}
