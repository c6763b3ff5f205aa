//! Structures of C's that Python sees as sequences with names: `struct_time`, the result of `os.stat`, and so on
//! (Objects/structseq.c). In CPython 2 they are no tuples.

use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Type};
use protocol::layout::{TYPE_MEMBERS, WORD};

/// None has more fields.
const MOST_FIELDS: usize = 64;

/// Longer names are cut.
const LONGEST_NAME: usize = 64;

/// PyMemberDef (Include/structmember.h): name, kind, an int, offset, flags, an int, and a text.
const MEMBER_OFFSET: usize = 2 * WORD;
const MEMBER_SIZE: usize = 5 * WORD;

/// Whether this type of C's is one of such structures: it says how many of their fields are items.
pub fn is_structure<'g>(fields: Fields<'g>, class: Type<'g>) -> bool {
    let has = |name| count_of(fields, class, name).is_some();
    !fields.is_of_python(class) && has(b"n_sequence_fields") && has(b"n_unnamed_fields")
}

fn count_of<'g>(fields: Fields<'g>, class: Type<'g>, name: &[u8]) -> Option<usize> {
    let names = fields.as_dict(fields.type_dict(class)?)?;
    let count = fields.int_value(dict::named(fields, names, name)?)?;
    usize::try_from(count)
        .ok()
        .filter(|&count| count <= MOST_FIELDS)
}

/// The items of such a structure, with their names.
#[derive(Clone, Copy)]
pub struct Structure<'g> {
    fields: Fields<'g>,
    object: Object<'g>,
    /// How many items there are.
    pub count: usize,
    /// The address of its type's table of members.
    members: usize,
}

/// This object as such a structure, which its type is; `None` if it is not made as they are.
///
/// # Safety
/// [`is_structure`] has said so of its type.
pub unsafe fn of<'g>(fields: Fields<'g>, object: Object<'g>) -> Option<Structure<'g>> {
    let class = fields.type_of(object);
    // SAFETY: such an object begins with the number of its items, and its type has a table of members.
    unsafe {
        let count = fields.word(object, 0, 0) as usize;
        let members = fields.word(*class, WORD, TYPE_MEMBERS) as usize;
        let is_sound = members != 0 && count_of(fields, class, b"n_sequence_fields") == Some(count);
        is_sound.then_some(Structure {
            fields,
            object,
            count,
            members,
        })
    }
}

impl<'g> Structure<'g> {
    /// An item.
    pub fn item(self, index: usize) -> Option<Object<'g>> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the items follow their number, and the object keeps them.
        unsafe { self.fields.object(self.object, WORD, index * WORD) }
    }

    /// The name of an item; `None` if it has none.
    pub fn name(self, index: usize) -> Option<&'g [u8]> {
        let offset = self.fields.head() + WORD + index * WORD;
        for place in 0..MOST_FIELDS {
            let member = self.members.wrapping_add(place * MEMBER_SIZE);
            // SAFETY: the table ends with a member that has no name, and it stays: types of C's are not freed. The
            // names are C strings.
            unsafe {
                let name = self.fields.word_at(member);
                if name == 0 {
                    break;
                }
                if self.fields.word_at(member.wrapping_add(MEMBER_OFFSET)) == offset {
                    let name = self.fields.c_string(name);
                    return Some(&name[..name.len().min(LONGEST_NAME)]);
                }
            }
        }
        None
    }
}
