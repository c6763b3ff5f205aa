//! Frames read as they stand, while the GIL is held: what `layout.rs` knows of them, without a system
//! call for each word.

use std::ffi::c_int;
use std::ptr;

use crate::carried::bytes;
use crate::layout::{
    self, CODE_CELLS, CODE_COUNT, CODE_FILENAME, CODE_FLAGS, CODE_FREE, CODE_NAME, CODE_NAMES,
    CODE_VARIABLES, FRAME_BACK, FRAME_BLOCKS, FRAME_CODE, FRAME_GLOBALS, FRAME_LAST_INSTRUCTION,
    FRAME_LOCALS, FRAME_NAMES, FRAME_TRACE, FRAME_VALUE_STACK, MOST_BLOCKS, WORD, attribute,
};
use crate::python::{PyObject, Python};

/// Frames that are there and stay so, as those of all threads do while one holds the GIL: they are
/// read as they stand.
#[derive(Clone, Copy)]
pub struct Live {
    /// The size of PyObject_HEAD, in bytes.
    head: usize,
}

impl Live {
    /// Where the boot has found frames to be laid out as they should be. Any thread.
    pub fn known() -> Option<Live> {
        layout::head().map(|head| Live { head })
    }

    /// With heads of this size, in bytes.
    pub fn with_head(head: usize) -> Live {
        Live { head }
    }

    /// A word of an object's own fields.
    ///
    /// # Safety
    /// Holding the GIL; the object is alive, and as large as that.
    pub unsafe fn word(self, object: *mut PyObject, tail: usize, at: usize) -> *mut PyObject {
        // SAFETY: the caller's.
        unsafe {
            object
                .byte_add(self.head + tail + at)
                .cast::<*mut PyObject>()
                .read()
        }
    }

    /// The type of an object, which comes last in every object's head; borrowed.
    ///
    /// # Safety
    /// Holding the GIL; the object is alive.
    pub unsafe fn type_of(self, object: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's.
        unsafe {
            object
                .byte_add(self.head - WORD)
                .cast::<*mut PyObject>()
                .read()
        }
    }

    /// Whether this is a frame.
    ///
    /// # Safety
    /// Holding the GIL; the object is alive.
    pub unsafe fn is_frame(self, python: &Python, object: *mut PyObject) -> bool {
        // SAFETY: the caller's.
        unsafe { self.type_of(object) as usize == python.frame_type }
    }

    /// Whether this is a dictionary, and of no derived class.
    ///
    /// # Safety
    /// Holding the GIL; the object is alive.
    pub unsafe fn is_dictionary(self, python: &Python, object: *mut PyObject) -> bool {
        // SAFETY: the caller's.
        unsafe { self.type_of(object) as usize == python.dict_type }
    }

    /// The dictionary of an instance of an old-style class (Include/classobject.h: in_class, in_dict);
    /// borrowed. Null if it is none.
    ///
    /// # Safety
    /// Holding the GIL; the object is alive.
    pub unsafe fn old_attributes(self, python: &Python, object: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's; the type comes last in every object's head.
        unsafe {
            if self.type_of(object) as usize != python.instance_type {
                return ptr::null_mut();
            }
            self.word(object, 0, WORD)
        }
    }

    /// How many characters a `unicode` has, and each of them: of narrow builds those beyond the first
    /// 65,536 come as two.
    ///
    /// # Safety
    /// Holding the GIL, for as long as they are looked at; it is a `unicode`, and stays alive.
    pub unsafe fn characters(
        self,
        python: &Python,
        object: *mut PyObject,
    ) -> (usize, impl Fn(usize) -> u32 + use<>) {
        let wide = python.has_wide_unicode;
        // SAFETY: the caller's. PyUnicodeObject (Include/unicodeobject.h): how many, and where.
        unsafe {
            let count = self.word(object, 0, 0) as usize;
            let start = self.word(object, 0, WORD);
            let one = move |index| match wide {
                true => start.cast::<u32>().add(index).read(),
                false => u32::from(start.cast::<u16>().add(index).read()),
            };
            (count, one)
        }
    }

    /// The frame that called this one, or null; borrowed.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame.
    pub unsafe fn back(self, frame: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's.
        unsafe { self.word(frame, WORD, FRAME_BACK) }
    }

    /// Its code object, borrowed.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame.
    pub unsafe fn code(self, frame: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's.
        unsafe { self.word(frame, WORD, FRAME_CODE) }
    }

    /// Its global names: a dictionary, or an object of a derived class; borrowed.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame.
    pub unsafe fn globals(self, frame: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's.
        unsafe { self.word(frame, WORD, FRAME_GLOBALS) }
    }

    /// Where it is in its code: what [`Live::line`] makes a line of. `None`, with an exception set,
    /// if there is no memory.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame.
    pub unsafe fn position(self, python: &Python, frame: *mut PyObject) -> Option<i64> {
        // SAFETY: the caller's.
        unsafe {
            if self.word(frame, WORD, FRAME_TRACE).is_null() {
                return Some(i64::from(self.last_instruction(frame)));
            }
            // Its tracer may have set it (`frame_getlineno`, Objects/frameobject.c).
            let line = attribute(python, frame, c"f_lineno", |line| {
                (python.PyInt_AsLong)(line)
            });
            line.map(|line| -2 - line)
        }
    }

    /// Its last instruction: where that stands in its code, or -1.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame.
    pub unsafe fn last_instruction(self, frame: *mut PyObject) -> c_int {
        let at = self.head + WORD + FRAME_LAST_INSTRUCTION;
        // SAFETY: the caller's.
        unsafe { frame.byte_add(at).cast::<c_int>().read() }
    }

    /// The line of a position in a frame of this code.
    ///
    /// # Safety
    /// Holding the GIL; this is a code object.
    pub unsafe fn line(self, python: &Python, code: *mut PyObject, position: i64) -> i64 {
        if position < -1 {
            return -2 - position;
        }
        // SAFETY: the caller's; it only reads the table of lines.
        i64::from(unsafe { (python.PyCode_Addr2Line)(code, position as c_int) })
    }

    /// Its local variables, in order: the names that its code has for them, and what is in them; those
    /// of the functions around it, which are in cells, come last. All borrowed. Variables that are in
    /// a dictionary, as a module's are, are not among them.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame, and `each` leaves it as it is.
    pub unsafe fn variables(
        self,
        python: &Python,
        frame: *mut PyObject,
        each: &mut dyn FnMut(*mut PyObject, *mut PyObject),
    ) {
        // SAFETY: the caller's; these are tuples, and the frame has a slot for each of their items.
        unsafe {
            let code = self.code(frame);
            let mut slot = FRAME_LOCALS;
            // Code that was made by hand may have more names than variables.
            let count = code.byte_add(self.head + CODE_COUNT).cast::<c_int>().read();
            if (python.PyTuple_Size)(self.word(code, 0, CODE_VARIABLES)) != count as isize {
                return;
            }
            let [variables, cells, free] =
                [CODE_VARIABLES, CODE_CELLS, CODE_FREE].map(|names| self.word(code, 0, names));
            // Names in code are interned: those that are equal are the same.
            let place = |names, name| {
                let mut places = 0..(python.PyTuple_Size)(names);
                places.find(|&place| (python.PyTuple_GetItem)(names, place) == name)
            };
            for (part, names) in [variables, cells, free].into_iter().enumerate() {
                for index in 0..(python.PyTuple_Size)(names) {
                    let name = (python.PyTuple_GetItem)(names, index);
                    let here = self.word(frame, WORD, slot);
                    slot += WORD;
                    let value = match (part, place(cells, name)) {
                        (0, None) => here,
                        // Of an argument that is in a cell too, that is what counts.
                        (0, Some(cell)) => {
                            let at = FRAME_LOCALS + (count as usize + cell as usize) * WORD;
                            self.in_cell(self.word(frame, WORD, at))
                        }
                        (1, _) if place(variables, name).is_some() => continue,
                        _ => self.in_cell(here),
                    };
                    if !value.is_null() {
                        each(name, value);
                    }
                }
            }
        }
    }

    /// All that stands in a frame's variables and in their cells, borrowed, or null: what
    /// [`Live::variables`] tells, and what an argument was before it came to be in a cell too.
    ///
    /// # Safety
    /// As for [`Live::variables`].
    pub unsafe fn slots(
        self,
        python: &Python,
        frame: *mut PyObject,
        each: &mut dyn FnMut(*mut PyObject),
    ) {
        // SAFETY: the caller's; the frame has a slot for each variable and each cell.
        unsafe {
            let code = self.code(frame);
            let variables = code.byte_add(self.head + CODE_COUNT).cast::<c_int>().read() as usize;
            let [cells, free] = [CODE_CELLS, CODE_FREE]
                .map(|names| (python.PyTuple_Size)(self.word(code, 0, names)) as usize);
            for slot in 0..variables + cells + free {
                let here = self.word(frame, WORD, FRAME_LOCALS + slot * WORD);
                each(match slot < variables {
                    true => here,
                    false => self.in_cell(here),
                });
            }
        }
    }

    /// What a cell holds, borrowed, or null; also of none.
    ///
    /// # Safety
    /// Holding the GIL; this is a cell, or null.
    unsafe fn in_cell(self, cell: *mut PyObject) -> *mut PyObject {
        if cell.is_null() {
            return cell;
        }
        // SAFETY: the caller's. PyCellObject (Include/cellobject.h): ob_ref comes first.
        unsafe { self.word(cell, 0, 0) }
    }

    /// The dictionary of the names that are no variables of a frame's, borrowed: of a module or a class
    /// that is being made all are in it, of a function with a bare `exec` or an `import *` those that it
    /// made, and copies of its variables. Null if there is none, or if it is of a class of its own; and
    /// of other functions, where `locals()` makes one that it does not look into.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame.
    pub unsafe fn names_in_dictionary(
        self,
        python: &Python,
        frame: *mut PyObject,
    ) -> *mut PyObject {
        /// CO_OPTIMIZED (Include/code.h).
        const OPTIMIZED: c_int = 1;
        // SAFETY: the caller's.
        unsafe {
            let names = self.word(frame, WORD, FRAME_NAMES);
            if self.flags(self.code(frame)) & OPTIMIZED != 0
                || names.is_null()
                || !self.is_dictionary(python, names)
            {
                return ptr::null_mut();
            }
            names
        }
    }

    /// The flags of a code object (CO_…, Include/code.h).
    ///
    /// # Safety
    /// Holding the GIL; this is a code object.
    pub unsafe fn flags(self, code: *mut PyObject) -> c_int {
        // SAFETY: the caller's.
        unsafe { code.byte_add(self.head + CODE_FLAGS).cast::<c_int>().read() }
    }

    /// Whether this is the name of one of a code's own variables, those in cells among them; not of
    /// one of a function's around it, which in a class may be one of the class's too.
    ///
    /// # Safety
    /// Holding the GIL; this is a code object, and a `str`.
    pub unsafe fn has_variable(
        self,
        python: &Python,
        code: *mut PyObject,
        name: *mut PyObject,
    ) -> bool {
        // SAFETY: the caller's; these are tuples of `str`.
        unsafe {
            let text = bytes(python, name);
            [CODE_VARIABLES, CODE_CELLS]
                .map(|names| self.word(code, 0, names))
                .into_iter()
                .any(|names| {
                    let mut places = 0..(python.PyTuple_Size)(names);
                    places.any(|place| {
                        let one = (python.PyTuple_GetItem)(names, place);
                        one == name || bytes(python, one) == text
                    })
                })
        }
    }

    /// The names that a code object's instructions look up, a tuple, in the order in which they first
    /// do; borrowed.
    ///
    /// # Safety
    /// Holding the GIL; this is a code object.
    pub unsafe fn looked_up(self, code: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's.
        unsafe { self.word(code, 0, CODE_NAMES) }
    }

    /// How many blocks it is in: loops, and what has an end that has to be seen to.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame.
    pub unsafe fn blocks(self, frame: *mut PyObject) -> usize {
        // SAFETY: the caller's.
        let count = unsafe {
            let blocks = frame.byte_add(self.head + WORD + FRAME_BLOCKS);
            blocks.cast::<c_int>().read()
        };
        count.clamp(0, MOST_BLOCKS as c_int) as usize
    }

    /// What is to be called at the ends of the `with` blocks that it is in (their `__exit__`): it is
    /// on the value stack, directly below the block (Python/ceval.c, SETUP_WITH, of 2.7;
    /// Python/compile.c, `compiler_with`, of 2.6). For a `finally` something else may be there.
    /// Borrowed.
    ///
    /// # Safety
    /// Holding the GIL; this is a frame, and `each` leaves it as it is.
    pub unsafe fn exits(self, frame: *mut PyObject, each: &mut dyn FnMut(*mut PyObject)) {
        /// The instructions that begin such a block (Include/opcode.h), and so its kinds.
        const SETUP_FINALLY: c_int = 122;
        const SETUP_WITH: c_int = 143;
        // SAFETY: the caller's. Below the level of a block that has not ended all values are in place.
        unsafe {
            let blocks = frame.byte_add(self.head + WORD + FRAME_BLOCKS);
            let count = self.blocks(frame);
            let stack = self
                .word(frame, WORD, FRAME_VALUE_STACK)
                .cast::<*mut PyObject>();
            let mut last = 0;
            for block in 0..count {
                let block = blocks.byte_add(4 + 12 * block).cast::<c_int>();
                let (kind, level) = (block.read(), block.add(2).read());
                // One within another that has put nothing on the stack has none of its own.
                if matches!(kind, SETUP_FINALLY | SETUP_WITH) && level > last {
                    last = level;
                    let exit = stack.add(level as usize - 1).read();
                    if !exit.is_null() {
                        each(exit);
                    }
                }
            }
        }
    }

    /// Each thread's identifier (an object) and innermost frame, borrowed, of a dictionary as
    /// `sys._current_frames()` returns it, until `each` returns false. False if it has, or, with an
    /// exception set, if this is no such dictionary: the program may have put its own in place.
    ///
    /// # Safety
    /// Holding the GIL; `each` lets nobody else run.
    pub unsafe fn for_each_stack(
        self,
        python: &Python,
        frames: *mut PyObject,
        each: &mut dyn FnMut(*mut PyObject, *mut PyObject) -> bool,
    ) -> bool {
        // SAFETY: the caller's; nobody changes the dictionary.
        unsafe {
            if (python.PyDict_Size)(frames) < 0 {
                return false;
            }
            let (mut at, mut ident, mut frame) = (0, ptr::null_mut(), ptr::null_mut());
            while (python.PyDict_Next)(frames, &mut at, &mut ident, &mut frame) != 0 {
                if !self.is_frame(python, frame) {
                    (python.PyErr_BadArgument)();
                    return false;
                }
                if !each(ident, frame) {
                    return false;
                }
            }
            true
        }
    }

    /// The names of a code object's file and function, borrowed.
    ///
    /// # Safety
    /// Holding the GIL; this is a code object.
    pub unsafe fn names(self, code: *mut PyObject) -> [*mut PyObject; 2] {
        // SAFETY: the caller's.
        unsafe { [CODE_FILENAME, CODE_NAME].map(|at| self.word(code, 0, at)) }
    }
}
