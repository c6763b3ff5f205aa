//! Native stacks: as the library sends them, and as they are shown.

use serde::Serialize;
use std::sync::Arc;

use crate::state::budget::Memory;
use crate::system::proc_file::hexadecimal;

/// A thread's native stack as it lay in memory, and what the thread waited on.
#[derive(Clone, Debug, PartialEq)]
pub struct RawStack {
    /// The thread's identifier; 0: it runs no Python.
    pub ident: u64,
    /// Its TID, in the process's own PID namespace.
    pub tid: i32,
    /// Its system call, as `/proc/PID/task/TID/syscall` has it.
    pub call: String,
    /// The bytes at the address that it waits on in futex(2).
    pub words: Vec<u8>,
    /// The bytes of the stack, from the stack pointer on.
    pub stack: Vec<u8>,
}

/// More records are not looked at.
const MOST: usize = 20_000;

/// The longest line of a record, in bytes.
const LONGEST_LINE: usize = 512;

/// The most bytes of one stack, and of the words.
const LONGEST_STACK: usize = 1 << 20;
const MOST_WORDS: usize = 256;

impl RawStack {
    /// Reads [`NATIVE`](protocol::state::document::NATIVE), as far as there is memory, and up to what cannot be read.
    pub fn parse_all(mut bytes: &[u8], memory: &mut Memory) -> Vec<RawStack> {
        let mut all = Vec::new();
        while all.len() < MOST
            && let Some((one, rest)) = RawStack::parse(bytes)
            && memory.take(size_of::<RawStack>() + one.stack.len() + one.words.len() + 512)
        {
            all.push(one);
            bytes = rest;
        }
        all
    }

    fn parse(bytes: &[u8]) -> Option<(RawStack, &[u8])> {
        let end = bytes
            .iter()
            .take(LONGEST_LINE)
            .position(|&byte| byte == b'\n')?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut parts = line.splitn(5, ' ');
        let mut part = || parts.next();
        let (ident, tid) = (part()?.parse().ok()?, part()?.parse().ok()?);
        let words = part()?.parse().ok().filter(|&count| count <= MOST_WORDS)?;
        let stack = part()?
            .parse()
            .ok()
            .filter(|&count| count <= LONGEST_STACK)?;
        let call = part()?.to_owned();
        let (words, rest) = bytes[end + 1..].split_at_checked(words)?;
        let (stack, rest) = rest.split_at_checked(stack)?;
        let raw = RawStack {
            ident,
            tid,
            call,
            words: words.to_vec(),
            stack: stack.to_vec(),
        };
        Some((raw, rest))
    }

    /// The stack pointer and the program counter of a thread that slept.
    pub fn registers(&self) -> Option<(u64, u64)> {
        let mut words = self.call.rsplit(' ');
        let counter = hexadecimal(words.next()?)?;
        Some((hexadecimal(words.next()?)?, counter))
    }

    /// The arguments of a call of futex(2): the address of the word, the operation, the value.
    pub fn futex(&self) -> Option<[u64; 3]> {
        let mut words = self.call.split(' ');
        let number: i64 = words.next()?.parse().ok()?;
        let arguments = [words.next()?, words.next()?, words.next()?].map(hexadecimal);
        let [address, operation, value] = arguments;
        (number == libc::SYS_futex).then_some([address?, operation?, value?])
    }
}

/// A frame of a native stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NativeFrame {
    /// The name of the function; `None` if it has none that is known.
    pub function: Option<String>,
    /// The name of the file that its code stands in, without folders; empty if it stands in no file.
    pub file: Arc<str>,
    /// Where the frame is in that file, counted from where the file's first byte is mapped; or the address, if the
    /// code stands in no file.
    pub offset: u64,
    /// Whether the frame was found by a search for what looks like a return address: there was no unwind information.
    pub guessed: bool,
    /// How many of the thread's Python frames are further inside.
    pub inside: usize,
}

/// A thread's native stack, as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Native {
    /// Its frames, outermost first. Those of the interpreter's eval function stand for Python frames, and are left
    /// out.
    pub frames: Vec<NativeFrame>,
    /// Why there are no frames, or not all, in words.
    pub note: Option<String>,
}

impl NativeFrame {
    /// The line that shows it, without indentation.
    pub fn words(&self) -> String {
        let place = match &self.function {
            Some(function) => format!("in {function}"),
            None => format!("at {:#x}", self.offset),
        };
        let file = match &*self.file {
            "" => "no file",
            file => &format!("{file:?}"),
        };
        let guessed = if self.guessed { " (guessed)" } else { "" };
        format!("C {file}, {place}{guessed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records() {
        let text = b"7 70 4 8 202 0x1000 0x80 0x2 0x0 0x0 0x0 0x7f00 0x55\nabcdSTACKSTA0 71 0 0 running\n9 9 9";
        let all = RawStack::parse_all(text, &mut Memory::default());
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].ident, all[0].tid), (7, 70));
        assert_eq!(
            (&all[0].words[..], &all[0].stack[..]),
            (&b"abcd"[..], &b"STACKSTA"[..])
        );
        assert_eq!(all[0].registers(), Some((0x7f00, 0x55)));
        assert_eq!(all[0].futex(), Some([0x1000, 0x80, 2]));
        assert_eq!(all[1].call, protocol::state::RUNNING);
        assert!(all[1].registers().is_none() && all[1].futex().is_none());
    }

    #[test]
    fn refuses_what_is_no_record() {
        for text in [
            &b""[..],
            b"\n",
            b"1 2 3\n",
            b"1 2 0 99 -1 0x1 0x2\nshort",
            b"1 2 99999999999999 0 running\n",
            b"x 2 0 0 running\n",
        ] {
            assert!(RawStack::parse_all(text, &mut Memory::default()).is_empty());
        }
    }

    #[test]
    fn says_where_a_frame_is() {
        let frame = NativeFrame {
            function: Some("pthread_mutex_lock".to_owned()),
            file: "libc.so.6".into(),
            offset: 0x1234,
            guessed: false,
            inside: 0,
        };
        assert_eq!(frame.words(), "C \"libc.so.6\", in pthread_mutex_lock");
        let bare = NativeFrame {
            function: None,
            file: "".into(),
            guessed: true,
            ..frame
        };
        assert_eq!(bare.words(), "C no file, at 0x1234 (guessed)");
    }
}
