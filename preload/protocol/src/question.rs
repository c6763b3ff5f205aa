//! What a command may ask an agent for, and how that is said: lines, each of which says one thing.
//!
//! The commands include this very file (`#[path]`), so it depends on nothing but `core`, and takes no
//! memory: it is also read on threads that may have none.

use core::fmt::{self, Write};

/// A question is never longer, in bytes behind its header.
pub const LONGEST_QUESTION: usize = 1024;

/// Text in a place of its own.
#[derive(Clone, Copy)]
pub struct Text<const ROOM: usize> {
    bytes: [u8; ROOM],
    length: usize,
}

impl<const ROOM: usize> Text<ROOM> {
    /// No text.
    pub const fn new() -> Text<ROOM> {
        Text {
            bytes: [0; ROOM],
            length: 0,
        }
    }

    /// A copy; `None` if it is longer than there is room.
    pub const fn of(text: &str) -> Option<Text<ROOM>> {
        let mut copy = Text::new();
        let text = text.as_bytes();
        if text.len() > ROOM {
            return None;
        }
        while copy.length < text.len() {
            copy.bytes[copy.length] = text[copy.length];
            copy.length += 1;
        }
        Some(copy)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<const ROOM: usize> Default for Text<ROOM> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const ROOM: usize> PartialEq for Text<ROOM> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const ROOM: usize> Eq for Text<ROOM> {}

impl<const ROOM: usize> fmt::Debug for Text<ROOM> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.as_bytes().escape_ascii().fmt(out)
    }
}

impl<const ROOM: usize> Write for Text<ROOM> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// What is asked for; where nothing is said, the state's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Not its text, but the document that the commands make all other formats of
    /// ([`crate::state`]). All else here is a part of that.
    pub facts: bool,
    /// The stacks of suspended greenlets.
    pub greenlets: bool,
    /// Each frame's local variables,
    pub locals: bool,
    /// and its global ones.
    pub globals: bool,
    /// By their own `repr`, which is code of the program's.
    pub repr: bool,
    /// How much of each value is shown: characters of it,
    pub length: u32,
    /// items of what it contains, in all,
    pub items: u32,
    /// and how many levels of what contains others.
    pub depth: u32,
    /// Words, in lower case, with commas between: values of names that contain one are not shown.
    pub hidden: Text<HIDDEN_ROOM>,
}

/// Longer lists of [`Question::hidden`] are refused, in bytes.
pub const HIDDEN_ROOM: usize = 600;

/// What [`Question::hidden`] is where nothing is said.
pub const HIDDEN: &str = "password,passwd,passphrase,pwd,secret,token,authorization,apikey,api_key,credential,cookie,private_key,session_key";

/// No number here is larger.
pub const MOST: u32 = 1_000_000;

impl Question {
    const NOTHING: Question = Question {
        facts: false,
        greenlets: false,
        locals: false,
        globals: false,
        repr: false,
        length: 200,
        items: 50,
        depth: 4,
        hidden: match Text::of(HIDDEN) {
            Some(hidden) => hidden,
            None => panic!("there is room"),
        },
    };

    /// As it is said. What there is no room for is left out, and the agent then asked for that.
    pub fn words(&self) -> Text<LONGEST_QUESTION> {
        let mut words = Text::new();
        // There is room for as much as there can be.
        let _ = self.write(&mut words);
        words
    }

    fn write(&self, out: &mut Text<LONGEST_QUESTION>) -> fmt::Result {
        for (word, wanted) in [
            ("facts", self.facts),
            ("greenlets", self.greenlets),
            ("locals", self.locals),
            ("globals", self.globals),
            ("repr", self.repr),
        ] {
            if wanted {
                writeln!(out, "{word}")?;
            }
        }
        let usual = Question::NOTHING;
        for (word, number, usual) in [
            ("length", self.length, usual.length),
            ("items", self.items, usual.items),
            ("depth", self.depth, usual.depth),
        ] {
            if number != usual {
                writeln!(out, "{word} {number}")?;
            }
        }
        if self.hidden != usual.hidden {
            let hidden = core::str::from_utf8(self.hidden.as_bytes()).unwrap_or(HIDDEN);
            writeln!(out, "hidden {hidden}")?;
        }
        Ok(())
    }

    /// A number that stands for all of this: what is asked for otherwise has another. (FNV-1a, of the
    /// words.)
    pub fn number(&self) -> u64 {
        let words = self.words();
        let bytes = words.as_bytes().iter();
        bytes.fold(0xcbf2_9ce4_8422_2325, |number, &byte| {
            (number ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    /// Whether the value of this name is hidden.
    pub fn hides(&self, name: &[u8]) -> bool {
        let hidden = self.hidden.as_bytes().split(|&byte| byte == b',');
        let words = hidden.map(<[u8]>::trim_ascii);
        words.filter(|word| !word.is_empty()).any(|word| {
            let mut places = name.windows(word.len());
            places.any(|place| place.eq_ignore_ascii_case(word))
        })
    }

    /// From what was heard; `None` if some of it is not known here.
    pub fn parse(words: &[u8]) -> Option<Question> {
        let mut wanted = Question::NOTHING;
        for line in core::str::from_utf8(words).ok()?.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let number = || rest.parse().ok().filter(|&number| number <= MOST);
            match word {
                "facts" => wanted.facts = true,
                "greenlets" => wanted.greenlets = true,
                "locals" => wanted.locals = true,
                "globals" => wanted.globals = true,
                "repr" => wanted.repr = true,
                "length" => wanted.length = number()?,
                "items" => wanted.items = number()?,
                "depth" => wanted.depth = number()?,
                "hidden" => wanted.hidden = Text::of(rest)?,
                _ => return None,
            }
        }
        // There is one way to say it.
        (wanted.words().as_bytes() == words).then_some(wanted)
    }
}

impl Default for Question {
    fn default() -> Self {
        Self::NOTHING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_wanted_is_heard() {
        let facts = Question {
            facts: true,
            ..Question::default()
        };
        let much = Question {
            locals: true,
            repr: true,
            items: 7,
            hidden: Text::of("").expect("there is room"),
            ..facts
        };
        for wanted in [facts, much, Question::default()] {
            assert_eq!(Question::parse(wanted.words().as_bytes()), Some(wanted));
        }
        assert_eq!(Question::default().words().as_bytes(), b"");
        let numbers = [facts, much, Question::default()].map(|wanted| wanted.number());
        assert!(numbers[0] != numbers[1] && numbers[0] != numbers[2] && numbers[1] != numbers[2]);
        let said = much.words();
        assert_eq!(said.as_bytes(), b"facts\nlocals\nrepr\nitems 7\nhidden \n");
        for strange in [
            &b"facts"[..],
            b"facts\nand what else there is\n",
            b"locals\nfacts\n",
            b"items 50\n",
            b"items 10000000\n",
            b"\xff\n",
        ] {
            assert_eq!(Question::parse(strange), None, "{}", strange.escape_ascii());
        }
    }

    #[test]
    fn all_that_can_be_wanted_has_room() {
        let longest = [b'x'; HIDDEN_ROOM];
        let hidden =
            Text::of(core::str::from_utf8(&longest).expect("text")).expect("there is room");
        let wanted = Question {
            facts: true,
            greenlets: true,
            locals: true,
            globals: true,
            repr: true,
            length: MOST,
            items: MOST,
            depth: MOST,
            hidden,
        };
        assert_eq!(Question::parse(wanted.words().as_bytes()), Some(wanted));
        assert_eq!(Text::<2>::of("abc"), None);
    }
}
