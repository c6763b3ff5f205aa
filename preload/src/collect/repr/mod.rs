//! A value as text of bounded length, made without running any code of the program's: `repr` of built-in
//! types; for all other objects their class and address.
//!
//! Enters: an object, and the question, which says how much of it is shown. Leaves: its text, and what of it is
//! secret hidden. Containers are in `containers`, objects of the standard library's types in `standard`.
//!
//! On the worker, under the GIL, while nobody else can run: what is looked at stays as it is. Once the time for the
//! answer is used up ([`hold`]), values are cut, and say so.

use std::io::Write;
use std::ops::Range;

use crate::agent::hold;
use crate::collect::secrets::Hiding;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type, Unicode};
use crate::cpython::{dict, set};
use crate::inspect::types::{BuiltinType, BuiltinTypes};
use crate::system::bounded_bytes::Bytes;
use crate::system::hash::Table;
use protocol::question::Question;

mod containers;
mod numbers;
mod standard;

use containers::Entry;

/// Makes text of values.
pub struct SafeRepr<'a, 'g> {
    fields: Fields<'g>,
    question: &'a Question,
    /// The built-in types of objects.
    pub types: BuiltinTypes<'g>,
    hiding: Hiding<'a, 'g>,
    /// Where the present value has to end.
    end: usize,
    /// How many more items of it are shown.
    items: u32,
    /// The containers that the present one is in.
    path: [Option<Object<'g>>; DEEPEST],
    /// Where the text of a value stands that took long to make, by the value's address.
    texts: Table<usize, Range<usize>>,
    /// What is in large containers, as far as it is ever shown, by their addresses: most of their slots may be
    /// empty.
    contents: Table<usize, Vec<Entry<'g>>>,
    /// What stands in the empty slots of sets, once that is known.
    removed: Option<set::Removed>,
}

/// The text of a value is kept from this length on, in bytes.
const LONG_TEXT: usize = 1000;

/// The first bytes of a name.
fn short(name: &[u8]) -> &[u8] {
    &name[..name.len().min(LONGEST_NAME)]
}

/// Longer names are cut.
pub const LONGEST_NAME: usize = 200;

/// The most levels of containers that are ever shown.
pub const DEEPEST: usize = 20;

impl<'a, 'g> SafeRepr<'a, 'g> {
    pub fn new(fields: Fields<'g>, question: &'a Question) -> Self {
        Self {
            fields,
            question,
            types: BuiltinTypes::new(fields),
            hiding: Hiding::new(fields, question),
            end: 0,
            items: 0,
            path: [None; DEEPEST],
            texts: Table::default(),
            contents: Table::default(),
            removed: None,
        }
    }

    /// Whether this value of this name is secret.
    pub fn is_hidden(&mut self, name: Object<'g>, value: Object<'g>) -> bool {
        self.hiding.hides(&mut self.types, name, Some(value))
    }

    /// Whether a dictionary, which may be that of an object's attributes, says that it has a secret.
    pub fn names_a_secret(&mut self, dictionary: Object<'g>) -> bool {
        self.hiding.names_a_secret(dictionary)
    }

    /// Whether an attribute says that the object has a secret.
    pub fn is_name_of_secret(&mut self, name: Object<'g>, value: Object<'g>) -> bool {
        self.hiding.is_name_of_secret(name, value)
    }

    /// Whether this is the name under which such a dictionary has it.
    pub fn is_named(&self, name: Object<'g>) -> bool {
        self.hiding.is_named(name)
    }

    /// Writes a value down.
    pub fn show(&mut self, object: Object<'g>, out: &mut Bytes) {
        self.end = out.len().saturating_add(self.question.length as usize);
        self.items = self.question.items;
        if !self.texts.is_empty()
            && let Some(text) = self.texts.get(&object.address())
        {
            return out.repeat(text.clone());
        }
        let start = out.len();
        self.value(Some(object), 0, out);
        // If it was cut for lack of time, there is none to make it again.
        if out.len() - start >= LONG_TEXT && self.texts.try_reserve(1).is_ok() {
            self.texts.insert(object.address(), start..out.len());
        }
    }

    fn value(&mut self, object: Option<Object<'g>>, depth: usize, out: &mut Bytes) {
        let Some(object) = object else {
            return out.push(b"<nothing>");
        };
        let fields = self.fields;
        if !fields.is_object(object) {
            let _ = write!(out, "<unreadable at {:#x}>", object.address());
            return;
        }
        let (kind, exact) = self.types.of(object);
        if (kind == BuiltinType::Other || !exact) && self.standard(object, depth, out) {
            return;
        }
        match kind {
            BuiltinType::None => out.push(b"None"),
            BuiltinType::Other => self.named(b"<", object, b">", out),
            BuiltinType::Function => {
                let name = fields.function_name(object);
                let name = name.and_then(|name| fields.bytes(name)).unwrap_or(b"?");
                self.at(&[b"function ", short(name)], object, out);
            }
            BuiltinType::CFunction => {
                let name = match fields.as_c_function(object) {
                    Some(function) => fields.c_function_name(function),
                    None => b"?",
                };
                self.at(&[b"built-in ", short(name)], object, out);
            }
            BuiltinType::Method => {
                let Some(method) = fields.method(object) else {
                    return self.named(b"<", object, b">", out);
                };
                let name = fields.function_name(method.function);
                let name = name.and_then(|name| fields.bytes(name)).unwrap_or(b"?");
                match method.owner {
                    None => self.at(&[b"unbound method ", short(name)], object, out),
                    Some(owner) => {
                        out.push(b"<bound method ");
                        out.push(short(name));
                        self.named(b" of <", owner, b">>", out);
                    }
                }
            }
            BuiltinType::Module => {
                // SAFETY: of a module (Objects/moduleobject.c) md_dict comes first, and it keeps that.
                let names = unsafe { fields.object(object, 0, 0) };
                let name = self.text_of(names, b"__name__").unwrap_or(b"?");
                self.at(&[b"module ", short(name)], object, out);
            }
            BuiltinType::Class | BuiltinType::OldClass => {
                out.push(b"<class ");
                match kind {
                    BuiltinType::OldClass => self.old_class(object, out),
                    // SAFETY: it is of the type of types, or of one derived from it.
                    _ => self.class(unsafe { Type::assume(object) }, out),
                }
                out.push(b">");
            }
            _ if !exact => {
                // The value as the built-in type stores it: only its class knows what that means.
                self.named(b"<", object, b" ", out);
                self.built_in(kind, object, depth, out);
                out.push(b">");
            }
            _ => self.built_in(kind, object, depth, out),
        }
    }

    /// What a built-in type stores, in an object of that type or of a derived one.
    fn built_in(&mut self, kind: BuiltinType, object: Object<'g>, depth: usize, out: &mut Bytes) {
        let fields = self.fields;
        match kind {
            BuiltinType::Bool | BuiltinType::Int => {
                // SAFETY: an `int` has this field first (Include/intobject.h), as a `bool` has.
                let number = unsafe { fields.word(object, 0, 0) } as i64;
                let _ = match kind {
                    BuiltinType::Int => write!(out, "{number}"),
                    _ if number != 0 => write!(out, "True"),
                    _ => write!(out, "False"),
                };
            }
            // SAFETY: its type has been looked at.
            BuiltinType::Long => unsafe { fields.write_long(object, out) },
            // SAFETY: as above.
            BuiltinType::Float => unsafe { fields.write_float(object, out) },
            BuiltinType::Str => {
                let text = fields.bytes(object).unwrap_or_default();
                let count = fields.str_length(object);
                let one = |index| u32::from(text[index]);
                self.quoted("", (text.len(), count), one, out);
            }
            BuiltinType::Unicode => {
                // SAFETY: its type has been looked at.
                let characters = fields.characters(unsafe { Unicode::assume(object) });
                let count = fields.character_count(object);
                let one = |index| characters.at(index);
                self.quoted("u", (characters.count(), count), one, out);
            }
            _ => self.container(kind, object, depth, out),
        }
    }

    /// Text in quotes, as Python writes it; as much as there is room for. `known` of its `count` characters are known.
    fn quoted(
        &self,
        prefix: &str,
        (known, count): (usize, usize),
        one: impl Fn(usize) -> u32,
        out: &mut Bytes,
    ) {
        const AT_ONCE: usize = 256;
        let shown = known.min(self.end.saturating_sub(out.len()));
        let has = |quote: char| (0..shown).any(|index| one(index) == u32::from(quote));
        let quote = if has('\'') && !has('"') { '"' } else { '\'' };
        let _ = write!(out, "{prefix}{quote}");
        let mut shown = shown;
        for index in 0..shown {
            if index % AT_ONCE == AT_ONCE - 1 && !hold::spend(AT_ONCE) {
                shown = index;
                break;
            }
            let _ = match (one(index), char::from_u32(one(index))) {
                (_, Some('\n')) => write!(out, "\\n"),
                (_, Some('\r')) => write!(out, "\\r"),
                (_, Some('\t')) => write!(out, "\\t"),
                (_, Some(char)) if char == quote || char == '\\' => write!(out, "\\{char}"),
                (_, Some(char @ ' '..='~')) => write!(out, "{char}"),
                (code @ ..256, _) => write!(out, "\\x{code:02x}"),
                (code @ ..0x1_0000, _) => write!(out, "\\u{code:04x}"),
                (code, _) => write!(out, "\\U{code:08x}"),
            };
        }
        let _ = write!(out, "{quote}");
        if shown < count {
            let _ = write!(out, "... ({count} in all)");
        }
    }

    /// Writes `module.Class at 0x…` between `start` and `end`.
    fn named(&mut self, start: &[u8], object: Object<'g>, end: &[u8], out: &mut Bytes) {
        out.push(start);
        match self.fields.old_class_of(object) {
            Some(class) => {
                self.old_class(class, out);
                out.push(b" instance");
            }
            None => self.class(self.fields.type_of(object), out),
        }
        let _ = write!(out, " at {:#x}", object.address());
        out.push(end);
    }

    /// The name of an old-style class, with its module's.
    fn old_class(&mut self, class: Object<'g>, out: &mut Bytes) {
        let fields = self.fields;
        let class = fields.old_class(class);
        let name = class.as_ref().and_then(|class| fields.bytes(class.name?));
        self.qualified(class.map(|class| class.dict), name.unwrap_or(b"?"), out);
    }

    /// The name of a class, with its module's.
    fn class(&mut self, class: Type<'g>, out: &mut Bytes) {
        let fields = self.fields;
        let name = fields.type_name(class);
        self.qualified(fields.type_dict(class), name, out);
    }

    fn qualified(&mut self, names: Option<Object<'g>>, name: &[u8], out: &mut Bytes) {
        // A class that is written in C has its module's name in its own.
        if let Some(module) = self.text_of(names, b"__module__")
            && module != b"__builtin__"
            && !name.contains(&b'.')
        {
            out.push(short(module));
            out.push(b".");
        }
        out.push(short(name));
    }

    /// What a dictionary has under a name, if that is text.
    fn text_of(&self, names: Option<Object<'g>>, wanted: &[u8]) -> Option<&'g [u8]> {
        let names = self.fields.as_dict(names?)?;
        self.fields
            .str_bytes(dict::named(self.fields, names, wanted)?)
    }

    fn at(&self, words: &[&[u8]], object: Object<'g>, out: &mut Bytes) {
        out.push(b"<");
        for word in words {
            out.push(word);
        }
        let _ = write!(out, " at {:#x}>", object.address());
    }
}
