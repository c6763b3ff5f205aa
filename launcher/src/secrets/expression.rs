//! The expression that a line of source assigns to a name, or passes under it: `password = str('x')`.
//!
//! All text in quotes in it is taken for the secret, but for the arguments of what gives a secret, as
//! `getpass('Password: ')` does, keys of dictionaries and what stands in `[…]` behind a value.

use protocol::secrets::{Secrecy, looks_random};

use crate::secrets::before::Before;
use crate::secrets::names::{self, Name};

/// Such words stand before a list, and not before an index.
const NO_VALUES: &[&[u8]] = &[
    b"or", b"and", b"in", b"if", b"else", b"not", b"is", b"return",
];

/// The innermost expression of a secret, or else the one that has begun last.
#[derive(Default)]
pub(super) struct Expression<'a> {
    name: Option<Name<'a>>,
    /// How far it is hidden, once that is known.
    secrecy: Option<Secrecy>,
    /// How many brackets are open in it.
    depth: usize,
    /// How many were open when something began that is no part of the secret, if so.
    shown_in: Option<usize>,
    /// Whether a default may follow there.
    takes_default: bool,
}

impl<'a> Expression<'a> {
    /// Reads a character that is no part of a word. `before` is what stands before it.
    pub(super) fn separator(
        &mut self,
        [one, next]: [u8; 2],
        before: &Before<'a>,
        secrecy: &dyn Fn(&[u8]) -> Secrecy,
    ) {
        match one {
            b'=' if next != b'=' && !b"=!<>".contains(&before.last_separator()) => {
                let separators = before.separators();
                if matches!(separators, b"" | b"+") || (separators == b"]" && before.name.quoted) {
                    self.begin(before.name, secrecy);
                }
            }
            b':' if before.name.quoted && before.separators().is_empty() => {
                self.begin(before.name, secrecy);
            }
            _ if self.name.is_none() => {}
            b'(' | b'[' | b'{' => self.open(one, before),
            b')' | b']' | b'}' => match self.depth.checked_sub(1) {
                Some(depth) => {
                    if self.shown_in == Some(self.depth) {
                        self.shown_in = None;
                    }
                    self.depth = depth;
                }
                None => self.name = None,
            },
            b',' if self.shown_in == Some(self.depth) && self.takes_default => self.shown_in = None,
            b',' | b':' if self.depth == 0 => self.name = None,
            b';' | b'#' => self.name = None,
            _ => {}
        }
    }

    fn begin(&mut self, name: Name<'a>, secrecy: &dyn Fn(&[u8]) -> Secrecy) {
        if self.secrecy(secrecy) == Secrecy::Open {
            *self = Expression {
                name: Some(name),
                ..Expression::default()
            };
        }
    }

    fn open(&mut self, one: u8, before: &Before) {
        self.depth += 1;
        if self.shown_in.is_some() {
            return;
        }
        let name = before.name;
        let is_behind_name = before.separators().is_empty() && !name.text.is_empty();
        let shows = match one {
            b'(' => is_behind_name && name.gives(),
            b'[' if is_behind_name => !NO_VALUES.contains(&name.text),
            b'[' => matches!(before.last_separator(), b')' | b']'),
            _ => false,
        };
        if shows {
            self.shown_in = Some(self.depth);
            self.takes_default = one == b'(' && name.takes_default();
        }
    }

    /// How far it is hidden.
    fn secrecy(&mut self, secrecy: &dyn Fn(&[u8]) -> Secrecy) -> Secrecy {
        let Some(name) = self.name else {
            return Secrecy::Open;
        };
        *self.secrecy.get_or_insert_with(|| name.secrecy(secrecy))
    }

    /// Whether text in quotes, which these characters follow, is a part of a secret.
    pub(super) fn hides(
        &mut self,
        content: &[u8],
        follows: &[u8],
        secrecy: &dyn Fn(&[u8]) -> Secrecy,
    ) -> bool {
        let is_key = self.depth > 0 && follows.starts_with(b":");
        let Some(name) = self.name.filter(|_| self.shown_in.is_none() && !is_key) else {
            return false;
        };
        match self.secrecy(secrecy) {
            Secrecy::Open => false,
            Secrecy::IfRandom => looks_random(content),
            _ => !names::is_directory(name.text, content),
        }
    }
}
