//! Looks into the program's objects without asking them, or running anything of theirs.

use std::ops::Deref;

use crate::cpython::api::PyObject;
use crate::cpython::deque::{self, Deque};
use crate::cpython::dict;
use crate::cpython::fields::{Characters, Fields};
use crate::cpython::gil::{Access, Gil};
use crate::cpython::object::{CFunction, Code, Frame, Object, Type};
use crate::inspect::attributes;
use protocol::marshal::MarshalWriter;

/// Longer text is cut, in characters.
pub const LONGEST: usize = 1000;

/// Larger numbers are nonsense, in bits.
const LARGEST: usize = 62;

/// Looks at objects: [`Fields`] and more. Nearly all functions take `None` for an object, and give `None`
/// for it, so that a look into a look needs no check in between.
#[derive(Clone, Copy)]
pub struct Objects<'g> {
    fields: Fields<'g>,
}

impl<'g> Deref for Objects<'g> {
    type Target = Fields<'g>;
    fn deref(&self) -> &Fields<'g> {
        &self.fields
    }
}

impl<'g> Objects<'g> {
    /// `None` where objects are laid out otherwise than CPython's own, or before the boot.
    pub fn known(gil: &'g Gil<'g>) -> Option<Self> {
        Fields::known(gil).map(|fields| Objects { fields })
    }

    /// The same, with the GIL or without.
    pub fn of(access: &'g Access<'g>) -> Option<Self> {
        Fields::of(access).map(|fields| Objects { fields })
    }

    /// The same without the rest, for functions that take it by value.
    pub fn fields(self) -> Fields<'g> {
        self.fields
    }

    /// Whether an object is of this very type.
    pub fn is(self, object: impl Into<Option<Object<'g>>>, class: *mut PyObject) -> bool {
        let object = object.into();
        object.is_some_and(|object| self.is_exactly(object, class))
    }

    /// Whether an object is of this very type, where there is that type.
    pub fn is_of(
        self,
        object: impl Into<Option<Object<'g>>>,
        class: impl Into<Option<Object<'g>>>,
    ) -> bool {
        let class = class.into();
        class.is_some_and(|class| self.is(object, class.as_ptr()))
    }

    /// An attribute that is the object's own; of a module, what it holds.
    pub fn attribute(
        self,
        object: impl Into<Option<Object<'g>>>,
        name: &[u8],
    ) -> Option<Object<'g>> {
        let own = attributes::own(self.fields, object.into()?)?;
        dict::named(self.fields, own, name)
    }

    /// What a class of either style itself holds.
    pub fn of_class(self, class: Option<Object<'g>>, name: &[u8]) -> Option<Object<'g>> {
        let class = class?;
        if !self.is(class, self.PyClass_Type) && !self.is(class, self.PyType_Type) {
            return None;
        }
        dict::named(self.fields, attributes::held(self.fields, class)?, name)
    }

    /// The name of an object's class, of either style, without a module's and without underscores before it.
    pub fn class_name(self, object: Object<'g>) -> &'g [u8] {
        let old = self
            .old_class_of(object)
            .and_then(|class| self.old_class(class));
        let name = match old {
            Some(class) => self.text(class.name).unwrap_or_default(),
            None => self.type_name(self.type_of(object)),
        };
        let begin = name
            .iter()
            .rposition(|&byte| byte == b'.')
            .map_or(0, |at| at + 1);
        let name = &name[begin..];
        let underscores = name.iter().take_while(|&&byte| byte == b'_').count();
        &name[underscores..]
    }

    /// What a class that is written in Python, or one that it derives from first, holds under this name.
    pub fn method_of(self, object: Object<'g>, name: &[u8]) -> Option<Object<'g>> {
        const MOST_BASES: usize = 16;
        let old = self.old_class_of(object);
        let class = old.unwrap_or(*self.type_of(object));
        let base = |&class: &Object<'g>| match self.old_bases(class) {
            Some(bases) => self.tuple_item(bases, 0),
            // SAFETY: it is no class of the old style, and so a type.
            None => self
                .type_base(unsafe { Type::assume(class) })
                .map(|base| *base),
        };
        let mut classes = std::iter::successors(Some(class), base).take(MOST_BASES);
        classes.find_map(|class| self.of_class(Some(class), name))
    }

    /// The code of a function that is written in Python.
    pub fn code_of(self, function: Option<Object<'g>>) -> Option<Code<'g>> {
        self.function_code(function?)
    }

    /// What a method is bound to: one of a type of C's (a module's function has no owner), or of a class
    /// of Python's.
    pub fn owner(self, method: Object<'g>) -> Option<Object<'g>> {
        match self.as_c_function(method) {
            Some(function) => self.c_function_owner(function),
            None => self.method(method)?.owner,
        }
    }

    /// The module of a function that is written in C, if the program has imported that.
    pub fn module_of(self, function: CFunction<'g>) -> Option<Object<'g>> {
        let name = self.c_function_module(function)?;
        let module = dict::value(self.fields, self.modules()?, name);
        module.filter(|&module| self.is(module, self.PyModule_Type))
    }

    /// Whether this is the function of that name that is written in C, of that module.
    pub fn is_in_c(self, function: Option<Object<'g>>, module: &[u8], name: &[u8]) -> bool {
        let function = function.and_then(|function| self.as_c_function(function));
        function.is_some_and(|function| {
            self.text(self.c_function_module(function)) == Some(module)
                && self.c_function_name(function) == name
        })
    }

    /// Whether an object's class is written in Python.
    pub fn has_class_of_python(self, object: Object<'g>) -> bool {
        self.is_of_python(self.type_of(object))
    }

    /// How many items a list has, or a `deque` (of this class).
    pub fn size(self, items: Option<Object<'g>>, deque: Option<Object<'g>>) -> Option<i64> {
        let items = items?;
        if self.is(items, self.PyList_Type) {
            return i64::try_from(self.list_size(items)).ok();
        }
        let is_deque = self.is_of(items, deque) && !self.has_class_of_python(items);
        if !is_deque || self.type_name(self.type_of(items)) != deque::NAME {
            return None;
        }
        // SAFETY: its type has just been looked at.
        let deque = unsafe { Deque::assume(items) };
        i64::try_from(deque::size(self.fields, deque)).ok()
    }

    /// A module that the program has imported.
    pub fn module(self, name: &[u8]) -> Option<Object<'g>> {
        let modules = self.as_dict(self.modules()?)?;
        let module = dict::named(self.fields, modules, name);
        module.filter(|&module| self.is(module, self.PyModule_Type))
    }

    /// The value of a function's local variable.
    pub fn variable(self, frame: Frame<'g>, name: &[u8]) -> Option<Object<'g>> {
        let mut found = None;
        self.variables(frame, &mut |one, value| {
            if self.str_bytes(one) == Some(name) {
                found = Some(value);
            }
        });
        found
    }

    /// What is in a `str`.
    pub fn text(self, object: impl Into<Option<Object<'g>>>) -> Option<&'g [u8]> {
        self.str_bytes(object.into()?)
    }

    /// A number, as the program's own are; 0 of anything else.
    pub fn number(self, object: impl Into<Option<Object<'g>>>) -> i64 {
        let Some(object) = object.into() else {
            return 0;
        };
        let number = self.int_value(object);
        let number = number.or_else(|| self.long_value(object, LARGEST));
        let sensible = number.filter(|number| number.unsigned_abs() < 1 << LARGEST);
        sensible.unwrap_or(0)
    }

    /// How many seconds a number or a `float` means; `None` of anything else.
    pub fn seconds(self, object: Object<'g>) -> Option<f64> {
        self.float_value(object)
            .or_else(|| Some(self.number(object) as f64).filter(|&seconds| seconds != 0.0))
    }

    /// Whether this is `True` itself.
    pub fn is_true(self, object: impl Into<Option<Object<'g>>>) -> bool {
        let object = object.into();
        object.and_then(|object| self.bool_value(object)) == Some(true)
    }

    /// Text in so many characters at most, in UTF-8 if it is a `unicode`; nothing for anything else. `None` if
    /// there is no memory.
    pub fn utf_8(self, object: Object<'g>, longest: usize) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        if let Some(bytes) = self.text(object) {
            let bytes = &bytes[..bytes.len().min(longest)];
            text.try_reserve_exact(bytes.len()).ok()?;
            text.extend_from_slice(bytes);
        } else if let Some(unicode) = self.as_unicode(object) {
            let characters = self.characters(unicode);
            let mut index = 0;
            while index < characters.count().min(longest) {
                let (character, units) = character(characters, index);
                index += units;
                let mut bytes = [0; 4];
                let bytes = character.encode_utf8(&mut bytes).as_bytes();
                text.try_reserve(bytes.len()).ok()?;
                text.extend_from_slice(bytes);
            }
        }
        Some(text)
    }

    /// Writes text down, cut where it is long, in UTF-8 if it is a `unicode`; `None` for anything else.
    pub fn write_text(self, object: impl Into<Option<Object<'g>>>, words: &mut MarshalWriter) {
        let object = object.into();
        if let Some(text) = self.text(object) {
            return words.text(&text[..text.len().min(LONGEST)]);
        }
        let Some(unicode) = object.and_then(|object| self.as_unicode(object)) else {
            return words.none();
        };
        let characters = self.characters(unicode);
        let count = characters.count();
        // A character has at most four bytes.
        let mut text = [0; 4 * LONGEST];
        let mut length = 0;
        let mut index = 0;
        while index < count.min(LONGEST) {
            let (character, units) = character(characters, index);
            index += units;
            length += character.encode_utf8(&mut text[length..]).len();
        }
        words.text(&text[..length]);
    }
}

/// The character at this index, and how many the interpreter has for it: two, where it is one of those that
/// narrow builds keep as a pair.
fn character(characters: Characters, index: usize) -> (char, usize) {
    let mut code = characters.at(index);
    let mut units = 1;
    if (0xd800..0xdc00).contains(&code) {
        let second = characters.at(index + 1);
        if (0xdc00..0xe000).contains(&second) {
            code = 0x1_0000 + ((code - 0xd800) << 10) + (second - 0xdc00);
            units = 2;
        }
    }
    (
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
        units,
    )
}
