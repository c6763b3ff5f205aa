//! Suspended greenlets and generators, beside threads: `greenlets.py`, `lookups.py` and
//! `greenlet_waits.py`, `generators.py` and `generator_waits.py`, and what those cannot do for themselves.
//!
//! On the worker, under the GIL, nobody else let run. A program may have millions of objects, and all
//! of them are looked at: not by Python code, which takes fifty times as long.

use std::ffi::c_long;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::agent::failure::Failure;
use crate::cpython::api::{METH_NOARGS, METH_VARARGS, Methods, PyObject, Python, method};
use crate::cpython::fields::Live;
use crate::cpython::glue::{List, given, pair};
use crate::cpython::{find, thread_states};
use crate::inspect::types::Bases;
use crate::script::{compile, namespace, undisturbed};
use crate::suspended::lookups;
use crate::system::memory_budget;

/// The text of the Python half, NUL-terminated.
const TEXT: &str = concat!(
    include_str!("greenlets.py"),
    "\n\n",
    include_str!("lookups.py"),
    "\n\n",
    include_str!("greenlet_waits.py"),
    "\n\n",
    include_str!("generators.py"),
    "\n\n",
    include_str!("generator_waits.py"),
    "\0"
);

/// Its function that stands for the snippet's `_collect`; null until first needed in an interpreter's
/// life. Read and written only by who holds the GIL.
pub static COLLECT: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    COLLECT.store(ptr::null_mut(), Ordering::Relaxed);
}

static METHODS: Methods<3> = Methods([
    method(c"_instances".as_ptr(), instances, METH_VARARGS),
    method(
        c"_thread_dictionaries".as_ptr(),
        thread_dictionaries,
        METH_NOARGS,
    ),
    method(c"_clocks".as_ptr(), clocks, METH_NOARGS),
]);

/// Compiles the Python half, once. The layout of frames is known.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn prepare(python: &Python) -> Result<(), Failure> {
    if !COLLECT.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    // SAFETY: the caller's; references are given back, but for the function that is kept.
    unsafe {
        let functions = [(c"_collect_with_greenlets", &COLLECT)];
        let add = |namespace| {
            lookups::put_in(python, namespace)?;
            namespace::put_methods(python, namespace, &METHODS.0)
        };
        let modules = [c"sys", c"gc"];
        undisturbed::prepared(python, || {
            compile::compile(python, (TEXT, c"greenlets.py"), &modules, add, &functions)
        })
    }
}

/// How many classes, and codes of functions, there may be.
const MOST_KINDS: usize = 32;

/// What is looked for among all objects; all of it borrowed.
struct Sought<'a> {
    python: &'a Python,
    live: Live,
    /// By its index: what each is.
    kinds: [*mut PyObject; MOST_KINDS],
    /// Those of them that are new-style classes,
    classes: Vec<*mut PyObject>,
    /// and the index of each of these among all.
    indices: Vec<usize>,
    /// How many there are.
    count: usize,
    bases: Bases,
}

impl<'a> Sought<'a> {
    /// From a tuple of classes of either style, and of code; `None`, if there is no memory.
    ///
    /// # Safety
    /// Holding the GIL, and letting nobody have it for the life of this; it is a tuple.
    unsafe fn new(python: &'a Python, live: Live, tuple: *mut PyObject) -> Option<Self> {
        let mut sought = Sought {
            python,
            live,
            kinds: [ptr::null_mut(); MOST_KINDS],
            classes: Vec::new(),
            indices: Vec::new(),
            count: 0,
            bases: Bases::default(),
        };
        sought.classes.try_reserve_exact(MOST_KINDS).ok()?;
        sought.indices.try_reserve_exact(MOST_KINDS).ok()?;
        // SAFETY: the caller's; the tuple holds what is got of it.
        unsafe {
            sought.count = (python.PyTuple_Size)(tuple).clamp(0, MOST_KINDS as isize) as usize;
            for index in 0..sought.count {
                let kind = (python.PyTuple_GetItem)(tuple, index as isize);
                sought.kinds[index] = kind;
                if live.type_of(kind) == python.PyType_Type {
                    sought.classes.push(kind);
                    sought.indices.push(index);
                }
            }
        }
        Some(sought)
    }

    /// The index of what an object is one of.
    ///
    /// # Safety
    /// As for [`Sought::new`]; the object is alive.
    unsafe fn index_of(&mut self, object: *mut PyObject) -> Option<usize> {
        let (python, live) = (self.python, self.live);
        // SAFETY: the caller's. A function's code comes first among its fields
        // (Include/funcobject.h), and so does an instance's class (Include/classobject.h); whether
        // that derives from another is found along their bases, without running code of theirs
        // (Objects/classobject.c). Of what is no old-style class it says no, or that it is the same.
        unsafe {
            let kind = live.type_of(object);
            let kinds = &self.kinds[..self.count];
            if kind == python.PyFunction_Type {
                let code = live.word(object, 0, 0);
                return kinds.iter().position(|&one| one == code);
            }
            if kind as usize == python.instance_type {
                let class = live.word(object, 0, 0);
                let is_of = |&one: &*mut PyObject| {
                    live.type_of(one) == python.PyClass_Type
                        && (python.PyClass_IsSubclass)(class, one) != 0
                };
                return kinds.iter().position(is_of);
            }
            let first = self.bases.first(python, kind, &self.classes)?;
            Some(self.indices[first])
        }
    }
}

/// `_instances(objects, kinds, most)`: see `greenlets.py`.
unsafe extern "C-unwind" fn instances(_: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject {
    let (Some(python), Some(live)) = (find::found(), Live::known()) else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL, by our own code alone: with that function,
    // which is C code and makes a list, a tuple that holds what is in it, and a number. Nobody else
    // runs between the list's beginning and its end, not even for a signal: it holds all objects, and
    // none of them shall die with it.
    unsafe {
        let Some([function, kinds, most]) = given(python, arguments) else {
            return ptr::null_mut();
        };
        let most = (python.PyInt_AsLong)(most);
        let Some(mut sought) = Sought::new(python, live, kinds) else {
            return (python.PyErr_NoMemory)();
        };
        let objects = (python.PyObject_CallObject)(function, ptr::null_mut());
        if objects.is_null() {
            return ptr::null_mut();
        }
        let mut counts: [c_long; MOST_KINDS] = [0; MOST_KINDS];
        let mut list = List::new(python);
        let mut whole = true;
        for position in 0..(python.PyList_Size)(objects) {
            let object = (python.PyList_GetItem)(objects, position);
            let Some(index) = sought.index_of(object) else {
                continue;
            };
            counts[index] += 1;
            if counts[index] <= most {
                let number = (python.PyInt_FromLong)(index as c_long);
                whole = !number.is_null();
                if !whole {
                    break;
                }
                list.push(&[object, number]);
                (python.Py_DecRef)(number);
            }
        }
        (python.Py_DecRef)(objects);
        // Before it is begun with them.
        if whole && !memory_budget::has_memory_for_greenlets(list.len()) {
            (python.PyErr_NoMemory)();
            whole = false;
        }
        let mut left_out = List::new(python);
        for count in &counts[..sought.count] {
            let number = (python.PyInt_FromLong)((count - most).max(0));
            if number.is_null() {
                whole = false;
                break;
            }
            left_out.push(&[number]);
            (python.Py_DecRef)(number);
        }
        let lists = [list.made_of(whole), left_out.made_of(whole)];
        pair(python, lists)
    }
}

/// `_clocks()`: see `generators.py`.
unsafe extern "C-unwind" fn clocks(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    let milliseconds = |clock| {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: writes to the local and nothing else.
        unsafe { libc::clock_gettime(clock, &mut time) };
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    };
    // SAFETY: called by the interpreter, holding the GIL; the numbers are ours.
    unsafe {
        let clocks = [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME];
        pair(
            python,
            clocks.map(|clock| (python.PyInt_FromLong)(milliseconds(clock))),
        )
    }
}

/// `_thread_dictionaries()`: see `greenlets.py`.
unsafe extern "C-unwind" fn thread_dictionaries(
    _: *mut PyObject,
    _: *mut PyObject,
) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL; the numbers are ours, and the list takes
    // references of its own.
    unsafe {
        let mut list = List::new(python);
        let mut whole = true;
        thread_states::for_each(python, &mut |thread| {
            let numbers = [thread.ident, thread_states::dictionary(thread)]
                .map(|number| (python.PyInt_FromLong)(number as c_long));
            whole = numbers.iter().all(|number| !number.is_null());
            if whole {
                list.push(&numbers);
            }
            for number in numbers.into_iter().filter(|number| !number.is_null()) {
                (python.Py_DecRef)(number);
            }
            whole
        });
        list.made_of(whole)
    }
}

#[cfg(test)]
mod tests {
    use protocol::state::*;
    use std::collections::BTreeSet;

    const GREENLETS: &str = include_str!("greenlets.py");
    const GREENLET_WAITS: &str = include_str!("greenlet_waits.py");
    const GENERATORS: &str = include_str!("generators.py");
    const GENERATOR_WAITS: &str = include_str!("generator_waits.py");

    /// The words in quotes that stand here, each with the text behind it.
    fn quoted(text: &str) -> impl Iterator<Item = (&str, &str)> {
        let quotes = text.match_indices('\'');
        quotes.filter_map(|(at, _)| {
            let (word, rest) = text[at + 1..].split_once('\'')?;
            let is_word = |one: char| one.is_ascii_alphanumeric() || one == '_';
            (!word.is_empty() && word.chars().all(is_word)).then_some((word, rest))
        })
    }

    /// The words in quotes that directly follow this.
    fn following<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let rests = text.match_indices(before);
        let rests = rests.map(|(at, _)| text[at + before.len()..].trim_start());
        let words = rests.filter(|rest| rest.starts_with('\''));
        words
            .filter_map(|rest| quoted(rest).next())
            .map(|(word, _)| word)
            .collect()
    }

    /// A table of the text, from its name to its end.
    fn table<'a>(text: &'a str, name: &str, end: &str) -> &'a str {
        let start = format!("\n{name} = ");
        let (_, rest) = text.split_once(&start).expect("the table");
        rest.split_once(end).expect("its end").0
    }

    /// The last words of a table's rows.
    fn last_words<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
        // The last row ends without one.
        let rows = table(text, name, "'))").split_inclusive("'),");
        let words = rows.map(|row| row.trim_end_matches("'),").rsplit('\'').next());
        words.flatten().collect()
    }

    /// The keys that a text gives to dictionaries, without those of its tables.
    fn keys(text: &str) -> BTreeSet<&str> {
        let tables: Vec<&str> = ["_METHODS", "_CONTENTS"]
            .into_iter()
            .filter(|name| text.contains(&format!("\n{name} = {{")))
            .map(|name| table(text, name, "}"))
            .collect();
        let is_in_table = |word: &str| {
            let start = word.as_ptr();
            let mut tables = tables.iter().map(|table| table.as_bytes().as_ptr_range());
            tables.any(|table| table.contains(&start))
        };
        // A colon may also end a condition.
        let is_compared = |word: &str| {
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            text[..at - 1].ends_with("= ")
        };
        let is_key = |word: &str, rest: &str| match rest.starts_with(':') {
            true => !is_compared(word) && !is_in_table(word),
            false => rest.starts_with("] = "),
        };
        quoted(text)
            .filter(|(word, rest)| is_key(word, rest))
            .map(|(word, _)| word)
            .collect()
    }

    fn set<'a>(words: &[&[&'a str]]) -> BTreeSet<&'a str> {
        words.concat().into_iter().collect()
    }

    #[test]
    fn the_texts_write_the_keys_of_the_state() {
        let of_greenlets = [suspended::ALL, greenlets::ALL, greenlet::ALL];
        let of_generators = [coroutines::ALL, chain::ALL, &[coroutine_wait::FOR]];
        assert_eq!(keys(GREENLETS), set(&of_greenlets));
        assert_eq!(keys(GREENLET_WAITS), set(&[greenlet_wait::ALL]));
        assert_eq!(keys(GENERATORS), set(&of_generators));
        assert_eq!(keys(GENERATOR_WAITS), set(&[coroutine_wait::ALL]));
    }

    #[test]
    fn the_texts_write_the_kinds_of_the_state() {
        let said = |text| [following(text, "'for': "), following(text, "['for'] = ")].concat();
        // What stands between greenlets and what they wait for; and what is told as a timeout.
        let of = |words: &[Vec<&'static str>], own: &str| -> BTreeSet<&str> {
            let words = words.concat().into_iter();
            words.filter(|&word| word != own).collect()
        };
        let in_greenlets = [
            said(GREENLET_WAITS),
            last_words(GREENLET_WAITS, "_GEVENT"),
            last_words(GREENLET_WAITS, "_FUNCTIONS"),
        ];
        let kinds = GreenletWaitKind::ALL.iter().map(|kind| kind.name());
        assert_eq!(of(&in_greenlets, "waiter"), kinds.collect());
        let in_generators = [
            said(GENERATORS),
            said(GENERATOR_WAITS),
            following(GENERATOR_WAITS, "== 'tornado' and "),
            following(GENERATOR_WAITS, "'future' or "),
            last_words(GENERATOR_WAITS, "_HOLDERS"),
        ];
        let kinds = CoroutineWaitKind::ALL.iter().map(|kind| kind.name());
        assert_eq!(of(&in_generators, "timer"), kinds.collect());
        let libraries = CoroutineLibrary::ALL.iter().map(|library| library.name());
        let in_generators: BTreeSet<&str> = following(GENERATORS, "_Driven(").into_iter().collect();
        assert_eq!(in_generators, libraries.collect());
    }
}
