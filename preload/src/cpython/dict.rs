//! Looks into dictionaries without running any code of the program's.
//!
//! `PyDict_GetItem` asks a key of the program's own class whether it is equal, if its hash is
//! (Objects/dictobject.c, `lookdict`). Here only keys that are `str` count, as all names in code are.
//! A key that is `unicode` is not found: to compare it may take a codec, and that may be Python code.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::agent::hold;
use crate::cpython::api::PyObject;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Dict, Object};

/// PyDictObject (Include/dictobject.h, 2.6 and 2.7), counted from the end of PyObject_HEAD: ma_fill,
/// ma_used, ma_mask, ma_table, ma_lookup, all of them words.
pub const USED: usize = size_of::<usize>();
pub const MASK: usize = 2 * size_of::<usize>();
const TABLE: usize = 3 * size_of::<usize>();
const LOOKUP: usize = 4 * size_of::<usize>();

/// PyDictEntry: the key's hash, the key and the value, all of them words.
const ENTRY: usize = 3 * size_of::<usize>();

/// PyStringObject (Include/stringobject.h): the hash, behind the size; -1: it has not been computed yet.
const STRING_HASH: usize = size_of::<usize>();

struct Entry<'g> {
    hash: usize,
    key: Option<Object<'g>>,
    value: Option<Object<'g>>,
}

/// The entry at this address.
///
/// # Safety
/// Under the GIL there is one, and the dictionary keeps what is in it for `'g`.
#[inline]
unsafe fn entry_at<'g>(fields: Fields<'g>, address: usize) -> Entry<'g> {
    const WORD: usize = size_of::<usize>();
    // SAFETY: the caller promises it.
    unsafe {
        Entry {
            hash: fields.word_at(address),
            key: fields.object_at(address.wrapping_add(WORD)),
            value: fields.object_at(address.wrapping_add(2 * WORD)),
        }
    }
}

/// PERTURB_SHIFT (Objects/dictobject.c).
const PERTURB_SHIFT: u32 = 5;

/// Longer names are not looked up: to compare them, or to compute their hashes, takes long.
const LONGEST_NAME: usize = 1 << 16;

/// A dictionary with more slots is not searched from end to end for a name; without the GIL, where no object can be
/// made of the name, one with more than that.
const MOST_SEARCHED: usize = 64;
const MOST_SEARCHED_IN_COPIES: usize = 1 << 16;

/// Of a dictionary with more slots the rest is not looked at without the GIL.
const MOST_COPIED: usize = 1 << 18;

/// Whether this is a dictionary, or an object of a derived class.
fn is_dictionary(fields: Fields, object: Object) -> bool {
    /// Py_TPFLAGS_DICT_SUBCLASS (Include/object.h).
    const DICTIONARY: usize = 1 << 29;
    let class = fields.type_of(object);
    class.is(fields.dict_type as *mut PyObject) || fields.type_flags(class) & DICTIONARY != 0
}

/// What a dictionary, or an object of a derived class, has under this name, a `str`. `None`, with no
/// exception set, if there is nothing, or the objects are something else.
pub fn value<'g>(fields: Fields<'g>, dictionary: Object<'g>, name: Object) -> Option<Object<'g>> {
    if !is_dictionary(fields, dictionary) {
        return None;
    }
    let wanted = fields.str_bytes(name)?;
    if wanted.len() > LONGEST_NAME {
        return None;
    }
    // SAFETY: it is a `str`, which computes its hash and keeps it. The table is as large as its mask says,
    // has at least one empty entry, and this way every entry is met. Nobody changes it meanwhile: nothing
    // runs but this.
    unsafe {
        let hash = match fields.word(name, 0, STRING_HASH) as usize {
            usize::MAX => match fields.gil() {
                Some(gil) => (gil.PyObject_Hash)(name.as_ptr()) as usize,
                None => return search(fields, dictionary, wanted),
            },
            hash => hash,
        };
        let mask = fields.word(dictionary, 0, MASK) as usize;
        let table = fields.word(dictionary, 0, TABLE) as usize;
        let mut place = hash;
        let mut perturb = hash;
        loop {
            let entry = entry_at(
                fields,
                table.wrapping_add((place & mask).wrapping_mul(ENTRY)),
            );
            let key = entry.key?;
            // An entry that was taken out has left a key behind, with no value.
            if key == name || entry.hash == hash && fields.str_bytes(key) == Some(wanted) {
                return entry.value;
            }
            // Where the program has chosen the hashes, all of its keys may be in the way.
            if !hold::spend(1) {
                return None;
            }
            place = place.wrapping_mul(5).wrapping_add(perturb).wrapping_add(1);
            perturb >>= PERTURB_SHIFT;
        }
    }
}

/// The same for a name that is not an object: a small dictionary is searched from one end to the other. For a
/// large one a `str` is made, which the garbage collector does not see.
pub fn named<'g>(fields: Fields<'g>, dictionary: Dict<'g>, name: &[u8]) -> Option<Object<'g>> {
    if slots(fields, *dictionary) > MOST_SEARCHED
        && let Some(gil) = fields.gil()
    {
        let found = gil.new_str(name).map(|name| {
            let found = value(fields, *dictionary, name.object());
            // It lives as long as the dictionary does, and not as the name.
            found.map(Object::as_ptr)
        });
        if found.is_none() {
            gil.clear_exception();
        }
        // SAFETY: as long as the dictionary does it lives.
        return found
            .flatten()
            .map(|found| unsafe { Object::existing(found) });
    }
    search(fields, *dictionary, name)
}

/// Searches a dictionary from one end to the other.
fn search<'g>(fields: Fields<'g>, dictionary: Object<'g>, name: &[u8]) -> Option<Object<'g>> {
    let slots = slots(fields, dictionary).min(MOST_SEARCHED_IN_COPIES);
    // SAFETY: the table is as large as its mask says, and nobody changes it meanwhile: nothing runs but
    // this. In a `str` the size comes first behind PyObject_HEAD (PyObject_VAR_HEAD).
    unsafe {
        let table = fields.word(dictionary, 0, TABLE) as usize;
        for place in 0..slots {
            let entry = entry_at(fields, table.wrapping_add(place * ENTRY));
            // An entry that has a value has a key.
            let (Some(value), Some(key)) = (entry.value, entry.key) else {
                if slots > MOST_SEARCHED && !hold::spend(1) {
                    return None;
                }
                continue;
            };
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

/// How many slots a dictionary has, or an object of a derived class; 0 of anything else.
pub fn slots(fields: Fields, dictionary: Object) -> usize {
    match is_dictionary(fields, dictionary) {
        // SAFETY: a dictionary has this field.
        true => unsafe { (fields.word(dictionary, 0, MASK) as usize).saturating_add(1) },
        false => 0,
    }
}

/// How many entries a dictionary has, or an object of a derived class; 0 of anything else.
pub fn size(fields: Fields, dictionary: Object) -> usize {
    match is_dictionary(fields, dictionary) {
        // SAFETY: a dictionary has this field.
        true => unsafe { fields.word(dictionary, 0, USED) as usize },
        false => 0,
    }
}

/// Keys and values of a dictionary, or of an object of a derived class; none of anything else. Fewer, where the
/// time for the answer is used up ([`hold`]): most slots may be empty.
pub fn entries<'g>(fields: Fields<'g>, dictionary: Object<'g>) -> Entries<'g> {
    let [table, used] = match is_dictionary(fields, dictionary) {
        // SAFETY: a dictionary has these fields.
        true => [TABLE, USED].map(|at| unsafe { fields.word(dictionary, 0, at) }),
        false => [std::ptr::null_mut(); 2],
    };
    // Copies may be of anything.
    let slots = match fields.copies() {
        None => usize::MAX,
        Some(_) => slots(fields, dictionary).min(MOST_COPIED),
    };
    Entries {
        fields,
        next: table as usize,
        slots,
        left: used as usize,
    }
}

/// See [`entries`].
pub struct Entries<'g> {
    fields: Fields<'g>,
    /// The address of the next slot, and how many there are at most from here on.
    next: usize,
    slots: usize,
    /// How many entries there are from here on.
    left: usize,
}

impl<'g> Iterator for Entries<'g> {
    type Item = (Object<'g>, Object<'g>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // Behind the last entry nothing is looked at.
        while self.left > 0 && self.slots > 0 && hold::spend(1) {
            self.slots -= 1;
            // SAFETY: the table has as many entries as the dictionary says, so this slot is within it. Nobody
            // changes it: nothing runs but this. An entry that has a value has a key.
            unsafe {
                let entry = entry_at(self.fields, self.next);
                self.next = self.next.wrapping_add(ENTRY);
                if let (Some(value), Some(key)) = (entry.value, entry.key) {
                    self.left -= 1;
                    return Some((key, value));
                }
            }
        }
        None
    }
}

/// Whether this is a dictionary, or of a derived class, and has at most so many slots, of which some or
/// all may be empty.
pub fn has_few_slots(fields: Fields, dictionary: Object, most: usize) -> bool {
    (1..=most).contains(&slots(fields, dictionary))
}

/// Whether looking a `str` up in this dictionary runs no code of the program's, in whatever way that is
/// done.
pub fn has_names_only<'g>(fields: Fields<'g>, dictionary: Dict<'g>) -> bool {
    /// The function that looks up in dictionaries that have had nothing but `str` for a key
    /// (Objects/dictobject.c, `lookdict_string`), as new ones do; 0: not known yet.
    static BY_NAME: AtomicUsize = AtomicUsize::new(0);
    if BY_NAME.load(Ordering::Relaxed) == 0 {
        let Some(gil) = fields.gil() else {
            return false;
        };
        let Some(new) = gil.new_dict() else {
            gil.clear_exception();
            return false;
        };
        // SAFETY: it is a dictionary.
        let by_name = unsafe { look_up_function(fields, new.object()) };
        BY_NAME.store(by_name, Ordering::Relaxed);
    }
    // SAFETY: it is a dictionary.
    let function = unsafe { look_up_function(fields, *dictionary) };
    let mut entries = entries(fields, *dictionary);
    function == BY_NAME.load(Ordering::Relaxed)
        || entries.all(|(key, _)| fields.is_str(key)) && !hold::is_over()
}

/// The function that looks up in a dictionary, as an address.
///
/// # Safety
/// It is a dictionary.
unsafe fn look_up_function<'a>(fields: Fields<'a>, dictionary: Object<'a>) -> usize {
    // SAFETY: a dictionary has this field.
    unsafe { fields.word(dictionary, 0, LOOKUP) as usize }
}
