//! A value as text of bounded length, made without running any code of the program's: `repr` of built-in
//! types; for all other objects their class and address.
//!
//! On the worker, under the GIL, while nobody else can run: what is looked at stays as it is. Once the time for the
//! answer is used up ([`hold`]), values are cut, and say so.

use std::io::Write;
use std::ops::Range;

use crate::agent::hold;
use crate::collect::secrets::Hiding;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Dict, Object, Type, Unicode};
use crate::cpython::{dict, set};
use crate::inspect::types::{BuiltinType, BuiltinTypes};
use crate::system::bounded_bytes::Bytes;
use crate::system::hash::Table;
use protocol::question::Question;
use protocol::secrets::HIDDEN;

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

/// A key and a value of a dictionary, or no key and a member of a set.
type Entry<'g> = (Option<Object<'g>>, Object<'g>);

/// The text of a value is kept from this length on, in bytes.
const LONG_TEXT: usize = 1000;

/// What a dictionary or a set holds is kept from this many slots on, and if no more items of it are shown.
const MANY_SLOTS: usize = 1024;
const MOST_KEPT: u32 = 4096;

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

    fn container(&mut self, kind: BuiltinType, object: Object<'g>, depth: usize, out: &mut Bytes) {
        let fields = self.fields;
        let (start, end, count) = match kind {
            BuiltinType::Tuple => ("(", ")", fields.tuple_size(object)),
            BuiltinType::List => ("[", "]", fields.list_size(object)),
            BuiltinType::Dict => ("{", "}", dict::size(fields, object)),
            // SAFETY: its type has been looked at.
            BuiltinType::Set => ("set([", "])", unsafe { set::size(fields, object) }),
            // SAFETY: as above.
            _ => ("frozenset([", "])", unsafe { set::size(fields, object) }),
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
        let mut entries = match kind {
            BuiltinType::Tuple | BuiltinType::List => None,
            _ => Some(self.entries(kind, object)),
        };
        let names_one = kind == BuiltinType::Dict && self.names_a_secret(object);
        let class = fields.type_of(object);
        let names = match kind {
            BuiltinType::Tuple if !class.is(fields.PyTuple_Type) => self.hiding.fields_of(class),
            _ => None,
        };
        let names = names.filter(|&names| fields.tuple_size(names) == count);
        let item_at = |index| match kind {
            BuiltinType::Tuple => fields.tuple_item(object, index),
            BuiltinType::List => fields.list_item(object, index),
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
            let entry = match &mut entries {
                Some(entries) => entries.next(),
                None => item_at(index).map(|item| (None, item)),
            };
            let entry = entry.filter(|_| hold::spend(2));
            let Some((key, item)) = entry else {
                if hold::is_over() {
                    let _ = write!(out, "... {} more: no time", count - index);
                }
                break;
            };
            let item = Some(item);
            if key.is_some() {
                self.value(key, depth + 1, out);
                out.push(b": ");
            }
            let name = match names {
                Some(names) => fields.tuple_item(names, index),
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

    /// The first attributes of an object, which are in this dictionary.
    pub fn attributes(
        &mut self,
        dictionary: Dict<'g>,
    ) -> impl Iterator<Item = (Object<'g>, Object<'g>)> + use<'g> {
        let entries = self.entries(BuiltinType::Dict, *dictionary);
        let entries = entries.filter_map(|(key, value)| Some((key?, value)));
        entries.take(self.question.items as usize)
    }

    /// What is in a dictionary or in a set.
    fn entries(&mut self, kind: BuiltinType, object: Object<'g>) -> Entries<'g> {
        let fields = self.fields;
        let slots = match kind {
            BuiltinType::Dict => dict::slots(fields, object),
            // SAFETY: its type has been looked at.
            _ => unsafe { set::slots(fields, object) },
        };
        let keeps = slots >= MANY_SLOTS && self.question.items <= MOST_KEPT;
        if keeps && let Some(kept) = self.contents.get(&object.address()) {
            return Entries::Kept(copy(kept).into_iter());
        }
        let entries = match kind {
            BuiltinType::Dict => Entries::OfDict(dict::entries(fields, object)),
            _ => {
                if self.removed.is_none() {
                    self.removed = set::removed(fields);
                    fields.clear_exception();
                }
                match self.removed {
                    Some(removed) => {
                        // SAFETY: as above.
                        Entries::OfSet(unsafe { set::members(fields, object, removed) })
                    }
                    // There is no memory.
                    None => Entries::Kept(Vec::new().into_iter()),
                }
            }
        };
        if !keeps {
            return entries;
        }
        let mut contents = Vec::new();
        for entry in entries.take(self.question.items as usize) {
            if contents.try_reserve(1).is_err() {
                break;
            }
            contents.push(entry);
        }
        if self.contents.try_reserve(1).is_ok() {
            self.contents.insert(object.address(), copy(&contents));
        }
        Entries::Kept(contents.into_iter())
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

/// What is in a dictionary or a set.
enum Entries<'g> {
    OfDict(dict::Entries<'g>),
    OfSet(set::Members<'g>),
    Kept(std::vec::IntoIter<Entry<'g>>),
}

impl<'g> Iterator for Entries<'g> {
    type Item = Entry<'g>;

    fn next(&mut self) -> Option<Entry<'g>> {
        match self {
            Entries::OfDict(entries) => entries.next().map(|(key, value)| (Some(key), value)),
            Entries::OfSet(members) => members.next().map(|member| (None, member)),
            Entries::Kept(kept) => kept.next(),
        }
    }
}

/// A copy; empty, where there is no memory for it.
fn copy<'g>(entries: &[Entry<'g>]) -> Vec<Entry<'g>> {
    let mut copy = Vec::new();
    if copy.try_reserve_exact(entries.len()).is_ok() {
        copy.extend_from_slice(entries);
    }
    copy
}
