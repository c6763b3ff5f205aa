//! Which values are secrets, by the names beside them: the variable's, the key's, the field's, the other
//! half of a pair. The words stand in [`protocol::secrets`].
//!
//! On the worker, under the GIL, while nobody else can run. It looks at a few objects beside each value, and
//! never at all of a large one, and spends the time for the answer ([`hold`]). Once that is used up nothing
//! more is shown, so nothing more is hidden. Secrets within text are found by the commands.

use crate::agent::hold;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type};
use crate::inspect::types::{BuiltinType, BuiltinTypes};
use crate::system::hash::Table;
use protocol::question::Question;
use protocol::secrets::{NAMED, NAMING, Secrecy, is_key_of, is_name, looks_random};

/// Longer names are not looked at behind this, nor are longer texts taken for names.
const LONGEST_NAME: usize = 200;

/// Larger dictionaries and classes have no fields that are looked for, in slots.
const LARGEST: usize = 256;

/// So many classes that a class derives from are looked at.
const MOST_BASES: usize = 4;

/// Finds the values that are hidden.
pub struct Hiding<'a, 'g> {
    fields: Fields<'g>,
    question: &'a Question,
    /// Whether anything is hidden.
    any: bool,
    /// How far the values of names are hidden; names that are equal are often the same object.
    known: Table<usize, Secrecy>,
    /// The names of the fields of the named tuple that was last looked at.
    fields_of: Option<(Type<'g>, Option<Object<'g>>)>,
}

impl<'a, 'g> Hiding<'a, 'g> {
    pub fn new(fields: Fields<'g>, question: &'a Question) -> Self {
        Self {
            fields,
            question,
            any: question.hides(),
            known: Table::default(),
            fields_of: None,
        }
    }

    /// How far values of this name are hidden.
    fn secrecy(&mut self, name: Object<'g>) -> Secrecy {
        if !self.any {
            return Secrecy::Open;
        }
        if let Some(&secrecy) = self.known.get(&name.address()) {
            return secrecy;
        }
        let mut narrow = [0; LONGEST_NAME];
        let Some(text) = self.text(name, &mut narrow) else {
            return Secrecy::Open;
        };
        // Of a long name the end counts most.
        let end = &text[text.len().saturating_sub(LONGEST_NAME)..];
        hold::spend(end.len());
        let secrecy = self.question.secrecy(end);
        if self.known.try_reserve(1).is_ok() {
            self.known.insert(name.address(), secrecy);
        }
        secrecy
    }

    /// The bytes of a `str`, or the beginning of a `unicode`; `None` of anything else. No secret word has
    /// other characters than ASCII.
    fn text<'b>(&self, object: Object<'g>, narrow: &'b mut [u8; LONGEST_NAME]) -> Option<&'b [u8]>
    where
        'g: 'b,
    {
        let fields = self.fields;
        if let Some(text) = fields.str_bytes(object) {
            return Some(text);
        }
        let characters = fields.characters(fields.as_unicode(object)?);
        let count = characters.count().min(LONGEST_NAME);
        for (index, place) in narrow.iter_mut().take(count).enumerate() {
            *place = u8::try_from(characters.at(index)).unwrap_or(0xff);
        }
        Some(&narrow[..count])
    }

    /// Whether the value of this name is a secret.
    pub fn hides(
        &mut self,
        types: &mut BuiltinTypes<'g>,
        name: Object<'g>,
        value: Option<Object<'g>>,
    ) -> bool {
        let secrecy = self.secrecy(name);
        value.is_some_and(|value| self.is_hidden_by(types, secrecy, value))
    }

    /// The same of a name in C, as fields of structures have.
    pub fn hides_in_c(
        &mut self,
        types: &mut BuiltinTypes<'g>,
        name: &[u8],
        value: Object<'g>,
    ) -> bool {
        let secrecy = match self.any {
            true => self.question.secrecy(name),
            false => Secrecy::Open,
        };
        hold::spend(name.len());
        self.is_hidden_by(types, secrecy, value)
    }

    fn is_hidden_by(
        &self,
        types: &mut BuiltinTypes<'g>,
        secrecy: Secrecy,
        value: Object<'g>,
    ) -> bool {
        if secrecy == Secrecy::Open {
            return false;
        }
        match (secrecy, types.of(value).0) {
            (Secrecy::Hidden, _) => true,
            (Secrecy::IfText, BuiltinType::Other) => types
                .standard(value)
                .is_some_and(|standard| standard.is_plain_value()),
            (Secrecy::IfText, kind) => is_text(kind),
            (Secrecy::IfRandom, BuiltinType::Other) => {
                let standard = types.standard(value);
                let bytes = standard.and_then(|standard| standard.bytes(self.fields));
                hold::spend(LONGEST_NAME);
                bytes.is_some_and(|bytes| looks_random(&bytes[..bytes.len().min(LONGEST_NAME)]))
            }
            (Secrecy::IfRandom, BuiltinType::Str | BuiltinType::Unicode) => {
                let mut narrow = [0; LONGEST_NAME];
                let text = self.text(value, &mut narrow);
                hold::spend(LONGEST_NAME);
                text.is_some_and(|text| looks_random(&text[..text.len().min(LONGEST_NAME)]))
            }
            _ => false,
        }
    }

    /// Whether a pair is a name and a secret, as `('password', 'x')` is. `('password', 'token')` are two
    /// names.
    pub fn is_pair(
        &mut self,
        types: &mut BuiltinTypes<'g>,
        [name, value]: [Option<Object<'g>>; 2],
    ) -> bool {
        let (Some(name), Some(value)) = (name, value) else {
            return false;
        };
        self.is_name(name)
            && self.hides(types, name, Some(value))
            && !(self.is_name(value) && self.secrecy(value) > Secrecy::IfRandom)
    }

    /// Whether an argument is the value of the option before it, and a secret.
    pub fn follows_option(&mut self, option: Object<'g>, argument: Object<'g>) -> bool {
        let starts = |object| {
            let text: Option<&[u8]> = self.fields.str_bytes(object);
            text.map(|text| text.starts_with(b"-") && !text.contains(&b'='))
        };
        starts(option) == Some(true)
            && starts(argument) == Some(false)
            && self.is_name(option)
            && self.secrecy(option) > Secrecy::IfRandom
    }

    /// Whether a small dictionary says that it has a secret, as `{'name': 'password', 'value': 'x'}` does.
    pub fn names_a_secret(&mut self, dictionary: Object<'g>) -> bool {
        let fields = self.fields;
        if !self.any || !dict::has_few_slots(fields, dictionary, LARGEST) {
            return false;
        }
        let mut entries = dict::entries(fields, dictionary);
        entries.any(|(key, value)| self.is_name_of_secret(key, value))
    }

    /// Whether a key and a value say that there is a secret beside them, as `'name': 'password'` does.
    pub fn is_name_of_secret(&mut self, key: Object<'g>, value: Object<'g>) -> bool {
        hold::spend(10);
        self.any
            && self.is_word(key, NAMING)
            && self.is_name(value)
            && self.secrecy(value) > Secrecy::IfRandom
    }

    /// Whether this is text that may be a name.
    fn is_name(&self, object: Object<'g>) -> bool {
        let mut narrow = [0; LONGEST_NAME];
        self.text(object, &mut narrow).is_some_and(is_name)
    }

    /// Whether this is a key under which such a dictionary has the secret.
    pub fn is_named(&self, key: Object<'g>) -> bool {
        self.is_word(key, NAMED)
    }

    fn is_word(&self, object: Object<'g>, words: &[&str]) -> bool {
        let mut narrow = [0; LONGEST_NAME];
        let text = self.text(object, &mut narrow);
        text.is_some_and(|text| is_key_of(text, words))
    }

    /// The names of the fields of a named tuple, itself a tuple. `class` is one that derives from `tuple`.
    pub fn fields_of(&mut self, class: Type<'g>) -> Option<Object<'g>> {
        match self.fields_of {
            Some((known, names)) if known == class => names,
            _ => {
                let names = self.look_up_fields(class);
                self.fields_of = Some((class, names));
                names
            }
        }
    }

    fn look_up_fields(&self, class: Type<'g>) -> Option<Object<'g>> {
        let fields = self.fields;
        let mut class = Some(class);
        for _ in 0..MOST_BASES {
            hold::spend(LARGEST);
            let names = fields.type_dict(class?);
            let names = names.filter(|&names| dict::has_few_slots(fields, names, LARGEST));
            let names = names.and_then(|names| fields.as_dict(names));
            let found = names.and_then(|names| dict::named(fields, names, b"_fields"));
            if let Some(found) = found {
                return Some(found).filter(|&found| fields.is_exactly(found, fields.PyTuple_Type));
            }
            class = fields.type_base(class?);
        }
        None
    }
}

/// Whether a value of this type may be a secret, rather than an object that has one.
fn is_text(kind: BuiltinType) -> bool {
    !matches!(
        kind,
        BuiltinType::None
            | BuiltinType::Bool
            | BuiltinType::Function
            | BuiltinType::CFunction
            | BuiltinType::Method
            | BuiltinType::Module
            | BuiltinType::OldClass
            | BuiltinType::Class
            | BuiltinType::Other
    )
}
