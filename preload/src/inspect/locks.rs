//! Locks that are written in C, known by their types, whatever the program has put into its modules.

use crate::cpython::dict;
use crate::cpython::object::{Object, Type};
use crate::inspect::objects::Objects;

/// The methods of a type that is taken for one of locks.
const METHODS: [&[u8]; 4] = [b"acquire", b"release", b"__enter__", b"__exit__"];

/// No more types are looked at from a type to those that it derives from.
const MOST_BASES: usize = 16;

impl<'g> Objects<'g> {
    /// Whether this is a lock of the interpreter's own, as `thread.allocate_lock` makes them (`Locktype`,
    /// Modules/threadmodule.c, 2.6 and 2.7: the type has no exported name).
    pub fn is_plain_lock(self, object: impl Into<Option<Object<'g>>>) -> bool {
        object.into().is_some_and(|object| {
            let class = self.type_of(object);
            self.type_name(class) == b"thread.lock" && !self.is_of_python(class)
        })
    }

    /// The address of the semaphore that threads wait on for such a lock: the first of its own fields. (Where the
    /// interpreter has been built without semaphores it is that of a structure, which nobody waits on.)
    pub fn semaphore(self, lock: Object<'g>) -> Option<usize> {
        // SAFETY: a lock has this field (Modules/threadmodule.c, `lockobject`).
        self.is_plain_lock(lock)
            .then(|| unsafe { self.word(lock, 0, 0) as usize })
    }

    /// Whether this is a lock of a type that is written in C: the interpreter's own, or one of an extension module
    /// that has the methods of a lock.
    pub fn is_lock_of_c(self, object: impl Into<Option<Object<'g>>>) -> bool {
        let Some(object) = object.into() else {
            return false;
        };
        let class = self.type_of(object);
        self.is_plain_lock(object)
            || !self.is_of_python(class) && METHODS.iter().all(|name| self.has_method(class, name))
    }

    fn has_method(self, class: Type<'g>, name: &[u8]) -> bool {
        let bases = std::iter::successors(Some(class), |&class| self.type_base(class));
        bases.take(MOST_BASES).any(|class| {
            let own = self.type_dict(class).and_then(|own| self.as_dict(own));
            own.is_some_and(|own| dict::named(self.fields(), own, name).is_some())
        })
    }

    /// The lock whose method to acquire it this is, if it is one of a type that is written in C.
    pub fn acquires(self, method: Object<'g>) -> Option<Object<'g>> {
        let function = self.as_c_function(method)?;
        let name = self.c_function_name(function);
        let owner = self.c_function_owner(function)?;
        (is_acquire(name) && self.is_lock_of_c(owner)).then_some(owner)
    }

    /// Whether this is `time.sleep` itself.
    pub fn is_sleep(self, function: impl Into<Option<Object<'g>>>) -> bool {
        self.is_in_c(function.into(), b"time", b"sleep")
    }
}

/// Whether a lock's method of this name acquires it.
pub fn is_acquire(name: &[u8]) -> bool {
    matches!(name, b"acquire" | b"acquire_lock" | b"__enter__")
}
