//! Bytes that are written down one after the other, as long as there is room for more.

use std::io::Write;

/// They never become more, however much there is to write.
const MOST: usize = 64 << 20;

/// Bytes that grow as long as there is memory.
#[derive(Default)]
pub struct Bytes {
    bytes: Vec<u8>,
    /// Whether something had to be left out.
    pub is_full: bool,
}

impl Bytes {
    /// Appends these, or nothing ever after.
    pub fn push(&mut self, more: &[u8]) {
        self.is_full |=
            self.bytes.len() + more.len() > MOST || self.bytes.try_reserve(more.len()).is_err();
        if !self.is_full {
            self.bytes.extend_from_slice(more);
        }
    }

    /// Appends a record: all of it, or nothing.
    pub fn record(&mut self, make: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        make(self);
        if self.is_full {
            self.bytes.truncate(start);
        }
    }

    /// Appends a length, four bytes, and what `make` appends, which that is the length of.
    pub fn measured(&mut self, make: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.push(&[0; 4]);
        make(self);
        if self.bytes.len() >= start + 4 {
            let length = (self.bytes.len() - start - 4) as u32;
            self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of them, and, if something had to be left out, these.
    pub fn finish(mut self, mark: &[u8]) -> Vec<u8> {
        if self.is_full && self.bytes.try_reserve(mark.len()).is_ok() {
            self.bytes.extend_from_slice(mark);
        }
        self.bytes
    }
}

impl Write for Bytes {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        self.push(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
