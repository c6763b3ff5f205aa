//! Looks into sets without running any code of the program's.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::agent::hold;
use crate::cpython::api::PyObject;
use crate::cpython::fields::Fields;
use crate::cpython::object::Object;

/// PySetObject (Include/setobject.h, 2.6 and 2.7), counted from the end of PyObject_HEAD: fill, used, mask,
/// table, all of them words.
const USED: usize = size_of::<usize>();
const MASK: usize = 2 * size_of::<usize>();
const TABLE: usize = 3 * size_of::<usize>();

/// setentry: the member's hash, and the member, both of them words.
const ENTRY: usize = 2 * size_of::<usize>();
const MEMBER: usize = size_of::<usize>();

/// Of a set with more slots the rest is not looked at without the GIL.
const MOST_COPIED: usize = 1 << 18;

/// What stands in a slot whose member was taken out: an object that the interpreter tells nobody
/// (Objects/setobject.c, `dummy`).
#[derive(Clone, Copy)]
pub struct Removed(*mut PyObject);

/// Finds it in a set of our own; `None`, with an exception set, if there is no memory. Without the GIL it is known only if
/// it was found before: the interpreter never frees it.
pub fn removed(fields: Fields) -> Option<Removed> {
    static KNOWN: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());
    let Some(gil) = fields.gil() else {
        return Some(Removed(KNOWN.load(Ordering::Relaxed)));
    };
    let (set, zero) = (gil.new_set()?, gil.new_int(0)?);
    gil.add_and_discard(set.object(), zero.object())?;
    // SAFETY: it is a set, whose table has at least one entry.
    unsafe {
        let table = fields.word(set.object(), 0, TABLE) as usize;
        // The hash of 0 is 0, so this is its slot.
        let member = fields.word_at(table + MEMBER) as *mut PyObject;
        KNOWN.store(member, Ordering::Relaxed);
        Some(Removed(member))
    }
}

/// Whether this stands in a slot whose member was taken out. Where it is not known, its text tells.
fn is_removed(fields: Fields, removed: Removed, member: Object) -> bool {
    match removed.0.is_null() {
        true => fields.str_bytes(member) == Some(b"<dummy key>"),
        false => member.is(removed.0),
    }
}

/// How many slots a set has.
///
/// # Safety
/// It is a set or a `frozenset`, or of a derived class.
pub unsafe fn slots(fields: Fields, set: Object) -> usize {
    // SAFETY: a set has this field.
    unsafe { (fields.word(set, 0, MASK) as usize).saturating_add(1) }
}

/// How many members a set has.
///
/// # Safety
/// As for [`slots`].
pub unsafe fn size(fields: Fields, set: Object) -> usize {
    // SAFETY: a set has this field.
    unsafe { fields.word(set, 0, USED) as usize }
}

/// The same of an object of exactly one of these types; 0 of anything else.
pub fn slots_of(fields: Fields, object: Object) -> usize {
    let class = fields.type_of(object);
    match class.is(fields.PySet_Type) || class.is(fields.PyFrozenSet_Type) {
        // SAFETY: its type has just been looked at.
        true => unsafe { slots(fields, object) },
        false => 0,
    }
}

/// The members of a set or a `frozenset`. Fewer, where the time for the answer is used up ([`hold`]): most slots
/// may be empty.
///
/// # Safety
/// It is a set or a `frozenset`, or of a derived class.
pub unsafe fn members<'g>(fields: Fields<'g>, set: Object<'g>, removed: Removed) -> Members<'g> {
    // SAFETY: a set has these fields.
    let [used, mask, table] = [USED, MASK, TABLE].map(|at| unsafe { fields.word(set, 0, at) });
    Members {
        fields,
        next: table as usize,
        slots: match fields.copies() {
            None => (mask as usize).saturating_add(1),
            // Copies may be of anything.
            Some(_) => (mask as usize).saturating_add(1).min(MOST_COPIED),
        },
        left: used as usize,
        removed,
    }
}

/// See [`members`].
pub struct Members<'g> {
    fields: Fields<'g>,
    /// The address of the next slot, and how many there are from here on.
    next: usize,
    slots: usize,
    /// How many members there are from here on.
    left: usize,
    removed: Removed,
}

impl<'g> Iterator for Members<'g> {
    type Item = Object<'g>;

    fn next(&mut self) -> Option<Object<'g>> {
        while self.left > 0 && self.slots > 0 && hold::spend(1) {
            // SAFETY: the table is as large as its mask says, and nobody changes it: nothing runs but this.
            // What stands in it is null or an object, which the set keeps.
            unsafe {
                let member = self.fields.object_at(self.next.wrapping_add(MEMBER));
                self.next = self.next.wrapping_add(ENTRY);
                self.slots -= 1;
                if let Some(member) = member
                    && !is_removed(self.fields, self.removed, member)
                {
                    self.left -= 1;
                    return Some(member);
                }
            }
        }
        None
    }
}
