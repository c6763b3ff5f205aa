//! Of which built-in type an object is, or is derived from, without asking it or its class.

use std::ptr;

use crate::cpython::api::{PyObject, Python};
use crate::cpython::fields::Live;

/// What an object is.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// `None`, and so on.
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
    Function,
    BuiltIn,
    Method,
    Module,
    OldClass,
    /// A type, or class.
    Class,
    Other,
}

/// How many types are remembered.
const ROOM: usize = 256;

/// Which of some classes types derive from: found out once for most types, as nearly all objects are of
/// a few.
pub struct Bases {
    /// By the type's address: the type, and the first of the classes that it derives from.
    known: [(*mut PyObject, Option<usize>); ROOM],
}

impl Default for Bases {
    fn default() -> Self {
        Self {
            known: [(ptr::null_mut(), None); ROOM],
        }
    }
}

impl Bases {
    /// The first of these classes, always the same ones, that this type derives from.
    ///
    /// # Safety
    /// Holding the GIL, and letting nobody have it for the life of this; they are types, and alive.
    pub unsafe fn first(
        &mut self,
        python: &Python,
        kind: *mut PyObject,
        classes: &[*mut PyObject],
    ) -> Option<usize> {
        let known = &mut self.known[(kind as usize >> 4) % ROOM];
        if known.0 != kind {
            // SAFETY: the caller's; it follows the types' bases, and runs no code of theirs
            // (Objects/typeobject.c).
            let derives =
                |&class: &*mut PyObject| unsafe { (python.PyType_IsSubtype)(kind, class) != 0 };
            *known = (kind, classes.iter().position(derives));
        }
        known.1
    }
}

/// The kinds that have a type of their own; what derives from several is of the first.
const KINDS: [Kind; 17] = [
    // Which derives from `int`.
    Kind::Bool,
    Kind::Int,
    Kind::Long,
    Kind::Float,
    Kind::Str,
    Kind::Unicode,
    Kind::Tuple,
    Kind::List,
    Kind::Dict,
    Kind::Set,
    Kind::FrozenSet,
    Kind::Function,
    Kind::BuiltIn,
    Kind::Method,
    Kind::Module,
    Kind::OldClass,
    Kind::Class,
];

/// Finds kinds.
pub struct Kinds<'a> {
    python: &'a Python,
    live: Live,
    /// The types of [`KINDS`].
    types: [*mut PyObject; KINDS.len()],
    bases: Bases,
}

impl<'a> Kinds<'a> {
    /// Nothing is known yet.
    pub fn new(python: &'a Python, live: Live) -> Self {
        Self {
            python,
            live,
            types: [
                python.PyBool_Type,
                python.PyInt_Type,
                python.PyLong_Type,
                python.PyFloat_Type,
                python.string_type as *mut PyObject,
                python.PyUnicode_Type,
                python.PyTuple_Type,
                python.PyList_Type,
                python.dict_type as *mut PyObject,
                python.PySet_Type,
                python.PyFrozenSet_Type,
                python.PyFunction_Type,
                python.PyCFunction_Type,
                python.PyMethod_Type,
                python.PyModule_Type,
                python.PyClass_Type,
                python.PyType_Type,
            ],
            bases: Bases::default(),
        }
    }

    /// An object's kind, and whether it is of that very type, and not one derived from it.
    ///
    /// # Safety
    /// Holding the GIL, and letting nobody have it for the life of this; the object is alive.
    pub unsafe fn of(&mut self, object: *mut PyObject) -> (Kind, bool) {
        if object == self.python._Py_NoneStruct {
            return (Kind::None, true);
        }
        // SAFETY: the caller's.
        unsafe {
            let kind = self.live.type_of(object);
            match self.bases.first(self.python, kind, &self.types) {
                Some(base) => (KINDS[base], kind == self.types[base]),
                None => (Kind::Other, true),
            }
        }
    }
}
