//! Questions: what a command asks an agent for, as a text of lines, one for each thing.
//!
//! A [`Question`] is written to [`Words`] once, by the command, and parsed once, by the worker that
//! serves it. In between everybody carries the words, and tells one question from another by their
//! number ([`Words::number`]): a question has exactly one text. A line that is not known here makes the
//! whole question not understood: what a later command asks for is never ignored. Nothing here
//! allocates, as threads that were interrupted anywhere carry words too.

use core::fmt::{self, Write};

use crate::secrets::{self, Secrecy};

/// The longest text of a question, in bytes.
pub const LONGEST_QUESTION: usize = 1024;

/// A question as it travels.
pub type Words = Text<LONGEST_QUESTION>;

/// Text of bounded length, stored in place.
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

    /// A copy of this text; `None` if there is no room for it.
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

    /// A copy of bytes that need not be text; `None` if there are more than there is room for.
    pub fn from_bytes(bytes: &[u8]) -> Option<Text<ROOM>> {
        let mut copy = Text::new();
        copy.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        copy.length = bytes.len();
        Some(copy)
    }

    /// A number that tells this text from others: its FNV-1a hash, of 64 bits.
    pub fn number(&self) -> u64 {
        let bytes = self.as_bytes().iter();
        bytes.fold(0xcbf2_9ce4_8422_2325, |number, &byte| {
            (number ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
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

/// What is asked for. The empty question asks for the plain format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// That the agent leaves the process, and nothing else.
    pub leave: bool,
    /// The state ([`crate::state`]), which the commands make the other formats of, in place of the plain
    /// format. All that follows is a part of it.
    pub state: bool,
    /// Suspended greenlets and generators.
    pub greenlets: bool,
    /// The local variables of each frame.
    pub locals: bool,
    /// The global variables that each frame's code uses.
    pub globals: bool,
    /// The values by their own `repr`, which is the program's code.
    pub repr: bool,
    /// The native stacks of all threads, and not only of those of which nothing else says what they do.
    pub native: bool,
    /// How many characters of each value are shown.
    pub length: u32,
    /// How many items of each value are shown, on all levels together.
    pub items: u32,
    /// How many levels of containers within containers are shown.
    pub depth: u32,
    /// For how many milliseconds the answer may hold the program up: at most [`LONGEST_HOLD`].
    pub hold: u32,
    /// Words, in lower case, separated by commas. The values of names that contain one of them are not
    /// shown. The word [`USUAL`] stands for the usual rules ([`crate::secrets`]). Without any word, nothing
    /// is hidden.
    pub hidden: Text<HIDDEN_ROOM>,
}

/// The longest [`Question::hidden`], in bytes.
pub const HIDDEN_ROOM: usize = 600;

/// [`Question::hidden`], unless the question says otherwise.
pub const HIDDEN: &str = USUAL;

/// Stands for the usual rules of what is hidden.
pub const USUAL: &str = "usual";

/// The largest number in a question.
pub const MOST: u32 = 1_000_000;

/// The largest [`Question::hold`]. With what comes after the hold, the answer is there before the agent's usual
/// deadline ([`crate::names::DEADLINE_SECONDS`]).
pub const LONGEST_HOLD: u32 = 2000;

impl Question {
    const NOTHING: Question = Question {
        leave: false,
        state: false,
        greenlets: false,
        locals: false,
        globals: false,
        repr: false,
        native: false,
        length: 200,
        items: 50,
        depth: 4,
        hold: 150,
        hidden: match Text::of(HIDDEN) {
            Some(hidden) => hidden,
            None => panic!("there is room"),
        },
    };

    /// The text of the question.
    pub fn words(&self) -> Words {
        let mut words = Text::new();
        // There is room for the longest one.
        let _ = self.write(&mut words);
        words
    }

    fn write(&self, out: &mut Words) -> fmt::Result {
        for (word, is_asked) in [
            ("leave", self.leave),
            ("facts", self.state),
            ("greenlets", self.greenlets),
            ("locals", self.locals),
            ("globals", self.globals),
            ("repr", self.repr),
            ("native", self.native),
        ] {
            if is_asked {
                writeln!(out, "{word}")?;
            }
        }
        let usual = Question::NOTHING;
        for (word, number, usual) in [
            ("length", self.length, usual.length),
            ("items", self.items, usual.items),
            ("depth", self.depth, usual.depth),
            ("hold", self.hold, usual.hold),
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

    /// The number of its text: see [`Words::number`].
    pub fn number(&self) -> u64 {
        self.words().number()
    }

    /// How far values of this name are hidden.
    pub fn secrecy(&self, name: &[u8]) -> Secrecy {
        let of_word = |word: &[u8]| {
            let mut places = name.windows(word.len());
            match places.any(|place| place.eq_ignore_ascii_case(word)) {
                true => Secrecy::Hidden,
                false if word == USUAL.as_bytes() => secrets::usual(name),
                false => Secrecy::Open,
            }
        };
        self.hidden_words().map(of_word).max().unwrap_or_default()
    }

    /// Whether anything is hidden.
    pub fn hides(&self) -> bool {
        self.hidden_words().next().is_some()
    }

    fn hidden_words(&self) -> impl Iterator<Item = &[u8]> {
        let hidden = self.hidden.as_bytes().split(|&byte| byte == b',');
        let words = hidden.map(<[u8]>::trim_ascii);
        words.filter(|word| !word.is_empty())
    }

    /// Reads the text of a question; `None` if some of it is not known here.
    pub fn parse(words: &[u8]) -> Option<Question> {
        let mut question = Question::NOTHING;
        for line in core::str::from_utf8(words).ok()?.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let number = || rest.parse().ok().filter(|&number| number <= MOST);
            match word {
                "leave" => question.leave = true,
                "facts" => question.state = true,
                "greenlets" => question.greenlets = true,
                "locals" => question.locals = true,
                "globals" => question.globals = true,
                "repr" => question.repr = true,
                "native" => question.native = true,
                "length" => question.length = number()?,
                "items" => question.items = number()?,
                "depth" => question.depth = number()?,
                "hold" => question.hold = number().filter(|&hold| hold <= LONGEST_HOLD)?,
                "hidden" => question.hidden = Text::of(rest)?,
                _ => return None,
            }
        }
        // A question has one text only.
        (question.words().as_bytes() == words).then_some(question)
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
    fn a_question_is_read_as_it_was_written() {
        let state = Question {
            state: true,
            ..Question::default()
        };
        let leave = Question {
            leave: true,
            ..Question::default()
        };
        let much = Question {
            locals: true,
            repr: true,
            items: 7,
            hidden: Text::of("").expect("there is room"),
            ..state
        };
        for question in [state, much, leave, Question::default()] {
            assert_eq!(Question::parse(question.words().as_bytes()), Some(question));
        }
        assert_eq!(Question::default().words().as_bytes(), b"");
        let numbers = [state, much, Question::default()].map(|question| question.number());
        assert!(numbers[0] != numbers[1] && numbers[0] != numbers[2] && numbers[1] != numbers[2]);
        let said = much.words();
        assert_eq!(said.as_bytes(), b"facts\nlocals\nrepr\nitems 7\nhidden \n");
        for strange in [
            &b"facts"[..],
            b"facts\nand what else there is\n",
            b"locals\nfacts\n",
            b"items 50\n",
            b"items 10000000\n",
            b"hold 2001\n",
            b"\xff\n",
        ] {
            assert_eq!(Question::parse(strange), None, "{}", strange.escape_ascii());
        }
    }

    #[test]
    fn hides_by_words_and_by_the_usual_rules() {
        let hiding = |hidden: &str| Question {
            hidden: Text::of(hidden).expect("there is room"),
            ..Question::default()
        };
        let usual = Question::default();
        assert_eq!(usual.secrecy(b"token"), Secrecy::Hidden);
        assert_eq!(usual.secrecy(b"badge"), Secrecy::Open);
        let own = hiding("BADGE, numb");
        assert_eq!(own.secrecy(b"my_badges"), Secrecy::Hidden);
        assert_eq!(own.secrecy(b"token"), Secrecy::Open);
        let both = hiding("usual,badge");
        assert_eq!(both.secrecy(b"badge"), Secrecy::Hidden);
        assert_eq!(both.secrecy(b"auth"), Secrecy::IfText);
        assert!(both.hides() && !hiding(" ,").hides());
        assert_eq!(hiding("").secrecy(b"password"), Secrecy::Open);
    }

    #[test]
    fn there_is_room_for_the_longest_question() {
        let longest = [b'x'; HIDDEN_ROOM];
        let hidden =
            Text::of(core::str::from_utf8(&longest).expect("text")).expect("there is room");
        let question = Question {
            leave: true,
            state: true,
            greenlets: true,
            locals: true,
            globals: true,
            repr: true,
            native: true,
            length: MOST,
            items: MOST,
            depth: MOST,
            hold: LONGEST_HOLD,
            hidden,
        };
        assert_eq!(Question::parse(question.words().as_bytes()), Some(question));
        assert_eq!(Text::<2>::of("abc"), None);
    }
}
