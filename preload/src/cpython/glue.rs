//! What calls of the C API all over the agent have in common.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::cpython::api::{PyObject, Python};

/// Calls a function with these arguments, whose references it takes over. Null if the function or
/// one of them is not there, or it raises.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn call(
    python: &Python,
    function: &AtomicPtr<PyObject>,
    arguments: &[*mut PyObject],
) -> *mut PyObject {
    let function = function.load(Ordering::Relaxed);
    // SAFETY: the caller's; a tuple's item takes over the reference.
    unsafe {
        let tuple = (python.PyTuple_New)(arguments.len() as isize);
        if function.is_null() || tuple.is_null() || arguments.iter().any(|one| one.is_null()) {
            for &one in arguments
                .iter()
                .chain([&tuple])
                .filter(|one| !one.is_null())
            {
                (python.Py_DecRef)(one);
            }
            return ptr::null_mut();
        }
        for (index, &argument) in arguments.iter().enumerate() {
            (python.PyTuple_SetItem)(tuple, index as isize, argument);
        }
        let result = (python.PyObject_CallObject)(function, tuple);
        (python.Py_DecRef)(tuple);
        result
    }
}

/// A tuple of two objects, whose references it takes over; null, with an exception set, if one of
/// them could not be made, or there is no memory.
///
/// # Safety
/// Holding the GIL; the objects are alive, or null, and then an exception is set.
pub unsafe fn pair(python: &Python, objects: [*mut PyObject; 2]) -> *mut PyObject {
    // SAFETY: the caller's; a tuple's item takes over the reference, and null is let pass.
    unsafe {
        if objects.iter().any(|one| one.is_null()) {
            objects.into_iter().for_each(|one| (python.Py_DecRef)(one));
            return ptr::null_mut();
        }
        let tuple = (python.PyTuple_New)(2);
        for (index, one) in objects.into_iter().enumerate() {
            match tuple.is_null() {
                true => (python.Py_DecRef)(one),
                false => drop((python.PyTuple_SetItem)(tuple, index as isize, one)),
            }
        }
        tuple
    }
}

/// Whether an object, whose reference it takes over, is true. Clears the exception, if it is null.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn is_true(python: &Python, object: *mut PyObject) -> bool {
    // SAFETY: the caller's.
    unsafe {
        if object.is_null() {
            (python.PyErr_Clear)();
            return false;
        }
        let truth = (python.PyObject_IsTrue)(object) == 1;
        (python.Py_DecRef)(object);
        truth
    }
}

/// The bytes of a `str`, for as long as the object lives; `None`, with an exception set, if it
/// is none.
///
/// # Safety
/// Holding the GIL.
pub unsafe fn bytes<'a>(python: &Python, text: *mut PyObject) -> Option<&'a [u8]> {
    let mut start: *mut c_char = ptr::null_mut();
    let mut length = 0;
    // SAFETY: the caller's; on success the pointer is to `length` bytes inside the object.
    unsafe {
        ((python.PyString_AsStringAndSize)(text, &mut start, &mut length) == 0)
            .then(|| std::slice::from_raw_parts(start.cast(), length as usize))
    }
}

/// What `look` makes of an attribute; `None`, with an exception set, if there is none.
///
/// # Safety
/// As for [`learn`].
pub unsafe fn attribute<R>(
    python: &Python,
    object: *mut PyObject,
    name: &CStr,
    look: impl FnOnce(*mut PyObject) -> R,
) -> Option<R> {
    // SAFETY: the caller's; the new reference is given back.
    unsafe {
        let value = (python.PyObject_GetAttrString)(object, name.as_ptr());
        if value.is_null() {
            return None;
        }
        let result = look(value);
        (python.Py_DecRef)(value);
        Some(result)
    }
}

/// A list that is being made; null once there was no memory for it.
pub struct List<'a> {
    python: &'a Python,
    /// A new reference, or null.
    pub list: *mut PyObject,
}

impl<'a> List<'a> {
    /// An empty one.
    ///
    /// # Safety
    /// Holding the GIL, for the life of the list.
    pub unsafe fn new(python: &'a Python) -> Self {
        // SAFETY: the caller's.
        let list = unsafe { (python.PyList_New)(0) };
        Self { python, list }
    }

    /// How many there are in it.
    pub fn len(&self) -> usize {
        if self.list.is_null() {
            return 0;
        }
        // SAFETY: as for `new`.
        unsafe { (self.python.PyList_Size)(self.list) as usize }
    }

    /// The list, if all went well; or null, and an exception is set.
    pub fn made_of(self, whole: bool) -> *mut PyObject {
        if whole {
            return self.list;
        }
        // SAFETY: as for `new`; null is let pass.
        unsafe { (self.python.Py_DecRef)(self.list) };
        ptr::null_mut()
    }

    /// Appends a tuple of these objects, all of them alive.
    pub fn push(&mut self, objects: &[*mut PyObject]) {
        if self.list.is_null() {
            return;
        }
        let python = self.python;
        // SAFETY: as for `new`; a tuple's item takes over a reference, the list takes its own.
        unsafe {
            let tuple = (python.PyTuple_New)(objects.len() as isize);
            let mut done = false;
            if !tuple.is_null() {
                for (index, &object) in objects.iter().enumerate() {
                    (python.Py_IncRef)(object);
                    (python.PyTuple_SetItem)(tuple, index as isize, object);
                }
                done = (python.PyList_Append)(self.list, tuple) == 0;
                (python.Py_DecRef)(tuple);
            }
            if !done {
                (python.Py_DecRef)(self.list);
                self.list = ptr::null_mut();
            }
        }
    }
}

/// What a function was called with, so many objects, borrowed; `None`, with an exception set, if it was
/// not: 2.6 calls without where there is no memory for them.
///
/// # Safety
/// Holding the GIL; `arguments` is what METH_VARARGS gives.
pub unsafe fn given<const COUNT: usize>(
    python: &Python,
    arguments: *mut PyObject,
) -> Option<[*mut PyObject; COUNT]> {
    // SAFETY: the caller's; what is out of range is null, and raises.
    unsafe {
        if arguments.is_null() {
            (python.PyErr_NoMemory)();
            return None;
        }
        let mut objects = [ptr::null_mut(); COUNT];
        for (index, object) in objects.iter_mut().enumerate() {
            *object = (python.PyTuple_GetItem)(arguments, index as isize);
            if object.is_null() {
                return None;
            }
        }
        Some(objects)
    }
}
