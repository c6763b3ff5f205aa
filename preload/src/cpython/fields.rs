//! The fields of objects, frames and code: read as they stand, under the GIL, without a call, and without a system
//! call for each word (as `guarded_frame` needs); or from copies ([`Copies`]), without the GIL.
//!
//! From copies an object may be anything, also what is none. There a field that cannot be read is 0, a field that is
//! never null is `None` where it is null all the same, and text is cut.

use std::ffi::c_int;
use std::ops::Deref;

use crate::agent::hold;
use crate::cpython::api::{PyObject, Python};
use crate::cpython::copies::Copies;
use crate::cpython::gil::{Access, Gil};
use crate::cpython::layout;
use crate::cpython::object::{Code, Dict, Frame, Object, Type, Unicode};
use protocol::layout::{
    CODE_FILENAME, CODE_FIRST_LINE, CODE_NAME, FRAME_BACK, FRAME_CODE, FRAME_GLOBALS,
    FRAME_LAST_INSTRUCTION, FRAME_LINE, FRAME_TRACE, Line, STRING_BYTES, WORD,
};

/// Py_TPFLAGS_…_SUBCLASS (Include/object.h): which of these a type is, or derives from.
const LIST: usize = 1 << 25;
const TUPLE: usize = 1 << 26;
const STRING: usize = 1 << 27;
const UNICODE: usize = 1 << 28;

/// Reads fields, where the boot has found objects to be laid out as `layout` has it. What it returns is
/// borrowed from objects that keep it for `'g`, as nothing of the program's runs meanwhile; or from copies that stay
/// for `'g`.
#[derive(Clone, Copy)]
pub struct Fields<'g> {
    access: &'g Access<'g>,
    /// The size of PyObject_HEAD, in bytes.
    head: usize,
}

impl<'g> Deref for Fields<'g> {
    type Target = Python;
    #[inline]
    fn deref(&self) -> &Python {
        self.access.python()
    }
}

impl<'g> Fields<'g> {
    /// `None` where objects are laid out otherwise, or before the boot.
    pub fn known(gil: &'g Gil<'g>) -> Option<Self> {
        Self::of(gil.access())
    }

    /// The same, with the GIL or without.
    pub fn of(access: &'g Access<'g>) -> Option<Self> {
        layout::head().map(|head| Fields { access, head })
    }

    /// For the boot, which has yet to find that out.
    ///
    /// # Safety
    /// In this interpreter PyObject_HEAD has this size, in bytes, and objects are as `layout` has them, as
    /// far as fields are read by way of this.
    pub unsafe fn with_head(gil: &'g Gil<'g>, head: usize) -> Self {
        let access = gil.access();
        Fields { access, head }
    }

    /// The addresses of the interpreter's variables and functions.
    pub fn python(self) -> &'static Python {
        self.access.python()
    }

    /// The token, for as long as this may be used; `None` without the GIL.
    pub fn gil(self) -> Option<&'g Gil<'g>> {
        self.access.gil()
    }

    /// Where copies are made, without the GIL.
    #[inline]
    pub fn copies(self) -> Option<&'g Copies> {
        self.access.copies()
    }

    /// Sets `MemoryError`, under the GIL.
    pub fn no_memory<T>(self) -> Option<T> {
        self.gil()?.no_memory()
    }

    /// Clears the exception that is set, if one is.
    pub fn clear_exception(self) {
        if let Some(gil) = self.gil() {
            gil.clear_exception();
        }
    }

    /// `None` itself, Python's.
    #[inline]
    pub fn none(self) -> Object<'g> {
        // SAFETY: a variable of the interpreter's, which is never freed.
        unsafe { Object::existing(self._Py_NoneStruct) }
    }

    /// The word at this address; without the GIL 0 where it cannot be read.
    ///
    /// # Safety
    /// Under the GIL it is that of a word that stands there.
    #[inline]
    pub unsafe fn word_at(self, address: usize) -> usize {
        match self.copies() {
            // SAFETY: the caller promises it.
            None => unsafe { (address as *const usize).read() },
            Some(copies) => copies.word(address).unwrap_or(0),
        }
    }

    /// The object that the word at this address points to.
    ///
    /// # Safety
    /// As for [`Fields::word_at`]; and the word is null, or an object that lives for `'g`.
    #[inline]
    pub unsafe fn object_at(self, address: usize) -> Option<Object<'g>> {
        // SAFETY: the caller promises it.
        unsafe { Object::borrowed(self.word_at(address) as *mut PyObject) }
    }

    /// So many bytes at this address; without the GIL fewer, where they are many or cannot be read.
    ///
    /// # Safety
    /// Under the GIL they stand there unchanged for `'g`.
    #[inline]
    pub unsafe fn bytes_at(self, address: usize, length: usize) -> &'g [u8] {
        match self.copies() {
            // SAFETY: the caller promises it.
            None => unsafe { std::slice::from_raw_parts(address as *const u8, length) },
            Some(copies) => copies.bytes(address, length),
        }
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
    #[inline]
    pub unsafe fn word(self, object: Object<'g>, tail: usize, at: usize) -> *mut PyObject {
        let field = object.address().wrapping_add(self.head + tail + at);
        // SAFETY: the object is alive, and as large as that.
        unsafe { self.word_at(field) as *mut PyObject }
    }

    /// The same of a field that points to an object, or is null.
    ///
    /// # Safety
    /// As for [`Fields::word`]; and the object keeps what this points to.
    #[inline]
    pub unsafe fn object(self, object: Object<'g>, tail: usize, at: usize) -> Option<Object<'g>> {
        // SAFETY: what is pointed to lives as long as nobody runs who could change the field.
        unsafe { Object::borrowed(self.word(object, tail, at)) }
    }

    /// The same of a field that is never null.
    ///
    /// # Safety
    /// As for [`Fields::object`]; and it is not null.
    #[inline]
    pub unsafe fn existing(self, object: Object<'g>, tail: usize, at: usize) -> Object<'g> {
        // SAFETY: what is pointed to lives as long as nobody runs who could change the field. Without the GIL it may be
        // null.
        unsafe {
            let field = self.word(object, tail, at);
            match self.copies() {
                None => Object::existing(field),
                Some(_) => Object::borrowed(field).unwrap_or(self.none()),
            }
        }
    }

    /// The same of a field that is an int.
    ///
    /// # Safety
    /// As for [`Fields::word`].
    #[inline]
    pub unsafe fn int(self, object: Object<'g>, tail: usize, at: usize) -> c_int {
        let field = object.address().wrapping_add(self.head + tail + at);
        match self.copies() {
            // SAFETY: the object is alive, and as large as that.
            None => unsafe { (field as *const c_int).read() },
            Some(copies) => copies.int(field).unwrap_or(0),
        }
    }

    /// The type of an object: the last word of every object's head.
    #[inline]
    pub fn type_of(self, object: Object<'g>) -> Type<'g> {
        // SAFETY: every object has one, and keeps it. Without the GIL it may be none.
        unsafe {
            let class = self.word_at(object.address().wrapping_add(self.head - WORD));
            Type::assume(match self.copies() {
                None => Object::existing(class as *mut PyObject),
                Some(_) => Object::borrowed(class as *mut PyObject).unwrap_or(self.none()),
            })
        }
    }

    /// Whether this is an object: without the GIL it may be none. (A type is of a type that is one of `type`'s.)
    pub fn is_object(self, object: Object<'g>) -> bool {
        self.copies().is_none() || {
            let class = self.type_of(object);
            class.is(self.PyType_Type) || self.is_type(*class)
        }
    }

    /// The same of a type, of whatever metaclass.
    fn is_type(self, class: Object<'g>) -> bool {
        /// Py_TPFLAGS_TYPE_SUBCLASS (Include/object.h).
        const TYPE: usize = 1 << 31;
        let meta = self.type_of(class);
        meta.is(self.PyType_Type)
            || self.is_exactly(*meta, self.PyType_Type) && self.type_flags(meta) & TYPE != 0
    }

    /// Whether an object is of this very type, or of a derived one, that has this flag.
    #[inline]
    fn has_flag(self, object: Object<'g>, class: *mut PyObject, flag: usize) -> bool {
        let own = self.type_of(object);
        own.is(class) || self.type_flags(own) & flag != 0
    }

    /// Whether an object is of this very type, and of no derived one.
    #[inline]
    pub fn is_exactly(self, object: Object<'g>, class: *mut PyObject) -> bool {
        self.type_of(object).is(class)
    }

    /// Whether this is a `str`, and of no derived class.
    #[inline]
    pub fn is_str(self, object: Object<'g>) -> bool {
        self.is_exactly(object, self.string_type as *mut PyObject)
    }

    /// The bytes of a `str`; `None`, with no exception set, of anything else.
    #[inline]
    pub fn str_bytes(self, object: Object<'g>) -> Option<&'g [u8]> {
        match self.is_str(object) {
            true => Some(self.bytes_of_str(object)),
            false => None,
        }
    }

    /// The bytes of a `str`, or of an object of a derived class; `None`, with no exception set, of anything else.
    pub fn bytes(self, object: Object<'g>) -> Option<&'g [u8]> {
        let is_str = self.has_flag(object, self.string_type as *mut PyObject, STRING);
        is_str.then(|| self.bytes_of_str(object))
    }

    /// How many bytes a `str` has: without the GIL [`Fields::bytes`] may give fewer.
    pub fn str_length(self, object: Object<'g>) -> usize {
        match self.has_flag(object, self.string_type as *mut PyObject, STRING) {
            // SAFETY: its type has just been looked at; the size comes first behind PyObject_HEAD.
            true => unsafe { self.word(object, 0, 0) as usize },
            false => 0,
        }
    }

    /// The same of one that is known to be one.
    #[inline]
    fn bytes_of_str(self, object: Object<'g>) -> &'g [u8] {
        let start = object
            .address()
            .wrapping_add(self.head + WORD + STRING_BYTES);
        // SAFETY: its type has been looked at. The size comes first behind PyObject_HEAD (PyObject_VAR_HEAD), and so
        // many bytes stand in the object, which never change.
        unsafe { self.bytes_at(start, self.word(object, 0, 0) as usize) }
    }

    /// How many items a tuple has, or an object of a derived class; 0 of anything else.
    pub fn tuple_size(self, tuple: Object<'g>) -> usize {
        match self.has_flag(tuple, self.PyTuple_Type, TUPLE) {
            // SAFETY: a tuple has its size there (PyObject_VAR_HEAD).
            true => unsafe { self.word(tuple, 0, 0) as usize },
            false => 0,
        }
    }

    /// An item of a tuple; `None` if it has not so many, or if this is none.
    pub fn tuple_item(self, tuple: Object<'g>, index: usize) -> Option<Object<'g>> {
        let start = tuple.address().wrapping_add(self.head + WORD);
        match index < self.tuple_size(tuple) {
            // SAFETY: a tuple has its items behind its size, and keeps them (Include/tupleobject.h).
            true => unsafe { self.object_at(start.wrapping_add(index.wrapping_mul(WORD))) },
            false => None,
        }
    }

    /// The items of a tuple; none of anything else.
    pub fn tuple_items(self, tuple: Object<'g>) -> impl Iterator<Item = Object<'g>> + use<'g> {
        let start = tuple.address().wrapping_add(self.head + WORD);
        // SAFETY: as for `tuple_item`.
        (0..self.tuple_size(tuple))
            .map_while(move |index| unsafe { self.object_at(start.wrapping_add(index * WORD)) })
    }

    /// How many items a list has, or an object of a derived class; 0 of anything else.
    pub fn list_size(self, list: Object<'g>) -> usize {
        match self.has_flag(list, self.PyList_Type, LIST) {
            // SAFETY: a list has its size there (PyObject_VAR_HEAD).
            true => unsafe { self.word(list, 0, 0) as usize },
            false => 0,
        }
    }

    /// An item of a list; `None` if it has not so many, or if this is none.
    pub fn list_item(self, list: Object<'g>, index: usize) -> Option<Object<'g>> {
        if index >= self.list_size(list) {
            return None;
        }
        // SAFETY: a list has the address of its items behind its size (Include/listobject.h). It keeps them for as long
        // as nobody changes it, and nobody runs who could.
        unsafe {
            let start = self.word(list, 0, WORD) as usize;
            self.object_at(start.wrapping_add(index.wrapping_mul(WORD)))
        }
    }

    /// The items of a list; none of anything else.
    pub fn list_items(self, list: Object<'g>) -> impl Iterator<Item = Object<'g>> + use<'g> {
        (0..self.list_size(list)).map_while(move |index| self.list_item(list, index))
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
    #[inline]
    pub fn back(self, frame: Frame<'g>) -> Option<Frame<'g>> {
        // SAFETY: f_back is a frame or null, and the frame keeps it.
        unsafe {
            let back = self.object(*frame, WORD, FRAME_BACK)?;
            match self.copies() {
                None => Some(Frame::assume(back)),
                Some(_) => self.as_frame(back),
            }
        }
    }

    /// A frame and those that called it, innermost first.
    pub fn frames(self, innermost: Option<Frame<'g>>) -> impl Iterator<Item = Frame<'g>> {
        std::iter::successors(innermost, move |&frame| self.back(frame))
    }

    /// The code of a frame.
    #[inline]
    pub fn code(self, frame: Frame<'g>) -> Code<'g> {
        // SAFETY: f_code is a code object, and the frame keeps it.
        unsafe { Code::assume(self.existing(*frame, WORD, FRAME_CODE)) }
    }

    /// The global names of a frame: a dictionary, or an object of a derived class.
    #[inline]
    pub fn globals(self, frame: Frame<'g>) -> Object<'g> {
        // SAFETY: f_globals is never null, and the frame keeps it.
        unsafe { self.existing(*frame, WORD, FRAME_GLOBALS) }
    }

    /// Where a frame is in its code: what [`Fields::line`] makes a line of.
    #[inline]
    pub fn position(self, frame: Frame<'g>) -> i64 {
        // SAFETY: a frame has both fields, whatever is in them. Where it is traced, its tracer may have set the line
        // (`frame_getlineno`, Objects/frameobject.c, 2.6 and 2.7).
        unsafe {
            match self.word(*frame, WORD, FRAME_TRACE).is_null() {
                true => i64::from(self.last_instruction(frame)),
                false => -2 - i64::from(self.int(*frame, WORD, FRAME_LINE)),
            }
        }
    }

    /// The last instruction of a frame: where it stands in the code, or -1.
    #[inline]
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

    /// How many characters a `unicode` has: without the GIL [`Fields::characters`] may give fewer.
    pub fn character_count(self, text: Object<'g>) -> usize {
        match self.has_flag(text, self.PyUnicode_Type, UNICODE) {
            // SAFETY: its type has just been looked at.
            true => unsafe { self.word(text, 0, 0) as usize },
            false => 0,
        }
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
            let size = if self.has_wide_unicode { 4 } else { 2 };
            let bytes = self.bytes_at(start as usize, count.saturating_mul(size));
            match self.has_wide_unicode {
                true => Characters::Wide(bytes.as_chunks().0),
                false => Characters::Narrow(bytes.as_chunks().0),
            }
        }
    }
}

/// The characters of a `unicode`, as the interpreter keeps them: in narrow builds those beyond the first
/// 65,536 are two.
#[derive(Clone, Copy)]
pub enum Characters<'g> {
    Wide(&'g [[u8; 4]]),
    Narrow(&'g [[u8; 2]]),
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
            Characters::Wide(all) => all.get(index).map_or(0, |&one| u32::from_ne_bytes(one)),
            Characters::Narrow(all) => all
                .get(index)
                .map_or(0, |&one| u16::from_ne_bytes(one).into()),
        }
    }
}
