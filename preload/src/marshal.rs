//! Writes values as CPython 2's `marshal` does (version 0; Python/marshal.c, 2.6 and 2.7): what the
//! facts are made of. Without objects of Python's, so that it takes nothing but memory.

/// Values that are written down one after the other, as long as there is memory.
#[derive(Default)]
pub struct Words {
    bytes: Vec<u8>,
    /// Whether there was no memory for some of it: then it is of no use.
    is_broken: bool,
}

impl Words {
    /// Appends bytes as they are: a value that is written already.
    pub fn raw(&mut self, more: &[u8]) {
        self.is_broken |= self.bytes.try_reserve(more.len()).is_err();
        if !self.is_broken {
            self.bytes.extend_from_slice(more);
        }
    }

    /// A number.
    pub fn number(&mut self, number: i64) {
        match i32::try_from(number) {
            Ok(small) => self.letter(b'i', small.to_le_bytes()),
            Err(_) => self.letter(b'I', number.to_le_bytes()),
        }
    }

    /// A `str`; shorter than two gigabytes, as all are here.
    pub fn text(&mut self, text: &[u8]) {
        self.letter(b's', (text.len() as i32).to_le_bytes());
        self.raw(text);
    }

    /// `True` or `False`.
    pub fn truth(&mut self, truth: bool) {
        self.raw(if truth { b"T" } else { b"F" });
    }

    /// `None`.
    pub fn none(&mut self) {
        self.raw(b"N");
    }

    /// A list of so many values, which follow.
    pub fn list(&mut self, count: usize) {
        self.letter(b'[', (count as i32).to_le_bytes());
    }

    /// A dictionary, of which a name and a value follow, over and over, until [`Words::end`].
    pub fn pairs(&mut self) {
        self.raw(b"{");
    }

    /// See [`Words::pairs`].
    pub fn end(&mut self) {
        self.raw(b"0");
    }

    /// All of it; `None`, if there was no memory.
    pub fn finish(self) -> Option<Vec<u8>> {
        (!self.is_broken).then_some(self.bytes)
    }

    fn letter<const COUNT: usize>(&mut self, letter: u8, rest: [u8; COUNT]) {
        self.raw(&[letter]);
        self.raw(&rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_marshal_does() {
        let mut words = Words::default();
        words.pairs();
        words.text(b"a");
        words.list(4);
        words.number(-2);
        words.number(1 << 40);
        words.truth(true);
        words.none();
        words.end();
        // marshal.dumps({'a': [-2, 1 << 40, True, None]}, 0)
        let expected = b"{s\x01\0\0\0a[\x04\0\0\0i\xfe\xff\xff\xffI\0\0\0\0\0\x01\0\0TN0";
        assert_eq!(words.finish().as_deref(), Some(&expected[..]));
    }
}
