//! What `greenlets.py` looks at frames and objects with: functions that run none of the program's code,
//! and change nothing in a frame. (`frame.f_locals` copies a function's variables into a dictionary
//! that the program may have got from `locals()`.)
//!
//! On the worker, under the GIL, where the boot has found the layout of frames to be as it is known.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::calls::Calls;
use crate::failure::Failure;
use crate::live::Live;
use crate::objects::Objects;
use crate::python::{self, METH_O, METH_VARARGS, Methods, PyObject, Python, method};
use crate::{carried, dictionary};

static METHODS: Methods<4> = Methods([
    method(c"_item".as_ptr(), item, METH_VARARGS),
    method(c"_attributes".as_ptr(), attributes, METH_O),
    method(c"_variables".as_ptr(), variables, METH_O),
    method(c"_called".as_ptr(), called, METH_O),
]);

/// Puts the functions into a namespace.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn put_in(python: &Python, namespace: *mut PyObject) -> Result<(), Failure> {
    // SAFETY: the caller's.
    unsafe { carried::put_methods(python, namespace, &METHODS.0) }
}

/// Finds `thread._local`, in a program that has threads.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn find_local(python: &Python) {
    // SAFETY: the caller's; what is looked at is borrowed, and a reference to the type is kept.
    unsafe {
        if let Some(objects) = Objects::known(python) {
            let local = objects.attribute(objects.module(b"thread"), b"_local");
            (python.Py_IncRef)(local);
            // It was found before, where there was no memory for the rest.
            (python.Py_DecRef)(LOCAL.swap(local, Ordering::Relaxed));
        }
    }
}

/// `thread._local`; null until it is found.
static LOCAL: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// Whether this is a `threading.local`: that has a dictionary for each thread, and in the object the
/// one of whoever used it last (2.6, Modules/threadmodule.c).
///
/// # Safety
/// Holding the GIL, the layout of objects known; the object is alive.
unsafe fn is_local(python: &Python, object: *mut PyObject) -> bool {
    let local = LOCAL.load(Ordering::Relaxed);
    // SAFETY: the caller's; both are types, and no code of theirs runs (Objects/typeobject.c).
    unsafe {
        !local.is_null()
            && Live::known()
                .is_some_and(|live| (python.PyType_IsSubtype)(live.type_of(object), local) != 0)
    }
}

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    LOCAL.store(ptr::null_mut(), Ordering::Relaxed);
}

/// `_attributes(object)`: the dictionary that holds an object's own attributes (of a class of either style,
/// what it holds itself), or `None`, also if that is of a class with ideas of its own, or with keys that are
/// not all `str`; without asking the object or its class.
unsafe extern "C-unwind" fn attributes(_: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    let Some(python) = python::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL.
    unsafe {
        let mut result = python._Py_NoneStruct;
        if let Some(live) = Live::known() {
            let dictionary = held(python, live, object);
            if !dictionary.is_null() && dictionary::has_names_only(python, live, dictionary) {
                result = dictionary;
            }
        }
        (python.Py_IncRef)(result);
        result
    }
}

/// The dictionary that holds an object's own attributes, borrowed; null if it has none, or one of a
/// class with ideas of its own. Neither the object nor its class is asked.
///
/// # Safety
/// Holding the GIL; the object is alive.
pub unsafe fn own(python: &Python, live: Live, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's. It computes where the pointer stands from the sizes in the object's type
    // (Objects/object.c, 2.6 and 2.7).
    unsafe {
        let place = (python._PyObject_GetDictPtr)(object);
        let dictionary = if is_local(python, object) {
            ptr::null_mut()
        } else if !place.is_null() {
            place.read()
        } else {
            live.old_attributes(python, object)
        };
        if dictionary.is_null() || !live.is_dictionary(python, dictionary) {
            return ptr::null_mut();
        }
        dictionary
    }
}

/// The same; and of a class of the old style what it holds itself, as is so for one of the new.
///
/// # Safety
/// As for [`own`].
pub unsafe fn held(python: &Python, live: Live, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's. PyClassObject (Include/classobject.h): cl_bases, cl_dict, which may be of a
    // class of its own.
    unsafe {
        if live.type_of(object) != python.PyClass_Type {
            return own(python, live, object);
        }
        let dictionary = live.word(object, 0, size_of::<usize>());
        match live.is_dictionary(python, dictionary) {
            true => dictionary,
            false => ptr::null_mut(),
        }
    }
}

/// A list that is being made; null once there was no memory for it.
pub struct List<'a> {
    python: &'a Python,
    list: *mut PyObject,
}

impl<'a> List<'a> {
    /// An empty one.
    ///
    /// # Safety
    /// Holding the GIL, for the life of the list.
    pub unsafe fn new(python: &'a Python) -> Self {
        // SAFETY: the caller's.
        let list = unsafe { (python.PyList_New)(0) };
        Self { python, list }
    }

    /// How many there are in it.
    pub fn len(&self) -> usize {
        if self.list.is_null() {
            return 0;
        }
        // SAFETY: as for `new`.
        unsafe { (self.python.PyList_Size)(self.list) as usize }
    }

    /// The list, if all went well; or null, and an exception is set.
    pub fn made_of(self, whole: bool) -> *mut PyObject {
        if whole {
            return self.list;
        }
        // SAFETY: as for `new`; null is let pass.
        unsafe { (self.python.Py_DecRef)(self.list) };
        ptr::null_mut()
    }

    /// Appends a tuple of these objects, all of them alive.
    pub fn push(&mut self, objects: &[*mut PyObject]) {
        if self.list.is_null() {
            return;
        }
        let python = self.python;
        // SAFETY: as for `new`; a tuple's item takes over a reference, the list takes its own.
        unsafe {
            let tuple = (python.PyTuple_New)(objects.len() as isize);
            let mut done = false;
            if !tuple.is_null() {
                for (index, &object) in objects.iter().enumerate() {
                    (python.Py_IncRef)(object);
                    (python.PyTuple_SetItem)(tuple, index as isize, object);
                }
                done = (python.PyList_Append)(self.list, tuple) == 0;
                (python.Py_DecRef)(tuple);
            }
            if !done {
                (python.Py_DecRef)(self.list);
                self.list = ptr::null_mut();
            }
        }
    }
}

/// `_variables(frame)`: a function's local variables, as (name, value).
unsafe extern "C-unwind" fn variables(_: *mut PyObject, frame: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (python::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL.
    unsafe {
        if !live.is_frame(python, frame) {
            (python.PyErr_BadArgument)();
            return ptr::null_mut();
        }
        let mut list = List::new(python);
        live.variables(python, frame, &mut |name, value| list.push(&[name, value]));
        list.list
    }
}

/// What a function was called with, so many objects, borrowed; `None`, with an exception set, if it was
/// not: 2.6 calls without where there is no memory for them.
///
/// # Safety
/// Holding the GIL; `arguments` is what METH_VARARGS gives.
pub unsafe fn given<const COUNT: usize>(
    python: &Python,
    arguments: *mut PyObject,
) -> Option<[*mut PyObject; COUNT]> {
    // SAFETY: the caller's; what is out of range is null, and raises.
    unsafe {
        if arguments.is_null() {
            (python.PyErr_NoMemory)();
            return None;
        }
        let mut objects = [ptr::null_mut(); COUNT];
        for (index, object) in objects.iter_mut().enumerate() {
            *object = (python.PyTuple_GetItem)(arguments, index as isize);
            if object.is_null() {
                return None;
            }
        }
        Some(objects)
    }
}

/// `_item(dictionary, name)`: what a dictionary has under a `str`, as a tuple of one, or `None`, also if
/// this is something else; without asking the classes of its keys.
unsafe extern "C-unwind" fn item(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (python::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL, with a tuple.
    unsafe {
        let Some([dictionary, name]) = given(python, arguments) else {
            return ptr::null_mut();
        };
        tuple_of(python, dictionary::value(python, live, dictionary, name))
    }
}

/// A tuple of one; `None` of null.
///
/// # Safety
/// Holding the GIL; the object is alive.
unsafe fn tuple_of(python: &Python, object: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller's; a tuple's item takes over the reference.
    unsafe {
        if object.is_null() {
            (python.Py_IncRef)(python._Py_NoneStruct);
            return python._Py_NoneStruct;
        }
        let tuple = (python.PyTuple_New)(1);
        if !tuple.is_null() {
            (python.Py_IncRef)(object);
            (python.PyTuple_SetItem)(tuple, 0, object);
        }
        tuple
    }
}

/// `_called(frame)`: what a frame is calling, as far as its code names it plainly, as (object, name of
/// its attribute); or `None`.
unsafe extern "C-unwind" fn called(_: *mut PyObject, frame: *mut PyObject) -> *mut PyObject {
    let Some(objects) = python::found().and_then(Objects::known) else {
        return ptr::null_mut();
    };
    let python = objects.python;
    // SAFETY: called by the interpreter, holding the GIL; the references are handed over.
    unsafe {
        if !objects.live.is_frame(python, frame) {
            (python.PyErr_BadArgument)();
            return ptr::null_mut();
        }
        let called = Calls::new(objects).of(frame).called;
        let Some((object, name)) = called.filter(|(object, _)| !object.is_null()) else {
            (python.Py_IncRef)(python._Py_NoneStruct);
            return python._Py_NoneStruct;
        };
        (python.Py_IncRef)(object);
        let name = (python.PyString_FromStringAndSize)(name.as_ptr().cast(), name.len() as isize);
        carried::pair(python, [object, name])
    }
}
