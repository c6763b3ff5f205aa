//! Looks into `collections.deque`, natively.
//!
//! dequeobject (Modules/_collectionsmodule.c): a chain of blocks with 62 items each. Its order has changed within 2.7:
//! the first versions, as 2.6, have a block's links first, later ones its items; and `maxlen` has changed places. So
//! it is learned from a deque of our own.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::agent::hold;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Object, Owned, Type};
use protocol::layout::WORD;

/// leftblock, rightblock, leftindex, rightindex, len, and after that state and maxlen.
const LEFT: usize = 0;
const RIGHT: usize = WORD;
const LEFT_INDEX: usize = 2 * WORD;
const RIGHT_INDEX: usize = 3 * WORD;
const COUNT: usize = 4 * WORD;
const MOST_PLACES: [usize; 2] = [5 * WORD, 6 * WORD];

/// BLOCKLEN.
const IN_BLOCK: usize = 62;

/// In a block, in words: the first item, the link to the right, the link to the left.
const LINKS_FIRST: [usize; 3] = [2, 1, 0];
const ITEMS_FIRST: [usize; 3] = [0, 62, 63];

/// What is known of the order: nothing yet, that it is none of these, or [`KNOWN`] with two bits.
static ORDER: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const OTHERWISE: u8 = 1;
const KNOWN: u8 = 4;
/// Whether a block's items come first, and whether `maxlen` is in the second of its places.
const HAS_ITEMS_FIRST: u8 = 1;
const HAS_MOST_LAST: u8 = 2;

/// Its tp_name.
pub const NAME: &[u8] = b"collections.deque";

/// A `deque`, or an object of a derived class.
#[derive(Clone, Copy)]
pub struct Deque<'g>(Object<'g>);

impl<'g> Deque<'g> {
    /// Takes an object for one.
    ///
    /// # Safety
    /// It is one, of C's own type or of a class derived from it.
    pub unsafe fn assume(object: Object<'g>) -> Self {
        Deque(object)
    }

    fn word(self, fields: Fields<'g>, at: usize) -> usize {
        // SAFETY: a deque has this field.
        unsafe { fields.word(self.0, 0, at) as usize }
    }
}

/// How many items it has.
pub fn size<'g>(fields: Fields<'g>, deque: Deque<'g>) -> usize {
    deque.word(fields, COUNT)
}

/// The most items that it takes; `Some(None)` if there is no limit, `None` if that is not known.
pub fn most<'g>(fields: Fields<'g>, deque: Deque<'g>) -> Option<Option<usize>> {
    let order = order(fields, deque)?;
    let at = MOST_PLACES[usize::from(order & HAS_MOST_LAST != 0)];
    let most = deque.word(fields, at) as isize;
    Some(usize::try_from(most).ok())
}

/// Its items; `None` if it is not laid out in a way that is known here.
pub fn items<'g>(fields: Fields<'g>, deque: Deque<'g>) -> Option<Items<'g>> {
    let order = order(fields, deque)?;
    let [block, index, last, left] =
        [LEFT, LEFT_INDEX, RIGHT_INDEX, COUNT].map(|at| deque.word(fields, at));
    let is_sound = block != 0
        && index < IN_BLOCK
        && last < IN_BLOCK
        && (left == 0 || index.wrapping_add(left).wrapping_sub(1) % IN_BLOCK == last);
    is_sound.then_some(Items {
        fields,
        places: places(order),
        block,
        index,
        left,
    })
}

fn places(order: u8) -> [usize; 3] {
    match order & HAS_ITEMS_FIRST {
        0 => LINKS_FIRST,
        _ => ITEMS_FIRST,
    }
}

/// The items of a deque, from the left.
#[derive(Clone, Copy)]
pub struct Items<'g> {
    fields: Fields<'g>,
    places: [usize; 3],
    /// The block of the next one, and its index there.
    block: usize,
    index: usize,
    /// How many there are from here on.
    pub left: usize,
}

impl<'g> Iterator for Items<'g> {
    type Item = Object<'g>;

    fn next(&mut self) -> Option<Object<'g>> {
        if self.left == 0 || self.block == 0 || !hold::spend(1) {
            return None;
        }
        let [first, right, _] = self.places;
        // SAFETY: the deque has so many items from here on, so this block has one at this index, which the deque
        // keeps. Nobody changes it: nothing runs but this.
        let item = unsafe { item(self.fields, self.block, first + self.index) };
        self.left -= 1;
        self.index += 1;
        if self.index == IN_BLOCK && self.left > 0 {
            self.index = 0;
            // SAFETY: as above: the block has a neighbour to the right.
            self.block = unsafe { word(self.fields, self.block, right) };
        }
        item
    }
}

/// A word of a block.
///
/// # Safety
/// Under the GIL it is there.
unsafe fn word(fields: Fields, block: usize, index: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { fields.word_at(block.wrapping_add(index * WORD)) }
}

/// The same of one that points to an object.
///
/// # Safety
/// As for [`word`]; and the object lives for `'g`.
unsafe fn item<'g>(fields: Fields<'g>, block: usize, index: usize) -> Option<Object<'g>> {
    // SAFETY: the caller's promise.
    unsafe { fields.object_at(block.wrapping_add(index * WORD)) }
}

/// The order of this interpreter's deques.
fn order<'g>(fields: Fields<'g>, deque: Deque<'g>) -> Option<u8> {
    let mut order = ORDER.load(Ordering::Relaxed);
    if order == UNKNOWN && fields.gil().is_none() {
        return seen(fields, deque);
    }
    if order == UNKNOWN {
        let learned = learn(fields, deque);
        fields.clear_exception();
        // Where there is no memory for it, the next one is asked.
        order = learned?;
        ORDER.store(order, Ordering::Relaxed);
    }
    (order != OTHERWISE).then_some(order)
}

/// Finds it without the GIL, where it has not been learned: with which order this deque would be one. `None` where it
/// is none in either, or in both.
fn seen<'g>(fields: Fields<'g>, deque: Deque<'g>) -> Option<u8> {
    let [left, right, first, last, count] =
        [LEFT, RIGHT, LEFT_INDEX, RIGHT_INDEX, COUNT].map(|at| deque.word(fields, at));
    // `maxlen` is -1, or as large as the deque; what else stands there counts from 0 on.
    let most = MOST_PLACES
        .iter()
        .position(|&at| deque.word(fields, at) == usize::MAX);
    let most = if most == Some(1) { HAS_MOST_LAST } else { 0 };
    let is_object = |block, index| {
        // SAFETY: without the GIL it is read from a copy, whatever it is.
        let item = unsafe { item(fields, block, index) };
        item.is_some_and(|item| fields.is_object(item))
    };
    let fits = |[item, to_right, to_left]: [usize; 3]| {
        // SAFETY: as above.
        let ends = unsafe { [word(fields, left, to_left), word(fields, right, to_right)] };
        count == 0
            || ends == [0; 2] && is_object(left, item + first) && is_object(right, item + last)
    };
    match [LINKS_FIRST, ITEMS_FIRST].map(fits) {
        _ if first >= IN_BLOCK || last >= IN_BLOCK => None,
        [true, false] => Some(KNOWN | most),
        [false, true] => Some(KNOWN | HAS_ITEMS_FIRST | most),
        [true, true] if count == 0 => Some(KNOWN | most),
        _ => None,
    }
}

/// Learns it from a deque of our own, with more items than a block has room for. `None`, maybe with an exception
/// set, if there is no memory.
fn learn<'g>(fields: Fields<'g>, deque: Deque<'g>) -> Option<u8> {
    const LENGTH: usize = IN_BLOCK + 1;
    const MOST: usize = 77;
    let own = Some(fields.type_of(deque.0));
    let mut bases = std::iter::successors(own, |&base| fields.type_base(base));
    let is_the_type =
        |&base: &Type<'g>| !fields.is_of_python(base) && fields.type_name(base) == NAME;
    let class = bases.find(is_the_type)?;
    let gil = fields.gil()?;
    let list = gil.new_list()?;
    for _ in 0..LENGTH {
        gil.append(list.object(), fields.none())?;
    }
    let arguments = gil.new_tuple([Some(list), gil.new_int(MOST as _)])?;
    // SAFETY: the class is C's own, of which C code makes an object; the reference is new.
    let ours = unsafe {
        let made = (gil.PyObject_CallObject)(class.as_ptr(), arguments.as_ptr());
        Owned::new(gil, made)?
    };
    let object: *mut _ = ours.as_ptr();
    // SAFETY: it is a deque, and lives until the end of this function.
    let ours = unsafe { Deque::assume(Object::existing(object)) };
    let [left, right, index, count] =
        [LEFT, RIGHT, LEFT_INDEX, COUNT].map(|at| ours.word(fields, at));
    if left == 0 || right == 0 || left == right || count != LENGTH || index >= IN_BLOCK {
        return Some(OTHERWISE);
    }
    let most = MOST_PLACES
        .iter()
        .position(|&at| ours.word(fields, at) == MOST);
    let none = fields.none().address();
    for (bit, [first, to_right, to_left]) in [(0, LINKS_FIRST), (HAS_ITEMS_FIRST, ITEMS_FIRST)] {
        // SAFETY: both blocks have 64 words.
        let fits = unsafe {
            word(fields, left, to_right) == right
                && word(fields, right, to_left) == left
                && word(fields, left, first + index) == none
        };
        if fits && let Some(most) = most {
            return Some(KNOWN | bit | if most == 1 { HAS_MOST_LAST } else { 0 });
        }
    }
    Some(OTHERWISE)
}
