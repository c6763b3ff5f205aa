//! What has been searched for ahead of the place that is read.
//!
//! What is not found is no secret, and the text is read on from where the search began: the next search may be for
//! the same. So it is remembered up to where there is nothing, and no part of a text is searched twice for it.

use std::ops::Range;

/// Whether such a character stands behind a word that may have any others.
pub(super) fn is_end_of_word(one: u8) -> bool {
    one.is_ascii_whitespace() || b"'\"<>".contains(&one)
}

/// The searches in one text.
#[derive(Default)]
pub(super) struct Ahead {
    /// For the end of a user, or of the word.
    pub(super) user: Search,
    /// For the end of a word.
    pub(super) word: Search,
    /// For a digit, or the end of the word.
    pub(super) digit: Search,
    /// For an `@`, or the end of the word.
    pub(super) at_sign: Search,
    /// For what is in no token of OAuth's.
    pub(super) token: Search,
    /// For the end of CDATA.
    pub(super) data: Search,
    /// The escaped quotes, with the number of their backslashes, that do not stand behind here again.
    pub(super) endless: Vec<(usize, u8)>,
}

/// A search: where it began, and where the first thing of its kind stands, or else the end of the text.
#[derive(Default)]
pub(super) struct Search(Range<usize>);

impl Search {
    /// Where that stands, from here.
    pub(super) fn from(&mut self, from: usize, search: impl FnOnce() -> usize) -> usize {
        if !self.0.contains(&from) {
            self.0 = from..from + search();
        }
        self.0.end
    }
}
