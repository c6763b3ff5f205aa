//! What a frame is calling, as its code says.
//!
//! On the worker, under the GIL: none of the program's code is run for it.

use std::collections::HashMap;
use std::ffi::c_int;
use std::ptr;

use crate::dictionary;
use crate::layout::{
    CODE_CELLS, CODE_CONSTANTS, CODE_FREE, CODE_LINE_TABLE, CODE_NAMES, CODE_TEXT, CODE_VARIABLES,
    FRAME_BUILT_INS, FRAME_NAMES, WORD,
};
use crate::objects::Objects;
use crate::python::PyObject;

/// Instructions (Include/opcode.h, 2.6 and 2.7). Those below take no argument.
const HAVE_ARGUMENT: u8 = 90;
const POP_TOP: u8 = 1;
const ROT_TWO: u8 = 2;
const DUP_TOP: u8 = 4;
const STORE_NAME: u8 = 90;
const LOAD_CONST: u8 = 100;
const LOAD_NAME: u8 = 101;
const LOAD_GLOBAL: u8 = 116;
const LOAD_FAST: u8 = 124;
const STORE_FAST: u8 = 125;
const CALL_FUNCTION: u8 = 131;
const LOAD_DEREF: u8 = 136;

/// Those that differ, and those that jump: by so many bytes, and to a place.
struct Numbers {
    load_attribute: u8,
    import_name: u8,
    setup_with: Option<u8>,
    extended_argument: u8,
    jumps_by: &'static [u8],
    jumps_to: &'static [u8],
}

static NUMBERS_2_6: Numbers = Numbers {
    load_attribute: 105,
    import_name: 107,
    setup_with: None,
    extended_argument: 143,
    jumps_by: &[93, 110, 111, 112, 120, 121, 122],
    jumps_to: &[113, 119],
};
static NUMBERS_2_7: Numbers = Numbers {
    load_attribute: 106,
    import_name: 108,
    setup_with: Some(143),
    extended_argument: 145,
    jumps_by: &[93, 110, 120, 121, 122, 143],
    jumps_to: &[111, 112, 113, 114, 115, 119],
};

/// Of longer code nothing is told: all of it would have to be looked through for jumps into the line
/// from elsewhere.
const LONGEST_CODE: usize = 8000;

/// More arguments are no call of those that are known here.
const MOST_ARGUMENTS: usize = 255;

/// CO_NEWLOCALS (Include/code.h): of other code the names are not its own.
const OWN_NAMES: c_int = 2;

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

/// A call that a frame is in.
#[derive(Default)]
pub struct Call {
    /// What is called, if it is known: an object, or null, and the name of its attribute.
    pub called: Option<(*mut PyObject, &'static [u8])>,
    /// What it is called with, not by name; nothing, where it is not known what is called.
    pub arguments: Vec<Value>,
    /// Whether it is the call that begins a `with` block.
    pub begins: bool,
}

/// A line of code: instructions with their arguments.
type Line = Vec<(u8, usize)>;

/// Reads calls, and keeps what has been read of code.
pub struct Calls<'a> {
    reading: Reading<'a>,
    /// By code and instruction. Not by what the code is made of, by which it compares.
    lines: HashMap<(usize, c_int), Line>,
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
            lines: HashMap::new(),
        }
    }

    /// What a frame is calling, as far as the line that it is in names it plainly.
    pub unsafe fn of(&mut self, frame: *mut PyObject) -> Call {
        let reading = self.reading;
        // SAFETY: the caller's.
        unsafe {
            let live = reading.objects.live;
            let (code, last) = (live.code(frame), live.last_instruction(frame));
            let key = (code as usize, last);
            if !self.lines.contains_key(&key) {
                if self.lines.try_reserve(1).is_err() {
                    return Call::default();
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
    pub unsafe fn imports(&self, frame: *mut PyObject, call: &Call) -> bool {
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
                dictionary::named(python, live, names, b"__import__")
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
    ) -> Option<Call> {
        const ENTER: &[u8] = b"__enter__";
        let (&(instruction, count), before) = line.split_last()?;
        // SAFETY: the caller's.
        unsafe {
            let stack = self.stack(frame, code, before)?;
            if Some(instruction) == self.numbers.setup_with {
                return Some(Call {
                    called: self.bound(self.attribute(*stack.last()?, ENTER)),
                    begins: true,
                    ..Call::default()
                });
            }
            // No arguments by name.
            if instruction != CALL_FUNCTION || count > MOST_ARGUMENTS || count >= stack.len() {
                return None;
            }
            let (&function, given) = stack[stack.len() - count - 1..].split_first()?;
            let mut call = Call {
                called: self.bound(function),
                begins: matches!(function, Value::OfClass(_, ENTER)),
                ..Call::default()
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
                                *top = self.attribute(*top, self.objects.bytes(name?)?);
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
        let mut found = Value::Unknown;
        // SAFETY: the caller's. Names in code are interned: those that are equal are the same.
        unsafe {
            let objects = self.objects;
            (objects.live).variables(objects.python, frame, &mut |one, value| {
                if one == name {
                    found = Value::Known(value);
                }
            });
        }
        found
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
                    let value = dictionary::value(python, live, namespace, name);
                    if !value.is_null() {
                        return Value::Known(value);
                    }
                }
            }
            Value::Unknown
        }
    }

    unsafe fn attribute(self, value: Value, name: &'static [u8]) -> Value {
        let Value::Known(object) = value else {
            return Value::Unknown;
        };
        // SAFETY: the caller's.
        let held = unsafe { self.objects.attribute(object, name) };
        match held.is_null() {
            true => Value::OfClass(object, name),
            false => Value::Known(held),
        }
    }

    /// See [`Call::called`].
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
                    let module = objects.module_in_c(function);
                    owner = module.map_or(ptr::null_mut(), |name| objects.module(name));
                }
                Some((owner, objects.name_in_c(function)))
            },
        }
    }
}

/// The instructions of the line that the last one is in, as far as to that one. `None` where that one
/// calls nothing, or where it may have been come to in other ways than along the line.
fn line(numbers: &Numbers, text: &[u8], table: &[u8], last: usize) -> Option<Line> {
    let instruction = *text.get(last)?;
    let calls = instruction == CALL_FUNCTION || Some(instruction) == numbers.setup_with;
    if text.len() > LONGEST_CODE || !calls {
        return None;
    }
    let start = start_of_line(table, last);
    let mut line = Line::new();
    let mut position = 0;
    while let Some(&instruction) = text.get(position) {
        let (argument, next) = match instruction < HAVE_ARGUMENT {
            true => (0, position + 1),
            false => match text.get(position + 1..position + 3) {
                Some(&[low, high]) => (usize::from(low) + 256 * usize::from(high), position + 3),
                _ => break,
            },
        };
        if instruction == numbers.extended_argument {
            return None;
        }
        let target = if numbers.jumps_by.contains(&instruction) {
            next + argument
        } else if numbers.jumps_to.contains(&instruction) {
            argument
        } else {
            0
        };
        let leaves = target != 0
            && (start..last).contains(&position)
            && Some(instruction) != numbers.setup_with;
        if start < target && target <= last || leaves {
            return None;
        }
        if (start..=last).contains(&position) {
            line.try_reserve(1).ok()?;
            line.push((instruction, argument));
        }
        position = next;
    }
    Some(line)
}

/// Where the instructions begin of the line that this one is in (Objects/lnotab_notes.txt).
fn start_of_line(table: &[u8], at: usize) -> usize {
    let mut position = 0;
    let mut start = 0;
    for pair in table.chunks_exact(2) {
        position += usize::from(pair[0]);
        if position > at {
            break;
        }
        if pair[1] != 0 {
            start = position;
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LOAD_GLOBAL 1, LOAD_CONST 2, CALL_FUNCTION 1, POP_TOP; as a line behind six bytes of another.
    const LINE: [u8; 10] = [
        LOAD_GLOBAL,
        1,
        0,
        LOAD_CONST,
        2,
        0,
        CALL_FUNCTION,
        1,
        0,
        POP_TOP,
    ];
    const TABLE: [u8; 4] = [0, 1, 6, 1];

    fn read(first: &[u8], table: &[u8], last: usize) -> Option<Line> {
        line(&NUMBERS_2_7, &[first, &LINE].concat(), table, last)
    }

    #[test]
    fn reads_the_line_as_far_as_to_the_call() {
        const NOTHING: [u8; 6] = [LOAD_CONST, 0, 0, LOAD_CONST, 0, 0];
        let call = [(LOAD_GLOBAL, 1), (LOAD_CONST, 2), (CALL_FUNCTION, 1)];
        assert_eq!(read(&NOTHING, &TABLE, 12), Some(call.to_vec()));
        // All in one line.
        assert_eq!(read(&NOTHING, &[0, 1], 12).map(|line| line.len()), Some(5));
        // It calls nothing, or is not there.
        for last in [6, 15, 16, 100] {
            assert_eq!(read(&NOTHING, &TABLE, last), None, "{last}");
        }
    }

    #[test]
    fn a_line_that_is_come_to_in_other_ways_is_none() {
        /// JUMP_FORWARD, POP_JUMP_IF_FALSE.
        const BY: u8 = 110;
        const TO: u8 = 114;
        for (first, there) in [
            // To the line's beginning, into it, behind it.
            ([BY, 3, 0, LOAD_CONST, 0, 0], true),
            ([BY, 6, 0, LOAD_CONST, 0, 0], false),
            ([TO, 6, 0, LOAD_CONST, 0, 0], true),
            ([TO, 12, 0, LOAD_CONST, 0, 0], false),
            ([TO, 13, 0, LOAD_CONST, 0, 0], true),
            (
                [LOAD_CONST, 0, 0, NUMBERS_2_7.extended_argument, 1, 0],
                false,
            ),
        ] {
            assert_eq!(read(&first, &TABLE, 12).is_some(), there, "{first:?}");
        }
        let long = vec![POP_TOP; LONGEST_CODE];
        assert_eq!(read(&long, &[], LONGEST_CODE + 6), None);
    }

    #[test]
    fn lines_begin_where_the_table_says() {
        // 300 bytes, and 300 lines, come in pieces.
        let table = [0, 1, 255, 0, 45, 255, 0, 45, 2, 1];
        let starts = [0, 299, 300, 301, 302, 303].map(|at| start_of_line(&table, at));
        assert_eq!(starts, [0, 0, 300, 300, 302, 302]);
    }
}
