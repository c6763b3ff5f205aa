//! Of which built-in type an object is, or is derived from, without asking it or its class.

use std::collections::HashMap;

use crate::live::Live;
use crate::python::{PyObject, Python};

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

/// What is known of types.
pub struct Kinds<'a> {
    python: &'a Python,
    live: Live,
    /// By type: its kind, and whether it is that very type, and not one derived from it.
    known: HashMap<usize, (Kind, bool)>,
}

impl<'a> Kinds<'a> {
    /// Nothing is known yet.
    pub fn new(python: &'a Python, live: Live) -> Self {
        Self {
            python,
            live,
            known: HashMap::new(),
        }
    }

    /// An object's kind, and whether it is of that very type.
    ///
    /// # Safety
    /// Holding the GIL, and letting nobody have it for the life of this; the object is alive.
    pub unsafe fn of(&mut self, object: *mut PyObject) -> (Kind, bool) {
        // SAFETY: the caller's.
        let class = unsafe { self.live.type_of(object) };
        if let Some(&kind) = self.known.get(&(class as usize)) {
            return kind;
        }
        let python = self.python;
        let types = [
            (python.PyInt_Type, Kind::Int),
            (python.PyLong_Type, Kind::Long),
            (python.PyFloat_Type, Kind::Float),
            (python.string_type as *mut PyObject, Kind::Str),
            (python.PyUnicode_Type, Kind::Unicode),
            (python.PyTuple_Type, Kind::Tuple),
            (python.PyList_Type, Kind::List),
            (python.dict_type as *mut PyObject, Kind::Dict),
            (python.PySet_Type, Kind::Set),
            (python.PyFrozenSet_Type, Kind::FrozenSet),
            (python.PyFunction_Type, Kind::Function),
            (python.PyCFunction_Type, Kind::BuiltIn),
            (python.PyMethod_Type, Kind::Method),
            (python.PyModule_Type, Kind::Module),
            (python.PyClass_Type, Kind::OldClass),
            (python.PyType_Type, Kind::Class),
        ];
        let mut kind = (Kind::Other, true);
        if class == python.PyBool_Type {
            kind.0 = Kind::Bool;
        } else if object == python._Py_NoneStruct {
            kind.0 = Kind::None;
        }
        if kind.0 == Kind::Other {
            // SAFETY: both are types; it compares bases (Objects/typeobject.c).
            let is_one = |known| unsafe { (python.PyType_IsSubtype)(class, known) } != 0;
            if let Some((known, its)) = types.into_iter().find(|&(known, _)| is_one(known)) {
                kind = (its, class == known);
            }
        }
        if self.known.try_reserve(1).is_ok() {
            self.known.insert(class as usize, kind);
        }
        kind
    }
}
