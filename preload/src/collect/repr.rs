//! A value as text, of bounded length, without running any code of the program's: `repr` of exact
//! built-in types; of all others their class and where they stand.
//!
//! On the worker, under the GIL, while nobody else can run: what is looked at stays as it is.

use std::ffi::{CStr, c_char, c_long};
use std::io::Write;
use std::ptr;

use crate::cpython::api::{PyObject, Python};
use crate::cpython::dict;
use crate::cpython::fields::Live;
use crate::cpython::glue::bytes;
use crate::cpython::layout::{TYPE_DICT, TYPE_NAME, TYPE_REPR, WORD};
use crate::inspect::types::{Kind, Kinds};
use crate::system::bounded_bytes::Bytes;
use crate::system::hash::Table;
use protocol::question::Question;

/// Larger numbers are told by their size, in bits: to write one out takes the square of that.
const LARGEST_NUMBER: usize = 2048;

/// Shows values.
pub struct SafeRepr<'a> {
    python: &'a Python,
    live: Live,
    wanted: &'a Question,
    /// Of which types objects are.
    pub kinds: Kinds<'a>,
    /// For each name whether its value is hidden; names that are equal are often the same object.
    secrets: Table<usize, bool>,
    /// Where the present value has to end.
    end: usize,
    /// How many more items of it are shown.
    items: u32,
    /// The containers that the present one is in.
    path: [*mut PyObject; DEEPEST],
}

/// Longer names are cut, and those of keys not looked through to their end for what is secret.
pub const LONGEST_NAME: usize = 200;

/// What contains others is never shown to more levels.
pub const DEEPEST: usize = 20;

/// # Safety
/// For all of them: holding the GIL, while nobody else can run; objects are alive.
impl<'a> SafeRepr<'a> {
    pub fn new(python: &'a Python, live: Live, wanted: &'a Question) -> Self {
        Self {
            python,
            live,
            wanted,
            kinds: Kinds::new(python, live),
            secrets: Table::default(),
            end: 0,
            items: 0,
            path: [ptr::null_mut(); DEEPEST],
        }
    }

    /// Whether the value of this name is not to be shown.
    pub unsafe fn is_hidden(&mut self, name: *mut PyObject) -> bool {
        if let Some(&hidden) = self.secrets.get(&(name as usize)) {
            return hidden;
        }
        // SAFETY: the caller's.
        unsafe {
            let hidden = match self.kinds.of(name).0 {
                Kind::Str => {
                    let text = bytes(self.python, name).unwrap_or_default();
                    self.wanted.hides(text)
                }
                Kind::Unicode => {
                    let (count, one) = self.live.characters(self.python, name);
                    let mut narrow = [0; LONGEST_NAME];
                    // What is no ASCII stands in no word; and nobody names a secret at such length.
                    for (index, place) in narrow.iter_mut().take(count).enumerate() {
                        *place = u8::try_from(one(index)).unwrap_or(0xff);
                    }
                    self.wanted.hides(&narrow[..count.min(LONGEST_NAME)])
                }
                _ => return false,
            };
            if self.secrets.try_reserve(1).is_ok() {
                self.secrets.insert(name as usize, hidden);
            }
            hidden
        }
    }

    /// Writes a value down.
    pub unsafe fn show(&mut self, object: *mut PyObject, out: &mut Bytes) {
        self.end = out.len().saturating_add(self.wanted.length as usize);
        self.items = self.wanted.items;
        // SAFETY: the caller's.
        unsafe { self.value(object, 0, out) }
    }

    unsafe fn value(&mut self, object: *mut PyObject, depth: usize, out: &mut Bytes) {
        if object.is_null() {
            return out.push(b"<nothing>");
        }
        // SAFETY: the caller's; what is borrowed stays, as nothing runs.
        unsafe {
            let (kind, exact) = self.kinds.of(object);
            let python = self.python;
            match kind {
                Kind::None => out.push(b"None"),
                Kind::Other => self.named(b"<", object, b">", out),
                Kind::Function => {
                    let name = self.live.word(object, 0, FUNCTION_NAME);
                    let name = bytes(python, name).unwrap_or(b"?");
                    self.at(&[b"function ", name], object, out);
                }
                Kind::BuiltIn => {
                    // PyCFunctionObject (Include/methodobject.h): m_ml comes first, and in it ml_name.
                    let method = self.live.word(object, 0, 0).cast::<*const c_char>();
                    let name = CStr::from_ptr(method.read());
                    self.at(&[b"built-in ", name.to_bytes()], object, out);
                }
                Kind::Method => {
                    // PyMethodObject (Include/classobject.h): im_func, im_self.
                    let function = self.live.word(object, 0, 0);
                    let owner = self.live.word(object, 0, WORD);
                    let name = match self.live.type_of(function) == python.PyFunction_Type {
                        true => bytes(python, self.live.word(function, 0, FUNCTION_NAME)),
                        false => None,
                    };
                    let name = name.unwrap_or(b"?");
                    if owner.is_null() {
                        self.at(&[b"unbound method ", name], object, out);
                    } else {
                        out.push(b"<bound method ");
                        out.push(name);
                        self.named(b" of <", owner, b">>", out);
                    }
                }
                Kind::Module => {
                    // PyModuleObject (Objects/moduleobject.c): md_dict comes first.
                    let names = self.live.word(object, 0, 0);
                    let name = self.text_of(names, b"__name__").unwrap_or(b"?");
                    self.at(&[b"module ", name], object, out);
                }
                Kind::Class | Kind::OldClass => {
                    out.push(b"<class ");
                    self.class(object, kind == Kind::OldClass, out);
                    out.push(b">");
                }
                _ if !exact => {
                    // As it is stored: what its class makes of that, its code would have to say.
                    self.named(b"<", object, b" ", out);
                    self.built_in(kind, object, depth, out);
                    out.push(b">");
                }
                _ => self.built_in(kind, object, depth, out),
            }
        }
    }

    /// What a built-in type stores, also where it is of a derived one.
    unsafe fn built_in(
        &mut self,
        kind: Kind,
        object: *mut PyObject,
        depth: usize,
        out: &mut Bytes,
    ) {
        let python = self.python;
        // SAFETY: as for `value`; a `str` has as many bytes, and the rest run no code of the program's
        // (Objects/intobject.c, longobject.c, floatobject.c, unicodeobject.c).
        unsafe {
            match kind {
                Kind::Bool if (python.PyInt_AsLong)(object) != 0 => out.push(b"True"),
                Kind::Bool => out.push(b"False"),
                Kind::Int => {
                    // PyIntObject (Include/intobject.h).
                    let number = self.live.word(object, 0, 0) as c_long;
                    let _ = write!(out, "{number}");
                }
                Kind::Long if (python._PyLong_NumBits)(object) > LARGEST_NUMBER => {
                    let bits = (python._PyLong_NumBits)(object);
                    let _ = write!(out, "<long of {bits} bits>");
                }
                Kind::Long => self.own_repr(python.PyLong_Type, object, out),
                Kind::Float => self.own_repr(python.PyFloat_Type, object, out),
                Kind::Str => {
                    let text = bytes(python, object).unwrap_or_default();
                    self.quoted("", text.len(), |index| u32::from(text[index]), out);
                }
                Kind::Unicode => {
                    let (count, one) = self.live.characters(self.python, object);
                    self.quoted("u", count, one, out);
                }
                _ => self.container(kind, object, depth, out),
            }
        }
    }

    /// What the `repr` of a built-in type makes of an object, or `?` where there is no memory for it.
    unsafe fn own_repr(&mut self, class: *mut PyObject, object: *mut PyObject, out: &mut Bytes) {
        // SAFETY: the caller's; it is that type's own function, and the new reference is given back.
        unsafe {
            let function = self.live.word(class, WORD, TYPE_REPR);
            let function = std::mem::transmute::<
                *mut PyObject,
                unsafe extern "C-unwind" fn(*mut PyObject) -> *mut PyObject,
            >(function);
            let text = function(object);
            let shown = (!text.is_null())
                .then(|| bytes(self.python, text))
                .flatten();
            out.push(shown.unwrap_or(b"?"));
            (self.python.Py_DecRef)(text);
            (self.python.PyErr_Clear)();
        }
    }

    /// Text as Python writes it, as much of it as there is room for.
    fn quoted(&self, prefix: &str, count: usize, one: impl Fn(usize) -> u32, out: &mut Bytes) {
        let shown = count.min(self.end.saturating_sub(out.len()));
        let has = |quote: char| (0..shown).any(|index| one(index) == u32::from(quote));
        let quote = if has('\'') && !has('"') { '"' } else { '\'' };
        let _ = write!(out, "{prefix}{quote}");
        for index in 0..shown {
            let _ = match (one(index), char::from_u32(one(index))) {
                (_, Some('\n')) => write!(out, "\\n"),
                (_, Some('\r')) => write!(out, "\\r"),
                (_, Some('\t')) => write!(out, "\\t"),
                (_, Some(char)) if char == quote || char == '\\' => write!(out, "\\{char}"),
                (_, Some(char @ ' '..='~')) => write!(out, "{char}"),
                (code @ ..256, _) => write!(out, "\\x{code:02x}"),
                (code @ ..0x1_0000, _) => write!(out, "\\u{code:04x}"),
                (code, _) => write!(out, "\\U{code:08x}"),
            };
        }
        let _ = write!(out, "{quote}");
        if shown < count {
            let _ = write!(out, "... ({count} in all)");
        }
    }

    unsafe fn container(
        &mut self,
        kind: Kind,
        object: *mut PyObject,
        depth: usize,
        out: &mut Bytes,
    ) {
        // SAFETY: the caller's; nobody changes it meanwhile, and what it gives is borrowed.
        unsafe {
            let python = self.python;
            let (start, end, count) = match kind {
                Kind::Tuple => ("(", ")", (python.PyTuple_Size)(object)),
                Kind::List => ("[", "]", (python.PyList_Size)(object)),
                Kind::Dict => ("{", "}", (python.PyDict_Size)(object)),
                Kind::Set => ("set([", "])", (python.PySet_Size)(object)),
                _ => ("frozenset([", "])", (python.PySet_Size)(object)),
            };
            let count = count.max(0) as usize;
            out.push(start.as_bytes());
            if count == 0 {
                return out.push(end.as_bytes());
            }
            let deep = self.wanted.depth.min(DEEPEST as u32) as usize;
            if depth >= deep || self.path[..depth].contains(&object) || out.is_full {
                out.push(b"...");
                return out.push(end.as_bytes());
            }
            self.path[depth] = object;
            let mut at = 0;
            for index in 0..count {
                if self.items == 0 || out.len() >= self.end {
                    let _ = write!(out, "... {} more", count - index);
                    break;
                }
                self.items -= 1;
                let (mut key, mut item) = (ptr::null_mut(), ptr::null_mut());
                let there = match kind {
                    Kind::Tuple => {
                        item = (python.PyTuple_GetItem)(object, index as isize);
                        true
                    }
                    Kind::List => {
                        item = (python.PyList_GetItem)(object, index as isize);
                        true
                    }
                    Kind::Dict => (python.PyDict_Next)(object, &mut at, &mut key, &mut item) != 0,
                    _ => {
                        let mut hash = 0;
                        (python._PySet_NextEntry)(object, &mut at, &mut item, &mut hash) != 0
                    }
                };
                if !there {
                    break;
                }
                if !key.is_null() {
                    self.value(key, depth + 1, out);
                    out.push(b": ");
                }
                if !key.is_null() && self.is_hidden(key) {
                    out.push(HIDDEN);
                } else {
                    self.value(item, depth + 1, out);
                }
                if index + 1 < count {
                    out.push(b", ");
                } else if kind == Kind::Tuple && count == 1 {
                    out.push(b",");
                }
            }
            out.push(end.as_bytes());
        }
    }

    /// `<module.Class at 0x…`, between these.
    unsafe fn named(&mut self, start: &[u8], object: *mut PyObject, end: &[u8], out: &mut Bytes) {
        out.push(start);
        // SAFETY: the caller's. An instance of an old-style class has that first (Include/classobject.h).
        unsafe {
            let class = self.live.type_of(object);
            if class as usize == self.python.instance_type {
                self.class(self.live.word(object, 0, 0), true, out);
                out.push(b" instance");
            } else {
                self.class(class, false, out);
            }
        }
        let _ = write!(out, " at {:#x}", object as usize);
        out.push(end);
    }

    /// The name of a class, with its module's.
    unsafe fn class(&mut self, class: *mut PyObject, old: bool, out: &mut Bytes) {
        // SAFETY: the caller's. PyClassObject (Include/classobject.h): cl_bases, cl_dict, cl_name; of a
        // type the name is a C string.
        unsafe {
            let (names, name) = if old {
                let name = bytes(self.python, self.live.word(class, 0, 2 * WORD));
                (self.live.word(class, 0, WORD), name.unwrap_or(b"?"))
            } else {
                let name = self.live.word(class, WORD, TYPE_NAME).cast::<c_char>();
                let names = self.live.word(class, WORD, TYPE_DICT);
                (names, CStr::from_ptr(name).to_bytes())
            };
            // Of one that was not made by a `class` statement the name has the module's in it.
            if let Some(module) = self.text_of(names, b"__module__")
                && module != b"__builtin__"
                && !name.contains(&b'.')
            {
                out.push(module);
                out.push(b".");
            }
            out.push(name);
        }
    }

    /// What is text of a dictionary's entry.
    unsafe fn text_of(&self, names: *mut PyObject, wanted: &[u8]) -> Option<&'static [u8]> {
        // SAFETY: the caller's; the text is as alive as the dictionary.
        unsafe {
            let value = dict::named(self.python, self.live, names, wanted);
            if value.is_null() || self.live.type_of(value) as usize != self.python.string_type {
                return None;
            }
            bytes(self.python, value)
        }
    }

    fn at(&self, words: &[&[u8]], object: *mut PyObject, out: &mut Bytes) {
        out.push(b"<");
        for word in words {
            out.push(word);
        }
        let _ = write!(out, " at {:#x}>", object as usize);
    }
}

/// PyFunctionObject (Include/funcobject.h), counted from the end of PyObject_HEAD: func_name.
const FUNCTION_NAME: usize = 5 * WORD;

/// Stands in place of a value that is not to be shown.
pub const HIDDEN: &[u8] = b"<hidden>";
