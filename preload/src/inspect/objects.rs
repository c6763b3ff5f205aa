//! Looking into the program's objects without asking them, or running anything of theirs.

use std::ffi::{CStr, c_char};
use std::ptr;

use crate::cpython::api::{PyObject, Python};
use crate::cpython::dict;
use crate::cpython::fields::Live;
use crate::cpython::glue::bytes;
use crate::cpython::layout::{TYPE_FLAGS, TYPE_NAME, WORD};
use crate::inspect::attributes;
use protocol::marshal::MarshalWriter;

/// Longer text is cut, in characters.
const LONGEST: usize = 1000;

/// Larger numbers are nonsense, in bits.
const LARGEST: usize = 62;

/// Looks at objects. What it returns is borrowed, and null where there is nothing; and of null there is
/// nothing.
#[derive(Clone, Copy)]
pub struct Objects<'a> {
    pub python: &'a Python,
    pub live: Live,
}

impl<'a> Objects<'a> {
    /// Where it is known how objects are laid out.
    pub fn known(python: &'a Python) -> Option<Self> {
        Live::known().map(|live| Objects { python, live })
    }
}

/// # Safety
/// For all of them: holding the GIL, which nobody else gets while the result is used; objects are alive,
/// or null.
impl Objects<'_> {
    /// Whether an object is of this very type.
    pub unsafe fn is(self, object: *mut PyObject, kind: *mut PyObject) -> bool {
        // SAFETY: the caller's.
        !object.is_null() && unsafe { self.live.type_of(object) == kind }
    }

    /// An attribute that is the object's own; of a module, what it holds.
    pub unsafe fn attribute(self, object: *mut PyObject, name: &[u8]) -> *mut PyObject {
        if object.is_null() {
            return object;
        }
        // SAFETY: the caller's.
        unsafe {
            let own = attributes::own(self.python, self.live, object);
            dict::named(self.python, self.live, own, name)
        }
    }

    /// The same under a name that is a `str`: where there may be many of them, or it is looked for often.
    pub unsafe fn attribute_of(self, object: *mut PyObject, name: *mut PyObject) -> *mut PyObject {
        if object.is_null() {
            return object;
        }
        // SAFETY: the caller's.
        unsafe {
            let own = attributes::own(self.python, self.live, object);
            match own.is_null() {
                true => own,
                false => dict::value(self.python, self.live, own, name),
            }
        }
    }

    /// What a class of either style itself holds.
    pub unsafe fn of_class(self, class: *mut PyObject, name: &[u8]) -> *mut PyObject {
        let (python, live) = (self.python, self.live);
        // SAFETY: the caller's.
        unsafe {
            if !self.is(class, python.PyClass_Type) && !self.is(class, python.PyType_Type) {
                return ptr::null_mut();
            }
            dict::named(python, live, attributes::held(python, live, class), name)
        }
    }

    /// The code of a function of Python's.
    pub unsafe fn code(self, function: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's. PyFunctionObject (Include/funcobject.h): it comes first.
        unsafe {
            match self.is(function, self.python.PyFunction_Type) {
                true => self.live.word(function, 0, 0),
                false => ptr::null_mut(),
            }
        }
    }

    /// What a method is one of: of C's functions (where a module's has none) or of Python's.
    pub unsafe fn owner(self, method: *mut PyObject) -> *mut PyObject {
        let python = self.python;
        // SAFETY: the caller's. PyCFunctionObject (Include/methodobject.h): m_ml, m_self;
        // PyMethodObject (Include/classobject.h): im_func, im_self.
        unsafe {
            if self.is(method, python.PyCFunction_Type) || self.is(method, python.PyMethod_Type) {
                return self.live.word(method, 0, WORD);
            }
            ptr::null_mut()
        }
    }

    /// The name of a function of C's. PyCFunctionObject: its m_ml begins with that, a constant.
    pub unsafe fn name_in_c(self, function: *mut PyObject) -> &'static [u8] {
        // SAFETY: the caller's; it is such a function.
        unsafe {
            let method = self.live.word(function, 0, 0).cast::<*const c_char>();
            match method.read() {
                name if name.is_null() => b"",
                name => CStr::from_ptr(name).to_bytes(),
            }
        }
    }

    /// The name of its module, or null: m_module, behind m_self.
    unsafe fn module_in_c(self, function: *mut PyObject) -> *mut PyObject {
        // SAFETY: the caller's; it is such a function.
        unsafe { self.live.word(function, 0, 2 * WORD) }
    }

    /// Its module, if the program has imported that.
    pub unsafe fn module_of(self, function: *mut PyObject) -> *mut PyObject {
        let python = self.python;
        // SAFETY: the caller's; it is such a function.
        unsafe {
            let (modules, name) = (
                (python.PyImport_GetModuleDict)(),
                self.module_in_c(function),
            );
            if modules.is_null() || name.is_null() {
                return ptr::null_mut();
            }
            let module = dict::value(python, self.live, modules, name);
            match self.is(module, python.PyModule_Type) {
                true => module,
                false => ptr::null_mut(),
            }
        }
    }

    /// Whether this is C's function of that name, in that module.
    pub unsafe fn is_in_c(self, function: *mut PyObject, module: &[u8], name: &[u8]) -> bool {
        // SAFETY: the caller's.
        unsafe {
            self.is(function, self.python.PyCFunction_Type)
                && self.bytes(self.module_in_c(function)) == Some(module)
                && self.name_in_c(function) == name
        }
    }

    /// Whether an object's class is one of Python's, and none of C's.
    pub unsafe fn has_class_of_python(self, object: *mut PyObject) -> bool {
        /// Py_TPFLAGS_HEAPTYPE (Include/object.h).
        const OF_PYTHON: usize = 1 << 9;
        // SAFETY: the caller's; it is not null.
        unsafe {
            let class = self.live.type_of(object);
            self.live.word(class, WORD, TYPE_FLAGS) as usize & OF_PYTHON != 0
        }
    }

    /// How many items a list has, or a `deque` (of this class).
    pub unsafe fn size(self, items: *mut PyObject, deque: *mut PyObject) -> Option<i64> {
        let python = self.python;
        // SAFETY: the caller's. The name of a type is a C string (PyTypeObject); nothing but C code of the
        // interpreter's own is asked.
        unsafe {
            if !self.is(items, python.PyList_Type) {
                if !self.is(items, deque) || self.has_class_of_python(items) {
                    return None;
                }
                let name = self.live.word(deque, WORD, TYPE_NAME).cast::<c_char>();
                if CStr::from_ptr(name) != c"collections.deque" {
                    return None;
                }
            }
            let size = (python.PyObject_Size)(items);
            (python.PyErr_Clear)();
            Some(size as i64).filter(|&size| size >= 0)
        }
    }

    /// A module that the program has imported.
    pub unsafe fn module(self, name: &[u8]) -> *mut PyObject {
        let python = self.python;
        // SAFETY: the caller's.
        unsafe {
            let modules = (python.PyImport_GetModuleDict)();
            let module = dict::named(python, self.live, modules, name);
            match self.is(module, python.PyModule_Type) {
                true => module,
                false => ptr::null_mut(),
            }
        }
    }

    /// The value of a function's local variable.
    pub unsafe fn variable(self, frame: *mut PyObject, name: &[u8]) -> *mut PyObject {
        let mut found = ptr::null_mut();
        // SAFETY: the caller's; this is a frame.
        unsafe {
            self.live.variables(self.python, frame, &mut |one, value| {
                if self.bytes(one) == Some(name) {
                    found = value;
                }
            });
        }
        found
    }

    /// What is in a `str`.
    pub unsafe fn bytes(self, object: *mut PyObject) -> Option<&'static [u8]> {
        // SAFETY: the caller's: it is looked at no longer than the object lives.
        unsafe {
            match self.is(object, self.python.string_type as *mut PyObject) {
                true => bytes(self.python, object),
                false => None,
            }
        }
    }

    /// A number as there may be; 0 of anything else.
    pub unsafe fn number(self, object: *mut PyObject) -> i64 {
        let python = self.python;
        // SAFETY: the caller's. PyIntObject (Include/intobject.h). What a `long` is as a number its
        // own type says, which may find no memory to do so.
        unsafe {
            let number = if self.is(object, python.PyInt_Type) {
                self.live.word(object, 0, 0) as i64
            } else if self.is(object, python.PyLong_Type)
                && (python._PyLong_NumBits)(object) <= LARGEST
            {
                let number = (python.PyInt_AsLong)(object);
                (python.PyErr_Clear)();
                number
            } else {
                0
            };
            match number.unsigned_abs() < 1 << LARGEST {
                true => number,
                false => 0,
            }
        }
    }

    /// How many seconds a number or a `float` means; `None` of anything else.
    pub unsafe fn seconds(self, object: *mut PyObject) -> Option<f64> {
        // SAFETY: the caller's. PyFloatObject (Include/floatobject.h).
        unsafe {
            if self.is(object, self.python.PyFloat_Type) {
                return Some(f64::from_bits(self.live.word(object, 0, 0) as u64));
            }
            Some(self.number(object) as f64).filter(|&seconds| seconds != 0.0)
        }
    }

    /// Whether this is `True` itself.
    pub unsafe fn is_true(self, object: *mut PyObject) -> bool {
        // SAFETY: the caller's. It is an `int` (Include/boolobject.h).
        unsafe {
            self.is(object, self.python.PyBool_Type) && !self.live.word(object, 0, 0).is_null()
        }
    }

    /// Writes text down, cut where it is long, in UTF-8 if it is a `unicode`; `None` for anything else.
    pub unsafe fn write_text(self, object: *mut PyObject, words: &mut MarshalWriter) {
        // SAFETY: the caller's.
        unsafe {
            if let Some(text) = self.bytes(object) {
                return words.text(&text[..text.len().min(LONGEST)]);
            }
            if !self.is(object, self.python.PyUnicode_Type) {
                return words.none();
            }
            let (count, one) = self.live.characters(self.python, object);
            // A character has at most four bytes.
            let mut text = [0; 4 * LONGEST];
            let mut length = 0;
            let mut index = 0;
            while index < count.min(LONGEST) {
                let mut code = one(index);
                index += 1;
                if (0xd800..0xdc00).contains(&code) && index < count {
                    let second = one(index);
                    if (0xdc00..0xe000).contains(&second) {
                        code = 0x1_0000 + ((code - 0xd800) << 10) + (second - 0xdc00);
                        index += 1;
                    }
                }
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                length += character.encode_utf8(&mut text[length..]).len();
            }
            words.text(&text[..length]);
        }
    }
}
