//! Of which built-in type an object is, or is derived from, without asking it or its class.

use crate::agent::hold;
use crate::cpython::api::PyObject;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type};
use crate::cpython::standard_types::{Standard, StandardTypes};

/// A built-in type, as far as it makes a difference here.
#[derive(Clone, Copy, PartialEq)]
pub enum BuiltinType {
    /// That of `None`.
    None,
    Bool,
    Int,
    Long,
    Float,
    Str,
    Unicode,
    Tuple,
    List,
    Dict,
    Set,
    FrozenSet,
    /// Of a function that is written in Python.
    Function,
    /// Of a function that is written in C.
    CFunction,
    Method,
    Module,
    OldClass,
    /// Of a type, or class.
    Class,
    Other,
}

/// How many types are remembered.
const ROOM: usize = 256;

/// Which of some classes a type derives from: found out once for most types, as nearly all objects are of
/// a few.
pub struct Bases<'g> {
    /// By the type's address: the type, and the first of the classes that it derives from.
    known: [(Option<Type<'g>>, Option<usize>); ROOM],
}

impl Default for Bases<'_> {
    fn default() -> Self {
        Self {
            known: [(None, None); ROOM],
        }
    }
}

impl<'g> Bases<'g> {
    /// The first of these classes, always the same ones, that a type derives from.
    pub fn first(
        &mut self,
        fields: Fields<'g>,
        class: Type<'g>,
        classes: &[Type<'g>],
    ) -> Option<usize> {
        let known = &mut self.known[(class.address() >> 4) % ROOM];
        if known.0 != Some(class) {
            let mut classes = classes.iter();
            let first = classes.position(|&base| fields.derives(class, base));
            // Where the time is used up, this may not be so.
            if hold::is_over() {
                return first;
            }
            *known = (Some(class), first);
        }
        known.1
    }
}

/// The built-in types that stand for themselves. What derives from several of them counts as the first.
const BUILTIN: [BuiltinType; 17] = [
    // Which derives from `int`.
    BuiltinType::Bool,
    BuiltinType::Int,
    BuiltinType::Long,
    BuiltinType::Float,
    BuiltinType::Str,
    BuiltinType::Unicode,
    BuiltinType::Tuple,
    BuiltinType::List,
    BuiltinType::Dict,
    BuiltinType::Set,
    BuiltinType::FrozenSet,
    BuiltinType::Function,
    BuiltinType::CFunction,
    BuiltinType::Method,
    BuiltinType::Module,
    BuiltinType::OldClass,
    BuiltinType::Class,
];

/// Finds the built-in types of objects.
pub struct BuiltinTypes<'g> {
    fields: Fields<'g>,
    /// The types of [`BUILTIN`].
    types: [Type<'g>; BUILTIN.len()],
    bases: Bases<'g>,
    standard: StandardTypes,
}

impl<'g> BuiltinTypes<'g> {
    /// Nothing is known yet.
    pub fn new(fields: Fields<'g>) -> Self {
        let types: [*mut PyObject; BUILTIN.len()] = [
            fields.PyBool_Type,
            fields.PyInt_Type,
            fields.PyLong_Type,
            fields.PyFloat_Type,
            fields.string_type as *mut PyObject,
            fields.PyUnicode_Type,
            fields.PyTuple_Type,
            fields.PyList_Type,
            fields.dict_type as *mut PyObject,
            fields.PySet_Type,
            fields.PyFrozenSet_Type,
            fields.PyFunction_Type,
            fields.PyCFunction_Type,
            fields.PyMethod_Type,
            fields.PyModule_Type,
            fields.PyClass_Type,
            fields.PyType_Type,
        ];
        Self {
            fields,
            // SAFETY: variables of the interpreter's, which are types and never freed.
            types: types.map(|one| unsafe { Type::assume(Object::existing(one)) }),
            bases: Bases::default(),
            standard: StandardTypes::default(),
        }
    }

    /// An object of one of the standard library's types, or of a built-in type that is seldom met: mostly one of
    /// [`BuiltinType::Other`].
    pub fn standard(&mut self, object: Object<'g>) -> Option<Standard<'g>> {
        self.standard.of(self.fields, object)
    }

    /// The built-in type of an object, and whether it is of that very type, and not of a derived one.
    pub fn of(&mut self, object: Object<'g>) -> (BuiltinType, bool) {
        if object == self.fields.none() {
            return (BuiltinType::None, true);
        }
        let class = self.fields.type_of(object);
        match self.bases.first(self.fields, class, &self.types) {
            Some(base) => (BUILTIN[base], class == self.types[base]),
            None => (BuiltinType::Other, true),
        }
    }
}
