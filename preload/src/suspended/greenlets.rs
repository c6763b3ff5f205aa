//! Finds suspended greenlets and generators: runs the Python texts beside this file, and gives them the
//! functions that they need.
//!
//! On the worker, under the GIL, while nobody else can run. All objects of the program are searched, maybe
//! millions; the search is native, as Python code takes fifty times as long. It ends when the time for it is
//! used up ([`hold`]), and so does each part of the texts.

use std::ffi::c_long;

use crate::agent::failure::Failure;
use crate::agent::hold;
use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::glue::List;
use crate::cpython::object::{Kept, Object, Owned, Type};
use crate::cpython::thread_states;
use crate::cpython::{collector, dict, set};
use crate::inspect::types::Bases;
use crate::script::raised::raised;
use crate::script::{compile, namespace, undisturbed};
use crate::suspended::lookups;
use crate::system::memory_budget;

/// The Python texts as one, NUL-terminated.
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

/// Its function `_find_suspended`, once it has been compiled.
static FIND: Kept = Kept::nothing();

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    FIND.forget();
}

static METHODS: Methods<5> = Methods([
    method!(c"_instances", instances, 3),
    method!(c"_held_by", held_by),
    method!(c"_thread_dictionaries", thread_dictionaries, 0),
    method!(c"_milliseconds", milliseconds, 0),
    method!(c"_used", used, 0),
]);

/// Compiles the texts, once; returns whether it has now. The layout of frames is known.
pub fn prepare(gil: &mut Gil) -> Result<bool, Failure> {
    if !FIND.is_empty() {
        return Ok(false);
    }
    let functions = [(c"_find_suspended", &FIND)];
    let add = |gil: &mut Gil, namespace: Object| {
        lookups::put_in(gil, namespace)?;
        namespace::put_methods(gil, namespace, &METHODS.0)
    };
    let modules = [c"sys", c"gc"];
    undisturbed::alone(gil, |gil| {
        compile::compile(gil, (TEXT, c"greenlets.py"), &modules, add, &functions)
    })?;
    Ok(true)
}

/// Suspended greenlets and generators.
pub struct Suspended<'gil> {
    /// Their innermost frames in a dictionary, by numbers below zero.
    pub frames: Owned<'gil>,
    /// Their details, as they stand in the document of a state.
    pub details: Vec<u8>,
    /// Whether the time was too short to find all of them, or all that is known of them.
    pub is_cut: bool,
}

impl<'gil> Suspended<'gil> {
    /// Finds them, after [`prepare`], while nobody else can run. `frames` has the innermost frames of threads,
    /// as `sys._current_frames()` returns them.
    pub fn find(gil: &mut Gil<'gil>, frames: Object) -> Result<Self, Failure> {
        let frames = gil.own(frames);
        // Its `except` clauses, which leave nonsense out, set `sys.exc_type`.
        let found = undisturbed::keeping_exc_info(gil, |gil| gil.call(&FIND, [Some(frames)]));
        let found = found.ok_or_else(|| raised(gil))?;
        let taken_apart = || {
            let part = |index| gil.tuple_item(found.object(), index);
            let details = written(gil, part(1)?)?;
            Some((gil.own(part(0)?), details, gil.own(part(2)?)))
        };
        let (frames, details, whole) = taken_apart().ok_or_else(|| raised(gil))?;
        let is_cut = !gil.is_true(Some(whole)) || hold::is_over();
        Ok(Suspended {
            frames,
            details,
            is_cut,
        })
    }
}

/// An object as `marshal` writes it: by C code of the interpreter's, which knows the types in it and runs no
/// code of theirs (Python/marshal.c). (The module may have to be imported, and then another thread may hold
/// the import lock.) `None`, with an exception set, if there is no memory.
fn written(gil: &Gil, object: Object) -> Option<Vec<u8>> {
    // SAFETY: the object is alive, and the reference is new.
    let text = unsafe {
        let text = (gil.PyMarshal_WriteObjectToString)(object.as_ptr(), 0);
        Owned::new(gil, text)?
    };
    let bytes = gil.bytes(text.object())?;
    let mut copy = Vec::new();
    if copy.try_reserve_exact(bytes.len()).is_err() {
        return gil.no_memory();
    }
    copy.extend_from_slice(bytes);
    Some(copy)
}

/// The most classes and code objects that can be looked for at once.
const MOST_KINDS: usize = 32;

/// The kinds of objects that are looked for among all.
struct Sought<'g> {
    fields: Fields<'g>,
    /// Each kind: a class of either style, or the code of a function.
    kinds: Vec<Object<'g>>,
    /// The new-style classes among them.
    classes: Vec<Type<'g>>,
    /// The index of each of these classes among the kinds.
    indices: Vec<usize>,
    bases: Bases<'g>,
}

impl<'g> Sought<'g> {
    /// From a tuple of kinds; `None` if there is no memory.
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

    /// The index of the kind that an object is of.
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

/// `_instances(kinds, most, until)`: see `greenlets.py`.
fn instances<'gil>(
    gil: &mut Gil<'gil>,
    [kinds, most, until]: [Object<'gil>; 3],
) -> Option<Owned<'gil>> {
    let gil = &*gil;
    // SAFETY: our own code alone calls this, with two numbers.
    let [most, until] = [most, until].map(|one| unsafe { (gil.PyInt_AsLong)(one.as_ptr()) });
    let mut counts: [c_long; MOST_KINDS] = [0; MOST_KINDS];
    let Some(mut sought) = Sought::new(Fields::known(gil)?, kinds) else {
        return gil.no_memory();
    };
    // Objects that are made meanwhile would be found too.
    let mut found: Vec<(Object, usize)> = Vec::new();
    let mut enough = true;
    let mut looks = 0_u64;
    let whole = collector::for_each_object(gil, &mut |object| {
        looks += 1;
        if let Some(index) = sought.index_of(object) {
            counts[index] += 1;
            if counts[index] <= most {
                enough &= found.try_reserve(1).is_ok();
                if enough {
                    found.push((object, index));
                }
            }
        }
        !looks.is_multiple_of(BETWEEN_LOOKS) || (hold::used() as c_long) < until
    });
    let Some(whole) = whole else {
        return Some(gil.own(gil.none()));
    };
    // Before any of them is looked at.
    if !enough || !memory_budget::has_memory_for_greenlets(found.len()) {
        return gil.no_memory();
    }
    let mut list = List::new(gil);
    for (object, index) in found {
        list.push([object, gil.new_int(index as c_long)?.object()]);
    }
    let mut left_out = List::new(gil);
    for count in &counts[..sought.kinds.len()] {
        let number = gil.new_int((count - most).max(0))?;
        left_out.push([number.object()]);
    }
    let whole = gil.new_int(whole.into());
    gil.new_tuple([list.finish(), left_out.finish(), whole])
}

/// How many objects are looked at between two looks at the clock.
const BETWEEN_LOOKS: u64 = 1000;

/// `_held_by(objects)`: see `lookups.py`.
fn held_by<'gil>(gil: &mut Gil<'gil>, objects: Object<'gil>) -> Option<Owned<'gil>> {
    let gil = &*gil;
    let fields = Fields::known(gil)?;
    let mut all: Vec<Object> = Vec::new();
    let mut enough = true;
    for object in gil.list_items(objects) {
        let mut add = |one| {
            enough &= all.try_reserve(1).is_ok();
            if enough {
                all.push(one);
            }
            enough && hold::spend(5)
        };
        if dict::slots(fields, object) > 0 {
            // A dictionary may have many empty slots.
            for (key, value) in dict::entries(fields, object) {
                if !add(key) || !add(value) {
                    break;
                }
            }
        } else if set::slots_of(fields, object) < MOST_SLOTS {
            fields.referents(object, &mut add);
        }
    }
    if !enough {
        return gil.no_memory();
    }
    gil.new_list_of(all.into_iter().map(|one| gil.own(one)))
}

/// A set with more slots is not looked into: most of them may be empty.
const MOST_SLOTS: usize = 1 << 20;

/// `_used()`: see `lookups.py`.
fn used<'gil>(gil: &mut Gil<'gil>, _: [Object; 0]) -> Option<Owned<'gil>> {
    gil.new_int(hold::used().min(1 << 30) as c_long)
}

/// `_milliseconds()`: see `generators.py`.
fn milliseconds<'gil>(gil: &mut Gil<'gil>, _: [Object; 0]) -> Option<Owned<'gil>> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to the local and nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
    gil.new_int(time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
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
        // A waiter stands between a greenlet and what it waits for; a timer is written as a timeout.
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
