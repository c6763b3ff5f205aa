//! The call that a frame is making, as far as its code says so plainly.
//!
//! The instructions of the line that the frame is in are followed up to the one that it is at, and each
//! name in them is looked up as the interpreter would. Nothing of the program's runs for it.

use std::ffi::c_int;

use crate::cpython::dict;
use crate::cpython::object::{Code, Frame, Object};
use crate::inspect::bytecode::{
    CALL_FUNCTION, DUP_TOP, LOAD_CONST, LOAD_DEREF, LOAD_FAST, LOAD_GLOBAL, LOAD_NAME, Line,
    NUMBERS_2_6, NUMBERS_2_7, Numbers, POP_TOP, ROT_TWO, STORE_FAST, STORE_NAME, line,
};
use crate::inspect::objects::Objects;
use crate::system::hash::Table;

/// A call with more arguments is none that is known here.
const MOST_ARGUMENTS: usize = 255;

/// CO_NEWLOCALS (Include/code.h): code without it does not look names up in a dictionary of its own.
const OWN_NAMES: c_int = 2;

const ENTER: &[u8] = b"__enter__";

/// What an instruction has put on the stack.
#[derive(Clone, Copy)]
pub enum Value<'g> {
    /// It is not known.
    Unknown,
    /// This object.
    Known(Object<'g>),
    /// The attribute of this name, which is not the object's own: its class has it.
    OfClass(Object<'g>, &'g [u8]),
}

impl<'g> Value<'g> {
    /// The attribute of this name, which is the object's own if `own` finds it.
    fn attribute(
        self,
        name: &'g [u8],
        own: impl Fn(Object<'g>) -> Option<Object<'g>>,
    ) -> Value<'g> {
        let Value::Known(object) = self else {
            return Value::Unknown;
        };
        match own(object) {
            None => Value::OfClass(object, name),
            Some(held) => Value::Known(held),
        }
    }
}

/// What is called: the attribute of this name, of this object if it is known.
pub type Called<'g> = (Option<Object<'g>>, &'g [u8]);

/// A call that a frame is making.
#[derive(Default)]
pub struct PythonCall<'g> {
    /// What is called, if it is known.
    pub called: Option<Called<'g>>,
    /// The arguments that are not given by name; none, where it is not known what is called.
    pub arguments: Vec<Value<'g>>,
    /// Whether it is the call that begins a `with` block.
    pub begins: bool,
}

/// Reads calls, and keeps what it has read of code.
pub struct PendingCalls<'g> {
    reading: Reading<'g>,
    /// By code and instruction. Not by what the code is made of, by which it compares.
    lines: Table<(usize, c_int), Line>,
}

#[derive(Clone, Copy)]
struct Reading<'g> {
    objects: Objects<'g>,
    numbers: &'static Numbers,
}

impl<'g> PendingCalls<'g> {
    /// Nothing has been read yet.
    pub fn new(objects: Objects<'g>) -> Self {
        let numbers = match objects.is_2_6 {
            true => &NUMBERS_2_6,
            false => &NUMBERS_2_7,
        };
        PendingCalls {
            reading: Reading { objects, numbers },
            lines: Table::default(),
        }
    }

    /// The call that a frame is making, as far as the line that it is in names it plainly.
    pub fn of(&mut self, frame: Frame<'g>) -> PythonCall<'g> {
        let reading = self.reading;
        let objects = reading.objects;
        let (code, last) = (objects.code(frame), objects.last_instruction(frame));
        let key = (code.address(), last);
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

    /// Whether a frame that is making this call is importing something, as the interpreter itself does it:
    /// holding the import lock, or waiting for it.
    pub fn imports(&self, frame: Frame<'g>, call: &PythonCall<'g>) -> bool {
        let Reading { objects, numbers } = self.reading;
        let function = if let Some((module, name)) = call.called {
            if !matches!(name, b"__import__" | b"acquire_lock") {
                return false;
            }
            objects.attribute(module, name)
        } else {
            let text = objects.text(objects.instructions(objects.code(frame)));
            let last = usize::try_from(objects.last_instruction(frame)).ok();
            let instruction = text.and_then(|text| text.get(last?));
            if instruction != Some(&numbers.import_name) {
                return false;
            }
            let builtins = objects.as_dict(objects.builtins(frame));
            builtins.and_then(|builtins| dict::named(objects.fields(), builtins, b"__import__"))
        };
        objects.is_in_c(function, b"__builtin__", b"__import__")
            || objects.is_in_c(function, b"imp", b"acquire_lock")
    }
}

impl<'g> Reading<'g> {
    fn line(self, code: Code<'g>, last: c_int) -> Option<Line> {
        let text = self.objects.text(self.objects.instructions(code))?;
        let table = self.objects.text(self.objects.line_table(code))?;
        line(self.numbers, text, table, usize::try_from(last).ok()?)
    }

    fn call(
        self,
        frame: Frame<'g>,
        code: Code<'g>,
        line: &[(u8, usize)],
    ) -> Option<PythonCall<'g>> {
        let (&(instruction, count), before) = line.split_last()?;
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

    /// What is on the stack after these instructions, as far as it is known.
    fn stack(
        self,
        frame: Frame<'g>,
        code: Code<'g>,
        line: &[(u8, usize)],
    ) -> Option<Vec<Value<'g>>> {
        let objects = self.objects;
        let mut stack: Vec<Value> = Vec::new();
        stack.try_reserve_exact(line.len()).ok()?;
        let [variables, cells, free] = objects.variable_names(code);
        let names = objects.looked_up(code);
        for &(instruction, argument) in line {
            let loaded = match instruction {
                LOAD_CONST => Value::Known(self.item(objects.constants(code), argument)?),
                LOAD_FAST => self.variable(frame, self.item(variables, argument)?),
                LOAD_DEREF => {
                    let name = match argument.checked_sub(objects.tuple_size(cells)) {
                        None => self.item(cells, argument)?,
                        Some(argument) => self.item(free, argument)?,
                    };
                    self.variable(frame, name)
                }
                LOAD_NAME | LOAD_GLOBAL => self.global(frame, self.item(names, argument)?),
                _ => {
                    let name = self.item(names, argument);
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
        Some(stack)
    }

    /// An item of a tuple of the code's, if it has so many: no exception is set.
    fn item(self, tuple: Object<'g>, index: usize) -> Option<Object<'g>> {
        match index < self.objects.tuple_size(tuple) {
            true => self.objects.tuple_item(tuple, index),
            false => None,
        }
    }

    fn variable(self, frame: Frame<'g>, name: Object<'g>) -> Value<'g> {
        let name = self.objects.text(name).unwrap_or_default();
        match self.objects.variable(frame, name) {
            None => Value::Unknown,
            Some(value) => Value::Known(value),
        }
    }

    fn global(self, frame: Frame<'g>, name: Object<'g>) -> Value<'g> {
        let objects = self.objects;
        let names = match objects.flags(objects.code(frame)) & OWN_NAMES {
            0 => objects.local_names(frame),
            _ => None,
        };
        let places = [
            names,
            Some(objects.globals(frame)),
            Some(objects.builtins(frame)),
        ];
        let mut places = places.into_iter().flatten();
        match places.find_map(|names| dict::value(objects.fields(), names, name)) {
            None => Value::Unknown,
            Some(value) => Value::Known(value),
        }
    }

    fn attribute(self, value: Value<'g>, name: Object<'g>) -> Value<'g> {
        match self.objects.text(name) {
            None => Value::Unknown,
            Some(text) => value.attribute(text, |object| self.objects.attribute_of(object, name)),
        }
    }

    /// What enters a `with` block over this.
    fn entered(self, value: Value<'g>) -> Value<'g> {
        value.attribute(ENTER, |object| self.objects.attribute(object, ENTER))
    }

    /// See [`PythonCall::called`].
    fn bound(self, value: Value<'g>) -> Option<Called<'g>> {
        let objects = self.objects;
        match value {
            Value::Unknown => None,
            Value::OfClass(object, name) => Some((Some(object), name)),
            // A function that was taken out of its object before.
            Value::Known(function) => {
                let function = objects.as_c_function(function)?;
                let owner = objects.c_function_owner(function);
                let owner = owner.filter(|&owner| owner != objects.none());
                // A module's function has none.
                let owner = owner.or_else(|| objects.module_of(function));
                Some((owner, objects.c_function_name(function)))
            }
        }
    }
}
