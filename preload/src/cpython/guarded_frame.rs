//! Reads a frame from memory without the GIL: every read is checked, and none can fault.

use crate::cpython::api::Python;
use crate::system::memory::{read, read_bytes};
use protocol::layout::{
    CODE_FILENAME, CODE_FIRST_LINE, CODE_LINE_TABLE, CODE_NAME, FRAME_BACK, FRAME_CODE,
    FRAME_LAST_INSTRUCTION, LONGEST_LINE_TABLE, Line, STRING_BYTES, WORD,
};

/// The address of the frame that called the frame at this address, 0 if none did; `None` if this is not a
/// frame.
pub fn back(python: &Python, frame: usize) -> Option<usize> {
    read(body(python.frame_type, frame, true)? + FRAME_BACK)
}

/// What has been read of a frame.
pub struct Frame {
    /// The address of the code object.
    pub code_object: usize,
    /// Where the code object's own fields begin.
    pub code: usize,
    /// `f_lasti`.
    pub last_instruction: i32,
}

impl Frame {
    /// Reads a frame, if there is one at this address.
    pub fn read(python: &Python, address: usize) -> Option<Frame> {
        let body = body(python.frame_type, address, true)?;
        let code_object = read(body + FRAME_CODE)?;
        Some(Frame {
            code_object,
            code: self::body(python.code_type, code_object, false)?,
            last_instruction: read(body + FRAME_LAST_INSTRUCTION)?,
        })
    }

    /// Address and length of the name of the file that the code came from.
    pub fn file_name(&self, python: &Python) -> Option<(usize, usize)> {
        string(python, self.code + CODE_FILENAME)
    }

    /// Address and length of the name of the function.
    pub fn name(&self, python: &Python) -> Option<(usize, usize)> {
        string(python, self.code + CODE_NAME)
    }

    /// The line that the frame is at.
    pub fn line(&self, python: &Python) -> Option<i64> {
        line(python, self.code, self.last_instruction)
    }
}

/// Where the own fields of the object at this address begin, if it is one of this very type.
///
/// `variable` objects have a size in their head (PyObject_VAR_HEAD).
pub fn body(type_object: usize, object: usize, variable: bool) -> Option<usize> {
    if !object.is_multiple_of(WORD) {
        return None;
    }
    let tail = if variable { WORD } else { 0 };
    // ob_refcnt, ob_type; in debug builds after _ob_next and _ob_prev.
    for type_at in [WORD, 3 * WORD] {
        if read::<usize>(object.checked_add(type_at)?)? == type_object {
            return object.checked_add(type_at + WORD + tail);
        }
    }
    None
}

/// Whether this is the address of a frame. Any thread, interrupted or not.
pub fn is_frame(python: &Python, address: usize) -> bool {
    body(python.frame_type, address, true).is_some()
}

/// Address and length of the bytes of the `str` that the pointer at this address points to.
pub fn string(python: &Python, pointer: usize) -> Option<(usize, usize)> {
    let body = body(python.string_type, read(pointer)?, true)?;
    let length = read::<usize>(body - WORD)?;
    Some((body + STRING_BYTES, length))
}

/// The line of an instruction.
fn line(python: &Python, code: usize, last_instruction: i32) -> Option<i64> {
    let mut line = Line::of(i64::from(last_instruction), read(code + CODE_FIRST_LINE)?);
    let (table, length) = string(python, code + CODE_LINE_TABLE)?;
    let mut chunk = [0; 1024];
    let mut at = 0;
    while at + 1 < length.min(LONGEST_LINE_TABLE) {
        let count = (length - at).min(chunk.len()) & !1;
        if !read_bytes(table.checked_add(at)?, &mut chunk[..count]) {
            return None;
        }
        if let Some(line) = line.after(&chunk[..count]) {
            return Some(line);
        }
        at += count;
    }
    (length <= LONGEST_LINE_TABLE).then_some(line.at_end())
}
