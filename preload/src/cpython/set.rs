//! Looks into sets without running any code of the program's.

use std::marker::PhantomData;

use crate::agent::hold;
use crate::cpython::api::PyObject;
use crate::cpython::fields::Fields;
use crate::cpython::object::Object;

/// PySetObject (Include/setobject.h, 2.6 and 2.7), counted from the end of PyObject_HEAD: fill, used, mask,
/// table, all of them words.
const USED: usize = size_of::<usize>();
const MASK: usize = 2 * size_of::<usize>();
const TABLE: usize = 3 * size_of::<usize>();

/// setentry: the member's hash, and the member.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    hash: isize,
    member: *mut PyObject,
}

/// What stands in a slot whose member was taken out: an object that the interpreter tells nobody
/// (Objects/setobject.c, `dummy`).
#[derive(Clone, Copy)]
pub struct Removed(*mut PyObject);

/// Finds it in a set of our own; `None`, with an exception set, if there is no memory.
pub fn removed(fields: Fields) -> Option<Removed> {
    let (set, zero) = (fields.new_set()?, fields.new_int(0)?);
    fields.add_and_discard(set.object(), zero.object())?;
    // SAFETY: it is a set, whose table has at least one entry.
    unsafe {
        let table = fields.word(set.object(), 0, TABLE).cast::<Entry>();
        // The hash of 0 is 0, so this is its slot.
        Some(Removed(table.read().member))
    }
}

/// How many slots a set has.
///
/// # Safety
/// It is a set or a `frozenset`, or of a derived class.
pub unsafe fn slots(fields: Fields, set: Object) -> usize {
    // SAFETY: a set has this field.
    unsafe { fields.word(set, 0, MASK) as usize + 1 }
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
        next: table.cast(),
        slots: mask as usize + 1,
        left: used as usize,
        removed,
        alive: PhantomData,
    }
}

/// See [`members`].
pub struct Members<'g> {
    /// The next slot, and how many there are from here on.
    next: *const Entry,
    slots: usize,
    /// How many members there are from here on.
    left: usize,
    removed: Removed,
    alive: PhantomData<Object<'g>>,
}

impl<'g> Iterator for Members<'g> {
    type Item = Object<'g>;

    fn next(&mut self) -> Option<Object<'g>> {
        while self.left > 0 && self.slots > 0 && hold::spend(1) {
            // SAFETY: the table is as large as its mask says, and nobody changes it: nothing runs but this.
            // What stands in it is null or an object, which the set keeps.
            unsafe {
                let member = self.next.read().member;
                self.next = self.next.add(1);
                self.slots -= 1;
                if member != self.removed.0
                    && let Some(member) = Object::borrowed(member)
                {
                    self.left -= 1;
                    return Some(member);
                }
            }
        }
        None
    }
}
