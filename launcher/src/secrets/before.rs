//! What stands before a place in a text: a name, and what follows it.

use crate::secrets::names::Name;

/// What has been read last.
#[derive(Default)]
pub(super) struct Before<'a> {
    pub(super) name: Name<'a>,
    /// What stood before that name.
    pub(super) opened_by: u8,
    /// What stood behind it: at most so many characters, without spaces.
    separators: [u8; 3],
    count: usize,
    /// Whether text in quotes was hidden there.
    pub(super) hidden: bool,
    /// Whether that was the first of several in brackets.
    pub(super) in_list: bool,
}

impl<'a> Before<'a> {
    /// Goes on to this name.
    pub(super) fn name(&mut self, name: Name<'a>) {
        *self = Before {
            name,
            opened_by: self.last_separator(),
            ..Before::default()
        };
    }

    pub(super) fn separator(&mut self, one: u8) {
        if one.is_ascii_whitespace() {
            return;
        }
        if matches!(one, b')' | b']' | b'}') {
            self.in_list = false;
        }
        if let Some(place) = self.separators.get_mut(self.count) {
            *place = one;
        } else {
            self.separators = [self.separators[1], self.separators[2], one];
        }
        self.count += 1;
    }

    pub(super) fn separators(&self) -> &[u8] {
        &self.separators[..self.count.min(3)]
    }

    pub(super) fn last_separator(&self) -> u8 {
        self.separators().last().copied().unwrap_or_default()
    }

    /// Text in quotes was hidden here.
    pub(super) fn was_hidden(&mut self) {
        let in_list = self.in_list || matches!(self.separators(), b"=(" | b"=[" | b":[" | b":(");
        *self = Before {
            hidden: true,
            in_list,
            ..Before::default()
        };
    }
}
