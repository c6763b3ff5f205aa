//! Text of containers: their items, as far as they are shown, with secrets hidden by the names beside them.

use std::io::Write;

use crate::agent::hold;
use crate::collect::repr::{DEEPEST, SafeRepr, short};
use crate::cpython::object::{Dict, Object};
use crate::cpython::structure::Structure;
use crate::cpython::{deque, dict, set};
use crate::inspect::types::BuiltinType;
use crate::system::bounded_bytes::Bytes;
use crate::system::hash::Table;
use protocol::secrets::HIDDEN;

/// A key and a value of a dictionary, or no key and a member of a set.
pub(super) type Entry<'g> = (Option<Object<'g>>, Object<'g>);

/// What a dictionary or a set holds is kept from this many slots on, and if no more items of it are shown.
const MANY_SLOTS: usize = 1024;
const MOST_KEPT: u32 = 4096;

/// What is in a container.
pub(super) struct Contents<'g> {
    count: usize,
    items: Items<'g>,
    names: Names<'g>,
    /// Whether keys and names are written as those of arguments in a call.
    in_call: bool,
    /// The dictionary that the items are from.
    dictionary: Option<Object<'g>>,
}

/// Items, from the next one on: the indexes are those of the next ones.
enum Items<'g> {
    Tuple(Object<'g>, usize),
    List(Object<'g>, usize),
    Deque(deque::Items<'g>),
    Structure(Structure<'g>, usize),
    Entries(Entries<'g>),
}

/// The names of items that have none for a key.
enum Names<'g> {
    None,
    /// A tuple of them.
    Tuple(Object<'g>),
    Structure(Structure<'g>),
}

impl<'g> Contents<'g> {
    fn new(count: usize, items: Items<'g>) -> Self {
        Contents {
            count,
            items,
            names: Names::None,
            in_call: false,
            dictionary: None,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The items of a deque.
    pub fn of_deque(items: deque::Items<'g>) -> Self {
        Contents::new(items.left, Items::Deque(items))
    }

    /// The items of a structure, with their names.
    pub fn of_structure(structure: Structure<'g>) -> Self {
        Contents {
            names: Names::Structure(structure),
            in_call: true,
            ..Contents::new(structure.count, Items::Structure(structure, 0))
        }
    }
}

impl<'g> SafeRepr<'_, 'g> {
    /// The items of a tuple, or of an object of a derived class.
    pub(super) fn of_tuple(&self, tuple: Object<'g>) -> Contents<'g> {
        Contents::new(self.fields.tuple_size(tuple), Items::Tuple(tuple, 0))
    }

    /// The same as fields of these names, a tuple; `None` if they are not as many.
    pub(super) fn of_named_tuple(
        &self,
        tuple: Object<'g>,
        names: Object<'g>,
    ) -> Option<Contents<'g>> {
        let contents = self.of_tuple(tuple);
        let fits = self.fields.tuple_size(names) == contents.count;
        fits.then_some(Contents {
            names: Names::Tuple(names),
            in_call: true,
            ..contents
        })
    }

    /// The arguments by name that are in this dictionary.
    pub(super) fn of_keywords(&mut self, keywords: Dict<'g>) -> Contents<'g> {
        Contents {
            in_call: true,
            ..self.of_dict(*keywords)
        }
    }

    /// The items of an `OrderedDict` in their order, which this ring of links has: lists of the link before, the link
    /// behind, and a key (Lib/collections.py, 2.7). In any order, where there are very many.
    pub(super) fn in_order(&mut self, object: Object<'g>, root: Object<'g>) -> Contents<'g> {
        let fields = self.fields;
        let size = dict::size(fields, object);
        let contents = self.of_dict(object);
        let mut values: Table<usize, Object> = Table::default();
        let mut entries = Vec::new();
        let shown = size.min(self.question.items as usize);
        if size > MANY_SLOTS
            || values.try_reserve(size).is_err()
            || entries.try_reserve_exact(shown).is_err()
        {
            return contents;
        }
        values.extend(
            dict::entries(fields, object)
                .take(size)
                .map(|(key, value)| (key.address(), value)),
        );
        let mut link = fields.list_item(root, 1);
        while let Some(this) = link.filter(|&this| this != root && entries.len() < shown) {
            let key = fields.list_item(this, 2);
            let value = key.and_then(|key| values.get(&key.address()));
            let Some(&value) = value.filter(|_| hold::spend(5)) else {
                return contents;
            };
            entries.push((key, value));
            link = fields.list_item(this, 1);
        }
        Contents {
            items: Items::Entries(Entries::Kept(entries.into_iter())),
            ..contents
        }
    }

    fn of_dict(&mut self, dictionary: Object<'g>) -> Contents<'g> {
        let items = Items::Entries(self.entries(BuiltinType::Dict, dictionary));
        Contents {
            dictionary: Some(dictionary),
            ..Contents::new(dict::size(self.fields, dictionary), items)
        }
    }

    /// A container of a built-in type, or of a derived class.
    pub(super) fn container(
        &mut self,
        kind: BuiltinType,
        object: Object<'g>,
        depth: usize,
        out: &mut Bytes,
    ) {
        let fields = self.fields;
        let contents = match kind {
            BuiltinType::Tuple => self.of_tuple(object),
            BuiltinType::List => Contents::new(fields.list_size(object), Items::List(object, 0)),
            BuiltinType::Dict => self.of_dict(object),
            _ => {
                let items = Items::Entries(self.entries(kind, object));
                // SAFETY: it is a set, or of a derived class.
                Contents::new(unsafe { set::size(fields, object) }, items)
            }
        };
        let brackets = match kind {
            BuiltinType::Tuple => ["(", ")"],
            BuiltinType::List => ["[", "]"],
            BuiltinType::Dict => ["{", "}"],
            BuiltinType::Set => ["set([", "])"],
            _ => ["frozenset([", "])"],
        };
        self.contents(object, contents, brackets, depth, out);
    }

    /// Writes what is in a container between brackets.
    pub(super) fn contents(
        &mut self,
        object: Object<'g>,
        mut contents: Contents<'g>,
        [start, end]: [&str; 2],
        depth: usize,
        out: &mut Bytes,
    ) {
        let fields = self.fields;
        let count = contents.count;
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
        let dictionary = contents.dictionary;
        let names_one = dictionary.is_some_and(|dictionary| self.names_a_secret(dictionary));
        let is_pair = count == 2 && {
            let two = self.first_two(&contents.items);
            self.hiding.is_pair(&mut self.types, two)
        };
        let mut before = None;
        for index in 0..count {
            if self.items == 0 || out.len() >= self.end {
                let _ = write!(out, "... {} more", count - index);
                break;
            }
            self.items -= 1;
            let entry = self.next(&mut contents.items);
            let entry = entry.filter(|_| hold::spend(2));
            let Some((key, item)) = entry else {
                let why = match hold::is_over() {
                    true => "no time",
                    false => "unreadable",
                };
                if hold::is_over() || fields.copies().is_some() {
                    let _ = write!(out, "... {} more: {why}", count - index);
                }
                break;
            };
            let name = match contents.names {
                Names::Tuple(names) => fields.tuple_item(names, index),
                _ => key,
            };
            let name_in_c = match contents.names {
                Names::Structure(structure) => structure.name(index),
                _ => None,
            };
            let in_call = name.filter(|_| contents.in_call);
            let in_call = in_call.and_then(|name| fields.str_bytes(name));
            if let Some(name) = in_call.or(name_in_c) {
                out.push(short(name));
                out.push(b"=");
            } else if key.is_some() {
                self.value(key, depth + 1, out);
                out.push(b": ");
            }
            let follows_option = before
                .replace(item)
                .is_some_and(|before| self.hiding.follows_option(before, item));
            if (is_pair && index == 1)
                || (follows_option && key.is_none())
                || (names_one && key.is_some_and(|key| self.is_named(key)))
                || name.is_some_and(|name| self.is_hidden(name, item))
                || name_in_c.is_some_and(|name| self.hiding.hides_in_c(&mut self.types, name, item))
            {
                out.push(HIDDEN.as_bytes());
            } else {
                self.value(Some(item), depth + 1, out);
            }
            if index + 1 < count {
                out.push(b", ");
            } else if count == 1 && start == "(" && matches!(contents.items, Items::Tuple(..)) {
                out.push(b",");
            }
        }
        out.push(end.as_bytes());
    }

    /// The next item, with its key if it has one.
    fn next(&self, items: &mut Items<'g>) -> Option<Entry<'g>> {
        let fields = self.fields;
        let item = match items {
            Items::Entries(entries) => return entries.next(),
            Items::Deque(items) => items.next(),
            Items::Tuple(object, next) => {
                *next += 1;
                fields.tuple_item(*object, *next - 1)
            }
            Items::List(object, next) => {
                *next += 1;
                fields.list_item(*object, *next - 1)
            }
            Items::Structure(structure, next) => {
                *next += 1;
                structure.item(*next - 1)
            }
        };
        item.map(|item| (None, item))
    }

    /// The first two items, where they have an order.
    fn first_two(&self, items: &Items<'g>) -> [Option<Object<'g>>; 2] {
        let fields = self.fields;
        match items {
            Items::Tuple(object, _) => [0, 1].map(|index| fields.tuple_item(*object, index)),
            Items::List(object, _) => [0, 1].map(|index| fields.list_item(*object, index)),
            Items::Deque(items) => {
                let mut items = *items;
                [items.next(), items.next()]
            }
            Items::Structure(..) | Items::Entries(_) => [None; 2],
        }
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
