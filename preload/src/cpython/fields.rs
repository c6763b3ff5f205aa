//! Frames read as they stand, while the GIL is held: what `layout.rs` knows of them, without a system
//! call for each word.

use std::ffi::c_int;
use std::ptr;

use crate::cpython::api::{PyObject, Python};
use crate::cpython::glue::attribute;
use crate::cpython::layout::{
    self, CODE_FILENAME, CODE_NAME, FRAME_BACK, FRAME_CODE, FRAME_GLOBALS, FRAME_LAST_INSTRUCTION,
    FRAME_TRACE, WORD,
};

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

    /// The same of a field that is an int.
    ///
    /// # Safety
    /// As for [`Live::word`].
    pub unsafe fn int(self, object: *mut PyObject, tail: usize, at: usize) -> c_int {
        // SAFETY: the caller's.
        unsafe {
            object
                .byte_add(self.head + tail + at)
                .cast::<c_int>()
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
        // SAFETY: the caller's.
        unsafe { self.int(frame, WORD, FRAME_LAST_INSTRUCTION) }
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
