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
use crate::cpython::copies::Copies;

/// The right to look at objects: as they stand, with the GIL, or at copies of them, without.
pub struct Access<'a> {
    python: &'static Python,
    /// The thread state that holds the GIL, as an address.
    thread: usize,
    /// Without the GIL: where copies are made.
    copies: Option<&'a Copies>,
    /// Of this thread and no other (`*mut ()` is not `Send`).
    of_thread: PhantomData<*mut ()>,
}

impl<'a> Access<'a> {
    /// Looks at copies, without the GIL. Nothing of the C API can be called so.
    pub fn to_copies(python: &'static Python, copies: &'a Copies) -> Self {
        Access {
            python,
            thread: python.current_thread_state(),
            copies: Some(copies),
            of_thread: PhantomData,
        }
    }

    /// The addresses of the interpreter's variables and functions.
    pub fn python(&self) -> &'static Python {
        self.python
    }

    /// Where copies are made, without the GIL.
    #[inline]
    pub fn copies(&self) -> Option<&'a Copies> {
        self.copies
    }

    /// The GIL, if that is held.
    pub fn gil(&self) -> Option<&Gil<'a>> {
        match self.copies {
            // SAFETY: without copies it was made by `Gil::assume`, and a `Gil` is laid out as what it is made of.
            None => Some(unsafe { &*(&raw const *self).cast::<Gil<'a>>() }),
            Some(_) => None,
        }
    }
}

/// The GIL, held by this thread for `'gil`, with a thread state in place.
#[repr(transparent)]
pub struct Gil<'gil>(Access<'gil>);

impl<'gil> Gil<'gil> {
    /// Says that this thread holds the GIL.
    ///
    /// # Safety
    /// It does, with a thread state in place, for as long as this exists; and no other `Gil` is in use
    /// meanwhile. (Within a function that the interpreter calls on behalf of somebody who has a
    /// `&mut Gil`, that one is not in use.)
    pub unsafe fn assume(python: &'static Python) -> Self {
        Gil(Access {
            python,
            thread: python.current_thread_state(),
            copies: None,
            of_thread: PhantomData,
        })
    }

    /// The right to look at objects.
    pub fn access(&self) -> &Access<'gil> {
        &self.0
    }

    /// The C API, also for when the GIL is not held any more.
    pub fn python(&self) -> &'static Python {
        self.0.python
    }

    /// The thread state that was in place when this was made, as an address.
    pub fn thread_state(&self) -> usize {
        self.0.thread
    }
}

impl Deref for Gil<'_> {
    type Target = Python;
    fn deref(&self) -> &Python {
        self.0.python
    }
}
