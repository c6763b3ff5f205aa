//! The snippet's `_stacks`, done by the library: the program stands still while stacks are taken
//! down, and the interpreter takes some ten times as long for a frame.
//!
//! On the worker, under the GIL, where the boot has found the layout of frames to be as it is
//! known. The snippet's own is the same thing in Python, for all other cases.

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::agent::failure::Failure;
use crate::agent::panics;
use crate::collect::lock_frames::Noted;
use crate::cpython::api::{METH_O, Methods, PyObject, Python, method};
use crate::cpython::fields::Live;
use crate::cpython::glue::{self, bytes, pair};
use crate::cpython::{dict, find};
use crate::inspect::objects::Objects;
use crate::script::{namespace, undisturbed};
use crate::system::hash::Table;
use crate::system::memory_budget;

static METHODS: Methods<1> = Methods([method(c"_stacks".as_ptr(), stacks, METH_O)]);

/// The snippet's own; null until first needed in an interpreter's life. Read and written only by who
/// holds the GIL.
static IN_PYTHON: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    IN_PYTHON.store(ptr::null_mut(), Ordering::Relaxed);
}

/// Puts the function into the snippet's namespace in place of its own, if it can be used here.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn put_in_place(python: &Python, namespace: *mut PyObject) -> Result<(), Failure> {
    if Live::known().is_none() {
        return Ok(());
    }
    // SAFETY: the caller's.
    unsafe {
        let own = (python.PyDict_GetItemString)(namespace, c"_stacks".as_ptr());
        (python.Py_IncRef)(own);
        let former = IN_PYTHON.swap(own, Ordering::Relaxed);
        (python.Py_DecRef)(former);
        namespace::put_methods(python, namespace, &METHODS.0)
    }
}

/// `_stacks(frames)`, called by the snippet: see there.
unsafe extern "C-unwind" fn stacks(_: *mut PyObject, frames: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (find::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL. All that is made here is given back here,
    // but for what is returned; where that is null, an exception is set.
    unsafe {
        if !undisturbed::can_stop_collector(python) {
            // A finalizer may let others run, and frames go.
            (python.Py_IncRef)(frames);
            return glue::call(python, &IN_PYTHON, &[frames]);
        }
        // Greenlets, which have numbers below zero, have seen to it themselves.
        let mut threads = 0;
        let count = &mut |ident, _| {
            threads += usize::from(Objects { python, live }.number(ident) >= 0);
            true
        };
        if !live.for_each_stack(python, frames, count) {
            return ptr::null_mut();
        }
        if !memory_budget::has_memory_for(threads) {
            return (python.PyErr_NoMemory)();
        }
        panics::may_come("working");
        let Some(mut taking) = Taking::new(python, live) else {
            return ptr::null_mut();
        };
        let result = match taking.all(frames) {
            Some(()) => {
                let threads = std::mem::replace(&mut taking.threads, ptr::null_mut());
                let places = std::mem::replace(&mut taking.places, ptr::null_mut());
                std::mem::take(&mut taking.noted).keep();
                made(pair(python, [threads, places]))
            }
            None => None,
        };
        taking.give_back();
        result.unwrap_or(ptr::null_mut())
    }
}

/// What is being taken down. The lists and the keys are ours; code objects are alive as long as the
/// frames are, that is while the GIL is held.
struct Taking<'a> {
    python: &'a Python,
    live: Live,
    threads: *mut PyObject,
    places: *mut PyObject,
    /// `_SLEEPER_AGENT`, `__loader__` and `__name__`.
    keys: [*mut PyObject; 3],
    /// Each place's index, by its code object and [`Frame::position`], and as an `int`.
    indices: Table<(usize, i64), usize>,
    numbers: Vec<*mut PyObject>,
    /// Which of them are in functions named `wait`.
    waits: Vec<bool>,
    /// The indices of one stack's places, innermost first.
    calls: Vec<usize>,
    /// By those: the lists that there are already. Many threads are often in the same stack.
    stacks: Table<Vec<usize>, *mut PyObject>,
    noted: Noted,
}

/// Every function here returns `None`, or null, with an exception set, if there is no memory.
///
/// # Safety
/// For all of them: on the worker, holding the GIL, while no other thread can get it.
impl<'a> Taking<'a> {
    unsafe fn new(python: &'a Python, live: Live) -> Option<Taking<'a>> {
        let text = |text: &CStr| -> *mut PyObject {
            // SAFETY: the caller's.
            unsafe { (python.PyString_FromString)(text.as_ptr()) }
        };
        // SAFETY: the caller's.
        let list = || unsafe { (python.PyList_New)(0) };
        let mut taking = Taking {
            python,
            live,
            threads: list(),
            places: list(),
            keys: [c"_SLEEPER_AGENT", c"__loader__", c"__name__"].map(text),
            indices: Table::default(),
            numbers: Vec::new(),
            waits: Vec::new(),
            calls: Vec::new(),
            stacks: Table::default(),
            noted: Noted::default(),
        };
        if taking.ours().any(|one| one.is_null()) {
            // SAFETY: the caller's.
            unsafe { taking.give_back() };
            return None;
        }
        Some(taking)
    }

    /// All objects that are to be given back.
    fn ours(&self) -> impl Iterator<Item = *mut PyObject> {
        let lists = [self.threads, self.places];
        let numbers = self.numbers.iter().chain(self.stacks.values());
        let numbers = numbers.copied();
        lists.into_iter().chain(self.keys).chain(numbers)
    }

    unsafe fn give_back(&mut self) {
        for one in self.ours().filter(|one| !one.is_null()) {
            // SAFETY: a reference of ours, given back once.
            unsafe { (self.python.Py_DecRef)(one) };
        }
    }

    /// Takes down all stacks.
    unsafe fn all(&mut self, frames: *mut PyObject) -> Option<()> {
        let (python, live) = (self.python, self.live);
        // SAFETY: the caller's.
        unsafe {
            live.for_each_stack(python, frames, &mut |ident, frame| {
                self.thread(ident, frame).is_some()
            })
        }
        .then_some(())
    }

    /// Adds a thread to the list, unless it is the agent's own.
    unsafe fn thread(&mut self, ident: *mut PyObject, innermost: *mut PyObject) -> Option<()> {
        let python = self.python;
        // SAFETY: the caller's.
        unsafe {
            if self.stack(innermost)? {
                let calls = match self.stacks.get(&self.calls) {
                    Some(&calls) => calls,
                    None => self.new_stack()?,
                };
                (python.Py_IncRef)(calls);
                (python.Py_IncRef)(ident);
                let thread = made(pair(python, [ident, calls]))?;
                append(python, self.threads, thread)?;
            }
        }
        Some(())
    }

    /// Takes one stack down into `self.calls`; false if it is the agent's own.
    unsafe fn stack(&mut self, innermost: *mut PyObject) -> Option<bool> {
        self.calls.clear();
        let mut frame = innermost;
        let mut outermost = ptr::null_mut();
        // SAFETY: the caller's; a frame keeps its code, its globals and the one that called it.
        unsafe {
            while !frame.is_null() && self.is_own(frame) {
                frame = self.live.back(frame);
            }
            while !frame.is_null() {
                let index = self.place(frame)?;
                if self.calls.try_reserve(1).is_err() {
                    return self.no_memory();
                }
                self.calls.push(index);
                if (self.live.blocks(frame) > 0 || self.waits[index]) && !self.noted.add(frame) {
                    return self.no_memory();
                }
                outermost = frame;
                frame = self.live.back(frame);
                if !frame.is_null() && !self.live.is_frame(self.python, frame) {
                    (self.python.PyErr_BadArgument)();
                    return None;
                }
            }
            if !self.noted.end_stack(innermost) {
                return self.no_memory();
            }
            Some(!outermost.is_null() && !self.is_own(outermost))
        }
    }

    unsafe fn is_own(&self, frame: *mut PyObject) -> bool {
        // SAFETY: the caller's.
        unsafe { !self.under(self.live.globals(frame), self.keys[0]).is_null() }
    }

    unsafe fn under(&self, dictionary: *mut PyObject, name: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's; what is got is borrowed.
        unsafe { dict::value(self.python, self.live, dictionary, name) }
    }

    /// The index of a frame's place, which is new or has been met before.
    unsafe fn place(&mut self, frame: *mut PyObject) -> Option<usize> {
        // SAFETY: the caller's.
        unsafe {
            let code = self.live.code(frame);
            let key = (code as usize, self.live.position(self.python, frame)?);
            if let Some(&index) = self.indices.get(&key) {
                return Some(index);
            }
            let index = self.numbers.len();
            if self.indices.try_reserve(1).is_err()
                || self.numbers.try_reserve(1).is_err()
                || self.waits.try_reserve(1).is_err()
            {
                return self.no_memory();
            }
            let number = made((self.python.PyInt_FromLong)(index as i64))?;
            self.numbers.push(number);
            let line = self.live.line(self.python, code, key.1);
            let place = self.described(frame, code, line)?;
            append(self.python, self.places, place)?;
            let [_, name] = self.live.names(code);
            self.waits.push(bytes(self.python, name) == Some(b"wait"));
            self.indices.insert(key, index);
            Some(index)
        }
    }

    /// (file name, function, line, what linecache wants of its globals)
    unsafe fn described(
        &self,
        frame: *mut PyObject,
        code: *mut PyObject,
        line: i64,
    ) -> Option<*mut PyObject> {
        let python = self.python;
        // SAFETY: the caller's; a tuple's item takes over the reference.
        unsafe {
            let place = made((python.PyTuple_New)(4))?;
            let [file, name] = self.live.names(code).map(|name| self.plain(name));
            let items = [
                file,
                name,
                (python.PyInt_FromLong)(line),
                self.origin(self.live.globals(frame)),
            ];
            for (index, item) in items.into_iter().enumerate() {
                (python.PyTuple_SetItem)(place, index as isize, item);
            }
            if items.iter().any(|item| item.is_null()) {
                (python.Py_DecRef)(place);
                return None;
            }
            Some(place)
        }
    }

    /// A `str`, or a copy of one that is of a class of its own: a new reference.
    unsafe fn plain(&self, text: *mut PyObject) -> *mut PyObject {
        let python = self.python;
        // SAFETY: the caller's.
        unsafe {
            if self.live.type_of(text) as usize == python.string_type {
                (python.Py_IncRef)(text);
                return text;
            }
            match bytes(python, text) {
                Some(text) => {
                    (python.PyString_FromStringAndSize)(text.as_ptr().cast(), text.len() as isize)
                }
                None => ptr::null_mut(),
            }
        }
    }

    /// The snippet's `_origin`: a new reference.
    unsafe fn origin(&self, globals: *mut PyObject) -> *mut PyObject {
        let python = self.python;
        // SAFETY: the caller's; what is got is borrowed, and the dictionary takes its own.
        unsafe {
            if self.under(globals, self.keys[1]).is_null() {
                let none = python._Py_NoneStruct;
                (python.Py_IncRef)(none);
                return none;
            }
            let origin = (python.PyDict_New)();
            for key in self
                .keys
                .into_iter()
                .skip(1)
                .take_while(|_| !origin.is_null())
            {
                let value = self.under(globals, key);
                if !value.is_null() && (python.PyDict_SetItem)(origin, key, value) != 0 {
                    (python.Py_DecRef)(origin);
                    return ptr::null_mut();
                }
            }
            origin
        }
    }

    /// The last stack's places, outermost first, as a list; it is kept among [`Taking::stacks`].
    unsafe fn new_stack(&mut self) -> Option<*mut PyObject> {
        let python = self.python;
        // SAFETY: the caller's; a list's item takes over the reference.
        unsafe {
            let mut key = Vec::new();
            if self.stacks.try_reserve(1).is_err()
                || key.try_reserve_exact(self.calls.len()).is_err()
            {
                return self.no_memory();
            }
            key.extend_from_slice(&self.calls);
            let calls = made((python.PyList_New)(self.calls.len() as isize))?;
            for (position, &index) in self.calls.iter().rev().enumerate() {
                let number = self.numbers[index];
                (python.Py_IncRef)(number);
                (python.PyList_SetItem)(calls, position as isize, number);
            }
            self.stacks.insert(key, calls);
            Some(calls)
        }
    }

    unsafe fn no_memory<T>(&self) -> Option<T> {
        // SAFETY: the caller's.
        unsafe { (self.python.PyErr_NoMemory)() };
        None
    }
}

fn made(object: *mut PyObject) -> Option<*mut PyObject> {
    (!object.is_null()).then_some(object)
}

/// Appends an object, whose reference it takes over.
///
/// # Safety
/// Holding the GIL; the objects are alive.
unsafe fn append(python: &Python, list: *mut PyObject, object: *mut PyObject) -> Option<()> {
    // SAFETY: the caller's; the list takes a reference of its own.
    unsafe {
        let done = (python.PyList_Append)(list, object) == 0;
        (python.Py_DecRef)(object);
        done.then_some(())
    }
}
