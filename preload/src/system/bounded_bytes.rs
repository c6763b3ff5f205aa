//! A buffer of bytes that stops growing at a limit, or when memory runs out, instead of failing.

use std::io::Write;

/// The buffer never gets longer, in bytes.
const LONGEST: usize = 64 << 20;

/// The buffer.
#[derive(Default)]
pub struct Bytes {
    bytes: Vec<u8>,
    /// Whether something had to be left out. Nothing is appended after that.
    pub is_full: bool,
}

impl Bytes {
    /// Appends all of `more`; if it does not fit, nothing, now and later.
    pub fn push(&mut self, more: &[u8]) {
        self.is_full |=
            self.bytes.len() + more.len() > LONGEST || self.bytes.try_reserve(more.len()).is_err();
        if !self.is_full {
            self.bytes.extend_from_slice(more);
        }
    }

    /// Appends a part of itself once more.
    pub fn repeat(&mut self, part: std::ops::Range<usize>) {
        self.is_full |=
            self.bytes.len() + part.len() > LONGEST || self.bytes.try_reserve(part.len()).is_err();
        if !self.is_full {
            self.bytes.extend_from_within(part);
        }
    }

    /// Appends what `make` appends: all of it or nothing.
    pub fn record(&mut self, make: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        make(self);
        if self.is_full {
            self.bytes.truncate(start);
        }
    }

    /// Appends what `make` appends, with its length before it, in four bytes.
    pub fn measured(&mut self, make: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.push(&[0; 4]);
        make(self);
        if self.bytes.len() >= start + 4 {
            let length = (self.bytes.len() - start - 4) as u32;
            self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, with `mark` behind them if something had to be left out.
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
