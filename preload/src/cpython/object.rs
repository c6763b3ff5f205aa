//! Objects of the interpreter as Rust types: borrowed ones ([`Object`]), frames, code and dictionaries
//! among them, references of our own ([`Owned`]), and references that outlive a request ([`Kept`]).
//!
//! The unsafe step is to make one from a pointer. Whoever does that promises that the object stays alive;
//! all functions that take an `Object` are safe because of it.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::cpython::api::{PyObject, Python};
use crate::cpython::gil::Gil;

/// A borrowed object: alive for `'g`, somebody else's reference, never null. One pointer.
///
/// Two of them are equal if they are the same object.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Object<'g> {
    pointer: NonNull<PyObject>,
    alive: PhantomData<&'g Python>,
}

impl<'g> Object<'g> {
    /// The object at this address; `None` for null.
    ///
    /// # Safety
    /// It is null, or an object that stays alive for `'g`.
    pub unsafe fn borrowed(pointer: *mut PyObject) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Object {
            pointer,
            alive: PhantomData,
        })
    }

    /// The object at this address.
    ///
    /// # Safety
    /// It is an object that stays alive for `'g`, and not null.
    pub unsafe fn existing(pointer: *mut PyObject) -> Self {
        Object {
            // SAFETY: it is an object, and those have addresses.
            pointer: unsafe { NonNull::new_unchecked(pointer) },
            alive: PhantomData,
        }
    }

    /// For calls of the C API.
    pub fn as_ptr(self) -> *mut PyObject {
        self.pointer.as_ptr()
    }

    /// What tells it from others: what `id()` returns.
    pub fn address(self) -> usize {
        self.pointer.as_ptr() as usize
    }

    /// Whether it is this very object, known by its pointer alone.
    pub fn is(self, pointer: *mut PyObject) -> bool {
        self.pointer.as_ptr() == pointer
    }
}

macro_rules! kinds_of_object {
    ($( $(#[$doc:meta])* $kind:ident )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $kind<'g>(Object<'g>);

        impl<'g> $kind<'g> {
            /// Takes an object for one of this type.
            ///
            /// # Safety
            /// It is one.
            pub unsafe fn assume(object: Object<'g>) -> Self {
                $kind(object)
            }
        }

        impl<'g> Deref for $kind<'g> {
            type Target = Object<'g>;
            fn deref(&self) -> &Object<'g> {
                &self.0
            }
        }
    )* };
}

kinds_of_object! {
    /// A frame.
    Frame
    /// A code object.
    Code
    /// A `dict`, not of a derived class.
    Dict
    /// A type: a class, but for those of the old style.
    Type
    /// A function written in C (`PyCFunction_Type`).
    CFunction
    /// A `unicode`, or an object of a derived class.
    Unicode
}

/// A reference of our own, given back when this is dropped.
///
/// It cannot outlive the holding of the GIL that it was made under. Only where code of the program's ends
/// our thread (`pthread_exit`), and has let go of the GIL before, is it dropped without: then it is not
/// given back.
pub struct Owned<'gil> {
    python: &'static Python,
    /// The thread state that has the GIL, as an address.
    thread: usize,
    pointer: NonNull<PyObject>,
    held: PhantomData<(&'gil Python, *mut ())>,
}

impl<'gil> Owned<'gil> {
    /// Takes over a new reference, as calls of the C API return it; `None` for null.
    ///
    /// # Safety
    /// It is null, or a reference that nobody else gives back.
    pub unsafe fn new(gil: &Gil<'gil>, pointer: *mut PyObject) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Owned {
            python: gil.python(),
            thread: gil.thread_state(),
            pointer,
            held: PhantomData,
        })
    }

    /// The object, for as long as the reference is here.
    pub fn object(&self) -> Object<'_> {
        Object {
            pointer: self.pointer,
            alive: PhantomData,
        }
    }

    /// For calls of the C API that borrow it.
    pub fn as_ptr(&self) -> *mut PyObject {
        self.pointer.as_ptr()
    }

    /// Hands the reference over: to the interpreter, or to whoever else gives it back.
    pub fn into_ptr(self) -> *mut PyObject {
        ManuallyDrop::new(self).pointer.as_ptr()
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        if self.python.current_thread_state() == self.thread {
            // SAFETY: the reference is ours, and this thread holds the GIL: its state is in place.
            unsafe { (self.python.Py_DecRef)(self.pointer.as_ptr()) }
        }
    }
}

/// The pointer of what may be missing: null for `None`.
pub fn into_ptr(object: Option<Owned>) -> *mut PyObject {
    object.map_or(ptr::null_mut(), Owned::into_ptr)
}

/// A place in a static for a reference that is kept over requests, until the interpreter ends.
/// Read and written only by who holds the GIL.
pub struct Kept(AtomicPtr<PyObject>);

impl Kept {
    /// An empty one.
    pub const fn nothing() -> Self {
        Kept(AtomicPtr::new(ptr::null_mut()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// What is kept, borrowed: no Python code runs while it is looked at, so nobody replaces it.
    pub fn get<'g>(&self, _: &'g Gil<'_>) -> Option<Object<'g>> {
        // SAFETY: the reference is ours, and given back with the GIL held alone, which takes a `&mut Gil`.
        unsafe { Object::borrowed(self.0.load(Ordering::Relaxed)) }
    }

    /// The same without the GIL: an object to be looked at in copies.
    pub fn get_copied<'g>(&self) -> Option<Object<'g>> {
        // SAFETY: without the GIL nothing is read in place.
        unsafe { Object::borrowed(self.0.load(Ordering::Relaxed)) }
    }

    /// Puts a reference here, or nothing, and gives back the one that was here before.
    pub fn put<'gil>(&self, gil: &mut Gil<'gil>, object: Option<Owned<'gil>>) {
        let former = self.0.swap(into_ptr(object), Ordering::Relaxed);
        // SAFETY: it was taken over by an earlier call, and is now nowhere else.
        drop(unsafe { Owned::new(gil, former) });
    }

    /// Takes it out.
    pub fn take<'gil>(&self, gil: &mut Gil<'gil>) -> Option<Owned<'gil>> {
        let former = self.0.swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: it was taken over by an earlier call, and is now nowhere else.
        unsafe { Owned::new(gil, former) }
    }

    /// After `Py_Finalize`: the object is gone, and its reference with it.
    pub fn forget(&self) {
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
    }
}
