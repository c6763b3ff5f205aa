//! Suspended greenlets and generators, beside threads: `greenlets.py`, `lookups.py` and
//! `greenlet_waits.py`, `generators.py` and `generator_waits.py`, and what those cannot do for themselves.
//!
//! On the worker, under the GIL, nobody else let run. A program may have millions of objects, and all
//! of them are looked at: not by Python code, which takes fifty times as long.

use std::ffi::c_long;
use std::ptr;

use crate::agent::failure::Failure;
use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::glue::List;
use crate::cpython::object::{Kept, Object, Owned, Type};
use crate::cpython::thread_states;
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

/// Its function that stands for the snippet's `_collect`, once it has been compiled.
pub static COLLECT: Kept = Kept::nothing();

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    COLLECT.forget();
}

static METHODS: Methods<3> = Methods([
    method!(c"_instances", instances, 3),
    method!(c"_thread_dictionaries", thread_dictionaries, 0),
    method!(c"_clocks", clocks, 0),
]);

/// Compiles the Python half, once. The layout of frames is known.
pub fn prepare(gil: &mut Gil) -> Result<(), Failure> {
    if !COLLECT.is_empty() {
        return Ok(());
    }
    let functions = [(c"_collect_with_greenlets", &COLLECT)];
    let add = |gil: &mut Gil, namespace: Object| {
        lookups::put_in(gil, namespace)?;
        namespace::put_methods(gil, namespace, &METHODS.0)
    };
    let modules = [c"sys", c"gc"];
    undisturbed::alone(gil, |gil| {
        compile::compile(gil, (TEXT, c"greenlets.py"), &modules, add, &functions)
    })
}

/// How many classes, and codes of functions, there may be.
const MOST_KINDS: usize = 32;

/// What is looked for among all objects.
struct Sought<'g> {
    fields: Fields<'g>,
    /// By its index: what each is.
    kinds: Vec<Object<'g>>,
    /// Those of them that are new-style classes,
    classes: Vec<Type<'g>>,
    /// and the index of each of these among all.
    indices: Vec<usize>,
    bases: Bases<'g>,
}

impl<'g> Sought<'g> {
    /// From a tuple of classes of either style, and of code; `None`, if there is no memory.
    fn new(fields: Fields<'g>, tuple: Object<'g>) -> Option<Self> {
        let mut sought = Sought {
            fields,
            kinds: Vec::new(),
            classes: Vec::new(),
            indices: Vec::new(),
            bases: Bases::default(),
        };
        sought.kinds.try_reserve_exact(MOST_KINDS).ok()?;
        sought.classes.try_reserve_exact(MOST_KINDS).ok()?;
        sought.indices.try_reserve_exact(MOST_KINDS).ok()?;
        let kinds = fields.tuple_items(tuple).take(MOST_KINDS);
        for (index, kind) in kinds.enumerate() {
            sought.kinds.push(kind);
            if let Some(class) = fields.as_type(kind) {
                sought.classes.push(class);
                sought.indices.push(index);
            }
        }
        Some(sought)
    }

    /// The index of what an object is one of.
    fn index_of(&mut self, object: Object<'g>) -> Option<usize> {
        let fields = self.fields;
        let mut kinds = self.kinds.iter();
        if let Some(code) = fields.function_code(object) {
            return kinds.position(|&kind| kind == *code);
        }
        if let Some(class) = fields.old_class_of(object) {
            return kinds.position(|&kind| {
                fields.is_exactly(kind, fields.PyClass_Type) && fields.derives_old(class, kind)
            });
        }
        let class = fields.type_of(object);
        let first = self.bases.first(fields, class, &self.classes)?;
        Some(self.indices[first])
    }
}

/// `_instances(objects, kinds, most)`: see `greenlets.py`.
fn instances<'gil>(
    gil: &mut Gil<'gil>,
    [function, kinds, most]: [Object<'gil>; 3],
) -> Option<Owned<'gil>> {
    // SAFETY: our own code alone calls this: with a function, which is C code and makes a list, a tuple
    // that holds what is in it, and a number.
    let (objects, most) = unsafe {
        let most = (gil.PyInt_AsLong)(most.as_ptr());
        let objects = (gil.PyObject_CallObject)(function.as_ptr(), ptr::null_mut());
        (Owned::new(gil, objects)?, most)
    };
    let mut list = List::new(gil);
    let mut counts: [c_long; MOST_KINDS] = [0; MOST_KINDS];
    let known = count_instances(gil, (kinds, most), objects.object(), &mut counts, &mut list)?;
    drop(objects);
    // Before it is begun with them.
    if !memory_budget::has_memory_for_greenlets(list.len()) {
        return gil.no_memory();
    }
    let mut left_out = List::new(gil);
    for count in &counts[..known] {
        let number = gil.new_int((count - most).max(0))?;
        left_out.push([number.object()]);
    }
    gil.new_tuple([list.finish(), left_out.finish()])
}

/// Counts the instances of each of these kinds in a list of objects, and lists so many of each; returns how
/// many kinds there are.
///
/// Nobody else runs meanwhile, not even for a signal: the list holds all objects, and none of them shall
/// die with it.
fn count_instances<'g>(
    gil: &'g Gil<'g>,
    (kinds, most): (Object<'g>, c_long),
    objects: Object<'g>,
    counts: &mut [c_long; MOST_KINDS],
    list: &mut List,
) -> Option<usize> {
    let Some(mut sought) = Sought::new(Fields::known(gil)?, kinds) else {
        return gil.no_memory();
    };
    for object in gil.list_items(objects) {
        let Some(index) = sought.index_of(object) else {
            continue;
        };
        counts[index] += 1;
        if counts[index] <= most {
            let number = gil.new_int(index as c_long)?;
            list.push([object, number.object()]);
        }
    }
    Some(sought.kinds.len())
}

/// `_clocks()`: see `generators.py`.
fn clocks<'gil>(gil: &mut Gil<'gil>, _: [Object; 0]) -> Option<Owned<'gil>> {
    let milliseconds = |clock| {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: writes to the local and nothing else.
        unsafe { libc::clock_gettime(clock, &mut time) };
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    };
    let clocks = [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME];
    gil.new_tuple(clocks.map(|clock| gil.new_int(milliseconds(clock))))
}

/// `_thread_dictionaries()`: see `greenlets.py`.
fn thread_dictionaries<'gil>(gil: &mut Gil<'gil>, _: [Object; 0]) -> Option<Owned<'gil>> {
    let gil = &*gil;
    let mut list = List::new(gil);
    let mut whole = Some(());
    thread_states::for_each(gil, &mut |thread| {
        let number = |number| gil.new_int(number as c_long);
        whole = number(thread.ident).and_then(|ident| {
            let dictionary = number(thread_states::dictionary(thread))?;
            list.push([ident.object(), dictionary.object()]);
            Some(())
        });
        whole.is_some()
    });
    list.finish().filter(|_| whole.is_some())
}
