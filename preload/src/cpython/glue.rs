//! Calls of the C API that the agent makes often, as safe functions of [`Gil`]: they check what they are
//! given, or the interpreter does, and they know whose each reference is.
//!
//! `None` means that an exception is set, unless a function says otherwise.

use std::ffi::{CStr, c_char, c_long};
use std::ptr;

use crate::cpython::api::{MethodDefinition, PyObject};
use crate::cpython::gil::Gil;
use crate::cpython::object::{Kept, Object, Owned, into_ptr};

/// What runs no Python code.
impl<'gil> Gil<'gil> {
    /// `None` itself, Python's.
    pub fn none(&self) -> Object<'gil> {
        // SAFETY: a variable of the interpreter's, which is never freed.
        unsafe { Object::existing(self._Py_NoneStruct) }
    }

    /// A reference of our own to an object.
    pub fn own(&self, object: Object) -> Owned<'gil> {
        // SAFETY: the object is alive, and the reference that is added is the one that is returned.
        unsafe {
            (self.Py_IncRef)(object.as_ptr());
            Owned::new(self, object.as_ptr()).unwrap_unchecked()
        }
    }

    /// The bytes of a `str`. (A `unicode` is encoded for this, which may take a codec of the program's:
    /// none is ever given.)
    pub fn bytes<'a>(&self, text: Object<'a>) -> Option<&'a [u8]> {
        let mut start: *mut c_char = ptr::null_mut();
        let mut length = 0;
        // SAFETY: on success the pointer is to `length` bytes inside the object, which never change.
        unsafe {
            ((self.PyString_AsStringAndSize)(text.as_ptr(), &mut start, &mut length) == 0)
                .then(|| std::slice::from_raw_parts(start.cast(), length as usize))
        }
    }

    /// A new `str`.
    pub fn new_str(&self, text: &[u8]) -> Option<Owned<'gil>> {
        // SAFETY: it copies so many bytes; the reference is new.
        unsafe {
            let start = text.as_ptr().cast();
            Owned::new(
                self,
                (self.PyString_FromStringAndSize)(start, text.len() as isize),
            )
        }
    }

    /// A new `int`.
    pub fn new_int(&self, number: c_long) -> Option<Owned<'gil>> {
        // SAFETY: has no conditions but the GIL; the reference is new.
        unsafe { Owned::new(self, (self.PyInt_FromLong)(number)) }
    }

    /// A new, empty `dict`.
    pub fn new_dict(&self) -> Option<Owned<'gil>> {
        // SAFETY: has no conditions but the GIL; the reference is new.
        unsafe { Owned::new(self, (self.PyDict_New)()) }
    }

    /// A new tuple of these objects. An object that could not be made, and has left an exception set, may
    /// stand among them.
    pub fn new_tuple<const COUNT: usize>(
        &self,
        objects: [Option<Owned<'gil>>; COUNT],
    ) -> Option<Owned<'gil>> {
        if objects.iter().any(Option::is_none) {
            return None;
        }
        // SAFETY: the reference is new, and has room for so many items, which take over references.
        unsafe {
            let tuple = Owned::new(self, (self.PyTuple_New)(COUNT as isize))?;
            for (index, object) in objects.into_iter().enumerate() {
                (self.PyTuple_SetItem)(tuple.as_ptr(), index as isize, into_ptr(object));
            }
            Some(tuple)
        }
    }

    /// A new, empty list.
    pub fn new_list(&self) -> Option<Owned<'gil>> {
        // SAFETY: has no conditions but the GIL; the reference is new.
        unsafe { Owned::new(self, (self.PyList_New)(0)) }
    }

    /// A new list of these objects.
    pub fn new_list_of(
        &self,
        objects: impl ExactSizeIterator<Item = Owned<'gil>>,
    ) -> Option<Owned<'gil>> {
        // SAFETY: the reference is new, and has room for so many items, which take over references.
        unsafe {
            let list = Owned::new(self, (self.PyList_New)(objects.len() as isize))?;
            for (index, object) in objects.enumerate() {
                (self.PyList_SetItem)(list.as_ptr(), index as isize, object.into_ptr());
            }
            Some(list)
        }
    }

    /// Appends to a list, which takes a reference of its own.
    pub fn append(&self, list: Object, object: Object) -> Option<()> {
        // SAFETY: both are alive; it says itself if the first is no list.
        let done = unsafe { (self.PyList_Append)(list.as_ptr(), object.as_ptr()) };
        (done == 0).then_some(())
    }

    /// A function of ours as an object.
    pub fn new_function(&self, definition: &'static MethodDefinition) -> Option<Owned<'gil>> {
        let definition = ptr::from_ref(definition).cast_mut();
        // SAFETY: the definition stands still, and is only read. The reference is new.
        unsafe {
            let none = ptr::null_mut();
            Owned::new(self, (self.PyCFunction_NewEx)(definition, none, none))
        }
    }

    /// An item of a tuple; `None` if it has not so many, or if this is none.
    pub fn tuple_item<'a>(&self, tuple: Object<'a>, index: usize) -> Option<Object<'a>> {
        // SAFETY: it says itself if this is no tuple, or not so long. A tuple keeps its items.
        unsafe { Object::borrowed((self.PyTuple_GetItem)(tuple.as_ptr(), index as isize)) }
    }

    /// How many items a list has; 0 of anything else, and then an exception is set.
    pub fn list_size(&self, list: Object) -> usize {
        // SAFETY: it says itself if this is no list.
        unsafe { (self.PyList_Size)(list.as_ptr()) }.max(0) as usize
    }

    /// An item of a list; `None` if it has not so many, or if this is none.
    pub fn list_item<'g>(&'g self, list: Object<'g>, index: usize) -> Option<Object<'g>> {
        // SAFETY: it says itself if this is no list, or not so long. The list keeps its items for as long
        // as nobody changes it, and nobody runs who could.
        unsafe { Object::borrowed((self.PyList_GetItem)(list.as_ptr(), index as isize)) }
    }

    /// The items of a list; none of anything else, and then an exception is set.
    pub fn list_items<'g>(&'g self, list: Object<'g>) -> impl Iterator<Item = Object<'g>> {
        (0..self.list_size(list)).map_while(move |index| self.list_item(list, index))
    }

    /// Keys and values of a dictionary, or of an object of a derived class; none of anything else. Of one of
    /// the program's take `dict::entries`, which can be cut.
    pub fn entries<'g>(
        &'g self,
        dictionary: Object<'g>,
    ) -> impl Iterator<Item = (Object<'g>, Object<'g>)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: it says itself if this is no dictionary, and where its entries end. The dictionary
            // keeps them for as long as nobody changes it, and nobody runs who could.
            unsafe {
                let python = self.python();
                let dictionary = dictionary.as_ptr();
                let found = (python.PyDict_Next)(dictionary, &mut at, &mut key, &mut value) != 0;
                found.then(|| (Object::existing(key), Object::existing(value)))
            }
        })
    }

    /// How many entries a dictionary has; 0 of anything else, and then an exception is set.
    pub fn dict_size(&self, dictionary: Object) -> usize {
        // SAFETY: it says itself if this is no dictionary.
        unsafe { (self.PyDict_Size)(dictionary.as_ptr()) }.max(0) as usize
    }

    /// A new, empty set.
    pub fn new_set(&self) -> Option<Owned<'gil>> {
        // SAFETY: null stands for no members; the reference is new.
        unsafe { Owned::new(self, (self.PySet_New)(ptr::null_mut())) }
    }

    /// Puts an `int` into a set of ours and takes it out again.
    pub fn add_and_discard(&self, set: Object, number: Object) -> Option<()> {
        // SAFETY: both are alive; it says itself if the first is no set.
        unsafe {
            let added = (self.PySet_Add)(set.as_ptr(), number.as_ptr()) == 0;
            (added && (self.PySet_Discard)(set.as_ptr(), number.as_ptr()) == 1).then_some(())
        }
    }

    /// What a dictionary of ours has under a name; `None`, maybe with an exception set, if there is nothing.
    pub fn item_named<'g>(&'g self, dictionary: Object<'g>, name: &CStr) -> Option<Object<'g>> {
        // SAFETY: it says itself if this is no dictionary. The dictionary keeps what is in it for as long
        // as nobody changes it, and nobody runs who could: a key that is not `str` is no key of ours.
        unsafe {
            Object::borrowed((self.PyDict_GetItemString)(
                dictionary.as_ptr(),
                name.as_ptr(),
            ))
        }
    }

    /// Puts an object into a dictionary of ours under a name. The dictionary takes a reference of its own.
    pub fn set_item_named(&self, dictionary: Object, name: &CStr, object: Object) -> Option<()> {
        // SAFETY: all are alive; it says itself if the first is no dictionary.
        let done = unsafe {
            (self.PyDict_SetItemString)(dictionary.as_ptr(), name.as_ptr(), object.as_ptr())
        };
        (done == 0).then_some(())
    }

    /// The same under a key, which is an `int` or a `str`.
    pub fn set_item(&self, dictionary: Object, key: Object, object: Object) -> Option<()> {
        // SAFETY: all are alive; it says itself if the first is no dictionary.
        let done =
            unsafe { (self.PyDict_SetItem)(dictionary.as_ptr(), key.as_ptr(), object.as_ptr()) };
        (done == 0).then_some(())
    }

    /// The modules that the program has imported, by name; `None` once the interpreter is being taken apart. (It
    /// ends the process where it is asked for modules that are gone: Python/import.c, 2.6 and 2.7.)
    pub fn modules(&self) -> Option<Object<'_>> {
        // SAFETY: it is not null as long as `Py_Finalize` has not begun. The interpreter keeps it; nobody runs who
        // could take it away.
        self.initialized()
            .then(|| unsafe { Object::existing((self.PyImport_GetModuleDict)()) })
    }

    /// Something of the module `sys`; `None`, maybe with an exception set, if it is not there.
    pub fn of_sys(&self, name: &CStr) -> Option<Object<'_>> {
        // SAFETY: the name is only read. What the module keeps is borrowed; nobody runs who could change
        // that.
        unsafe { Object::borrowed((self.PySys_GetObject)(name.as_ptr().cast_mut())) }
    }

    /// Clears the exception that is set, if one is.
    pub fn clear_exception(&self) {
        // SAFETY: has no conditions but the GIL. (An exception of the program's own that dies here would
        // run its finalizer: those that are set here are ours, or the interpreter's.)
        unsafe { (self.PyErr_Clear)() }
    }

    /// Sets `MemoryError`.
    pub fn no_memory<T>(&self) -> Option<T> {
        // SAFETY: has no conditions but the GIL.
        unsafe { (self.PyErr_NoMemory)() };
        None
    }

    /// Sets `TypeError`.
    pub fn bad_argument<T>(&self) -> Option<T> {
        // SAFETY: has no conditions but the GIL.
        unsafe { (self.PyErr_BadArgument)() };
        None
    }
}

/// What may run Python code, and so let other threads run.
impl<'gil> Gil<'gil> {
    /// Calls a function that we keep. `None`, with no exception set, if it is not kept (yet). An argument
    /// that could not be made, and has left an exception set, may stand among these.
    pub fn call<const COUNT: usize>(
        &mut self,
        function: &Kept,
        arguments: [Option<Owned<'gil>>; COUNT],
    ) -> Option<Owned<'gil>> {
        let function = function.get(self)?.as_ptr();
        let arguments = self.new_tuple(arguments)?;
        // SAFETY: the function is kept, the arguments are a tuple, and the reference is new.
        unsafe {
            Owned::new(
                self,
                (self.PyObject_CallObject)(function, arguments.as_ptr()),
            )
        }
    }

    /// Whether an object that was made is true; false, and the exception is cleared, if it was not.
    pub fn is_true(&mut self, object: Option<Owned<'gil>>) -> bool {
        let Some(object) = object else {
            self.clear_exception();
            return false;
        };
        // SAFETY: the object is alive.
        unsafe { (self.PyObject_IsTrue)(object.as_ptr()) == 1 }
    }

    /// Sets something of the module `sys`; `None` deletes it.
    pub fn set_of_sys(&mut self, name: &CStr, object: Option<Object>) {
        let object = object.map_or(ptr::null_mut(), Object::as_ptr);
        // SAFETY: the name is only read; the module takes a reference of its own. What was there before
        // is given back, which may run a finalizer.
        unsafe { (self.PySys_SetObject)(name.as_ptr().cast_mut(), object) };
    }

    /// An attribute, as the object's class has it.
    pub fn attribute(&mut self, object: Object, name: &CStr) -> Option<Owned<'gil>> {
        // SAFETY: the object is alive, and the reference is new.
        unsafe {
            Owned::new(
                self,
                (self.PyObject_GetAttrString)(object.as_ptr(), name.as_ptr()),
            )
        }
    }

    /// Runs `part` with no exception set, and then sets the one again that was set before.
    pub fn with_exception_aside<R>(&mut self, part: impl FnOnce(&mut Self) -> R) -> R {
        let mut exception: [*mut PyObject; 3] = [ptr::null_mut(); 3];
        let [kind, value, traceback] = &mut exception;
        // SAFETY: the three references, or nulls, are ours in between, and are handed back.
        unsafe { (self.PyErr_Fetch)(kind, value, traceback) };
        let result = part(self);
        let [kind, value, traceback] = exception;
        // SAFETY: as they were fetched.
        unsafe { (self.PyErr_Restore)(kind, value, traceback) };
        result
    }
}

/// A list of tuples that is being made.
pub struct List<'a, 'gil> {
    gil: &'a Gil<'gil>,
    /// `None` once there was no memory for it; and then an exception is set.
    list: Option<Owned<'gil>>,
}

impl<'a, 'gil> List<'a, 'gil> {
    /// An empty one.
    pub fn new(gil: &'a Gil<'gil>) -> Self {
        List {
            gil,
            list: gil.new_list(),
        }
    }

    /// The list, if there was memory for all of it.
    pub fn finish(self) -> Option<Owned<'gil>> {
        self.list
    }

    /// Appends a tuple of these objects.
    pub fn push<const COUNT: usize>(&mut self, objects: [Object; COUNT]) {
        let Some(list) = &self.list else {
            return;
        };
        let tuple = self
            .gil
            .new_tuple(objects.map(|object| Some(self.gil.own(object))));
        let done = tuple.and_then(|tuple| self.gil.append(list.object(), tuple.object()));
        if done.is_none() {
            self.list = None;
        }
    }
}
