//! The values of variables, where `--locals` or `--globals` asks for them.
//!
//! They stay as they were answered, as [`Record`]s, and are read when they are shown: they take no memory
//! but that of the answer.
//!
//! The file is long for its unit tests, which stand behind the code that they test.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::state::budget::{AnswerBytes, Memory};
use protocol::question::Question;
use protocol::state::Record;

/// More attributes of a value than this are not shown: it is as many as may be asked for
/// ([`protocol::question::MOST`]), as far as an answer has room for them.
const MOST_ATTRIBUTES: usize = 100_000;

/// The longest text that is shown of a value, in bytes: a million characters, as many as may be asked for,
/// all of which are written as `\UNNNNNNNN`, and some words.
const LONGEST_VALUE: usize = 11 << 20;

/// The same for text that is no UTF-8.
const LONGEST_NONSENSE: usize = 1 << 20;

/// A variable, or an attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value, as text.
    pub value: Cow<'a, str>,
    /// The attributes of the value, sorted by name. Attributes have none themselves.
    pub attributes: Vec<Variable<'a>>,
    /// How many attributes are left out.
    pub attributes_left_out: u64,
}

/// The variables of the frames of one stack.
#[derive(Clone, Debug, Default)]
pub struct StackVariables {
    text: Option<Arc<Text>>,
    /// Its frames among [`Text::frames`], innermost first.
    frames: Range<usize>,
}

/// The variables of one frame.
#[derive(Clone, Copy)]
pub struct Variables<'a> {
    text: &'a Text,
    /// Its records, and those that follow.
    records: Reader<'a>,
}

/// The records of an answer.
#[derive(Debug)]
struct Text {
    answer: Arc<AnswerBytes>,
    /// Where the records of each frame begin in the answer.
    frames: Vec<u32>,
    /// Where values that follow later are, by their numbers, in their order.
    reprs: Vec<(u64, u32)>,
}

/// The variables of all threads, greenlets and generators.
#[derive(Debug, Default)]
pub struct AllVariables {
    /// By the number that the stack has in the document: a thread's identifier, or a number below zero.
    pub stacks: HashMap<i64, StackVariables>,
    /// Whether some are missing, for lack of room or time.
    pub is_cut: bool,
}

/// Why variables are not read.
#[derive(Debug, PartialEq)]
pub enum Refused {
    /// These bytes are no records.
    NoRecords,
    /// There are records that the question does not ask for.
    NotAsked,
}

impl AllVariables {
    /// Reads [`Record`]s, which begin at `start` in an answer to this question. Stacks that `is_known` does
    /// not know are passed over.
    pub fn parse(
        answer: &Arc<AnswerBytes>,
        start: usize,
        question: &Question,
        is_known: impl Fn(i64) -> bool,
        memory: &mut Memory,
    ) -> Result<AllVariables, Refused> {
        let mut all = AllVariables::default();
        let bytes: &[u8] = answer;
        let mut reader = Reader(&bytes[start..]);
        let mut text = Text {
            answer: Arc::clone(answer),
            frames: Vec::new(),
            reprs: Vec::new(),
        };
        let mut stacks: HashMap<i64, Range<usize>> = HashMap::new();
        let mut stack = None;
        // What the last records belong to: attributes stand behind variables, and those behind frames.
        let (mut in_frame, mut in_variable) = (false, false);
        while let Some(letter) = reader.byte() {
            let at = (bytes.len() - reader.0.len()) as u32;
            let record = Record::from_letter(letter).ok_or(Refused::NoRecords)?;
            if !is_asked(record, question) {
                return Err(Refused::NotAsked);
            }
            let fields = match record {
                Record::Thread => reader.number().map(|number| {
                    (in_frame, in_variable) = (false, false);
                    stack = Some(number.cast_signed()).filter(|&number| {
                        let is_new = is_known(number) && !stacks.contains_key(&number);
                        let entry = size_of::<(i64, Range<usize>)>();
                        let has_room = !is_new || memory.take(2 * entry);
                        all.is_cut |= !has_room;
                        is_new && has_room
                    });
                    if let Some(number) = stack {
                        stacks.insert(number, text.frames.len()..text.frames.len());
                    }
                }),
                Record::Frame => {
                    (in_frame, in_variable) = (true, false);
                    if let Some(frames) = stack.and_then(|number| stacks.get_mut(&number)) {
                        match memory.take(2 * size_of::<u32>()) {
                            true => text.frames.push(at),
                            false => all.is_cut = true,
                        }
                        frames.end = text.frames.len();
                    }
                    Some(())
                }
                Record::Local | Record::Global => {
                    in_variable = in_frame;
                    reader.pair().filter(|_| in_frame).map(drop)
                }
                Record::Attribute => reader.pair().filter(|_| in_variable).map(drop),
                Record::AttributesLeftOut | Record::ReprFollows => {
                    reader.number().filter(|_| in_variable).map(drop)
                }
                Record::Repr => reader.number().and_then(|number| {
                    (in_frame, in_variable) = (false, false);
                    let place = (number, (bytes.len() - reader.0.len()) as u32);
                    reader.text()?;
                    match memory.take(2 * size_of_val(&place)) {
                        true => text.reprs.push(place),
                        false => all.is_cut = true,
                    }
                    Some(())
                }),
                Record::Cut => {
                    all.is_cut = true;
                    Some(())
                }
            };
            if fields.is_none() {
                // The last record of an answer that was not read to its end.
                if !answer.is_cut() {
                    return Err(Refused::NoRecords);
                }
                break;
            }
        }
        all.is_cut |= answer.is_cut();
        text.reprs.sort_unstable();
        let text = Arc::new(text);
        let stacks = stacks.into_iter().map(|(number, frames)| {
            let text = Some(Arc::clone(&text));
            (number, StackVariables { text, frames })
        });
        all.stacks = stacks.collect();
        Ok(all)
    }
}

/// Whether a question asks for records of this kind.
fn is_asked(record: Record, question: &Question) -> bool {
    let any = question.locals || question.globals;
    match record {
        Record::Local => question.locals,
        Record::Global => question.globals,
        Record::ReprFollows | Record::Repr => any && question.repr,
        _ => any,
    }
}

impl StackVariables {
    /// The number of frames whose variables are known.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The variables of a frame, counted from the innermost.
    pub fn at(&self, index: usize) -> Option<Variables<'_>> {
        let text = self.text.as_deref()?;
        let frame = *text.frames.get(self.frames.clone())?.get(index)?;
        let records = Reader(text.answer.get(frame as usize..)?);
        Some(Variables { text, records })
    }
}

impl<'a> Variables<'a> {
    /// The local ones, in the order in which the code first names them.
    pub fn locals(self) -> impl Iterator<Item = Variable<'a>> {
        self.all(Record::Local)
    }

    /// The global ones that the code uses, in the same order.
    pub fn globals(self) -> impl Iterator<Item = Variable<'a>> {
        self.all(Record::Global)
    }

    fn all(self, kind: Record) -> impl Iterator<Item = Variable<'a>> {
        let mut records = self.records;
        std::iter::from_fn(move || {
            loop {
                let mut next = records;
                let record = Record::from_letter(next.byte()?)?;
                match record {
                    Record::Local | Record::Global => {
                        let pair = next.pair()?;
                        records = next;
                        if record == kind {
                            return Some(self.variable(pair, &mut records));
                        }
                    }
                    Record::Attribute => drop(next.pair()?),
                    Record::AttributesLeftOut | Record::ReprFollows => drop(next.number()?),
                    // The next frame.
                    _ => return None,
                }
                records = next;
            }
        })
    }

    /// A variable, of which the name and the value have been read, and what belongs to it has not.
    fn variable(
        self,
        (name, value): (&'a [u8], &'a [u8]),
        records: &mut Reader<'a>,
    ) -> Variable<'a> {
        let mut variable = Variable::of(name, value);
        let mut follows = None;
        loop {
            let mut next = *records;
            let record = next.byte().and_then(Record::from_letter);
            let read = match record {
                Some(Record::Attribute) => next.pair().map(|(name, value)| {
                    match variable.attributes.len() < MOST_ATTRIBUTES {
                        true => variable.attributes.push(Variable::of(name, value)),
                        false => {
                            variable.attributes_left_out =
                                variable.attributes_left_out.saturating_add(1);
                        }
                    }
                }),
                Some(Record::AttributesLeftOut) => next.number().map(|count| {
                    variable.attributes_left_out =
                        variable.attributes_left_out.saturating_add(count);
                }),
                Some(Record::ReprFollows) => next.number().map(|number| follows = Some(number)),
                _ => None,
            };
            if read.is_none() {
                break;
            }
            *records = next;
        }
        // Some never follow: the library ran out of time or room.
        if let Some(value) = follows.and_then(|number| self.text.repr(number)) {
            variable.value = shown(value);
        }
        variable
            .attributes
            .sort_by(|one, other| one.name.cmp(&other.name));
        variable
    }
}

impl<'a> Variable<'a> {
    fn of(name: &'a [u8], value: &'a [u8]) -> Variable<'a> {
        Variable {
            name: shown(name),
            value: shown(value),
            ..Variable::default()
        }
    }
}

/// The text of a name or a value.
fn shown(text: &[u8]) -> Cow<'_, str> {
    let shown = &text[..text.len().min(LONGEST_VALUE)];
    match std::str::from_utf8(shown) {
        Ok(text) => text.into(),
        // Each byte may become three.
        Err(_) => String::from_utf8_lossy(&shown[..shown.len().min(LONGEST_NONSENSE)]),
    }
}

impl Text {
    /// The value that follows under this number.
    fn repr(&self, number: u64) -> Option<&[u8]> {
        let at = self.reprs.binary_search_by_key(&number, |one| one.0).ok()?;
        let bytes = self.answer.get(self.reprs[at].1 as usize..)?;
        Reader(bytes).text()
    }
}

/// Reads the fields of records, in this machine's byte order.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*bytes))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = u32::from_ne_bytes(*length) as usize;
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    /// A name and a value.
    fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        Some((self.text()?, self.text()?))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u32).to_ne_bytes(), text.as_bytes()].concat()
    }

    fn variable<'a>(name: &'a str, value: &'a str) -> Variable<'a> {
        Variable {
            name: name.into(),
            value: value.into(),
            ..Variable::default()
        }
    }

    fn number(what: Record, number: u64) -> Vec<u8> {
        [&[what.letter()][..], &number.to_ne_bytes()].concat()
    }

    fn named(what: Record, name: &str, value: &str) -> Vec<u8> {
        [vec![what.letter()], text(name), text(value)].concat()
    }

    fn asked() -> Question {
        Question {
            state: true,
            locals: true,
            globals: true,
            repr: true,
            ..Question::default()
        }
    }

    /// The variables of a stack: those of as many frames as this, each of which has one.
    pub(crate) fn stack_of(frames: usize) -> StackVariables {
        let frame = [b"F".to_vec(), named(Record::Local, "a", "1")].concat();
        let words = [number(Record::Thread, 7), frame.repeat(frames)].concat();
        let mut all = read(&words, &asked()).expect("records");
        all.stacks.remove(&7).expect("it is there")
    }

    fn read(words: &[u8], question: &Question) -> Result<AllVariables, Refused> {
        let answer = Arc::new(AnswerBytes::from([b"..", words].concat()));
        let known = |number| [7, -8].contains(&number);
        AllVariables::parse(&answer, 2, question, known, &mut Memory::default())
    }

    #[test]
    fn reads_the_records() {
        let words = [
            number(Record::Thread, 7),
            b"F".to_vec(),
            named(Record::Local, "a", "1"),
            named(Record::Local, "b", "<x.Y at 0x1>"),
            named(Record::Attribute, "z", "2"),
            named(Record::Attribute, "y", "3"),
            number(Record::AttributesLeftOut, 4),
            b"F".to_vec(),
            named(Record::Global, "c", "<x.Y at 0x2>"),
            number(Record::ReprFollows, 0),
            number(Record::Thread, 9),
            b"F".to_vec(),
            number(Record::Thread, -8_i64 as u64),
            [number(Record::Repr, 0), text("itself")].concat(),
            b"E".to_vec(),
        ];
        let values = read(&words.concat(), &asked()).expect("records");
        let object = Variable {
            attributes: vec![variable("y", "3"), variable("z", "2")],
            attributes_left_out: 4,
            ..variable("b", "<x.Y at 0x1>")
        };
        let stack = &values.stacks[&7];
        let inner = stack.at(0).expect("a frame");
        assert!(inner.locals().eq([variable("a", "1"), object]));
        assert_eq!(inner.globals().count(), 0);
        let outer = stack.at(1).expect("a frame");
        assert_eq!(outer.locals().count(), 0);
        assert!(outer.globals().eq([variable("c", "itself")]));
        assert_eq!((stack.len(), stack.at(2).is_none()), (2, true));
        assert!(values.stacks[&-8].is_empty() && values.stacks.len() == 2);
        assert!(values.is_cut);
        let whole = words.concat();
        let cut = read(&whole[..whole.len() - 3], &asked());
        assert_eq!(cut.map(drop), Err(Refused::NoRecords));
        for strange in [&b"L"[..], b"?", b"T", b"A", b"N"] {
            let refused = read(strange, &asked()).map(drop);
            assert_eq!(refused, Err(Refused::NoRecords));
        }
    }

    #[test]
    fn refuses_what_was_not_asked_for() {
        let frame = [number(Record::Thread, 7), b"F".to_vec()].concat();
        let local = [frame.clone(), named(Record::Local, "a", "1")].concat();
        let repr = [frame.clone(), number(Record::Repr, 0), text("a")].concat();
        let globals = Question {
            locals: false,
            repr: false,
            ..asked()
        };
        let nothing = Question {
            globals: false,
            ..globals
        };
        assert!(read(&frame, &globals).is_ok() && read(&[], &nothing).is_ok());
        for (words, question) in [(&frame, nothing), (&local, globals), (&repr, globals)] {
            let refused = read(words, &question).map(drop);
            assert_eq!(refused, Err(Refused::NotAsked));
        }
    }
}
