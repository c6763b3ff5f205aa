//! The values of variables in every frame, as text: what the command shows under `--locals` and
//! `--globals`.
//!
//! Taken down on the worker, under the GIL, in the same step as the stacks, and running none of the
//! program's code; but for objects' own `repr`, where that is asked for: those come last, one by one.
//!
//! They are written as [`Record`]s.

use std::ptr;

use crate::agent::desk;
use crate::agent::failure::Failure;
use crate::collect::repr::{HIDDEN, LONGEST_NAME, SafeRepr};
use crate::cpython::api::{PyObject, Python};
use crate::cpython::fields::Live;
use crate::cpython::glue::bytes;
use crate::cpython::{dict, guarded_frame, thread_states};
use crate::inspect::attributes;
use crate::inspect::types::Kind;
use crate::script::raised::raised;
use crate::system::bounded_bytes::Bytes;
use crate::system::hash::{Set, Table};
use protocol::question::Question;
use protocol::state::Record;

/// So many calls may be made within each other by an object's `repr`.
const MOST_CALLS: i32 = 400;

/// Of one stack so many frames, counted from the innermost.
const MOST_FRAMES: usize = 5000;

/// Takes them all down. Afterwards, holding the GIL but not alone, [`Values::ask_objects`] goes on.
///
/// # Safety
/// As for `snippet::collect`, while nobody else can run.
pub unsafe fn take(python: &Python, wanted: &Question) -> Result<Values, Failure> {
    let live = Live::known().ok_or(Failure::NoModules)?;
    // SAFETY: the caller's; the reference is given back.
    unsafe {
        let mark = (python.PyString_FromString)(c"_SLEEPER_AGENT".as_ptr());
        if mark.is_null() {
            return Err(raised(python));
        }
        let mut taking = Taking {
            python,
            live,
            wanted,
            shower: SafeRepr::new(python, live, wanted),
            mark,
            values: Values::default(),
            numbers: Table::default(),
        };
        thread_states::for_each(python, &mut |thread| {
            if guarded_frame::is_frame(python, thread.frame) {
                taking.thread(thread.ident, thread.frame as *mut PyObject);
            }
            !taking.values.text.is_full
        });
        let values = taking.values;
        (python.Py_DecRef)(mark);
        Ok(values)
    }
}

/// What was taken down.
#[derive(Default)]
pub struct Values {
    text: Bytes,
    /// Objects whose own `repr` is wanted, with a reference to each.
    objects: Vec<*mut PyObject>,
}

struct Taking<'a> {
    python: &'a Python,
    live: Live,
    wanted: &'a Question,
    shower: SafeRepr<'a>,
    mark: *mut PyObject,
    values: Values,
    /// The numbers of the objects.
    numbers: Table<usize, usize>,
}

/// # Safety
/// For all of them: as for [`take`].
impl Taking<'_> {
    unsafe fn thread(&mut self, ident: usize, innermost: *mut PyObject) {
        self.values.number(Record::Thread, ident);
        let mut frame = innermost;
        let mut count = 0;
        // SAFETY: the caller's; frames are alive as long as their threads are in them.
        unsafe {
            while !frame.is_null() && self.is_own(frame) {
                frame = self.live.back(frame);
            }
            while !frame.is_null() && count < MOST_FRAMES && !self.values.text.is_full {
                self.values
                    .text
                    .record(|out| out.push(&[Record::Frame.letter()]));
                self.frame(frame);
                frame = self.live.back(frame);
                count += 1;
            }
        }
    }

    unsafe fn is_own(&self, frame: *mut PyObject) -> bool {
        // SAFETY: the caller's.
        unsafe { !self.under(self.live.globals(frame), self.mark).is_null() }
    }

    unsafe fn under(&self, dictionary: *mut PyObject, name: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's.
        unsafe { dict::value(self.python, self.live, dictionary, name) }
    }

    unsafe fn frame(&mut self, frame: *mut PyObject) {
        let python = self.python;
        // SAFETY: the caller's; all of it is borrowed.
        unsafe {
            let names = self.live.names_in_dictionary(python, frame);
            let globals = self.live.globals(frame);
            if self.wanted.locals {
                let live = self.live;
                live.variables(python, frame, &mut |name, value| {
                    let is_of_class = !names.is_null()
                        && !live.has_variable(python, live.code(frame), name)
                        && !self.under(names, name).is_null();
                    if !is_of_class {
                        self.variable(Record::Local, name, value);
                    }
                });
                if !names.is_null() {
                    self.in_dictionary(frame, names);
                }
            }
            if self.wanted.globals && names != globals && self.live.is_dictionary(python, globals) {
                let wanted = self.live.looked_up(self.live.code(frame));
                self.each_of(wanted, globals, &mut |taking, name, value| {
                    taking.variable(Record::Global, name, value);
                });
            }
        }
    }

    /// Names that are no variables: first what the frame's code names, then the rest; without what
    /// every module has.
    unsafe fn in_dictionary(&mut self, frame: *mut PyObject, names: *mut PyObject) {
        let (python, live) = (self.python, self.live);
        // By their text: a program may have put one there that is equal to a code's, and not the same.
        let mut told: Set<&[u8]> = Set::default();
        // SAFETY: the caller's.
        unsafe {
            let code = live.code(frame);
            let is_shown = |taking: &Self, name| {
                !taking.is_special(name) && !live.has_variable(python, code, name)
            };
            self.each_of(live.looked_up(code), names, &mut |taking, name, value| {
                if is_shown(taking, name)
                    && told.try_reserve(1).is_ok()
                    && told.insert(bytes(python, name).unwrap_or_default())
                {
                    taking.variable(Record::Local, name, value);
                }
            });
            let (mut at, mut name, mut value) = (0, ptr::null_mut(), ptr::null_mut());
            while !self.values.text.is_full
                && (python.PyDict_Next)(names, &mut at, &mut name, &mut value) != 0
            {
                if is_shown(self, name) && !told.contains(bytes(python, name).unwrap_or_default()) {
                    self.variable(Record::Local, name, value);
                }
            }
        }
    }

    /// Whether this is a name such as `__file__`, or none at all.
    unsafe fn is_special(&self, name: *mut PyObject) -> bool {
        // SAFETY: the caller's.
        unsafe {
            self.live.type_of(name) as usize != self.python.string_type
                || bytes(self.python, name).is_none_or(|name| name.starts_with(b"__"))
        }
    }

    /// What is under these names, a tuple of `str`, in a dictionary.
    unsafe fn each_of(
        &mut self,
        names: *mut PyObject,
        dictionary: *mut PyObject,
        each: &mut dyn FnMut(&mut Self, *mut PyObject, *mut PyObject),
    ) {
        let python = self.python;
        // SAFETY: the caller's.
        unsafe {
            for index in 0..(python.PyTuple_Size)(names) {
                let name = (python.PyTuple_GetItem)(names, index);
                let value = self.under(dictionary, name);
                if !value.is_null() {
                    each(self, name, value);
                }
            }
        }
    }

    unsafe fn variable(&mut self, what: Record, name: *mut PyObject, value: *mut PyObject) {
        // SAFETY: the caller's.
        unsafe {
            if !self.entry(what, name, value) || self.shower.kinds.of(value).0 != Kind::Other {
                return;
            }
            if self.wanted.repr && self.ask_later(value).is_some() {
                return;
            }
            let attributes = attributes::own(self.python, self.live, value);
            if attributes.is_null() {
                return;
            }
            let (mut at, mut name, mut value) = (0, ptr::null_mut(), ptr::null_mut());
            let mut count = 0;
            while count < self.wanted.items as usize
                && (self.python.PyDict_Next)(attributes, &mut at, &mut name, &mut value) != 0
            {
                count += 1;
                self.entry(Record::Attribute, name, value);
            }
            let all = (self.python.PyDict_Size)(attributes).max(0) as usize;
            let left_out = all - count.min(all);
            if left_out > 0 {
                self.values.number(Record::AttributesLeftOut, left_out);
            }
        }
    }

    /// A name and its value; false if that is hidden, or the name is none.
    unsafe fn entry(&mut self, what: Record, name: *mut PyObject, value: *mut PyObject) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let is_text = self.live.type_of(name) as usize == self.python.string_type;
            if !is_text || self.values.text.is_full {
                return false;
            }
            let text = bytes(self.python, name).unwrap_or_default();
            let hidden = self.shower.is_hidden(name);
            let shower = &mut self.shower;
            self.values.text.record(|out| {
                out.push(&[what.letter()]);
                out.measured(|out| out.push(&text[..text.len().min(LONGEST_NAME)]));
                out.measured(|out| match hidden {
                    true => out.push(HIDDEN),
                    false => shower.show(value, out),
                });
            });
            !hidden
        }
    }

    /// Keeps an object to be asked for its own `repr`; `None` if there is no memory.
    unsafe fn ask_later(&mut self, object: *mut PyObject) -> Option<()> {
        self.numbers.try_reserve(1).ok()?;
        self.values.objects.try_reserve(1).ok()?;
        let objects = &mut self.values.objects;
        let number = *self.numbers.entry(object as usize).or_insert_with(|| {
            // SAFETY: the caller's; given back in `ask_objects`.
            unsafe { (self.python.Py_IncRef)(object) };
            objects.push(object);
            objects.len() - 1
        });
        self.values.number(Record::ReprFollows, number);
        Some(())
    }
}

impl Values {
    /// Asks objects for their own `repr`, until the request is withdrawn: it is the program's code, and
    /// may take as long as it likes, let others run, and raise what it likes. Gives the objects back;
    /// one that only we still had dies here, as it would have on the thread that let go of it.
    ///
    /// # Safety
    /// As for `snippet::collect`.
    pub unsafe fn ask_objects(&mut self, python: &Python, request: u32, length: u32) {
        if self.objects.is_empty() {
            return;
        }
        // SAFETY: the caller's. The worker's stack is smaller than the program expects of one.
        let calls = unsafe { thread_states::leave_calls(python, MOST_CALLS) };
        for (number, &object) in self.objects.iter().enumerate() {
            // SAFETY: the caller's; the reference to the object is ours, and given back.
            unsafe {
                if !python.initialized() {
                    // Being taken apart, it must be left alone.
                    break;
                }
                if desk::request() == Some(request) {
                    let text = (python.PyObject_Repr)(object);
                    let whole = match text.is_null() {
                        true => None,
                        false => bytes(python, text),
                    };
                    let whole = whole.unwrap_or(b"<its repr raised an exception>");
                    let shown = &whole[..whole.len().min(length as usize)];
                    self.text.record(|out| {
                        out.push(&[Record::Repr.letter()]);
                        out.push(&(number as u64).to_ne_bytes());
                        out.measured(|out| {
                            out.push(shown);
                            if shown.len() < whole.len() {
                                out.push(b"...");
                            }
                        });
                    });
                    (python.Py_DecRef)(text);
                    (python.PyErr_Clear)();
                }
                (python.Py_DecRef)(object);
            }
        }
        self.objects.clear();
        if python.initialized() {
            // SAFETY: as above; the thread state is still there.
            unsafe { thread_states::set_calls(python, calls) };
        }
    }

    fn number(&mut self, what: Record, number: usize) {
        self.text.record(|out| {
            out.push(&[what.letter()]);
            out.push(&(number as u64).to_ne_bytes());
        });
    }

    /// All of it.
    pub fn finish(self) -> Vec<u8> {
        self.text.finish(&[Record::Cut.letter()])
    }
}
