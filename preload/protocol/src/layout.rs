//! The offsets of fields in CPython's objects and lists of threads: for the library, and for the command, which reads
//! them from outside where nothing can be loaded.
//!
//! They are from Include/frameobject.h, code.h, object.h, stringobject.h and pystate.h of CPython 2.6 and 2.7, and the
//! same in both. Debug builds (Py_TRACE_REFS) put two pointers in front of every object; where the type pointer stands
//! tells whether this is one. All offsets are in bytes.

/// The size of a pointer.
pub const WORD: usize = size_of::<usize>();

// PyFrameObject, counted from the end of PyObject_VAR_HEAD.

/// f_back.
pub const FRAME_BACK: usize = 0;
/// f_code.
pub const FRAME_CODE: usize = WORD;
/// f_builtins.
pub const FRAME_BUILT_INS: usize = 2 * WORD;
/// f_globals.
pub const FRAME_GLOBALS: usize = 3 * WORD;
/// f_locals, the names in the code of a module or a class.
pub const FRAME_NAMES: usize = 4 * WORD;
/// f_valuestack.
pub const FRAME_VALUE_STACK: usize = 5 * WORD;
/// f_trace.
pub const FRAME_TRACE: usize = 7 * WORD;
/// f_lasti, an int.
pub const FRAME_LAST_INSTRUCTION: usize = 12 * WORD;
/// f_lineno, an int: the line that a tracer has set, where there is one.
pub const FRAME_LINE: usize = 12 * WORD + 4;
/// f_iblock, after f_lasti and f_lineno: how many blocks the frame is in. The blocks follow, each with its
/// kind, its handler and the depth of the value stack at its beginning, all of them ints.
pub const FRAME_BLOCKS: usize = 12 * WORD + 8;
/// CO_MAXBLOCKS.
pub const MOST_BLOCKS: usize = 20;
/// f_localsplus, after f_blockstack and padding.
pub const FRAME_LOCALS: usize = 12 * WORD + 12 + 12 * MOST_BLOCKS + 4;

// PyCodeObject, counted from the end of PyObject_HEAD: four ints come first.

/// co_nlocals, the second of the ints.
pub const CODE_COUNT: usize = 4;
/// co_stacksize, the third of the ints.
pub const CODE_STACK_SIZE: usize = 8;
/// co_flags, the fourth of the ints.
pub const CODE_FLAGS: usize = 12;
/// co_code.
pub const CODE_TEXT: usize = 2 * WORD;
/// co_consts.
pub const CODE_CONSTANTS: usize = 3 * WORD;
/// co_names.
pub const CODE_NAMES: usize = 4 * WORD;
/// co_varnames.
pub const CODE_VARIABLES: usize = 5 * WORD;
/// co_freevars.
pub const CODE_FREE: usize = 6 * WORD;
/// co_cellvars.
pub const CODE_CELLS: usize = 7 * WORD;
/// co_filename.
pub const CODE_FILENAME: usize = 8 * WORD;
/// co_name.
pub const CODE_NAME: usize = 9 * WORD;
/// co_firstlineno, an int and its padding.
pub const CODE_FIRST_LINE: usize = 10 * WORD;
/// co_lnotab.
pub const CODE_LINE_TABLE: usize = 11 * WORD;

// PyTypeObject, counted from the end of PyObject_VAR_HEAD. All of these are words.

/// tp_name.
pub const TYPE_NAME: usize = 0;
/// tp_basicsize.
pub const TYPE_SIZE: usize = WORD;
/// tp_itemsize.
pub const TYPE_ITEM_SIZE: usize = 2 * WORD;
/// tp_flags.
pub const TYPE_FLAGS: usize = 18 * WORD;
/// tp_traverse.
pub const TYPE_TRAVERSE: usize = 20 * WORD;
/// tp_members.
pub const TYPE_MEMBERS: usize = 27 * WORD;
/// tp_base.
pub const TYPE_BASE: usize = 29 * WORD;
/// tp_dict.
pub const TYPE_DICT: usize = 30 * WORD;
/// tp_dictoffset.
pub const TYPE_DICT_OFFSET: usize = 33 * WORD;
/// tp_mro.
pub const TYPE_MRO: usize = 40 * WORD;

/// PyStringObject, counted from the end of PyObject_VAR_HEAD: the hash (a long), the state (an int), then the bytes.
pub const STRING_BYTES: usize = WORD + 4;

// PyInterpreterState.

/// next.
pub const INTERPRETER_NEXT: usize = 0;
/// tstate_head.
pub const INTERPRETER_THREADS: usize = WORD;
/// modules, a dictionary.
pub const INTERPRETER_MODULES: usize = 2 * WORD;
/// sysdict, a dictionary.
pub const INTERPRETER_SYS: usize = 3 * WORD;

// PyThreadState.

/// next.
pub const THREAD_NEXT: usize = 0;
/// interp.
pub const THREAD_INTERPRETER: usize = WORD;
/// frame.
pub const THREAD_FRAME: usize = 2 * WORD;
/// recursion_depth, an int.
pub const THREAD_DEPTH: usize = 3 * WORD;
/// dict, after three ints, two function pointers and eight object pointers.
pub const THREAD_DICTIONARY: usize = 15 * WORD;
/// thread_id, after two ints and another object pointer.
pub const THREAD_IDENT: usize = 18 * WORD;

/// Longer line tables are not followed to their end.
pub const LONGEST_LINE_TABLE: usize = 256 << 10;

/// The way from an instruction to its line, as `PyCode_Addr2Line` goes it (Objects/codeobject.c, 2.6 and 2.7;
/// Objects/lnotab_notes.txt describes the table). The table may be read in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    instruction: i64,
    address: i64,
    line: i64,
}

impl Line {
    /// Begins at the first line of a code object.
    pub fn of(instruction: i64, first_line: i32) -> Line {
        Line {
            instruction,
            address: 0,
            line: i64::from(first_line),
        }
    }

    /// Takes the next piece of the table, an even number of bytes. Returns the line, if it is known now.
    pub fn after(&mut self, piece: &[u8]) -> Option<i64> {
        for pair in piece.chunks_exact(2) {
            self.address += i64::from(pair[0]);
            if self.address > self.instruction {
                return Some(self.line);
            }
            self.line += i64::from(pair[1]);
        }
        None
    }

    /// The line, if the table has ended.
    pub fn at_end(self) -> i64 {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_lines_in_pieces() {
        // Lines 10 from 0 on, 11 from 6 on, 270 from 9 on (255 + 4 in two steps).
        let table = [6, 1, 3, 255, 0, 4];
        let line = |instruction, size| {
            let mut line = Line::of(instruction, 10);
            let found = table.chunks(size).find_map(|piece| line.after(piece));
            found.unwrap_or_else(|| line.at_end())
        };
        for size in [2, 4, 6] {
            let lines = [-1, 0, 5, 6, 8, 9, 500].map(|instruction| line(instruction, size));
            assert_eq!(lines, [10, 10, 10, 11, 11, 270, 270]);
        }
    }
}
