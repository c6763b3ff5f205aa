//! A value as text of bounded length, made without running any code of the program's: `repr` of built-in
//! types; for all other objects their class and address.
//!
//! On the worker, under the GIL, while nobody else can run: what is looked at stays as it is.

use std::io::Write;

use crate::collect::secrets::Hiding;
use crate::cpython::api::PyObject;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type, Unicode};
use crate::inspect::types::{BuiltinType, BuiltinTypes};
use crate::system::bounded_bytes::Bytes;
use protocol::question::Question;
use protocol::secrets::HIDDEN;

/// Larger numbers, in bits, are shown by their size: the time to write one out grows with its square.
const LARGEST_NUMBER: usize = 2048;

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

    /// Whether this is the name under which such a dictionary has it.
    pub fn is_named(&self, name: Object<'g>) -> bool {
        self.hiding.is_named(name)
    }

    /// Writes a value down.
    pub fn show(&mut self, object: Object<'g>, out: &mut Bytes) {
        self.end = out.len().saturating_add(self.question.length as usize);
        self.items = self.question.items;
        self.value(Some(object), 0, out)
    }

    fn value(&mut self, object: Option<Object<'g>>, depth: usize, out: &mut Bytes) {
        let Some(object) = object else {
            return out.push(b"<nothing>");
        };
        let fields = self.fields;
        let (kind, exact) = self.types.of(object);
        match kind {
            BuiltinType::None => out.push(b"None"),
            BuiltinType::Other => self.named(b"<", object, b">", out),
            BuiltinType::Function => {
                let name = fields.function_name(object);
                let name = name.and_then(|name| fields.bytes(name)).unwrap_or(b"?");
                self.at(&[b"function ", name], object, out);
            }
            BuiltinType::CFunction => {
                let name = match fields.as_c_function(object) {
                    Some(function) => fields.c_function_name(function),
                    None => b"?",
                };
                self.at(&[b"built-in ", name], object, out);
            }
            BuiltinType::Method => {
                let Some(method) = fields.method(object) else {
                    return self.named(b"<", object, b">", out);
                };
                let name = fields.function_name(method.function);
                let name = name.and_then(|name| fields.bytes(name)).unwrap_or(b"?");
                match method.owner {
                    None => self.at(&[b"unbound method ", name], object, out),
                    Some(owner) => {
                        out.push(b"<bound method ");
                        out.push(name);
                        self.named(b" of <", owner, b">>", out);
                    }
                }
            }
            BuiltinType::Module => {
                // SAFETY: of a module (Objects/moduleobject.c) md_dict comes first, and it keeps that.
                let names = unsafe { fields.object(object, 0, 0) };
                let name = self.text_of(names, b"__name__").unwrap_or(b"?");
                self.at(&[b"module ", name], object, out);
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
        let bits = |object: Object| {
            // SAFETY: only ever asked of a `long`: it is computed, and no more.
            unsafe { (fields._PyLong_NumBits)(object.as_ptr()) }
        };
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
            BuiltinType::Long if bits(object) > LARGEST_NUMBER => {
                let _ = write!(out, "<long of {} bits>", bits(object));
            }
            BuiltinType::Long => self.own_repr(fields.PyLong_Type, object, out),
            BuiltinType::Float => self.own_repr(fields.PyFloat_Type, object, out),
            BuiltinType::Str => {
                let text = fields.bytes(object).unwrap_or_default();
                self.quoted("", text.len(), |index| u32::from(text[index]), out);
            }
            BuiltinType::Unicode => {
                // SAFETY: its type has been looked at.
                let characters = fields.characters(unsafe { Unicode::assume(object) });
                self.quoted("u", characters.count(), |index| characters.at(index), out);
            }
            _ => self.container(kind, object, depth, out),
        }
    }

    /// The text that the `repr` of a built-in type makes of an object; `?` if there is no memory for it.
    fn own_repr(&mut self, class: *mut PyObject, object: Object<'g>, out: &mut Bytes) {
        let fields = self.fields;
        // SAFETY: the class is `long` or `float`, and the object is one; their `repr` runs no other code
        // (Objects/longobject.c, floatobject.c).
        let text = unsafe { fields.repr_of_type(Type::assume(Object::existing(class)), object) };
        let text = text.as_ref().and_then(|text| fields.bytes(text.object()));
        out.push(text.unwrap_or(b"?"));
        fields.clear_exception();
    }

    /// Text in quotes, as Python writes it; as much as there is room for.
    fn quoted(&self, prefix: &str, count: usize, one: impl Fn(usize) -> u32, out: &mut Bytes) {
        let shown = count.min(self.end.saturating_sub(out.len()));
        let has = |quote: char| (0..shown).any(|index| one(index) == u32::from(quote));
        let quote = if has('\'') && !has('"') { '"' } else { '\'' };
        let _ = write!(out, "{prefix}{quote}");
        for index in 0..shown {
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

    fn container(&mut self, kind: BuiltinType, object: Object<'g>, depth: usize, out: &mut Bytes) {
        let fields = self.fields;
        let (start, end, count) = match kind {
            BuiltinType::Tuple => ("(", ")", fields.tuple_size(object)),
            BuiltinType::List => ("[", "]", fields.list_size(object)),
            BuiltinType::Dict => ("{", "}", fields.dict_size(object)),
            BuiltinType::Set => ("set([", "])", fields.set_size(object)),
            _ => ("frozenset([", "])", fields.set_size(object)),
        };
        out.push(start.as_bytes());
        if count == 0 {
            return out.push(end.as_bytes());
        }
        let deep = self.question.depth.min(DEEPEST as u32) as usize;
        if depth >= deep || self.path[..depth].contains(&Some(object)) || out.is_full {
            out.push(b"...");
            return out.push(end.as_bytes());
        }
        self.path[depth] = Some(object);
        let gil = fields.gil();
        let mut entries = gil.entries(object);
        let mut members = gil.set_members(object);
        let names_one = kind == BuiltinType::Dict && self.names_a_secret(object);
        let class = fields.type_of(object);
        let names = match kind {
            BuiltinType::Tuple if !class.is(fields.PyTuple_Type) => self.hiding.fields_of(class),
            _ => None,
        };
        let names = names.filter(|&names| fields.tuple_size(names) == count);
        let item_at = |index| match kind {
            BuiltinType::Tuple => gil.tuple_item(object, index),
            BuiltinType::List => gil.list_item(object, index),
            _ => None,
        };
        let is_pair = matches!(kind, BuiltinType::Tuple | BuiltinType::List)
            && count == 2
            && self
                .hiding
                .is_pair(&mut self.types, [item_at(0), item_at(1)]);
        let mut before = None;
        for index in 0..count {
            if self.items == 0 || out.len() >= self.end {
                let _ = write!(out, "... {} more", count - index);
                break;
            }
            self.items -= 1;
            let (key, item) = match kind {
                BuiltinType::Tuple | BuiltinType::List => (None, item_at(index)),
                BuiltinType::Dict => match entries.next() {
                    Some((key, item)) => (Some(key), Some(item)),
                    None => break,
                },
                _ => match members.next() {
                    Some(item) => (None, Some(item)),
                    None => break,
                },
            };
            if key.is_some() {
                self.value(key, depth + 1, out);
                out.push(b": ");
            }
            let name = match names {
                Some(names) => gil.tuple_item(names, index),
                None => key,
            };
            let is_argument = before
                .replace(item)
                .flatten()
                .zip(item)
                .is_some_and(|(before, item)| self.hiding.follows_option(before, item));
            if (is_pair && index == 1)
                || (is_argument && key.is_none())
                || (names_one && key.is_some_and(|key| self.is_named(key)))
                || name.is_some_and(|name| self.hiding.hides(&mut self.types, name, item))
            {
                out.push(HIDDEN.as_bytes());
            } else {
                self.value(item, depth + 1, out);
            }
            if index + 1 < count {
                out.push(b", ");
            } else if kind == BuiltinType::Tuple && count == 1 {
                out.push(b",");
            }
        }
        out.push(end.as_bytes());
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
        let name = fields.type_name(class).to_bytes();
        self.qualified(fields.type_dict(class), name, out);
    }

    fn qualified(&mut self, names: Option<Object<'g>>, name: &[u8], out: &mut Bytes) {
        // A class that is written in C has its module's name in its own.
        if let Some(module) = self.text_of(names, b"__module__")
            && module != b"__builtin__"
            && !name.contains(&b'.')
        {
            out.push(module);
            out.push(b".");
        }
        out.push(name);
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
