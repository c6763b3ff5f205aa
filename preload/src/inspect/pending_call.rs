//! What a frame is calling, as its code says.
//!
//! On the worker, under the GIL: none of the program's code is run for it.

use std::ffi::c_int;
use std::ptr;

use crate::cpython::api::PyObject;
use crate::cpython::dict;
use crate::cpython::layout::{
    CODE_CELLS, CODE_CONSTANTS, CODE_FREE, CODE_LINE_TABLE, CODE_NAMES, CODE_TEXT, CODE_VARIABLES,
    FRAME_BUILT_INS, FRAME_NAMES, WORD,
};
use crate::inspect::bytecode::{
    CALL_FUNCTION, DUP_TOP, LOAD_CONST, LOAD_DEREF, LOAD_FAST, LOAD_GLOBAL, LOAD_NAME, Line,
    NUMBERS_2_6, NUMBERS_2_7, Numbers, POP_TOP, ROT_TWO, STORE_FAST, STORE_NAME, line,
};
use crate::inspect::objects::Objects;
use crate::system::hash::Table;

/// More arguments are no call of those that are known here.
const MOST_ARGUMENTS: usize = 255;

/// CO_NEWLOCALS (Include/code.h): of other code the names are not its own.
const OWN_NAMES: c_int = 2;

const ENTER: &[u8] = b"__enter__";

/// What an instruction has put on the stack.
#[derive(Clone, Copy)]
pub enum Value {
    /// It is not known.
    Unknown,
    /// This object.
    Known(*mut PyObject),
    /// An attribute of this object that is to be found in its class, under this name.
    OfClass(*mut PyObject, &'static [u8]),
}

impl Value {
    /// An attribute of it, which is its own if `own` finds that.
    fn attribute(self, name: &'static [u8], own: impl Fn(*mut PyObject) -> *mut PyObject) -> Value {
        let Value::Known(object) = self else {
            return Value::Unknown;
        };
        let held = own(object);
        match held.is_null() {
            true => Value::OfClass(object, name),
            false => Value::Known(held),
        }
    }
}

/// A call that a frame is in.
#[derive(Default)]
pub struct PythonCall {
    /// What is called, if it is known: an object, or null, and the name of its attribute.
    pub called: Option<(*mut PyObject, &'static [u8])>,
    /// What it is called with, not by name; nothing, where it is not known what is called.
    pub arguments: Vec<Value>,
    /// Whether it is the call that begins a `with` block.
    pub begins: bool,
}

/// Reads calls, and keeps what has been read of code.
pub struct Calls<'a> {
    reading: Reading<'a>,
    /// By code and instruction. Not by what the code is made of, by which it compares.
    lines: Table<(usize, c_int), Line>,
}

#[derive(Clone, Copy)]
struct Reading<'a> {
    objects: Objects<'a>,
    numbers: &'static Numbers,
}

/// # Safety
/// For all of them: as for [`Objects`]; frames are frames.
impl<'a> Calls<'a> {
    pub fn new(objects: Objects<'a>) -> Self {
        let numbers = match objects.python.is_2_6 {
            true => &NUMBERS_2_6,
            false => &NUMBERS_2_7,
        };
        Calls {
            reading: Reading { objects, numbers },
            lines: Table::default(),
        }
    }

    /// What a frame is calling, as far as the line that it is in names it plainly.
    pub unsafe fn of(&mut self, frame: *mut PyObject) -> PythonCall {
        let reading = self.reading;
        // SAFETY: the caller's.
        unsafe {
            let live = reading.objects.live;
            let (code, last) = (live.code(frame), live.last_instruction(frame));
            let key = (code as usize, last);
            if !self.lines.contains_key(&key) {
                if self.lines.try_reserve(1).is_err() {
                    return PythonCall::default();
                }
                let line = reading.line(code, last).unwrap_or_default();
                self.lines.insert(key, line);
            }
            let line = self.lines.get(&key).map_or(&[][..], Vec::as_slice);
            reading.call(frame, code, line).unwrap_or_default()
        }
    }

    /// Whether a frame that is in this call is importing something, as the interpreter itself does it:
    /// holding the import lock, or waiting for it.
    pub unsafe fn imports(&self, frame: *mut PyObject, call: &PythonCall) -> bool {
        let Reading { objects, numbers } = self.reading;
        let (python, live) = (objects.python, objects.live);
        // SAFETY: the caller's; the dictionary is a frame's.
        unsafe {
            let function = if let Some((module, name)) = call.called {
                if !matches!(name, b"__import__" | b"acquire_lock") {
                    return false;
                }
                objects.attribute(module, name)
            } else {
                let text = objects.bytes(live.word(live.code(frame), 0, CODE_TEXT));
                let last = usize::try_from(live.last_instruction(frame)).ok();
                let instruction = text.and_then(|text| text.get(last?));
                if instruction != Some(&numbers.import_name) {
                    return false;
                }
                let names = live.word(frame, WORD, FRAME_BUILT_INS);
                dict::named(python, live, names, b"__import__")
            };
            objects.is_in_c(function, b"__builtin__", b"__import__")
                || objects.is_in_c(function, b"imp", b"acquire_lock")
        }
    }
}

/// # Safety
/// For all of them: as for [`Calls`]; codes are code objects.
impl Reading<'_> {
    unsafe fn line(self, code: *mut PyObject, last: c_int) -> Option<Line> {
        let (objects, live) = (self.objects, self.objects.live);
        // SAFETY: the caller's.
        unsafe {
            let text = objects.bytes(live.word(code, 0, CODE_TEXT))?;
            let table = objects.bytes(live.word(code, 0, CODE_LINE_TABLE))?;
            line(self.numbers, text, table, usize::try_from(last).ok()?)
        }
    }

    unsafe fn call(
        self,
        frame: *mut PyObject,
        code: *mut PyObject,
        line: &[(u8, usize)],
    ) -> Option<PythonCall> {
        let (&(instruction, count), before) = line.split_last()?;
        // SAFETY: the caller's.
        unsafe {
            let stack = self.stack(frame, code, before)?;
            if Some(instruction) == self.numbers.setup_with {
                return Some(PythonCall {
                    called: self.bound(self.entered(*stack.last()?)),
                    begins: true,
                    ..PythonCall::default()
                });
            }
            // No arguments by name.
            if instruction != CALL_FUNCTION || count > MOST_ARGUMENTS || count >= stack.len() {
                return None;
            }
            let (&function, given) = stack[stack.len() - count - 1..].split_first()?;
            let mut call = PythonCall {
                called: self.bound(function),
                begins: matches!(function, Value::OfClass(_, ENTER)),
                ..PythonCall::default()
            };
            call.arguments.try_reserve_exact(count).ok()?;
            call.arguments.extend_from_slice(given);
            Some(call)
        }
    }

    /// What stands on the stack after these instructions, as far as it is known.
    unsafe fn stack(
        self,
        frame: *mut PyObject,
        code: *mut PyObject,
        line: &[(u8, usize)],
    ) -> Option<Vec<Value>> {
        let live = self.objects.live;
        let mut stack: Vec<Value> = Vec::new();
        stack.try_reserve_exact(line.len()).ok()?;
        // SAFETY: the caller's.
        unsafe {
            let part = |at| live.word(code, 0, at);
            for &(instruction, argument) in line {
                let loaded = match instruction {
                    LOAD_CONST => Value::Known(self.item(part(CODE_CONSTANTS), argument)?),
                    LOAD_FAST => self.variable(frame, self.item(part(CODE_VARIABLES), argument)?),
                    LOAD_DEREF => {
                        let cells = (self.objects.python.PyTuple_Size)(part(CODE_CELLS)) as usize;
                        let name = match argument.checked_sub(cells) {
                            None => self.item(part(CODE_CELLS), argument)?,
                            Some(argument) => self.item(part(CODE_FREE), argument)?,
                        };
                        self.variable(frame, name)
                    }
                    LOAD_NAME | LOAD_GLOBAL => {
                        self.global(frame, self.item(part(CODE_NAMES), argument)?)
                    }
                    _ => {
                        let name = self.item(part(CODE_NAMES), argument);
                        match (instruction, &mut stack[..]) {
                            (DUP_TOP, [.., top]) => {
                                let top = *top;
                                stack.try_reserve(1).ok()?;
                                stack.push(top);
                            }
                            (ROT_TWO, [.., second, top]) => std::mem::swap(second, top),
                            (POP_TOP | STORE_NAME | STORE_FAST, [.., _]) => drop(stack.pop()),
                            (_, [.., top]) if instruction == self.numbers.load_attribute => {
                                *top = self.attribute(*top, name?);
                            }
                            // What it does to the stack is not known here.
                            _ => stack.clear(),
                        }
                        continue;
                    }
                };
                stack.try_reserve(1).ok()?;
                stack.push(loaded);
            }
        }
        Some(stack)
    }

    unsafe fn item(self, tuple: *mut PyObject, index: usize) -> Option<*mut PyObject> {
        let python = self.objects.python;
        // SAFETY: the caller's; these are tuples.
        unsafe {
            ((index as isize) < (python.PyTuple_Size)(tuple))
                .then(|| (python.PyTuple_GetItem)(tuple, index as isize))
        }
    }

    unsafe fn variable(self, frame: *mut PyObject, name: *mut PyObject) -> Value {
        // SAFETY: the caller's.
        let value = unsafe {
            let name = self.objects.bytes(name).unwrap_or_default();
            self.objects.variable(frame, name)
        };
        match value.is_null() {
            true => Value::Unknown,
            false => Value::Known(value),
        }
    }

    unsafe fn global(self, frame: *mut PyObject, name: *mut PyObject) -> Value {
        let (python, live) = (self.objects.python, self.objects.live);
        // SAFETY: the caller's.
        unsafe {
            let flags = live.flags(live.code(frame));
            let names = match flags & OWN_NAMES {
                0 => live.word(frame, WORD, FRAME_NAMES),
                _ => ptr::null_mut(),
            };
            let built_ins = live.word(frame, WORD, FRAME_BUILT_INS);
            for namespace in [names, live.globals(frame), built_ins] {
                if !namespace.is_null() {
                    let value = dict::value(python, live, namespace, name);
                    if !value.is_null() {
                        return Value::Known(value);
                    }
                }
            }
            Value::Unknown
        }
    }

    unsafe fn attribute(self, value: Value, name: *mut PyObject) -> Value {
        // SAFETY: the caller's.
        unsafe {
            let Some(text) = self.objects.bytes(name) else {
                return Value::Unknown;
            };
            value.attribute(text, |object| self.objects.attribute_of(object, name))
        }
    }

    /// What enters a `with` block over this.
    unsafe fn entered(self, value: Value) -> Value {
        // SAFETY: the caller's.
        value.attribute(ENTER, |object| unsafe {
            self.objects.attribute(object, ENTER)
        })
    }

    /// See [`PythonCall::called`].
    unsafe fn bound(self, value: Value) -> Option<(*mut PyObject, &'static [u8])> {
        let objects = self.objects;
        match value {
            Value::Unknown => None,
            Value::OfClass(object, name) => Some((object, name)),
            // A function that was taken out of its object before.
            // SAFETY: the caller's.
            Value::Known(function) => unsafe {
                if !objects.is(function, objects.python.PyCFunction_Type) {
                    return None;
                }
                let mut owner = objects.owner(function);
                if owner.is_null() || owner == objects.python._Py_NoneStruct {
                    // A module's.
                    owner = objects.module_of(function);
                }
                Some((owner, objects.name_in_c(function)))
            },
        }
    }
}
