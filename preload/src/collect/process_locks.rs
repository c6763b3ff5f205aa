//! The locks and semaphores of the module multiprocessing, which processes share.
//!
//! On the worker, under the GIL, while nobody else runs: objects are looked at, and no method of theirs is called.
//!
//! The module keeps all of them in a registry, as each has to be made ready after a fork
//! (Lib/multiprocessing/synchronize.py, `SemLock.__init__`, 2.6 and 2.7). billiard, which is made from it, does the same.
//! So they are found whatever form the call of a thread has that waits for one: the kernel tells the address.

use std::ffi::c_int;

use crate::agent::hold;
use crate::cpython::dict;
use crate::cpython::object::Object;
use crate::inspect::objects::Objects;
use crate::system::memory;
use protocol::layout::WORD;
use protocol::marshal::MarshalWriter;

/// The modules with a registry, and the types of their locks in C.
const MODULES: [(&[u8], &[u8]); 2] = [
    (b"multiprocessing.util", b"_multiprocessing.SemLock"),
    (b"billiard.util", b"_billiard.SemLock"),
];

/// More are not looked at, of each registry.
const MOST: usize = 2000;

/// SemLockObject (Modules/_multiprocessing/semaphore.c, 2.6 and 2.7), counted from the end of PyObject_HEAD: handle,
/// last_tid, count, maxvalue, kind.
const HANDLE: usize = 0;
const LAST_THREAD: usize = WORD;
const COUNT: usize = 2 * WORD;
const MOST_VALUE: usize = COUNT + size_of::<c_int>();
const KIND: usize = MOST_VALUE + size_of::<c_int>();

/// Writes them down, as they stand under [`PROCESS_LOCKS`](protocol::state::document::PROCESS_LOCKS); `None` if there is
/// no memory.
pub fn take(objects: Objects) -> Option<Vec<u8>> {
    let mut locks: Vec<[i64; 7]> = Vec::new();
    let mut enough = true;
    for (module, class) in MODULES {
        let registry = objects.attribute(objects.module(module), b"_afterfork_registry");
        let data = objects.attribute(registry, b"data");
        let Some(data) = data.and_then(|data| objects.as_dict(data)) else {
            continue;
        };
        for (_, reference) in dict::entries(objects.fields(), *data).take(MOST) {
            if !hold::spend(100) {
                break;
            }
            let lock = referent(objects, reference)
                .and_then(|one| objects.attribute(one, b"_semlock"))
                .and_then(|lock| fields(objects, lock, class));
            if let Some(lock) = lock {
                enough &= locks.try_reserve(1).is_ok();
                if enough {
                    locks.push(lock);
                }
            }
        }
    }
    let mut words = MarshalWriter::default();
    words.list(locks.len());
    for lock in locks {
        words.list(lock.len());
        lock.into_iter().for_each(|number| words.number(number));
    }
    words.finish().filter(|_| enough)
}

/// What a weak reference leads to.
fn referent<'g>(objects: Objects<'g>, reference: Object<'g>) -> Option<Object<'g>> {
    /// No class of weak references has more between itself and the type in C.
    const MOST_BASES: usize = 10;
    let class = objects.type_of(reference);
    let classes = std::iter::successors(Some(class), |&class| objects.type_base(class));
    let mut classes = classes.take(MOST_BASES);
    let in_c = classes.find(|&class| !objects.is_of_python(class))?;
    if objects.type_name(in_c) != b"weakref" {
        return None;
    }
    // SAFETY: PyWeakReference (Include/weakrefobject.h) begins with wr_object, which is never null: None stands there
    // once the object is gone. While it is there it lives as long as nobody else runs.
    unsafe { objects.object(reference, 0, 0) }
}

/// The fields of a lock of this type in C, in their order in the document.
fn fields(objects: Objects, lock: Object, class: &[u8]) -> Option<[i64; 7]> {
    let its = objects.type_of(lock);
    if objects.is_of_python(its) || objects.type_name(its) != class {
        return None;
    }
    // SAFETY: objects of this type have these fields.
    let (handle, owner, [count, most, kind]) = unsafe {
        (
            objects.word(lock, 0, HANDLE) as usize,
            objects.word(lock, 0, LAST_THREAD) as i64,
            [COUNT, MOST_VALUE, KIND].map(|at| i64::from(objects.int(lock, 0, at))),
        )
    };
    // The value is the first word of a `sem_t`: in glibc (nptl/internaltypes.h, `struct new_sem` since 2.21, as before),
    // and in musl, where the highest bit says that somebody waits.
    let value = memory::read::<u32>(handle)? & 0x7fff_ffff;
    Some([
        lock.address() as i64,
        handle as i64,
        kind,
        most,
        i64::from(value),
        count,
        owner,
    ])
}
