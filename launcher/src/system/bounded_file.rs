//! Pieces of a file, to a limit: whoever made the file decides how large its tables claim to be.
//!
//! Read, and not mapped into memory: the owner may truncate the file at any moment, and to touch a page behind
//! its end is a SIGBUS.

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use object::read::ReadRef;

use crate::system::scheduling;

/// What a file costs at least, in bytes, as to open it takes time too.
const FEE: u64 = 16 << 10;

/// The first piece, which has all of the headers that stand together at the beginning.
const FIRST: u64 = 4 << 10;

/// The most pieces of one file.
const MOST_PIECES: usize = 64;

/// How many bytes of files may still be read for one process, or for one command.
#[derive(Debug)]
pub struct Budget(Cell<u64>);

impl Budget {
    /// So many bytes.
    pub fn new(bytes: u64) -> Budget {
        Budget(Cell::new(bytes))
    }

    /// What is left of it.
    pub fn left(&self) -> u64 {
        self.0.get()
    }

    /// Takes so many bytes, unless so many are not left: then nothing is left any more.
    pub fn take(&self, bytes: u64) -> io::Result<()> {
        scheduling::give_way();
        match self.0.get().checked_sub(bytes) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => {
                self.0.set(0);
                Err(too_much())
            }
        }
    }
}

/// The limit is reached.
pub fn too_much() -> io::Error {
    let what = "more of it would have to be read than of any library's file";
    io::Error::new(io::ErrorKind::FileTooLarge, what)
}

/// A file whose pieces are read when they are needed, and kept.
pub struct BoundedFile<'a> {
    file: &'a File,
    length: u64,
    budget: &'a Budget,
    pieces: OnceCell<Box<Piece>>,
}

/// A piece, and the piece that was read after it: so what is kept is never moved, and can be borrowed.
struct Piece {
    start: u64,
    bytes: Box<[u8]>,
    next: OnceCell<Box<Piece>>,
}

impl<'a> BoundedFile<'a> {
    /// A file of which nothing has been read yet.
    pub fn new(file: &'a File, budget: &'a Budget) -> io::Result<BoundedFile<'a>> {
        budget.take(FEE)?;
        Ok(BoundedFile {
            file,
            length: file.metadata()?.len(),
            budget,
            pieces: OnceCell::new(),
        })
    }

    /// The bytes in this range.
    pub fn bytes(&self, start: u64, size: u64) -> io::Result<&[u8]> {
        let end = start.checked_add(size).filter(|end| *end <= self.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut place = &self.pieces;
        let mut count = 0;
        while let Some(piece) = place.get() {
            if let Some(bytes) = piece.part(start, size) {
                return Ok(bytes);
            }
            place = &piece.next;
            count += 1;
        }
        if count >= MOST_PIECES {
            return Err(too_much());
        }
        let end = if start == 0 {
            end.max(FIRST.min(self.length))
        } else {
            end
        };
        self.budget.take(end - start)?;
        let mut bytes = vec![0; usize::try_from(end - start).map_err(|_| too_much())?];
        self.file.read_exact_at(&mut bytes, start)?;
        let piece = Piece {
            start,
            bytes: bytes.into_boxed_slice(),
            next: OnceCell::new(),
        };
        let piece = place.get_or_init(|| Box::new(piece));
        piece
            .part(start, size)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Piece {
    /// This part of the file, if the piece has it, aligned as a piece of its own would be.
    fn part(&self, start: u64, size: u64) -> Option<&[u8]> {
        let before = usize::try_from(start.checked_sub(self.start)?).ok()?;
        let rest = self.bytes.get(before..)?;
        (before % align_of::<u64>() == 0).then_some(())?;
        rest.get(..usize::try_from(size).ok()?)
    }
}

impl<'a> ReadRef<'a> for &'a BoundedFile<'_> {
    fn len(self) -> Result<u64, ()> {
        Ok(self.length)
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        match size {
            0 => Ok(&[]),
            size => self.bytes(offset, size).map_err(drop),
        }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        let size = range.end.checked_sub(range.start).ok_or(())?;
        let bytes = self.read_bytes_at(range.start, size)?;
        let length = bytes.iter().position(|byte| *byte == delimiter).ok_or(())?;
        Ok(&bytes[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pieces_to_the_limit() {
        let file = File::open("/proc/self/exe").expect("our own program");
        let whole = std::fs::read("/proc/self/exe").expect("our own program");
        let budget = Budget::new(FEE + FIRST + 1000);
        let bounded = BoundedFile::new(&file, &budget).expect("a file");
        assert_eq!(bounded.bytes(0, 16).expect("enough"), &whole[..16]);
        // Both are in the first piece already.
        assert_eq!(bounded.bytes(8, 100).expect("enough"), &whole[8..108]);
        assert_eq!(
            bounded.bytes(0, FIRST).expect("enough"),
            &whole[..FIRST as usize]
        );
        assert_eq!(budget.left(), 1000);
        assert_eq!(
            bounded.bytes(9000, 900).expect("enough"),
            &whole[9000..9900]
        );
        assert_eq!(bounded.bytes(9008, 1).expect("enough"), &whole[9008..9009]);
        assert_eq!(budget.left(), 100);
        assert!(bounded.bytes(20_000, 101).is_err());
        assert_eq!(budget.left(), 0);
        let end = whole.len() as u64;
        let past = bounded.bytes(end - 1, 2).expect_err("no such bytes");
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
    }
}
