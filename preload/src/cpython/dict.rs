//! A look into a dictionary by a name, which runs none of the program's code.
//!
//! `PyDict_GetItem` asks a key of the program's own class whether it is equal, if its hash is
//! (Objects/dictobject.c, `lookdict`). Here only keys that are `str` count, as all names in code are:
//! one that is `unicode` is not found, since to compare it may take a codec, and that may be Python code.

use std::ffi::c_long;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpython::api::{PyObject, Python};
use crate::cpython::fields::Live;
use crate::cpython::glue::bytes;

/// PyDictObject (Include/dictobject.h, 2.6 and 2.7), counted from the end of PyObject_HEAD: ma_fill,
/// ma_used, ma_mask, ma_table, ma_lookup. An entry is the key's hash, the key and the value, all of them words.
pub const USED: usize = size_of::<usize>();
pub const MASK: usize = 2 * size_of::<usize>();
const TABLE: usize = 3 * size_of::<usize>();
const LOOKUP: usize = 4 * size_of::<usize>();
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    hash: c_long,
    key: *mut PyObject,
    value: *mut PyObject,
}

/// PERTURB_SHIFT (Objects/dictobject.c).
const PERTURB_SHIFT: u32 = 5;

/// What a dictionary, or an object of a derived class, has under this name, a `str`; borrowed. Null if
/// there is nothing, or the objects are something else. No exception is set.
///
/// # Safety
/// Holding the GIL; the objects are alive.
pub unsafe fn value(
    python: &Python,
    live: Live,
    dictionary: *mut PyObject,
    name: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: the caller's. Nobody changes the table meanwhile: this takes nothing and lets nobody run.
    // There is always an empty place in it, and every place is met.
    unsafe {
        let kind = live.type_of(dictionary);
        let dict_type = python.dict_type as *mut PyObject;
        let is_dictionary = kind == dict_type || (python.PyType_IsSubtype)(kind, dict_type) != 0;
        let is_text = |object| live.type_of(object) as usize == python.string_type;
        if !is_dictionary || !is_text(name) {
            return ptr::null_mut();
        }
        let Some(wanted) = bytes(python, name) else {
            return ptr::null_mut();
        };
        // Of a `str`, which keeps it.
        let hash = (python.PyObject_Hash)(name);
        let mask = live.word(dictionary, 0, MASK) as usize;
        let table = live.word(dictionary, 0, TABLE).cast::<Entry>();
        let mut place = hash as usize;
        let mut perturb = hash as usize;
        loop {
            let entry = table.add(place & mask).read();
            if entry.key.is_null() {
                return ptr::null_mut();
            }
            // What was taken out has left a key behind, with no value.
            if entry.key == name
                || entry.hash == hash
                    && is_text(entry.key)
                    && bytes(python, entry.key) == Some(wanted)
            {
                return entry.value;
            }
            place = place.wrapping_mul(5).wrapping_add(perturb).wrapping_add(1);
            perturb >>= PERTURB_SHIFT;
        }
    }
}

/// The same, of a dictionary alone, and with a name that is no object: looked for from one end to the
/// other.
///
/// # Safety
/// Holding the GIL; the object is alive, or null.
pub unsafe fn named(
    python: &Python,
    live: Live,
    dictionary: *mut PyObject,
    name: &[u8],
) -> *mut PyObject {
    // SAFETY: the caller's. Nobody changes the table meanwhile; of a `str` the size is the word before
    // its own fields (PyObject_VAR_HEAD).
    unsafe {
        if dictionary.is_null() || !live.is_dictionary(python, dictionary) {
            return ptr::null_mut();
        }
        let mask = live.word(dictionary, 0, MASK) as usize;
        let table = live.word(dictionary, 0, TABLE).cast::<Entry>();
        for place in 0..=mask {
            let entry = table.add(place).read();
            if !entry.value.is_null()
                && live.type_of(entry.key) as usize == python.string_type
                && live.word(entry.key, 0, 0) as usize == name.len()
                && bytes(python, entry.key) == Some(name)
            {
                return entry.value;
            }
        }
        ptr::null_mut()
    }
}

/// Whether looking a `str` up in a dictionary runs none of the program's code, however that is done.
///
/// # Safety
/// Holding the GIL; this is a dictionary.
pub unsafe fn has_names_only(python: &Python, live: Live, dictionary: *mut PyObject) -> bool {
    /// How dictionaries look up that have had nothing but `str` for a key (Objects/dictobject.c,
    /// `lookdict_string`), as new ones do; 0: not found out yet.
    static BY_NAME: AtomicUsize = AtomicUsize::new(0);
    // SAFETY: the caller's; the new dictionary is given back.
    unsafe {
        let how = |dictionary| live.word(dictionary, 0, LOOKUP) as usize;
        if BY_NAME.load(Ordering::Relaxed) == 0 {
            let new = (python.PyDict_New)();
            if new.is_null() {
                (python.PyErr_Clear)();
                return false;
            }
            BY_NAME.store(how(new), Ordering::Relaxed);
            (python.Py_DecRef)(new);
        }
        if how(dictionary) == BY_NAME.load(Ordering::Relaxed) {
            return true;
        }
        let (mut at, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
        while (python.PyDict_Next)(dictionary, &mut at, &mut key, &mut value) != 0 {
            if live.type_of(key) as usize != python.string_type {
                return false;
            }
        }
        true
    }
}
