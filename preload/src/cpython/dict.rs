//! Looks a name up in a dictionary without running any code of the program's.
//!
//! `PyDict_GetItem` asks a key of the program's own class whether it is equal, if its hash is
//! (Objects/dictobject.c, `lookdict`). Here only keys that are `str` count, as all names in code are.
//! A key that is `unicode` is not found: to compare it may take a codec, and that may be Python code.

use std::ffi::c_long;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpython::api::PyObject;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Dict, Object, Type};

/// PyDictObject (Include/dictobject.h, 2.6 and 2.7), counted from the end of PyObject_HEAD: ma_fill,
/// ma_used, ma_mask, ma_table, ma_lookup, all of them words.
pub const USED: usize = size_of::<usize>();
pub const MASK: usize = 2 * size_of::<usize>();
const TABLE: usize = 3 * size_of::<usize>();
const LOOKUP: usize = 4 * size_of::<usize>();

/// PyDictEntry: the key's hash, the key and the value.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    hash: c_long,
    key: *mut PyObject,
    value: *mut PyObject,
}

/// PERTURB_SHIFT (Objects/dictobject.c).
const PERTURB_SHIFT: u32 = 5;

/// What a dictionary, or an object of a derived class, has under this name, a `str`. `None`, with no
/// exception set, if there is nothing, or the objects are something else.
pub fn value<'g>(
    fields: Fields<'g>,
    dictionary: Object<'g>,
    name: Object<'g>,
) -> Option<Object<'g>> {
    let class = fields.type_of(dictionary);
    let dict_type = fields.dict_type as *mut PyObject;
    // SAFETY: both are types, and alive: their bases are followed, and no code of theirs runs.
    let is_dictionary =
        class.is(dict_type) || unsafe { (fields.PyType_IsSubtype)(class.as_ptr(), dict_type) != 0 };
    if !is_dictionary {
        return None;
    }
    let wanted = fields.str_bytes(name)?;
    // SAFETY: it is a `str`, which computes its hash and keeps it. The table is as large as its mask says,
    // has at least one empty entry, and this way every entry is met. Nobody changes it meanwhile: nothing
    // runs but this.
    unsafe {
        let hash = (fields.PyObject_Hash)(name.as_ptr());
        let mask = fields.word(dictionary, 0, MASK) as usize;
        let table = fields.word(dictionary, 0, TABLE).cast::<Entry>();
        let mut place = hash as usize;
        let mut perturb = hash as usize;
        loop {
            let entry = table.add(place & mask).read();
            let key = Object::borrowed(entry.key)?;
            // An entry that was taken out has left a key behind, with no value.
            if key == name || entry.hash == hash && fields.str_bytes(key) == Some(wanted) {
                return Object::borrowed(entry.value);
            }
            place = place.wrapping_mul(5).wrapping_add(perturb).wrapping_add(1);
            perturb >>= PERTURB_SHIFT;
        }
    }
}

/// The same for a name that is not an object: the dictionary is searched from one end to the other.
pub fn named<'g>(fields: Fields<'g>, dictionary: Dict<'g>, name: &[u8]) -> Option<Object<'g>> {
    // SAFETY: the table is as large as its mask says, and nobody changes it meanwhile: nothing runs but
    // this. In a `str` the size comes first behind PyObject_HEAD (PyObject_VAR_HEAD).
    unsafe {
        let mask = fields.word(*dictionary, 0, MASK) as usize;
        let table = fields.word(*dictionary, 0, TABLE).cast::<Entry>();
        for place in 0..=mask {
            let entry = table.add(place).read();
            let Some(value) = Object::borrowed(entry.value) else {
                continue;
            };
            // An entry that has a value has a key.
            let key = Object::existing(entry.key);
            if fields.is_str(key)
                && fields.word(key, 0, 0) as usize == name.len()
                && fields.bytes(key) == Some(name)
            {
                return Some(value);
            }
        }
    }
    None
}

/// Whether this is a dictionary, or of a derived class, and has at most so many slots, of which some or
/// all may be empty.
pub fn has_few_slots<'g>(fields: Fields<'g>, dictionary: Object<'g>, most: usize) -> bool {
    let dict_type = fields.dict_type as *mut PyObject;
    // SAFETY: a variable of the interpreter's, which is a type and never freed.
    let dict_type = unsafe { Type::assume(Object::existing(dict_type)) };
    let is_dictionary = fields.derives(fields.type_of(dictionary), dict_type);
    // SAFETY: a dictionary has this field.
    is_dictionary && unsafe { fields.word(dictionary, 0, MASK) as usize } < most
}

/// Whether looking a `str` up in this dictionary runs no code of the program's, in whatever way that is
/// done.
pub fn has_names_only<'g>(fields: Fields<'g>, dictionary: Dict<'g>) -> bool {
    /// The function that looks up in dictionaries that have had nothing but `str` for a key
    /// (Objects/dictobject.c, `lookdict_string`), as new ones do; 0: not known yet.
    static BY_NAME: AtomicUsize = AtomicUsize::new(0);
    if BY_NAME.load(Ordering::Relaxed) == 0 {
        let Some(new) = fields.new_dict() else {
            fields.clear_exception();
            return false;
        };
        // SAFETY: it is a dictionary.
        let by_name = unsafe { look_up_function(fields, new.object()) };
        BY_NAME.store(by_name, Ordering::Relaxed);
    }
    // SAFETY: it is a dictionary.
    let function = unsafe { look_up_function(fields, *dictionary) };
    let mut entries = fields.gil().entries(*dictionary);
    function == BY_NAME.load(Ordering::Relaxed) || entries.all(|(key, _)| fields.is_str(key))
}

/// The function that looks up in a dictionary, as an address.
///
/// # Safety
/// It is a dictionary.
unsafe fn look_up_function<'a>(fields: Fields<'a>, dictionary: Object<'a>) -> usize {
    // SAFETY: a dictionary has this field.
    unsafe { fields.word(dictionary, 0, LOOKUP) as usize }
}
