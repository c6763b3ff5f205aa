//! What a frame holds: its variables, its blocks, and the parts of its code.

use std::ffi::c_int;

use crate::agent::hold;
use crate::cpython::fields::Fields;
use crate::cpython::object::{Code, Dict, Frame, Object};
use crate::system::memory;
use protocol::layout::{
    CODE_CELLS, CODE_CONSTANTS, CODE_COUNT, CODE_FLAGS, CODE_FREE, CODE_LINE_TABLE, CODE_NAMES,
    CODE_STACK_SIZE, CODE_TEXT, CODE_VARIABLES, FRAME_BLOCKS, FRAME_BUILT_INS, FRAME_LOCALS,
    FRAME_NAMES, FRAME_VALUE_STACK, MOST_BLOCKS, WORD,
};

/// A block of a frame's.
#[derive(Clone, Copy, PartialEq)]
pub struct Block {
    /// The instruction that has begun it, by its number (Include/opcode.h).
    pub kind: c_int,
    /// Where the frame goes at its end.
    pub handler: c_int,
    /// How many values were on the stack at its beginning.
    pub level: c_int,
}

/// The parts of code.
impl<'g> Fields<'g> {
    /// A part of a code object that is an object.
    ///
    /// # Safety
    /// One of the `CODE_…` of `layout` that stand for an object.
    unsafe fn part(self, code: Code<'g>, at: usize) -> Object<'g> {
        // SAFETY: code has all of its parts, and keeps them (`PyCode_New`, Objects/codeobject.c).
        unsafe { self.existing(*code, 0, at) }
    }

    /// The instructions: a `str`, but in code that was made by hand.
    pub fn instructions(self, code: Code<'g>) -> Object<'g> {
        // SAFETY: co_code.
        unsafe { self.part(code, CODE_TEXT) }
    }

    /// The table of lines (Objects/lnotab_notes.txt): a `str`.
    pub fn line_table(self, code: Code<'g>) -> Object<'g> {
        // SAFETY: co_lnotab.
        unsafe { self.part(code, CODE_LINE_TABLE) }
    }

    /// The constants, code of functions within among them: a tuple.
    pub fn constants(self, code: Code<'g>) -> Object<'g> {
        // SAFETY: co_consts.
        unsafe { self.part(code, CODE_CONSTANTS) }
    }

    /// The names that the instructions look up, a tuple, in the order in which they first do.
    pub fn looked_up(self, code: Code<'g>) -> Object<'g> {
        // SAFETY: co_names.
        unsafe { self.part(code, CODE_NAMES) }
    }

    /// The names of the variables: three tuples of `str`, of the local ones, of those of the local ones
    /// that are in cells, and of those of the functions around this one.
    pub fn variable_names(self, code: Code<'g>) -> [Object<'g>; 3] {
        // SAFETY: co_varnames, co_cellvars, co_freevars.
        [CODE_VARIABLES, CODE_CELLS, CODE_FREE].map(|at| unsafe { self.part(code, at) })
    }

    /// The flags (CO_…, Include/code.h).
    pub fn flags(self, code: Code<'g>) -> c_int {
        // SAFETY: code has this field.
        unsafe { self.int(*code, 0, CODE_FLAGS) }
    }

    /// How many local variables a frame of this code has.
    fn variable_count(self, code: Code<'g>) -> usize {
        // SAFETY: code has this field.
        unsafe { self.int(*code, 0, CODE_COUNT) }.max(0) as usize
    }

    /// Whether the code has a variable of its own of this name, a `str`: those in cells count, those of a
    /// function around it do not. (In a class such a name may be one of the class's too.)
    pub fn has_variable(self, code: Code<'g>, name: Object<'g>) -> bool {
        let text = self.bytes(name);
        let [variables, cells, _] = self.variable_names(code);
        [variables, cells].into_iter().any(|names| {
            let mut names = self.tuple_items(names).take_while(|_| hold::spend(2));
            names.any(|one| one == name || self.bytes(one) == text)
        })
    }
}

/// What is in a frame.
impl<'g> Fields<'g> {
    /// What is in this slot, of a local variable or a cell.
    ///
    /// # Safety
    /// The frame has so many.
    unsafe fn slot(self, frame: Frame<'g>, index: usize) -> Option<Object<'g>> {
        // SAFETY: f_localsplus holds objects or nulls, and the frame keeps them.
        unsafe { self.object(*frame, WORD, FRAME_LOCALS + index * WORD) }
    }

    /// What is in the cell that is in this slot.
    ///
    /// # Safety
    /// The frame has so many slots; in this one is a cell, or nothing.
    unsafe fn in_cell(self, frame: Frame<'g>, index: usize) -> Option<Object<'g>> {
        // SAFETY: of PyCellObject (Include/cellobject.h) ob_ref comes first, an object or null.
        unsafe { self.object(self.slot(frame, index)?, 0, 0) }
    }

    /// The local variables of a frame, in order, by name; those of the functions around it, which are in
    /// cells, come last. Variables that are in a dictionary, as a module's are, are not among them. Fewer, where
    /// the time for the answer is used up ([`hold`]).
    pub fn variables(self, frame: Frame<'g>, each: &mut dyn FnMut(Object<'g>, Object<'g>)) {
        let code = self.code(frame);
        let count = self.variable_count(code);
        let [variables, cells, free] = self.variable_names(code);
        // Code that was made by hand may have more names than variables.
        if self.tuple_size(variables) != count {
            return;
        }
        // Names in code are interned: those that are equal are the same.
        let place = |names, name| self.tuple_items(names).position(|one| one == name);
        let in_cells = self.tuple_size(cells);
        let mut slot = 0;
        for (part, names) in [variables, cells, free].into_iter().enumerate() {
            // A name may be looked for among all the others.
            let steps = 1 + if part == 0 { in_cells } else { count };
            for name in self.tuple_items(names) {
                if !hold::spend(steps) {
                    return;
                }
                let here = slot;
                slot += 1;
                // SAFETY: a frame has a slot for each of its code's variables, and behind them one for
                // each cell (`PyFrame_New`, Objects/frameobject.c).
                let value = unsafe {
                    match (part, place(cells, name)) {
                        (0, None) => self.slot(frame, here),
                        // Of an argument that is in a cell too, that is what counts.
                        (0, Some(cell)) => self.in_cell(frame, count + cell),
                        (1, _) if place(variables, name).is_some() => continue,
                        _ => self.in_cell(frame, here),
                    }
                };
                if let Some(value) = value {
                    each(name, value);
                }
            }
        }
    }

    /// Everything that is in the variables and cells of a frame: what [`Fields::variables`] gives, and
    /// what an argument was before it was put into a cell too.
    pub fn slots(self, frame: Frame<'g>, each: &mut dyn FnMut(Object<'g>)) {
        let code = self.code(frame);
        let variables = self.variable_count(code);
        let [_, cells, free] = self.variable_names(code);
        let cells = self.tuple_size(cells) + self.tuple_size(free);
        for slot in (0..variables + cells).take_while(|_| hold::spend(1)) {
            // SAFETY: as many slots a frame has; those behind the variables are for cells.
            let here = unsafe {
                match slot < variables {
                    true => self.slot(frame, slot),
                    false => self.in_cell(frame, slot),
                }
            };
            if let Some(here) = here {
                each(here);
            }
        }
    }

    /// The dictionary of a frame's names that are not variables: all names of a module's or a class's
    /// code; of a function with a bare `exec` or an `import *` those that these have made, and copies of
    /// its variables. `None` if there is none, or one of a derived class; and for other functions, where
    /// `locals()` makes one that the function itself never reads.
    pub fn names_in_dictionary(self, frame: Frame<'g>) -> Option<Dict<'g>> {
        /// CO_OPTIMIZED (Include/code.h).
        const OPTIMIZED: c_int = 1;
        match self.flags(self.code(frame)) & OPTIMIZED {
            0 => self.as_dict(self.local_names(frame)?),
            _ => None,
        }
    }

    /// What a frame looks names up in first, where its code is that of a module or a class (f_locals).
    pub fn local_names(self, frame: Frame<'g>) -> Option<Object<'g>> {
        // SAFETY: an object or null, and the frame keeps it.
        unsafe { self.object(*frame, WORD, FRAME_NAMES) }
    }

    /// What a frame looks names up in last: a dictionary, or an object of a derived class.
    pub fn builtins(self, frame: Frame<'g>) -> Object<'g> {
        // SAFETY: f_builtins is never null, and the frame keeps it (`PyFrame_New`).
        unsafe { self.existing(*frame, WORD, FRAME_BUILT_INS) }
    }

    /// How many blocks a frame is in: loops, and statements with an end that must be run.
    pub fn blocks(self, frame: Frame<'g>) -> usize {
        // SAFETY: a frame has this field.
        let count = unsafe { self.int(*frame, WORD, FRAME_BLOCKS) };
        count.clamp(0, MOST_BLOCKS as c_int) as usize
    }

    /// One of the blocks that a frame is in, the outermost first.
    pub fn block(self, frame: Frame<'g>, index: usize) -> Option<Block> {
        if index >= self.blocks(frame) {
            return None;
        }
        let at = FRAME_BLOCKS + 4 + 12 * index;
        // SAFETY: the block is one of those that the frame has room for.
        let [kind, handler, level] =
            [at, at + 4, at + 8].map(|at| unsafe { self.int(*frame, WORD, at) });
        Some(Block {
            kind,
            handler,
            level,
        })
    }

    /// A value on a frame's stack, counted from its bottom.
    ///
    /// # Safety
    /// The frame has more values than that on its stack: what lies above may be anything. A call that is under way
    /// has taken its arguments from there, but what it calls stays, and the values are where they were. The call
    /// keeps those that are given by position (Python/ceval.c, `call_function`, `ext_do_call`).
    pub unsafe fn stack_value(self, frame: Frame<'g>, index: usize) -> Option<Object<'g>> {
        // SAFETY: the value is in its place, and the frame or the call keeps it.
        unsafe {
            let stack = self.word(*frame, WORD, FRAME_VALUE_STACK) as usize;
            self.object_at(stack.wrapping_add(index.wrapping_mul(WORD)))
        }
    }

    /// How many values a frame's stack has room for; 0 where it is not where its code has it (`PyFrame_New`).
    pub fn stack_room(self, frame: Frame<'g>) -> usize {
        let code = self.code(frame);
        let [_, cells, free] = self.variable_names(code);
        let slots = self.variable_count(code) + self.tuple_size(cells) + self.tuple_size(free);
        let begin = self.head() + WORD + FRAME_LOCALS + slots * WORD;
        // SAFETY: a frame and its code have these fields.
        let (stack, room) = unsafe {
            let stack = self.word(*frame, WORD, FRAME_VALUE_STACK);
            (stack as usize, self.int(*code, 0, CODE_STACK_SIZE))
        };
        match stack == frame.address() + begin {
            true => room.max(0) as usize,
            false => 0,
        }
    }

    /// The tuple of a call's star arguments, which lies in this place of a frame's stack. A call has taken it from
    /// there and keeps it, if it was a tuple; anything else it has made a tuple of and may have let go of
    /// (Python/ceval.c, `ext_do_call`). So it is looked at with reads that cannot fault.
    ///
    /// # Safety
    /// As for [`Fields::stack_value`].
    pub unsafe fn star_arguments(self, frame: Frame<'g>, index: usize) -> Option<Object<'g>> {
        // SAFETY: as the caller says.
        let tuple = unsafe { self.stack_value(frame, index)? };
        let mut counted_and_typed = [0; 2];
        let end_of_head = tuple.address() + self.head() - 2 * WORD;
        let is_there = memory::read_words(end_of_head, &mut counted_and_typed);
        let [count, class] = counted_and_typed;
        let is_alive = is_there && count > 0 && class == self.PyTuple_Type as usize;
        is_alive.then_some(tuple)
    }

    /// What a frame will call at the ends of the `with` blocks that it is in (their `__exit__`). It is on
    /// the value stack, directly below the block (Python/ceval.c, SETUP_WITH, of 2.7; Python/compile.c,
    /// `compiler_with`, of 2.6). For a `finally` something else may be there.
    pub fn exits(self, frame: Frame<'g>, each: &mut dyn FnMut(Object<'g>)) {
        /// The instructions that begin such a block (Include/opcode.h), which are also its kinds.
        const SETUP_FINALLY: c_int = 122;
        const SETUP_WITH: c_int = 143;
        let mut last = 0;
        for block in (0..).map_while(|index| self.block(frame, index)) {
            // A block within another that has put nothing on the stack has none of its own.
            if !matches!(block.kind, SETUP_FINALLY | SETUP_WITH) || block.level <= last {
                continue;
            }
            last = block.level;
            // SAFETY: below the level of a block that has not ended all values are in place.
            if let Some(exit) = unsafe { self.stack_value(frame, last as usize - 1) } {
                each(exit);
            }
        }
    }
}
