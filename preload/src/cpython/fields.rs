//! The fields of objects, frames and code, read as they stand: without a call, and without a system call
//! for each word (as `guarded_frame` needs).

use std::ffi::{CStr, c_int};
use std::ops::Deref;

use crate::agent::hold;
use crate::cpython::api::PyObject;
use crate::cpython::gil::Gil;
use crate::cpython::layout;
use crate::cpython::object::{Code, Dict, Frame, Object, Type, Unicode};
use protocol::layout::{
    CODE_FILENAME, CODE_FIRST_LINE, CODE_NAME, FRAME_BACK, FRAME_CODE, FRAME_GLOBALS,
    FRAME_LAST_INSTRUCTION, FRAME_TRACE, Line, WORD,
};

/// Reads fields, where the boot has found objects to be laid out as `layout` has it. What it returns is
/// borrowed from objects that keep it for `'g`, as nothing of the program's runs meanwhile.
#[derive(Clone, Copy)]
pub struct Fields<'g> {
    gil: &'g Gil<'g>,
    /// The size of PyObject_HEAD, in bytes.
    head: usize,
}

impl<'g> Deref for Fields<'g> {
    type Target = Gil<'g>;
    fn deref(&self) -> &Gil<'g> {
        self.gil
    }
}

impl<'g> Fields<'g> {
    /// `None` where objects are laid out otherwise, or before the boot.
    pub fn known(gil: &'g Gil<'g>) -> Option<Self> {
        layout::head().map(|head| Fields { gil, head })
    }

    /// For the boot, which has yet to find that out.
    ///
    /// # Safety
    /// In this interpreter PyObject_HEAD has this size, in bytes, and objects are as `layout` has them, as
    /// far as fields are read by way of this.
    pub unsafe fn with_head(gil: &'g Gil<'g>, head: usize) -> Self {
        Fields { gil, head }
    }

    /// The token, for as long as this may be used.
    pub fn gil(self) -> &'g Gil<'g> {
        self.gil
    }

    /// The size of PyObject_HEAD, in bytes.
    pub fn head(self) -> usize {
        self.head
    }

    /// A word of an object's own fields. `tail` is what its head has beyond PyObject_HEAD: a word, where
    /// it is a PyObject_VAR_HEAD.
    ///
    /// # Safety
    /// The object is of a type that has such a field.
    pub unsafe fn word(self, object: Object<'g>, tail: usize, at: usize) -> *mut PyObject {
        // SAFETY: the object is alive, and as large as that.
        unsafe {
            let field = object.as_ptr().byte_add(self.head + tail + at);
            field.cast::<*mut PyObject>().read()
        }
    }

    /// The same of a field that points to an object, or is null.
    ///
    /// # Safety
    /// As for [`Fields::word`]; and the object keeps what this points to.
    pub unsafe fn object(self, object: Object<'g>, tail: usize, at: usize) -> Option<Object<'g>> {
        // SAFETY: what is pointed to lives as long as nobody runs who could change the field.
        unsafe { Object::borrowed(self.word(object, tail, at)) }
    }

    /// The same of a field that is never null.
    ///
    /// # Safety
    /// As for [`Fields::object`]; and it is not null.
    pub unsafe fn existing(self, object: Object<'g>, tail: usize, at: usize) -> Object<'g> {
        // SAFETY: what is pointed to lives as long as nobody runs who could change the field.
        unsafe { Object::existing(self.word(object, tail, at)) }
    }

    /// The same of a field that is an int.
    ///
    /// # Safety
    /// As for [`Fields::word`].
    pub unsafe fn int(self, object: Object<'g>, tail: usize, at: usize) -> c_int {
        // SAFETY: the object is alive, and as large as that.
        unsafe {
            let field = object.as_ptr().byte_add(self.head + tail + at);
            field.cast::<c_int>().read()
        }
    }

    /// The type of an object: the last word of every object's head.
    pub fn type_of(self, object: Object<'g>) -> Type<'g> {
        // SAFETY: every object has one, and keeps it.
        unsafe {
            let field = object.as_ptr().byte_add(self.head - WORD);
            Type::assume(Object::existing(field.cast::<*mut PyObject>().read()))
        }
    }

    /// Whether an object is of this very type, and of no derived one.
    pub fn is_exactly(self, object: Object<'g>, class: *mut PyObject) -> bool {
        self.type_of(object).is(class)
    }

    /// Whether this is a `str`, and of no derived class.
    pub fn is_str(self, object: Object<'g>) -> bool {
        self.is_exactly(object, self.string_type as *mut PyObject)
    }

    /// The bytes of a `str`; `None`, with no exception set, of anything else.
    pub fn str_bytes(self, object: Object<'g>) -> Option<&'g [u8]> {
        match self.is_str(object) {
            true => self.bytes(object),
            false => None,
        }
    }

    /// This object as a frame, if it is one.
    pub fn as_frame(self, object: Object<'g>) -> Option<Frame<'g>> {
        let is_frame = self.is_exactly(object, self.frame_type as *mut PyObject);
        // SAFETY: its type has just been looked at.
        is_frame.then(|| unsafe { Frame::assume(object) })
    }

    /// This object as a dictionary, if it is one, and of no derived class.
    pub fn as_dict(self, object: Object<'g>) -> Option<Dict<'g>> {
        let is_dict = self.is_exactly(object, self.dict_type as *mut PyObject);
        // SAFETY: its type has just been looked at.
        is_dict.then(|| unsafe { Dict::assume(object) })
    }

    /// This object as a `unicode`, if it is one, and of no derived class.
    pub fn as_unicode(self, object: Object<'g>) -> Option<Unicode<'g>> {
        let is_unicode = self.is_exactly(object, self.PyUnicode_Type);
        // SAFETY: its type has just been looked at.
        is_unicode.then(|| unsafe { Unicode::assume(object) })
    }

    /// The frame that called this one.
    pub fn back(self, frame: Frame<'g>) -> Option<Frame<'g>> {
        // SAFETY: f_back is a frame or null, and the frame keeps it.
        unsafe {
            self.object(*frame, WORD, FRAME_BACK)
                .map(|back| Frame::assume(back))
        }
    }

    /// A frame and those that called it, innermost first.
    pub fn frames(self, innermost: Option<Frame<'g>>) -> impl Iterator<Item = Frame<'g>> {
        std::iter::successors(innermost, move |&frame| self.back(frame))
    }

    /// The code of a frame.
    pub fn code(self, frame: Frame<'g>) -> Code<'g> {
        // SAFETY: f_code is a code object, and the frame keeps it.
        unsafe { Code::assume(self.existing(*frame, WORD, FRAME_CODE)) }
    }

    /// The global names of a frame: a dictionary, or an object of a derived class.
    pub fn globals(self, frame: Frame<'g>) -> Object<'g> {
        // SAFETY: f_globals is never null, and the frame keeps it.
        unsafe { self.existing(*frame, WORD, FRAME_GLOBALS) }
    }

    /// Where a frame is in its code: what [`Fields::line`] makes a line of. `None`, with an exception set,
    /// if there is no memory.
    pub fn position(self, frame: Frame<'g>) -> Option<i64> {
        // SAFETY: a frame has this field, whatever is in it.
        if unsafe { self.word(*frame, WORD, FRAME_TRACE) }.is_null() {
            return Some(i64::from(self.last_instruction(frame)));
        }
        const NAME: &CStr = c"f_lineno";
        // SAFETY: the frame is alive, and the new reference is given back. Its tracer may have set the
        // line; to ask for it runs no Python code (`frame_getlineno`, Objects/frameobject.c).
        unsafe {
            let line = (self.PyObject_GetAttrString)(frame.as_ptr(), NAME.as_ptr());
            if line.is_null() {
                return None;
            }
            let number = (self.PyInt_AsLong)(line);
            (self.Py_DecRef)(line);
            Some(-2 - number)
        }
    }

    /// The last instruction of a frame: where it stands in the code, or -1.
    pub fn last_instruction(self, frame: Frame<'g>) -> c_int {
        // SAFETY: a frame has this field.
        unsafe { self.int(*frame, WORD, FRAME_LAST_INSTRUCTION) }
    }

    /// The line of a position in a frame of this code. 0, where the time for the answer is used up ([`hold`]): a table
    /// that was made by hand may be of any length.
    pub fn line(self, code: Code<'g>, position: i64) -> i64 {
        const AT_ONCE: usize = 512;
        if position < -1 {
            return -2 - position;
        }
        // SAFETY: code has this field.
        let mut line = Line::of(position, unsafe { self.int(*code, 0, CODE_FIRST_LINE) });
        let table = self.bytes(self.line_table(code)).unwrap_or_default();
        for pairs in table.chunks(2 * AT_ONCE) {
            if let Some(line) = line.after(pairs) {
                return line;
            }
            if pairs.len() == 2 * AT_ONCE && !hold::spend(AT_ONCE / 4) {
                return 0;
            }
        }
        line.at_end()
    }

    /// The names of a code object's file and function.
    pub fn names(self, code: Code<'g>) -> [Object<'g>; 2] {
        // SAFETY: a code object has both, and keeps them (`PyCode_New`, Objects/codeobject.c).
        [CODE_FILENAME, CODE_NAME].map(|at| unsafe { self.existing(*code, 0, at) })
    }

    /// The characters of a `unicode`.
    pub fn characters(self, text: Unicode<'g>) -> Characters<'g> {
        // SAFETY: PyUnicodeObject (Include/unicodeobject.h): how many characters there are, and where.
        // They do not change.
        unsafe {
            let count = self.word(*text, 0, 0) as usize;
            let start = self.word(*text, 0, WORD);
            if count == 0 {
                return Characters::Narrow(&[]);
            }
            match self.has_wide_unicode {
                true => Characters::Wide(std::slice::from_raw_parts(start.cast(), count)),
                false => Characters::Narrow(std::slice::from_raw_parts(start.cast(), count)),
            }
        }
    }
}

/// The characters of a `unicode`, as the interpreter keeps them: in narrow builds those beyond the first
/// 65,536 are two.
#[derive(Clone, Copy)]
pub enum Characters<'g> {
    Wide(&'g [u32]),
    Narrow(&'g [u16]),
}

impl Characters<'_> {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Characters::Wide(all) => all.len(),
            Characters::Narrow(all) => all.len(),
        }
    }

    /// One of them; 0 beyond the last.
    pub fn at(self, index: usize) -> u32 {
        match self {
            Characters::Wide(all) => all.get(index).copied().unwrap_or(0),
            Characters::Narrow(all) => all.get(index).copied().unwrap_or(0).into(),
        }
    }
}
