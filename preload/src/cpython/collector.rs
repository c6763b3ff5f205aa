//! The garbage collector's lists of objects, followed natively: `gc.get_objects()` makes a list of all of them
//! first, which takes seconds where there are many, and cannot be cut.
//!
//! Modules/gcmodule.c, 2.6 and 2.7: three generations, each a circle of heads that begins with the
//! generation's own. An object's head stands before it. The layout is compared with live lists each time.

use crate::agent::hold;
use crate::cpython::api::PyObject;
use crate::cpython::gil::Gil;
use crate::cpython::object::Object;
use crate::system::memory::read;

const WORD: usize = size_of::<usize>();

/// PyGC_Head (Include/objimpl.h): the next one, the one before.
const NEXT: usize = 0;
const BEFORE: usize = WORD;

/// How large heads may be, in bytes: three words, made a multiple of the strictest alignment.
const SIZES: std::ops::RangeInclusive<usize> = 3 * WORD..=8 * WORD;

const GENERATIONS: usize = 3;

/// Where the lists are.
struct Lists {
    /// The generations' own heads, the youngest first.
    generations: [usize; GENERATIONS],
    /// The size of a head.
    size: usize,
}

impl Lists {
    /// Finds them; `None` if they are not as this file has it.
    fn find(gil: &Gil) -> Option<Lists> {
        let youngest = read::<usize>(gil.youngest_objects)?;
        // A new list is the last of the youngest objects, and its head stands before it.
        let Some(newest) = gil.new_list() else {
            gil.clear_exception();
            return None;
        };
        let size = newest
            .object()
            .address()
            .checked_sub(read(youngest + BEFORE)?)?;
        if !SIZES.contains(&size) || !size.is_multiple_of(WORD) {
            return None;
        }
        // struct gc_generation: the head, two ints; aligned as the head is.
        let strides = [size + WORD, (size + WORD).next_multiple_of(2 * WORD)];
        strides.into_iter().find_map(|stride| {
            let generations = std::array::from_fn(|index| youngest + index * stride);
            generations
                .iter()
                .all(|&head| is_circle(head))
                .then_some(Lists { generations, size })
        })
    }
}

/// Whether the neighbours of this head know it.
fn is_circle(head: usize) -> bool {
    let neighbour = |at: usize, back: usize| {
        let other = read::<usize>(head + at)?;
        read::<usize>(other.checked_add(back)?)
    };
    neighbour(NEXT, BEFORE) == Some(head) && neighbour(BEFORE, NEXT) == Some(head)
}

/// Calls `each` with every object that the collector knows, the youngest first, until it returns false. Returns
/// whether it was all of them: not where the time for the answer is used up ([`hold`]). `None` if the lists cannot be followed here.
///
/// While the collector is stopped and nobody else runs. `each` makes no objects, as those would be listed too.
pub fn for_each_object<'g>(gil: &'g Gil, each: &mut dyn FnMut(Object<'g>) -> bool) -> Option<bool> {
    /// What an object costs that is not in the processor's cache.
    const STEPS: usize = 5;
    let lists = Lists::find(gil)?;
    for own in lists.generations {
        // SAFETY: the list is a circle of heads, each of which stands before a live object, but for the
        // generation's own. Nobody changes it: nothing runs but this.
        unsafe {
            let mut head = (own as *const usize).read();
            while head != own {
                let object = Object::existing((head + lists.size) as *mut PyObject);
                if !hold::spend(STEPS) || !each(object) {
                    return Some(false);
                }
                head = (head as *const usize).byte_add(NEXT).read();
            }
        }
    }
    Some(true)
}
