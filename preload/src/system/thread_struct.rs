//! glibc's `struct pthread`, whose address is a thread's `pthread_t`.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::system::memory::{AT_ONCE, read, read_each};

/// The offset of a thread's ID in it (`tid`, nptl/descr.h). It differs between versions of glibc. 0: not
/// known, or not yet.
static ID_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// Where the search for it ends, in bytes. The structure is larger than that in all versions.
const LARGEST_OFFSET: usize = 0x600;

/// The offset of a thread's ID, if it has been found.
pub fn known_id_offset() -> Option<usize> {
    Some(ID_OFFSET.load(Ordering::Relaxed)).filter(|&offset| offset != 0)
}

/// Calls `each` with the `pthread_t` and the ID of each of these threads, as far as they can be read, until that returns
/// `None`, which is returned then. Any thread.
pub fn each_id(
    idents: &[usize],
    offset: usize,
    each: &mut dyn FnMut(usize, i32) -> Option<()>,
) -> Option<()> {
    for part in idents.chunks(AT_ONCE) {
        let mut places = [0; AT_ONCE];
        for (place, ident) in places.iter_mut().zip(part) {
            *place = ident.wrapping_add(offset);
        }
        for (&ident, id) in part.iter().zip(read_each(&places[..part.len()])) {
            if let Some(id) = id.filter(|&id| id > 0) {
                each(ident, id)?;
            }
        }
    }
    Some(())
}

/// The offset of a thread's ID, by two threads whose `pthread_t`s and IDs are known. Any thread.
pub fn id_offset(known: [(usize, i32); 2]) -> Option<usize> {
    let found = ID_OFFSET.load(Ordering::Relaxed);
    if found != 0 {
        return Some(found);
    }
    // One thread is too few: some other word may have the same value.
    let [first, second] = known;
    if first.0 == second.0 {
        return None;
    }
    let stands = |at: usize| {
        let mut known = known.iter();
        known.all(|&(ident, id)| read::<i32>(ident.wrapping_add(at)) == Some(id))
    };
    let mut places = (1..LARGEST_OFFSET / 4).map(|word| 4 * word);
    let at = places.find(|&at| stands(at))?;
    ID_OFFSET.store(at, Ordering::Relaxed);
    Some(at)
}
