//! What is in a frame: its variables, and the blocks that it is in.

use std::ffi::c_int;
use std::ptr;

use crate::cpython::api::{PyObject, Python};
use crate::cpython::fields::Live;
use crate::cpython::glue::bytes;
use crate::cpython::layout::{
    CODE_CELLS, CODE_COUNT, CODE_FLAGS, CODE_FREE, CODE_NAMES, CODE_VARIABLES, FRAME_BLOCKS,
    FRAME_LOCALS, FRAME_NAMES, FRAME_VALUE_STACK, MOST_BLOCKS, WORD,
};

impl Live {
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
            let count = self.int(code, 0, CODE_COUNT);
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
            let variables = self.int(code, 0, CODE_COUNT) as usize;
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
        unsafe { self.int(code, 0, CODE_FLAGS) }
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
        let count = unsafe { self.int(frame, WORD, FRAME_BLOCKS) };
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
            let stack = self
                .word(frame, WORD, FRAME_VALUE_STACK)
                .cast::<*mut PyObject>();
            let mut last = 0;
            for block in 0..self.blocks(frame) {
                let at = FRAME_BLOCKS + 4 + 12 * block;
                let [kind, level] = [at, at + 8].map(|at| self.int(frame, WORD, at));
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
}
