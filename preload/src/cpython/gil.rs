//! The GIL as a type: a function that needs it takes a [`Gil`], which only somebody who holds it can have.
//!
//! `&Gil` and `&mut Gil` are two different rights. Functions that may run Python code, and so may let
//! other threads run, take `&mut Gil`. While somebody borrows a `&Gil`, nothing of the program's runs:
//! objects that are reached meanwhile stay as they are, and the compiler sees to it that none of them is
//! still in use when the next function that takes `&mut Gil` is called.
//!
//! Two things the types do not say. To make a tuple, list or dictionary may set the garbage collector off,
//! and that runs finalizers: whoever makes such objects and looks at borrowed ones in between does so in
//! `script::undisturbed::alone`, which stops the collector. And a reference that is given back while
//! somebody looks must not be the last one to an object of the program's.

use std::marker::PhantomData;
use std::ops::Deref;

use crate::cpython::api::Python;

/// The GIL, held by this thread for `'gil`, with a thread state in place.
pub struct Gil<'gil> {
    python: &'static Python,
    /// The thread state, as an address.
    thread: usize,
    /// Held for `'gil`, by this thread and no other (`*mut ()` is not `Send`).
    held: PhantomData<(&'gil (), *mut ())>,
}

impl Gil<'_> {
    /// Says that this thread holds the GIL.
    ///
    /// # Safety
    /// It does, with a thread state in place, for as long as this exists; and no other `Gil` is in use
    /// meanwhile. (Within a function that the interpreter calls on behalf of somebody who has a
    /// `&mut Gil`, that one is not in use.)
    pub unsafe fn assume(python: &'static Python) -> Self {
        Gil {
            python,
            thread: python.current_thread_state(),
            held: PhantomData,
        }
    }

    /// The C API, also for when the GIL is not held any more.
    pub fn python(&self) -> &'static Python {
        self.python
    }

    /// The thread state that was in place when this was made, as an address.
    pub fn thread_state(&self) -> usize {
        self.thread
    }
}

impl Deref for Gil<'_> {
    type Target = Python;
    fn deref(&self) -> &Python {
        self.python
    }
}
