//! What objects have in the slots that their classes reserve for names (`__slots__`), found without asking the
//! descriptors.

use crate::agent::hold;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type};
use protocol::layout::{TYPE_SIZE, WORD};

/// PyMemberDescrObject (Include/descrobject.h), counted from the end of PyObject_HEAD: d_type, d_name, d_member.
const DESCRIPTOR_CLASS: usize = 0;
const DESCRIPTOR_MEMBER: usize = 2 * WORD;

/// T_OBJECT_EX (Include/structmember.h): a slot's field is a pointer to an object, or null.
const IS_OBJECT: u32 = 16;

/// So many classes are looked at, and none with more slots in its dictionary.
const MOST_CLASSES: usize = 32;
const LARGEST: usize = 4096;

/// PyMemberDef (Include/structmember.h): a name, the kind, an int, and the offset.
const MEMBER_KIND: usize = WORD;
const MEMBER_OFFSET: usize = 2 * WORD;

/// The classes of Python's that an object's layout is made of, its own first. Classes with slots are all among them:
/// of several bases only one may have some (`best_base`, Objects/typeobject.c).
fn classes<'g>(fields: Fields<'g>, object: Object<'g>) -> impl Iterator<Item = Type<'g>> {
    let class = Some(fields.type_of(object));
    let bases = std::iter::successors(class, move |&base| fields.type_base(base));
    bases
        .take(MOST_CLASSES)
        .take_while(move |&base| fields.is_of_python(base))
}

/// What an object has in the slot of this name.
pub fn named<'g>(fields: Fields<'g>, object: Object<'g>, name: &[u8]) -> Option<Object<'g>> {
    classes(fields, object).find_map(|class| {
        let names = fields.as_dict(fields.type_dict(class)?)?;
        value(fields, class, dict::named(fields, names, name)?, object)
    })
}

/// Calls `each` with the names and values of the slots of an object that are not empty, until that returns false.
pub fn each<'g>(
    fields: Fields<'g>,
    object: Object<'g>,
    each: &mut dyn FnMut(Object<'g>, Object<'g>) -> bool,
) {
    for class in classes(fields, object) {
        let names = fields.type_dict(class);
        let Some(names) = names.filter(|&names| dict::has_few_slots(fields, names, LARGEST)) else {
            continue;
        };
        for (name, descriptor) in dict::entries(fields, names) {
            if !hold::spend(2) {
                return;
            }
            if let Some(value) = value(fields, class, descriptor, object)
                && !each(name, value)
            {
                return;
            }
        }
    }
}

/// What an object has in the slot that this descriptor of the class is for; `None` if it is none.
/// `object` is of a class that derives from `class`, a class of Python's.
fn value<'g>(
    fields: Fields<'g>,
    class: Type<'g>,
    descriptor: Object<'g>,
    object: Object<'g>,
) -> Option<Object<'g>> {
    let kind = fields.type_of(descriptor);
    if fields.is_of_python(kind) || fields.type_name(kind) != b"member_descriptor" {
        return None;
    }
    // SAFETY: it is a descriptor of a member, which has these fields. Those of a class of Python's stay as the class
    // was made (`type_new`, Objects/typeobject.c); where it says that it is of this class, each object has the field.
    unsafe {
        if fields.word(descriptor, 0, DESCRIPTOR_CLASS) != class.as_ptr() {
            return None;
        }
        let member = fields.word(descriptor, 0, DESCRIPTOR_MEMBER) as usize;
        if member == 0 {
            return None;
        }
        let kind = fields.word_at(member.wrapping_add(MEMBER_KIND)) as u32;
        let offset = fields.word_at(member.wrapping_add(MEMBER_OFFSET));
        let size = fields.word(*class, WORD, TYPE_SIZE) as usize;
        let at = offset.checked_sub(fields.head())?;
        if kind != IS_OBJECT || offset > size.saturating_sub(WORD) || at % WORD != 0 {
            return None;
        }
        fields.object(object, 0, at)
    }
}
