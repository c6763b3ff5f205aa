//! The values of variables, where `--locals` or `--globals` asks for them.

use serde::Serialize;
use std::collections::HashMap;

use protocol::state::Record;

/// The variables of one frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables {
    /// The local ones, in the order in which the code first names them.
    pub locals: Vec<Variable>,
    /// The global ones that the code uses, in the same order.
    pub globals: Vec<Variable>,
}

/// A variable, or an attribute.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, as text.
    pub value: String,
    /// The attributes of the value, sorted by name. Attributes have none themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Variable>,
    /// How many attributes are left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub attributes_left_out: u64,
    /// While reading: the number under which the value follows.
    #[serde(skip)]
    repr: Option<u64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The variables of all threads, greenlets and generators.
#[derive(Debug, Default, PartialEq)]
pub struct AllVariables {
    /// The variables of each frame, innermost first, by the number that the stack has in the document: a
    /// thread's identifier, or a number below zero.
    pub stacks: HashMap<i64, Vec<Variables>>,
    /// Whether some are missing, for lack of room or time.
    pub is_cut: bool,
}

impl AllVariables {
    /// Reads [`Record`]s; `None` if these bytes are none.
    pub fn parse(bytes: &[u8]) -> Option<AllVariables> {
        let mut all = AllVariables::default();
        let mut reader = Reader(bytes);
        let mut frames: Vec<Variables> = Vec::new();
        let mut stack = None;
        let mut reprs: HashMap<u64, String> = HashMap::new();
        let mut is_local = true;
        while let Some(letter) = reader.byte() {
            let last = frames.last_mut().and_then(|frame| match is_local {
                true => frame.locals.last_mut(),
                false => frame.globals.last_mut(),
            });
            let record = Record::from_letter(letter)?;
            match record {
                Record::Thread => {
                    let number = reader.number()?.cast_signed();
                    if let Some(former) = stack.replace(number) {
                        all.stacks.insert(former, std::mem::take(&mut frames));
                    }
                }
                Record::Frame => {
                    stack?;
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
                Record::ReprFollows => last?.repr = Some(reader.number()?),
                Record::Repr => {
                    let number = reader.number()?;
                    reprs.insert(number, reader.text()?);
                }
                Record::Cut => all.is_cut = true,
            }
        }
        if let Some(number) = stack {
            all.stacks.insert(number, frames);
        }
        all.settle(&reprs);
        Some(all)
    }

    /// Puts values that followed later into their places, and sorts attributes.
    fn settle(&mut self, reprs: &HashMap<u64, String>) {
        for frame in self.stacks.values_mut().flatten() {
            for variable in frame.locals.iter_mut().chain(&mut frame.globals) {
                let repr = variable.repr.take();
                // Some never follow: the library ran out of time or room.
                if let Some(text) = repr.and_then(|number| reprs.get(&number)) {
                    variable.value.clone_from(text);
                }
                variable
                    .attributes
                    .sort_by(|one, other| one.name.cmp(&other.name));
            }
        }
    }
}

/// Reads the fields of records, in this machine's byte order.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
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
    fn reads_the_records() {
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
            number(Record::Thread, -8_i64 as u64),
            [number(Record::Repr, 0), text("itself")].concat(),
            b"E".to_vec(),
        ];
        let values = AllVariables::parse(&words.concat()).expect("records");
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
        assert_eq!(values.stacks[&7], [inner, outer]);
        assert_eq!(values.stacks[&-8], []);
        assert!(values.is_cut);
        let whole = words.concat();
        assert_eq!(AllVariables::parse(&whole[..whole.len() - 3]), None);
        for strange in [&b"F"[..], b"L", b"?", b"T"] {
            assert_eq!(AllVariables::parse(strange), None);
        }
    }
}
