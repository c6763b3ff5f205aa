//! The built-in names that the library's Python text uses, as Python has them, whatever the program has
//! put in place of them in `__builtin__`.
//!
//! Types and constants are variables of the interpreter's. It exports no functions, so there are our own of
//! the few that are needed.

use std::ffi::{CStr, c_long};

use crate::agent::failure::Failure;
use crate::cpython::api::{Methods, PyObject};
use crate::cpython::callback::method;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Object, Owned};
use crate::inspect::objects::Objects;
use crate::script::namespace;

static METHODS: Methods<3> = Methods([
    method!(c"id", id),
    method!(c"len", len),
    method!(c"ord", ord),
]);

/// Puts them into the namespace of a text, where they are found before the program's.
pub fn put_in(gil: &mut Gil, namespace: Object) -> Result<(), Failure> {
    // SAFETY: what the variables of exceptions point to is there once the interpreter is.
    let [exit, interrupt] = unsafe { [*gil.PyExc_SystemExit, *gil.PyExc_KeyboardInterrupt] };
    let objects: [(&CStr, *mut PyObject); 17] = [
        (c"True", gil._Py_TrueStruct),
        (c"False", gil._Py_ZeroStruct),
        (c"SystemExit", exit),
        (c"KeyboardInterrupt", interrupt),
        (c"dict", gil.dict_type as *mut PyObject),
        (c"enumerate", gil.PyEnum_Type),
        (c"float", gil.PyFloat_Type),
        (c"int", gil.PyInt_Type),
        (c"list", gil.PyList_Type),
        (c"long", gil.PyLong_Type),
        (c"object", gil.PyBaseObject_Type),
        (c"set", gil.PySet_Type),
        (c"str", gil.string_type as *mut PyObject),
        (c"tuple", gil.PyTuple_Type),
        (c"type", gil.PyType_Type),
        (c"unicode", gil.PyUnicode_Type),
        (c"xrange", gil.PyRange_Type),
    ];
    for (name, object) in objects {
        // SAFETY: these are objects that live as long as the interpreter does.
        let object = unsafe { Object::borrowed(object) }.map(|object| gil.own(object));
        namespace::put_in(gil, namespace, name, object)?;
    }
    namespace::put_methods(gil, namespace, &METHODS.0)
}

/// `id(object)`
fn id<'gil>(gil: &mut Gil<'gil>, object: Object<'gil>) -> Option<Owned<'gil>> {
    // No address is so large as not to fit.
    gil.new_int(object.address() as c_long)
}

/// `len(object)`, of an object whose type is written in C; others are not asked.
fn len<'gil>(gil: &mut Gil<'gil>, object: Object<'gil>) -> Option<Owned<'gil>> {
    let is_of_python = Objects::known(gil).is_some_and(|objects| {
        objects.has_class_of_python(object) || objects.old_class_of(object).is_some()
    });
    if is_of_python {
        return gil.bad_argument();
    }
    // SAFETY: the object is alive.
    match unsafe { (gil.PyObject_Size)(object.as_ptr()) } {
        ..0 => None,
        size => gil.new_int(size as c_long),
    }
}

/// `ord(character)`, of a `str`.
fn ord<'gil>(gil: &mut Gil<'gil>, character: Object<'gil>) -> Option<Owned<'gil>> {
    match gil.bytes(character)? {
        &[byte] => gil.new_int(byte.into()),
        _ => gil.bad_argument(),
    }
}
