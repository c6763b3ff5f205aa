//! The snippet's `_stacks`, done by the library: the program stands still while stacks are taken
//! down, and the interpreter takes some ten times as long for a frame.
//!
//! On the worker, under the GIL, where the boot has found the layout of frames to be as it is
//! known. The snippet's own is the same thing in Python, for all other cases.

use crate::agent::failure::Failure;
use crate::agent::panics;
use crate::collect::lock_frames::Noted;
use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Code, Frame, Kept, Object, Owned};
use crate::inspect::objects::Objects;
use crate::script::{namespace, undisturbed};
use crate::system::hash::Table;
use crate::system::memory_budget;

static METHODS: Methods<1> = Methods([method!(c"_stacks", stacks)]);

/// The snippet's own, once it has been replaced.
static IN_PYTHON: Kept = Kept::nothing();

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    IN_PYTHON.forget();
}

/// Puts the function into the snippet's namespace in place of its own, if it can be used here.
pub fn put_in_place(gil: &mut Gil, namespace: Object) -> Result<(), Failure> {
    if Fields::known(gil).is_none() {
        return Ok(());
    }
    let own = gil.item_named(namespace, c"_stacks");
    let own = own.map(|own| gil.own(own));
    IN_PYTHON.put(gil, own);
    namespace::put_methods(gil, namespace, &METHODS.0)
}

/// `_stacks(frames)`, called by the snippet: see there.
fn stacks<'gil>(gil: &mut Gil<'gil>, frames: Object<'gil>) -> Option<Owned<'gil>> {
    if !undisturbed::can_stop_collector(gil) {
        // A finalizer may let others run, and frames go.
        let frames = gil.own(frames);
        return gil.call(&IN_PYTHON, [Some(frames)]);
    }
    let objects = Objects::known(gil)?;
    // Greenlets, which have numbers below zero, have seen to it themselves.
    let mut threads = 0;
    let count = &mut |ident, _| {
        threads += usize::from(objects.number(ident) >= 0);
        true
    };
    if !objects.for_each_stack(frames, count) {
        return None;
    }
    if !memory_budget::has_memory_for(threads) {
        return gil.no_memory();
    }
    panics::may_come("working");
    let mut taking = Taking::new(objects.fields())?;
    taking.all(frames)?;
    let noted = std::mem::take(&mut taking.noted);
    let [threads, places] = [
        gil.own(taking.threads.object()),
        gil.own(taking.places.object()),
    ];
    drop(taking);
    noted.keep(gil);
    gil.new_tuple([Some(threads), Some(places)])
}

/// What is being taken down. The lists and the keys are ours; code objects are alive as long as the
/// frames are, that is while the GIL is held.
struct Taking<'g> {
    fields: Fields<'g>,
    threads: Owned<'g>,
    places: Owned<'g>,
    /// `_SLEEPER_AGENT`, `__loader__` and `__name__`.
    keys: [Owned<'g>; 3],
    /// Each place's index, by its code object and [`Fields::position`], and as an `int`.
    indices: Table<(usize, i64), usize>,
    numbers: Vec<Owned<'g>>,
    /// Which of them are in functions named `wait`.
    waits: Vec<bool>,
    /// The indices of one stack's places, innermost first.
    calls: Vec<usize>,
    /// By those: the lists that there are already. Many threads are often in the same stack.
    stacks: Table<Vec<usize>, Owned<'g>>,
    noted: Noted,
}

/// Every function here returns `None`, with an exception set, if there is no memory.
impl<'g> Taking<'g> {
    fn new(fields: Fields<'g>) -> Option<Self> {
        let gil = fields.gil();
        Some(Taking {
            fields,
            threads: gil.new_list()?,
            places: gil.new_list()?,
            keys: [
                gil.new_str(b"_SLEEPER_AGENT")?,
                gil.new_str(b"__loader__")?,
                gil.new_str(b"__name__")?,
            ],
            indices: Table::default(),
            numbers: Vec::new(),
            waits: Vec::new(),
            calls: Vec::new(),
            stacks: Table::default(),
            noted: Noted::default(),
        })
    }

    /// Takes down all stacks.
    fn all(&mut self, frames: Object<'g>) -> Option<()> {
        let fields = self.fields;
        fields
            .for_each_stack(frames, &mut |ident, frame| {
                self.thread(ident, frame).is_some()
            })
            .then_some(())
    }

    /// Adds a thread to the list, unless it is the agent's own.
    fn thread(&mut self, ident: Object<'g>, innermost: Frame<'g>) -> Option<()> {
        let gil = self.fields.gil();
        if self.stack(innermost)? {
            let calls = match self.stacks.get(&self.calls) {
                Some(calls) => gil.own(calls.object()),
                None => self.new_stack()?,
            };
            let thread = gil.new_tuple([Some(gil.own(ident)), Some(calls)])?;
            gil.append(self.threads.object(), thread.object())?;
        }
        Some(())
    }

    /// Takes one stack down into `self.calls`; false if it is the agent's own.
    fn stack(&mut self, innermost: Frame<'g>) -> Option<bool> {
        self.calls.clear();
        let fields = self.fields;
        let mut frame = Some(innermost);
        let mut outermost = None;
        while let Some(own) = frame.filter(|&frame| self.is_own(frame)) {
            frame = fields.back(own);
        }
        while let Some(here) = frame {
            let index = self.place(here)?;
            if self.calls.try_reserve(1).is_err() {
                return self.fields.no_memory();
            }
            self.calls.push(index);
            if (fields.blocks(here) > 0 || self.waits[index]) && !self.noted.add(here.as_ptr()) {
                return self.fields.no_memory();
            }
            outermost = Some(here);
            frame = fields.back(here);
        }
        if !self.noted.end_stack(innermost.as_ptr()) {
            return self.fields.no_memory();
        }
        Some(outermost.is_some_and(|outermost| !self.is_own(outermost)))
    }

    fn is_own(&self, frame: Frame<'g>) -> bool {
        let fields: Fields = self.fields;
        dict::value(fields, fields.globals(frame), self.keys[0].object()).is_some()
    }

    /// The index of a frame's place, which is new or has been met before.
    fn place(&mut self, frame: Frame<'g>) -> Option<usize> {
        let fields = self.fields;
        let code = fields.code(frame);
        let key = (code.address(), fields.position(frame)?);
        if let Some(&index) = self.indices.get(&key) {
            return Some(index);
        }
        let index = self.numbers.len();
        if self.indices.try_reserve(1).is_err()
            || self.numbers.try_reserve(1).is_err()
            || self.waits.try_reserve(1).is_err()
        {
            return fields.no_memory();
        }
        self.numbers.push(fields.new_int(index as i64)?);
        let place = self.described(frame, code, fields.line(code, key.1))?;
        fields.append(self.places.object(), place.object())?;
        let [_, name] = fields.names(code);
        self.waits.push(fields.bytes(name) == Some(b"wait"));
        self.indices.insert(key, index);
        Some(index)
    }

    /// (file name, function, line, what linecache wants of its globals)
    fn described(&self, frame: Frame<'g>, code: Code<'g>, line: i64) -> Option<Owned<'g>> {
        let fields = self.fields;
        let [file, name] = fields.names(code).map(|name| self.plain(name));
        let origin = self.origin(fields.globals(frame));
        let gil = fields.gil();
        gil.new_tuple([file, name, gil.new_int(line), origin])
    }

    /// A `str`, or a copy of one that is of a class of its own.
    fn plain(&self, text: Object<'g>) -> Option<Owned<'g>> {
        let gil = self.fields.gil();
        match self.fields.is_str(text) {
            true => Some(gil.own(text)),
            false => gil.new_str(gil.bytes(text)?),
        }
    }

    /// The snippet's `_origin`.
    fn origin(&self, globals: Object<'g>) -> Option<Owned<'g>> {
        let fields: Fields = self.fields;
        let gil = self.fields.gil();
        let [_, loader, name] = &self.keys;
        if dict::value(fields, globals, loader.object()).is_none() {
            return Some(gil.own(gil.none()));
        }
        let origin = gil.new_dict()?;
        for key in [loader, name] {
            if let Some(value) = dict::value(fields, globals, key.object()) {
                gil.set_item(origin.object(), key.object(), value)?;
            }
        }
        Some(origin)
    }

    /// The last stack's places, outermost first, as a list; it is kept among [`Taking::stacks`].
    fn new_stack(&mut self) -> Option<Owned<'g>> {
        let gil = self.fields.gil();
        let mut key = Vec::new();
        if self.stacks.try_reserve(1).is_err() || key.try_reserve_exact(self.calls.len()).is_err() {
            return gil.no_memory();
        }
        key.extend_from_slice(&self.calls);
        let numbers = self.calls.iter().rev().map(|&index| &self.numbers[index]);
        let calls = gil.new_list_of(numbers.map(|number| gil.own(number.object())))?;
        let result = gil.own(calls.object());
        self.stacks.insert(key, calls);
        Some(result)
    }
}
