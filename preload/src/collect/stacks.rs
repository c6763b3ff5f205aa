//! Stacks, taken down natively. The program stands still meanwhile, and the interpreter itself takes
//! some ten times as long for a frame.
//!
//! On the worker, under the GIL, nobody else let run, where the boot has found frames laid out as
//! `cpython/layout` has them.

use std::ops::Range;

use crate::collect::lock_frames::LockFrames;
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Code, Frame, Object, Owned};
use crate::system::hash::Table;

/// A place in the program's code.
pub struct Place<'g> {
    pub code: Code<'g>,
    /// The global names: a dictionary, or an object of a derived class.
    pub globals: Object<'g>,
    /// The line.
    pub line: i64,
    /// Whether the function is named `wait`.
    waits: bool,
}

/// A stack that was taken down.
pub struct Stack {
    /// Its index among [`Stacks::each`].
    pub index: usize,
    /// Its frames in [`Stacks::lock_frames`].
    pub lock_frames: Range<usize>,
}

/// A thread, and where it is.
pub struct Thread<'g> {
    /// Its identifier; below zero it is a greenlet or a generator.
    pub ident: i64,
    /// Its innermost frame.
    pub innermost: Frame<'g>,
    /// Its stack.
    pub stack: Stack,
}

/// Names that are looked for among global names.
pub struct Names<'gil> {
    mark: Owned<'gil>,
    loader: Owned<'gil>,
    name: Owned<'gil>,
}

impl<'gil> Names<'gil> {
    /// `None`, with an exception set, if there is no memory.
    pub fn new(gil: &Gil<'gil>) -> Option<Self> {
        Some(Names {
            mark: gil.new_str(b"_SLEEPER_AGENT")?,
            loader: gil.new_str(b"__loader__")?,
            name: gil.new_str(b"__name__")?,
        })
    }

    /// The dictionary of `__name__` and `__loader__` that linecache looks at in a place's globals; `Ok(None)`
    /// if the module has no loader. It is `_origin` of the snippet. An error, with an exception set, if
    /// there is no memory.
    pub fn origin<'g>(
        &'g self,
        gil: &Gil<'gil>,
        fields: Fields<'g>,
        place: &Place<'g>,
    ) -> Result<Option<Owned<'gil>>, ()> {
        let named = |name: &'g Owned| dict::value(fields, place.globals, name.object());
        let Some(loader) = named(&self.loader) else {
            return Ok(None);
        };
        let make = || {
            let origin = gil.new_dict()?;
            gil.set_item(origin.object(), self.loader.object(), loader)?;
            if let Some(name) = named(&self.name) {
                gil.set_item(origin.object(), self.name.object(), name)?;
            }
            Some(origin)
        };
        make().map(Some).ok_or(())
    }
}

/// Stacks, each once, and the places in them, each once.
pub struct Stacks<'g> {
    fields: Fields<'g>,
    mark: Object<'g>,
    /// The places, in the order in which they were met.
    pub places: Vec<Place<'g>>,
    /// Each place's index, by its code object and [`Fields::position`].
    indices: Table<(usize, i64), usize>,
    /// Each stack's index, by the indices of its places, innermost first. Many threads are often in
    /// the same stack.
    known: Table<Vec<usize>, usize>,
    /// The present stack.
    calls: Vec<usize>,
    /// Frames in which threads may hold locks.
    pub lock_frames: LockFrames<Frame<'g>>,
}

/// Functions here that return an `Option` return `None`, with an exception set, if there is no memory.
impl<'g> Stacks<'g> {
    /// No stacks yet.
    pub fn new(fields: Fields<'g>, names: &'g Names) -> Stacks<'g> {
        Stacks {
            fields,
            mark: names.mark.object(),
            places: Vec::new(),
            indices: Table::default(),
            known: Table::default(),
            calls: Vec::new(),
            lock_frames: LockFrames::default(),
        }
    }

    /// Takes a stack down, from its innermost frame; `Some(None)` if it is the agent's own.
    pub fn add(&mut self, innermost: Frame<'g>) -> Option<Option<Stack>> {
        let is_own = self.take(innermost)?;
        let lock_frames = self.lock_frames.end_stack();
        if is_own {
            return Some(None);
        }
        let index = match self.known.get(&self.calls) {
            Some(&index) => index,
            None => self.new_stack()?,
        };
        Some(Some(Stack { index, lock_frames }))
    }

    /// Takes one stack down into `self.calls`, without the agent's frames at its inner end; returns
    /// whether it is the agent's own from its outer end.
    fn take(&mut self, innermost: Frame<'g>) -> Option<bool> {
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
                return fields.no_memory();
            }
            self.calls.push(index);
            let may_hold = fields.blocks(here) > 0 || self.places[index].waits;
            if may_hold && self.lock_frames.add(here).is_none() {
                return fields.no_memory();
            }
            outermost = Some(here);
            frame = fields.back(here);
        }
        Some(outermost.is_none_or(|outermost| self.is_own(outermost)))
    }

    fn is_own(&self, frame: Frame<'g>) -> bool {
        let globals = self.fields.globals(frame);
        dict::value(self.fields, globals, self.mark).is_some()
    }

    /// The index of a frame's place.
    fn place(&mut self, frame: Frame<'g>) -> Option<usize> {
        let fields = self.fields;
        let code = fields.code(frame);
        let key = (code.address(), fields.position(frame)?);
        if let Some(&index) = self.indices.get(&key) {
            return Some(index);
        }
        if self.indices.try_reserve(1).is_err() || self.places.try_reserve(1).is_err() {
            return fields.no_memory();
        }
        let [_, name] = fields.names(code);
        let index = self.places.len();
        self.places.push(Place {
            code,
            globals: fields.globals(frame),
            line: fields.line(code, key.1),
            waits: fields.bytes(name) == Some(b"wait"),
        });
        self.indices.insert(key, index);
        Some(index)
    }

    fn new_stack(&mut self) -> Option<usize> {
        let mut key = Vec::new();
        if self.known.try_reserve(1).is_err() || key.try_reserve_exact(self.calls.len()).is_err() {
            return self.fields.no_memory();
        }
        key.extend_from_slice(&self.calls);
        let index = self.known.len();
        self.known.insert(key, index);
        Some(index)
    }

    /// The stacks, as indices of places, innermost first.
    pub fn each(&self) -> Option<Vec<&[usize]>> {
        let mut stacks: Vec<&[usize]> = Vec::new();
        if stacks.try_reserve_exact(self.known.len()).is_err() {
            return self.fields.no_memory();
        }
        stacks.resize(self.known.len(), &[]);
        for (calls, &index) in &self.known {
            stacks[index] = calls;
        }
        Some(stacks)
    }
}
