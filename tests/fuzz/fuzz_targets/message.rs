//! The messages between a command and an agent: the agent's reader of a question, and the command's
//! reader of an answer, which comes in pieces of any size and may end anywhere.

#![no_main]

#[path = "../counted.rs"]
mod counted;

use counted::{peak_of, within};
use launcher::ask::wake::way::{Unheard, hear};
use launcher::state::budget::AnswerBytes;
use launcher::trouble::Trouble;
use libfuzzer_sys::fuzz_target;
use protocol::message::{HEADER, Header, Incoming, Kind, VERSION};
use protocol::question::{LONGEST_QUESTION, Question};
use std::io::{self, Read};
use std::time::Instant;

/// Delivers its bytes in pieces, with pauses in between.
struct Line<'a> {
    bytes: &'a [u8],
    /// The sizes of the pieces, repeated; 0 is a pause.
    pieces: &'a [u8],
    turn: usize,
}

impl Read for Line<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let piece = self.pieces.get(self.turn % self.pieces.len().max(1));
        self.turn += 1;
        let size = usize::from(*piece.unwrap_or(&255));
        if size == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let size = size.min(into.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(size);
        into[..size].copy_from_slice(now);
        self.bytes = later;
        Ok(size)
    }
}

/// The message heard, with a bounded wait for the whole.
fn heard(bytes: &[u8], pieces: &[u8]) -> Result<AnswerBytes, Unheard> {
    let mut line = Line {
        bytes,
        pieces,
        turn: 0,
    };
    let mut patience = 1000;
    let (heard, peak) = peak_of(|| {
        hear(&mut line, Instant::now(), || {
            patience -= 1;
            match patience {
                0 => Err(Trouble::plain("late")),
                _ => Ok(()),
            }
        })
    });
    // Whatever length it announces.
    within(peak, bytes.len(), 4);
    heard
}

fuzz_target!(|data: &[u8]| {
    let (pieces, bytes) = data.split_at(data.len().min(4));
    anything(bytes, pieces);
    whole(bytes, pieces);
});

fn anything(bytes: &[u8], pieces: &[u8]) {
    let text = heard(bytes, pieces);
    let Some(start) = bytes.first_chunk::<HEADER>() else {
        assert!(text.is_err());
        return;
    };
    let header = Header::parse(start);
    if let Ok(text) = text {
        let header = header.expect("it was one");
        assert!(header.is(Kind::Answer));
        assert_eq!(text.len() as u64, header.length);
        assert_eq!(*text, bytes[HEADER..][..text.len()]);
    }
    match Incoming::parse(start) {
        Some(Incoming::Words(length)) => {
            assert!(length <= LONGEST_QUESTION);
            assert_eq!(header, Some(Header::new(Kind::Question, length as u64)));
            // An unknown question is not taken for a known one.
            let words = bytes[HEADER..].get(..length);
            if let Some((words, question)) =
                words.and_then(|words| Some((words, Question::parse(words)?)))
            {
                assert_eq!(question.words().as_bytes(), words);
            }
        }
        Some(Incoming::Unknown(length)) => {
            assert!(length <= LONGEST_QUESTION);
            assert_eq!(header.expect("it was one").length, length as u64);
        }
        None => assert!(header.is_none_or(|one| one.length > LONGEST_QUESTION as u64)),
    }
}

/// A message is heard whatever follows it, and only once it is complete.
fn whole(text: &[u8], pieces: &[u8]) {
    let header = Header::new(Kind::Answer, text.len() as u64);
    let said = [&header.bytes()[..], text, b"more"].concat();
    match heard(&said, pieces) {
        Ok(heard) => assert_eq!(*heard, *text),
        Err(unheard) => {
            assert!(matches!(unheard, Unheard::Of(trouble) if trouble.what() == "late"));
            assert!(pieces.contains(&0));
        }
    }
    let cut = &said[..HEADER + text.len() - 1];
    assert!(heard(cut, pieces).is_err());
    let other = Header {
        version: VERSION ^ 2,
        ..header
    };
    assert!(heard(&[&other.bytes()[..], text].concat(), pieces).is_err());
}
