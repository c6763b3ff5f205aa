//! Attributes of objects, found without running code of the program's.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::cpython::api::{PyObject, Python};
use crate::cpython::fields::Live;

/// `thread._local`; null until it is found.
pub static LOCAL: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// Whether this is a `threading.local`: that has a dictionary for each thread, and in the object the
/// one of whoever used it last (2.6, Modules/threadmodule.c).
///
/// # Safety
/// Holding the GIL, the layout of objects known; the object is alive.
unsafe fn is_local(python: &Python, object: *mut PyObject) -> bool {
    let local = LOCAL.load(Ordering::Relaxed);
    // SAFETY: the caller's; both are types, and no code of theirs runs (Objects/typeobject.c).
    unsafe {
        !local.is_null()
            && Live::known()
                .is_some_and(|live| (python.PyType_IsSubtype)(live.type_of(object), local) != 0)
    }
}

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    LOCAL.store(ptr::null_mut(), Ordering::Relaxed);
}

/// The dictionary that holds an object's own attributes, borrowed; null if it has none, or one of a
/// class with ideas of its own. Neither the object nor its class is asked.
///
/// # Safety
/// Holding the GIL; the object is alive.
pub unsafe fn own(python: &Python, live: Live, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's. It computes where the pointer stands from the sizes in the object's type
    // (Objects/object.c, 2.6 and 2.7).
    unsafe {
        let place = (python._PyObject_GetDictPtr)(object);
        let dictionary = if is_local(python, object) {
            ptr::null_mut()
        } else if !place.is_null() {
            place.read()
        } else {
            live.old_attributes(python, object)
        };
        if dictionary.is_null() || !live.is_dictionary(python, dictionary) {
            return ptr::null_mut();
        }
        dictionary
    }
}

/// The same; and of a class of the old style what it holds itself, as is so for one of the new.
///
/// # Safety
/// As for [`own`].
pub unsafe fn held(python: &Python, live: Live, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's. PyClassObject (Include/classobject.h): cl_bases, cl_dict, which may be of a
    // class of its own.
    unsafe {
        if live.type_of(object) != python.PyClass_Type {
            return own(python, live, object);
        }
        let dictionary = live.word(object, 0, size_of::<usize>());
        match live.is_dictionary(python, dictionary) {
            true => dictionary,
            false => ptr::null_mut(),
        }
    }
}
