//! What `facts.py` looks at frames and objects with: functions that run none of the program's code,
//! and change nothing in a frame. (`frame.f_locals` copies a function's variables into a dictionary
//! that the program may have got from `locals()`.)
//!
//! On the worker, under the GIL. They are there where the boot has found the layout of frames to be as
//! it is known.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::failure::Failure;
use crate::live::Live;
use crate::python::{self, METH_O, METH_VARARGS, Methods, PyObject, Python, method};
use crate::{carried, dictionary};

static METHODS: Methods<6> = Methods([
    method(c"_item".as_ptr(), item, METH_VARARGS),
    method(c"_attributes".as_ptr(), attributes, METH_O),
    method(c"_variables".as_ptr(), variables, METH_O),
    method(c"_variable".as_ptr(), variable, METH_VARARGS),
    method(c"_exits".as_ptr(), exits, METH_VARARGS),
    method(c"_having".as_ptr(), having, METH_VARARGS),
]);

/// Puts the functions into the namespace of `facts.py`.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn put_in(python: &Python, namespace: *mut PyObject) -> Result<(), Failure> {
    if Live::known().is_none() {
        return Ok(());
    }
    // SAFETY: the caller's; a module's item is borrowed, and the reference to the type is kept.
    // Where the module is not imported there are none.
    unsafe {
        let modules = (python.PyImport_GetModuleDict)();
        let module = (python.PyDict_GetItemString)(modules, c"thread".as_ptr());
        if !module.is_null() {
            let local = (python.PyObject_GetAttrString)(module, c"_local".as_ptr());
            // It was found before, where there was no memory for the rest.
            (python.Py_DecRef)(LOCAL.swap(local, Ordering::Relaxed));
        }
        (python.PyErr_Clear)();
    }
    // SAFETY: the caller's.
    unsafe { carried::put_methods(python, namespace, &METHODS.0) }
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

/// `_attributes(object)`: the dictionary that holds an object's own attributes, or `None`, also if that
/// is of a class with ideas of its own, or with keys that are not all `str`; without asking the object or
/// its class.
unsafe extern "C-unwind" fn attributes(_: *mut PyObject, object: *mut PyObject) -> *mut PyObject {
    let Some(python) = python::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL.
    unsafe {
        let mut result = python._Py_NoneStruct;
        if let Some(live) = Live::known() {
            let dictionary = own(python, live, object);
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

/// Every frame of every thread in a dictionary as `sys._current_frames()` returns it: the thread's
/// identifier (an object), and the frame. False, with an exception set, if it is no such dictionary.
///
/// # Safety
/// Holding the GIL; `each` lets nobody else run.
unsafe fn for_each_frame(
    python: &Python,
    live: Live,
    frames: *mut PyObject,
    each: &mut dyn FnMut(*mut PyObject, *mut PyObject),
) -> bool {
    // SAFETY: the caller's.
    unsafe {
        live.for_each_stack(python, frames, &mut |ident, innermost| {
            let mut frame = innermost;
            while !frame.is_null() && live.is_frame(python, frame) {
                each(ident, frame);
                frame = live.back(frame);
            }
            true
        })
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

/// `_variable(frame, name)`: the value of a function's local variable, as a tuple of one, or `None`.
unsafe extern "C-unwind" fn variable(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (python::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL, with a tuple; a new tuple's item takes over
    // the reference.
    unsafe {
        let Some([frame, wanted]) = given(python, arguments) else {
            return ptr::null_mut();
        };
        if !live.is_frame(python, frame) {
            (python.PyErr_BadArgument)();
            return ptr::null_mut();
        }
        let mut found = ptr::null_mut();
        // Names in code are interned, and so is what looks like one in the text of `facts.py`.
        live.variables(python, frame, &mut |name, value| {
            if name == wanted {
                found = value;
            }
        });
        tuple_of(python, found)
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

/// `_exits(frames, code)`: what is to be called at the ends of the `with` blocks that threads are in, as
/// (identifier, frame, `__exit__`), and other things (see [`Live::exits`]); and the code itself of each
/// frame that runs it.
unsafe extern "C-unwind" fn exits(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (python::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL, with a tuple.
    unsafe {
        let Some([frames, code]) = given(python, arguments) else {
            return ptr::null_mut();
        };
        let mut list = List::new(python);
        let whole = for_each_frame(python, live, frames, &mut |ident, frame| {
            if live.code(frame) == code {
                list.push(&[ident, frame, code]);
            }
            live.exits(frame, &mut |exit| list.push(&[ident, frame, exit]));
        });
        list.made_of(whole)
    }
}

/// `_having(frames, objects)`: which threads have one of these in a variable, as (identifier, object).
unsafe extern "C-unwind" fn having(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (python::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL, with a tuple.
    unsafe {
        let Some([frames, objects]) = given(python, arguments) else {
            return ptr::null_mut();
        };
        let count = (python.PyTuple_Size)(objects);
        if count < 0 {
            return ptr::null_mut();
        }
        let mut wanted = Vec::new();
        if wanted.try_reserve_exact(count as usize).is_err() {
            return (python.PyErr_NoMemory)();
        }
        wanted.extend((0..count).map(|index| (python.PyTuple_GetItem)(objects, index)));
        wanted.sort_unstable();
        let mut list = List::new(python);
        let whole = for_each_frame(python, live, frames, &mut |ident, frame| {
            // Of nearly all frames it is enough to look at this.
            let mut here = false;
            live.slots(python, frame, &mut |value| {
                here |= wanted.binary_search(&value).is_ok();
            });
            if !here {
                return;
            }
            live.variables(python, frame, &mut |_, value| {
                if wanted.binary_search(&value).is_ok() {
                    list.push(&[ident, value]);
                }
            });
        });
        list.made_of(whole)
    }
}
