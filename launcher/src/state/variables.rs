//! The values of variables: what is asked for, what the agent says (`preload/src/values.rs` has how),
//! and how it is shown.

use serde::Serialize;
use std::collections::HashMap;

use protocol::state::Record;

/// Those of one frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables {
    /// In the order in which its code names them first.
    pub locals: Vec<Variable>,
    /// Likewise.
    pub globals: Vec<Variable>,
}

/// A variable, or an attribute.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Variable {
    /// Its name,
    pub name: String,
    /// and its value, as text.
    pub value: String,
    /// The attributes of that, by name; none of these has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Variable>,
    /// How many of these are left out.
    #[serde(skip_serializing_if = "is_none")]
    pub attributes_left_out: u64,
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

/// What the agent says of them.
#[derive(Debug, Default, PartialEq)]
pub struct Values {
    /// By thread, the frames' of each, innermost first.
    pub threads: HashMap<u64, Vec<Variables>>,
    /// Whether not all has found room.
    pub is_cut: bool,
}

impl Values {
    /// From the agent's words; `None` if they are not as we know them.
    pub fn parse(words: &[u8]) -> Option<Values> {
        let mut values = Values::default();
        let mut reader = Reader(words);
        let mut frames: Vec<Variables> = Vec::new();
        let mut thread = None;
        let mut later: HashMap<u64, String> = HashMap::new();
        let mut is_local = true;
        while let Some(letter) = reader.byte() {
            let record = Record::from_letter(letter)?;
            // The variable that stands last.
            let last = frames.last_mut().and_then(|frame| match is_local {
                true => frame.locals.last_mut(),
                false => frame.globals.last_mut(),
            });
            match record {
                Record::Thread => {
                    let ident = reader.number()?;
                    if let Some(former) = thread.replace(ident) {
                        values.threads.insert(former, std::mem::take(&mut frames));
                    }
                }
                Record::Frame => {
                    thread?;
                    frames.push(Variables::default());
                }
                Record::Local | Record::Global => {
                    is_local = record == Record::Local;
                    let frame = frames.last_mut()?;
                    let variables = match is_local {
                        true => &mut frame.locals,
                        false => &mut frame.globals,
                    };
                    variables.push(reader.variable()?);
                }
                Record::Attribute => last?.attributes.push(reader.variable()?),
                Record::AttributesLeftOut => last?.attributes_left_out = reader.number()?,
                Record::ReprFollows => {
                    last?.attributes_left_out = reader.number::<u64>()?.checked_add(AWAITED)?
                }
                Record::Repr => {
                    let number = reader.number()?;
                    later.insert(number, reader.text()?);
                }
                Record::Cut => values.is_cut = true,
            }
        }
        if let Some(ident) = thread {
            values.threads.insert(ident, frames);
        }
        values.settle(&mut later);
        Some(values)
    }

    /// Puts the texts that came later where they belong, and attributes in order.
    fn settle(&mut self, later: &mut HashMap<u64, String>) {
        for frame in self.threads.values_mut().flatten() {
            for variable in frame.locals.iter_mut().chain(&mut frame.globals) {
                if let Some(number) = variable.attributes_left_out.checked_sub(AWAITED) {
                    variable.attributes_left_out = 0;
                    if let Some(text) = later.get(&number) {
                        variable.value.clone_from(text);
                    }
                }
                variable
                    .attributes
                    .sort_by(|one, other| one.name.cmp(&other.name));
            }
        }
    }
}

/// From here on it is the number of a text that comes later.
const AWAITED: u64 = 1 << 63;

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number<N: From<u64>>(&mut self) -> Option<N> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*bytes).into())
    }

    fn text(&mut self) -> Option<String> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = u32::from_ne_bytes(*length) as usize;
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn variable(&mut self) -> Option<Variable> {
        Some(Variable {
            name: self.text()?,
            value: self.text()?,
            ..Variable::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u32).to_ne_bytes(), text.as_bytes()].concat()
    }

    fn variable(name: &str, value: &str) -> Variable {
        Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            ..Variable::default()
        }
    }

    #[test]
    fn reads_what_was_taken_down() {
        let number =
            |what: Record, number: u64| [&[what.letter()][..], &number.to_ne_bytes()].concat();
        let named = |what: Record, name: &str, value: &str| {
            [vec![what.letter()], text(name), text(value)].concat()
        };
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
            number(Record::Thread, 8),
            [number(Record::Repr, 0), text("itself")].concat(),
            b"E".to_vec(),
        ];
        let values = Values::parse(&words.concat()).expect("it is as we know it");
        let object = Variable {
            attributes: vec![variable("y", "3"), variable("z", "2")],
            attributes_left_out: 4,
            ..variable("b", "<x.Y at 0x1>")
        };
        let inner = Variables {
            locals: vec![variable("a", "1"), object],
            globals: Vec::new(),
        };
        let outer = Variables {
            locals: Vec::new(),
            globals: vec![variable("c", "itself")],
        };
        assert_eq!(values.threads[&7], [inner, outer]);
        assert_eq!(values.threads[&8], []);
        assert!(values.is_cut);
        let whole = words.concat();
        assert_eq!(Values::parse(&whole[..whole.len() - 3]), None);
        for strange in [&b"F"[..], b"L", b"?", b"T"] {
            assert_eq!(Values::parse(strange), None);
        }
    }
}
