//! Functions of ours that the interpreter calls: safe functions with a [`Gil`], and [`method!`] makes
//! definitions of them.

use std::ptr;

use crate::cpython::api::PyObject;
use crate::cpython::find;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Object, Owned, into_ptr};

/// The definition of a function of ours, for a table of [`crate::cpython::api::Methods`]. Such a function
/// returns a new reference; or `None`, with an exception set.
///
/// * `method!(c"name", function)` is given one object: `fn(&mut Gil<'gil>, Object<'gil>)`.
/// * `method!(c"name", function, 3)` is given three: `fn(&mut Gil<'gil>, [Object<'gil>; 3])`.
/// * `method!(c"name", function, 0)` is given none: `fn(&mut Gil<'gil>, [Object<'gil>; 0])`.
macro_rules! method {
    ($name:literal, $function:path) => {
        $crate::cpython::callback::method!($name, $function, called, METH_O)
    };
    ($name:literal, $function:path, 0) => {
        $crate::cpython::callback::method!($name, $function, called_bare, METH_NOARGS)
    };
    ($name:literal, $function:path, $count:literal) => {
        $crate::cpython::callback::method!($name, $function, called_with::<$count>, METH_VARARGS)
    };
    ($name:literal, $function:path, $called:ident $(::<$count:literal>)?, $flags:ident) => {{
        use $crate::cpython::api::{self, PyObject};
        unsafe extern "C-unwind" fn entry(
            _: *mut PyObject,
            argument: *mut PyObject,
        ) -> *mut PyObject {
            // SAFETY: the interpreter has called this, with this argument, in the way that the flags say.
            unsafe { $crate::cpython::callback::$called$(::<$count>)?(argument, $function) }
        }
        api::method($name.as_ptr(), entry, api::$flags)
    }};
}
pub(crate) use method;

/// The body of a function that is called with one object (METH_O).
///
/// # Safety
/// In a function that the interpreter has called, with the argument that it was called with.
pub unsafe fn called(
    argument: *mut PyObject,
    function: impl for<'gil> FnOnce(&mut Gil<'gil>, Object<'gil>) -> Option<Owned<'gil>>,
) -> *mut PyObject {
    // It is there: who else has called?
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: the interpreter calls functions with the GIL held, and keeps their arguments alive until
    // they return. Whoever has a `&mut Gil` has handed it to the interpreter for this call.
    let (mut gil, argument) = unsafe { (Gil::assume(python), Object::borrowed(argument)) };
    let result = match argument {
        Some(argument) => function(&mut gil, argument),
        // 2.6 calls without one where there is no memory for it.
        None => gil.no_memory(),
    };
    into_ptr(result)
}

/// The body of a function that is called with so many objects, a tuple (METH_VARARGS).
///
/// # Safety
/// As for [`called`].
pub unsafe fn called_with<const COUNT: usize>(
    arguments: *mut PyObject,
    function: impl for<'gil> FnOnce(&mut Gil<'gil>, [Object<'gil>; COUNT]) -> Option<Owned<'gil>>,
) -> *mut PyObject {
    // SAFETY: the interpreter gives a tuple as the argument of a METH_VARARGS function.
    unsafe {
        called(arguments, |gil, tuple| {
            let mut objects = [tuple; COUNT];
            for (index, object) in objects.iter_mut().enumerate() {
                *object = gil.tuple_item(tuple, index)?;
            }
            function(gil, objects)
        })
    }
}

/// The body of a function that is called with nothing (METH_NOARGS).
///
/// # Safety
/// As for [`called`].
pub unsafe fn called_bare(
    _: *mut PyObject,
    function: impl for<'gil> FnOnce(&mut Gil<'gil>, [Object<'gil>; 0]) -> Option<Owned<'gil>>,
) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: the interpreter calls functions with the GIL held, which whoever has a `&mut Gil` has handed to
    // it for this call.
    unsafe { into_ptr(function(&mut Gil::assume(python), [])) }
}
