//! The fields of objects of built-in types: functions, methods, instances, classes and numbers.

use std::ffi::{CStr, c_int, c_void};

use crate::agent::hold;
use crate::cpython::api::PyObject;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::object::{CFunction, Code, Object, Type};
use crate::cpython::thread_states;
use protocol::layout::{
    INTERPRETER_MODULES, INTERPRETER_SYS, TYPE_BASE, TYPE_DICT, TYPE_DICT_OFFSET, TYPE_FLAGS,
    TYPE_ITEM_SIZE, TYPE_MRO, TYPE_NAME, TYPE_SIZE, TYPE_TRAVERSE, WORD,
};

/// PyFunctionObject (Include/funcobject.h), counted from the end of PyObject_HEAD: func_code, func_globals,
/// func_name.
const FUNCTION_CODE: usize = 0;
const FUNCTION_GLOBALS: usize = WORD;
const FUNCTION_NAME: usize = 5 * WORD;

/// PyCFunctionObject (Include/methodobject.h): m_ml, m_self, m_module.
const C_FUNCTION_DEFINITION: usize = 0;
const C_FUNCTION_OWNER: usize = WORD;
const C_FUNCTION_MODULE: usize = 2 * WORD;

/// PyMethodObject (Include/classobject.h): im_func, im_self.
const METHOD_FUNCTION: usize = 0;
const METHOD_OWNER: usize = WORD;

/// PyInstanceObject (Include/classobject.h): in_class, in_dict.
const INSTANCE_CLASS: usize = 0;
const INSTANCE_DICT: usize = WORD;

/// PyClassObject (Include/classobject.h): cl_bases, cl_dict, cl_name.
const OLD_CLASS_BASES: usize = 0;
const OLD_CLASS_DICT: usize = WORD;
const OLD_CLASS_NAME: usize = 2 * WORD;

/// Longer names in C are cut, in bytes.
const LONGEST_NAME: usize = 1000;

/// The most old-style classes that are looked at to find out whether one derives from another.
const MOST_CLASSES: usize = 1000;

/// A method of a class that is written in Python.
pub struct Method<'g> {
    /// What it calls: mostly a function.
    pub function: Object<'g>,
    /// What it is bound to.
    pub owner: Option<Object<'g>>,
}

/// A class of the old style.
pub struct OldClass<'g> {
    /// Its attributes: a dictionary, or an object of a derived class.
    pub dict: Object<'g>,
    /// Its name.
    pub name: Option<Object<'g>>,
}

impl<'g> Fields<'g> {
    /// A C string, or the beginning of a long one.
    ///
    /// # Safety
    /// Under the GIL it is null, or a C string that stays for `'g`.
    pub(super) unsafe fn c_string(self, start: usize) -> &'g [u8] {
        if start == 0 {
            return b"";
        }
        match self.copies() {
            // SAFETY: it is read to its end at most, and so many bytes of it are there.
            None => unsafe {
                let length = libc::strnlen(start as *const _, LONGEST_NAME);
                std::slice::from_raw_parts(start as *const u8, length)
            },
            Some(copies) => copies.c_string(start, LONGEST_NAME),
        }
    }
}

/// Functions and methods. An object of another type has none of these fields.
impl<'g> Fields<'g> {
    /// The code of a function that is written in Python.
    pub fn function_code(self, function: Object<'g>) -> Option<Code<'g>> {
        let is_function = self.is_exactly(function, self.PyFunction_Type);
        // SAFETY: a function has its code, which is a code object, and keeps it while nobody runs who
        // could give it another.
        is_function.then(|| unsafe { Code::assume(self.existing(function, 0, FUNCTION_CODE)) })
    }

    /// The global names of such a function: a dictionary.
    pub fn function_globals(self, function: Object<'g>) -> Option<Object<'g>> {
        match self.is_exactly(function, self.PyFunction_Type) {
            // SAFETY: a function has this field, and keeps what is in it.
            true => unsafe { self.object(function, 0, FUNCTION_GLOBALS) },
            false => None,
        }
    }

    /// The name of such a function.
    pub fn function_name(self, function: Object<'g>) -> Option<Object<'g>> {
        match self.is_exactly(function, self.PyFunction_Type) {
            // SAFETY: a function has this field, and keeps what is in it.
            true => unsafe { self.object(function, 0, FUNCTION_NAME) },
            false => None,
        }
    }

    /// This object as a function that is written in C, if it is one.
    pub fn as_c_function(self, object: Object<'g>) -> Option<CFunction<'g>> {
        let is_function = self.is_exactly(object, self.PyCFunction_Type);
        // SAFETY: its type has just been looked at.
        is_function.then(|| unsafe { CFunction::assume(object) })
    }

    /// The name of such a function, a constant of its library's.
    pub fn c_function_name(self, function: CFunction<'g>) -> &'g [u8] {
        // SAFETY: m_ml points to the function's definition, which begins with the name: a C string, or
        // null. The function keeps its library loaded, as CPython 2 never unloads one.
        unsafe {
            let definition = self.word(*function, 0, C_FUNCTION_DEFINITION) as usize;
            self.c_string(self.word_at(definition))
        }
    }

    /// The name of the module that such a function belongs to.
    pub fn c_function_module(self, function: CFunction<'g>) -> Option<Object<'g>> {
        // SAFETY: a function has this field, and keeps what is in it.
        unsafe { self.object(*function, 0, C_FUNCTION_MODULE) }
    }

    /// What such a function is bound to, if it is a method.
    pub fn c_function_owner(self, function: CFunction<'g>) -> Option<Object<'g>> {
        // SAFETY: a function has this field, and keeps what is in it.
        unsafe { self.object(*function, 0, C_FUNCTION_OWNER) }
    }

    /// The parts of a method of a class that is written in Python.
    pub fn method(self, object: Object<'g>) -> Option<Method<'g>> {
        let is_method = self.is_exactly(object, self.PyMethod_Type);
        // SAFETY: a method has both fields, the first of them never null (`PyMethod_New`,
        // Objects/classobject.c), and keeps what is in them.
        is_method.then(|| unsafe {
            Method {
                function: self.existing(object, 0, METHOD_FUNCTION),
                owner: self.object(object, 0, METHOD_OWNER),
            }
        })
    }
}

/// Classes and their instances.
impl<'g> Fields<'g> {
    /// The class of an instance of an old-style class; `None` if it is none.
    pub fn old_class_of(self, instance: Object<'g>) -> Option<Object<'g>> {
        let is_instance = self.is_exactly(instance, self.instance_type as *mut PyObject);
        // SAFETY: an instance has its class, and keeps it while nobody runs who could give it another.
        is_instance.then(|| unsafe { self.existing(instance, 0, INSTANCE_CLASS) })
    }

    /// The attributes of such an instance: a dictionary, or an object of a derived class.
    pub fn old_attributes(self, instance: Object<'g>) -> Option<Object<'g>> {
        match self.is_exactly(instance, self.instance_type as *mut PyObject) {
            // SAFETY: an instance has this field, and keeps what is in it.
            true => unsafe { self.object(instance, 0, INSTANCE_DICT) },
            false => None,
        }
    }

    /// The classes that one of the old style derives from: a tuple; `None` if it is none.
    pub fn old_bases(self, class: Object<'g>) -> Option<Object<'g>> {
        let is_class = self.is_exactly(class, self.PyClass_Type);
        // SAFETY: a class has its bases, a tuple (`PyClass_New`), and keeps them.
        is_class.then(|| unsafe { self.existing(class, 0, OLD_CLASS_BASES) })
    }

    /// The items that an iterator over a list or a tuple has passed, or is at: how many, and the list or tuple
    /// (Objects/listobject.c, `listiterobject`; Objects/tupleobject.c; 2.6 and 2.7).
    pub fn passed(self, iterator: Object<'g>) -> Option<(usize, Object<'g>)> {
        let class = self.type_of(iterator);
        let known = matches!(self.type_name(class), b"listiterator" | b"tupleiterator");
        if !known || self.is_of_python(class) {
            return None;
        }
        // SAFETY: such an iterator has these two fields, and keeps what it goes through; null at its end.
        unsafe {
            let index = self.word(iterator, 0, 0) as usize;
            Some((index, self.object(iterator, 0, WORD)?))
        }
    }

    /// The parts of a class of the old style; `None` if it is none.
    pub fn old_class(self, class: Object<'g>) -> Option<OldClass<'g>> {
        let is_class = self.is_exactly(class, self.PyClass_Type);
        // SAFETY: a class has both fields, the first of them never null (`PyClass_New`,
        // Objects/classobject.c), and keeps what is in them.
        is_class.then(|| unsafe {
            OldClass {
                dict: self.existing(class, 0, OLD_CLASS_DICT),
                name: self.object(class, 0, OLD_CLASS_NAME),
            }
        })
    }

    /// The name of a type, in C; one that is written in C mostly has its module's before it.
    pub fn type_name(self, class: Type<'g>) -> &'g [u8] {
        // SAFETY: tp_name is a C string, which lives as long as the type does and keeps that name.
        unsafe { self.c_string(self.word(*class, WORD, TYPE_NAME) as usize) }
    }

    /// The flags of a type (Py_TPFLAGS_…, Include/object.h).
    pub fn type_flags(self, class: Type<'g>) -> usize {
        // SAFETY: a type has this field.
        unsafe { self.word(*class, WORD, TYPE_FLAGS) as usize }
    }

    /// The attributes of a type. (One of C's that has not been made ready has none.)
    pub fn type_dict(self, class: Type<'g>) -> Option<Object<'g>> {
        // SAFETY: a type has this field, and keeps what is in it.
        unsafe { self.object(*class, WORD, TYPE_DICT) }
    }

    /// The type that a type derives from first; `object` derives from none.
    pub fn type_base(self, class: Type<'g>) -> Option<Type<'g>> {
        // SAFETY: a type has this field, which is a type or null, and keeps what is in it.
        unsafe {
            self.object(*class, WORD, TYPE_BASE)
                .map(|base| Type::assume(base))
        }
    }

    /// Whether a type is one of Python's, and none of C's.
    pub fn is_of_python(self, class: Type<'g>) -> bool {
        /// Py_TPFLAGS_HEAPTYPE (Include/object.h).
        const OF_PYTHON: usize = 1 << 9;
        self.type_flags(class) & OF_PYTHON != 0
    }

    /// Whether a type is another, or derives from it, as classes of the new style do (`PyType_IsSubtype`,
    /// Objects/typeobject.c). No, also where the time for the answer is used up ([`hold`]): a metaclass may
    /// make the list of a class's bases of any length.
    pub fn derives(self, class: Type<'g>, base: Type<'g>) -> bool {
        const AT_ONCE: usize = 256;
        if class == base {
            return true;
        }
        // SAFETY: tp_mro is a tuple of a type's bases, or null in a type that is not ready yet; then tp_base
        // leads from base to base. The type keeps both. The items of a tuple follow its size.
        unsafe {
            let Some(bases) = self.object(*class, WORD, TYPE_MRO) else {
                let next = |one: &Object<'g>| self.object(*one, WORD, TYPE_BASE);
                let mut bases = std::iter::successors(next(&class), next);
                return bases.any(|one| one == *base || !hold::spend(1)) && !hold::is_over();
            };
            let count = self.word(bases, 0, 0) as usize;
            let items = bases.address() + self.head() + WORD;
            if self.copies().is_some() {
                let mut places = (0..count.min(MOST_CLASSES)).map(|index| items + index * WORD);
                return places.any(|place| self.word_at(place) == base.address());
            }
            let bases: &[*mut PyObject] = std::slice::from_raw_parts(items as *const _, count);
            bases.chunks(AT_ONCE).any(|some| {
                let large = some.len() == AT_ONCE;
                (!large || hold::spend(AT_ONCE / 4)) && some.contains(&base.as_ptr())
            })
        }
    }

    /// Whether an old-style class is another, or derives from it (`PyClass_IsSubclass`, Objects/classobject.c,
    /// which looks at a base again for each way that leads to it). No, where very many classes are between them.
    pub fn derives_old(self, class: Object<'g>, base: Object<'g>) -> bool {
        let mut found = [class; MOST_CLASSES];
        let mut count = 1;
        let mut at = 0;
        while at < count {
            let one = found[at];
            at += 1;
            if one == base {
                return true;
            }
            let bases = self.old_bases(one);
            for base in bases.into_iter().flat_map(|bases| self.tuple_items(bases)) {
                if !hold::spend(count / 8) {
                    return false;
                }
                if count < MOST_CLASSES && !found[..count].contains(&base) {
                    found[count] = base;
                    count += 1;
                }
            }
        }
        false
    }

    /// Calls `each` with what an object holds, as the garbage collector sees it, until that returns false. It
    /// runs nothing but the C code of the object's type.
    pub fn referents(self, object: Object<'g>, each: &mut dyn FnMut(Object<'g>) -> bool) {
        /// Py_TPFLAGS_HAVE_GC (Include/object.h).
        const COLLECTED: usize = 1 << 14;
        type Visit = unsafe extern "C-unwind" fn(*mut PyObject, *mut c_void) -> c_int;
        type Traverse = unsafe extern "C-unwind" fn(*mut PyObject, Visit, *mut c_void) -> c_int;
        unsafe extern "C-unwind" fn visit(object: *mut PyObject, each: *mut c_void) -> c_int {
            // SAFETY: the interpreter hands back what it was given below, and what it visits is an object.
            let (object, each) = unsafe {
                let each = each.cast::<&mut dyn FnMut(Object<'static>) -> bool>();
                (Object::borrowed(object), &mut *each)
            };
            // Whatever is not zero ends the traversal (Include/object.h, Py_VISIT).
            c_int::from(object.is_some_and(|object| !each(object)))
        }
        if self.gil().is_none() {
            return;
        }
        let class = self.type_of(object);
        // SAFETY: tp_traverse of a type with this flag is such a function, or null, and may be called for an
        // object of it. A visited object lives as long as its holder, so for `'g`, which is what `each` takes.
        unsafe {
            let traverse = self.word(*class, WORD, TYPE_TRAVERSE);
            if self.type_flags(class) & COLLECTED == 0 || traverse.is_null() {
                return;
            }
            let traverse = std::mem::transmute::<*mut PyObject, Traverse>(traverse);
            let mut each = each;
            traverse(object.as_ptr(), visit, (&raw mut each).cast());
        }
    }

    /// Calls `each` with what the words of an object point to, until that returns false. They may be no objects, and so
    /// may this one: nothing is done but in copies.
    pub fn pointed_to(self, object: Object<'g>, each: &mut dyn FnMut(Object<'g>) -> bool) {
        /// Longer objects are not looked at whole, in bytes.
        const LONGEST: usize = 256;
        if self.copies().is_none() {
            return;
        }
        // SAFETY: in a copy, whatever it is.
        unsafe {
            let size = self.word(*self.type_of(object), WORD, TYPE_SIZE) as usize;
            let places = (self.head()..size.min(LONGEST)).step_by(WORD);
            let mut words =
                places.filter_map(|at| self.object_at(object.address().wrapping_add(at)));
            while words.next().is_some_and(&mut *each) {}
        }
    }

    /// This object as a type, if it is one, and of no metaclass.
    pub fn as_type(self, object: Object<'g>) -> Option<Type<'g>> {
        let is_type = self.is_exactly(object, self.PyType_Type);
        // SAFETY: its type has just been looked at.
        is_type.then(|| unsafe { Type::assume(object) })
    }

    /// What an object has its own attributes in, if it has such a place: a dictionary, or an object of a derived class.
    /// It is found as `_PyObject_GetDictPtr` does (Objects/object.c, 2.6 and 2.7), and no code is run.
    pub fn attributes_of(self, object: Object<'g>) -> Option<Object<'g>> {
        /// Py_TPFLAGS_HAVE_CLASS (Include/object.h).
        const HAS_PLACE: usize = 1 << 8;
        let class = self.type_of(object);
        if self.type_flags(class) & HAS_PLACE == 0 {
            return None;
        }
        // SAFETY: a type has these fields; the object has its place where they say, and keeps what is in it. An object
        // whose size varies has that behind PyObject_HEAD.
        unsafe {
            let place = match self.word(*class, WORD, TYPE_DICT_OFFSET) as isize {
                0 => return None,
                from_end @ ..0 => {
                    let [size, item] =
                        [TYPE_SIZE, TYPE_ITEM_SIZE].map(|at| self.word(*class, WORD, at) as usize);
                    let count = (self.word(object, 0, 0) as isize).unsigned_abs();
                    let size = count.wrapping_mul(item).wrapping_add(size);
                    let size = size.checked_next_multiple_of(WORD).unwrap_or(0);
                    size.wrapping_add_signed(from_end)
                }
                from_start => from_start as usize,
            };
            self.object_at(object.address().wrapping_add(place))
        }
    }

    /// The modules that the program has imported, by name; `None` once the interpreter is being taken apart.
    pub fn modules(self) -> Option<Object<'g>> {
        match self.gil() {
            Some(gil) => gil.modules(),
            None => self.of_interpreter(INTERPRETER_MODULES),
        }
    }

    /// Something of the module `sys`; `None`, with no exception set, if it is not there.
    pub fn of_sys(self, name: &CStr) -> Option<Object<'g>> {
        match self.gil() {
            Some(gil) => {
                let found = gil.of_sys(name);
                // There may have been no memory for the name.
                gil.clear_exception();
                found
            }
            None => {
                let sys = self.as_dict(self.of_interpreter(INTERPRETER_SYS)?)?;
                dict::named(self, sys, name.to_bytes())
            }
        }
    }

    /// What the main interpreter has in this field.
    fn of_interpreter(self, at: usize) -> Option<Object<'g>> {
        let interpreter = thread_states::main_interpreter(&self)?;
        // SAFETY: without the GIL it is read from a copy.
        unsafe { self.object_at(interpreter.wrapping_add(at)) }
    }
}
