//! Stacks, taken down natively. The program stands still meanwhile, and the interpreter itself takes
//! some ten times as long for a frame.
//!
//! On the worker, under the GIL, nobody else let run, where the boot has found frames laid out as
//! `cpython/layout` has them.

use std::cell::RefCell;
use std::ops::Range;

use crate::agent::hold;
use crate::collect::lock_frames::LockFrames;
use crate::collect::places::{Name, Places};
use crate::cpython::dict;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Code, Frame, Object, Owned};
use crate::system::futex::Instant;
use crate::system::hash::Table;

/// A stack as the numbers of its places, innermost frame first; [`CUT`] comes last where it was not followed to
/// its outer end.
pub type Calls = Vec<u32>;

/// Stands where a stack was not followed any further.
pub const CUT: u32 = u32::MAX;

/// Longer names of files and functions are cut, in bytes: the kernel opens no file of such a name.
const LONGEST_NAME: usize = libc::PATH_MAX as usize;

/// A stack that was taken down.
pub struct Stack {
    /// Its index among the stacks.
    pub index: usize,
    /// Its frames in [`Stacks::lock_frames`].
    pub lock_frames: Range<usize>,
    /// Whether it was not followed to its outer end.
    pub is_cut: bool,
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

/// How far a stack is followed.
#[derive(Clone, Copy)]
pub struct Limit {
    /// So many frames in any case.
    pub least: usize,
    /// And as many as there is time for.
    pub until: Instant,
}

/// What the agent's own global names have among them.
const MARK: &[u8] = b"_SLEEPER_AGENT";

/// Names that are looked for among global names, as objects; without the GIL there are no such objects.
pub enum Names<'gil> {
    Objects {
        mark: Owned<'gil>,
        loader: Owned<'gil>,
        name: Owned<'gil>,
    },
    /// Which dictionaries of global names are the agent's own, by address.
    Text(RefCell<Table<usize, bool>>),
}

impl<'gil> Names<'gil> {
    /// `None`, with an exception set, if there is no memory.
    pub fn new(gil: &Gil<'gil>) -> Option<Self> {
        Some(Names::Objects {
            mark: gil.new_str(MARK)?,
            loader: gil.new_str(b"__loader__")?,
            name: gil.new_str(b"__name__")?,
        })
    }

    /// The same with the GIL or without.
    pub fn of(fields: Fields<'gil>) -> Option<Self> {
        match fields.gil() {
            Some(gil) => Names::new(gil),
            None => Some(Names::Text(RefCell::default())),
        }
    }

    /// Whether these global names are the agent's own.
    pub fn are_own<'g>(&self, fields: Fields<'g>, globals: Object<'g>) -> bool {
        let known = match self {
            Names::Objects { mark, .. } => {
                return dict::value(fields, globals, mark.object()).is_some();
            }
            Names::Text(known) => known,
        };
        let address = globals.address();
        if let Some(&are_own) = known.borrow().get(&address) {
            return are_own;
        }
        let found = fields.as_dict(globals);
        let are_own = found.is_some_and(|found| dict::named(fields, found, MARK).is_some());
        let mut known = known.borrow_mut();
        if known.try_reserve(1).is_ok() {
            known.insert(address, are_own);
        }
        are_own
    }

    /// What linecache looks at in the globals of a module that has a loader.
    fn origin_of<'g>(
        &self,
        gil: &Gil<'gil>,
        fields: Fields<'g>,
        globals: Object<'g>,
    ) -> Option<Origin<'gil>> {
        let Names::Objects { loader, name, .. } = self else {
            return None;
        };
        let named = |name: &Owned| dict::value(fields, globals, name.object());
        Some(Origin {
            loader: gil.own(named(loader)?),
            name: named(name).map(|name| gil.own(name)),
        })
    }

    /// The dictionary that linecache takes for the globals of a module with this loader. It is `_origin` of the
    /// snippet. `None`, with an exception set, if there is no memory.
    pub fn origin(&self, gil: &Gil<'gil>, of: &Origin) -> Option<Owned<'gil>> {
        let origin = gil.new_dict()?;
        let Names::Objects { loader, name, .. } = self else {
            return Some(origin);
        };
        gil.set_item(origin.object(), loader.object(), of.loader.object())?;
        if let Some(of_name) = &of.name {
            gil.set_item(origin.object(), name.object(), of_name.object())?;
        }
        Some(origin)
    }
}

/// What linecache looks at in a module's globals, where the module has a loader.
pub struct Origin<'gil> {
    loader: Owned<'gil>,
    name: Option<Owned<'gil>>,
}

/// Stacks, each once, and the places in them, each once.
pub struct Stacks<'a, 'gil> {
    /// `None` without it.
    gil: Option<&'a Gil<'gil>>,
    fields: Fields<'a>,
    names: &'a Names<'gil>,
    /// Copies of the places, in the order in which they were met.
    pub places: Places,
    /// Of each place whether its function is named `wait`.
    waits: Vec<bool>,
    /// Of each place whose module has a loader, what linecache looks at.
    pub origins: Vec<Origin<'gil>>,
    /// Each place's index, by its code object and [`Fields::position`].
    indices: Table<(usize, i64), u32>,
    /// Each stack's index. Many threads are often in the same stack.
    known: Table<Calls, usize>,
    /// The present stack.
    calls: Calls,
    /// Frames in which threads may hold locks.
    pub lock_frames: LockFrames<Frame<'a>>,
}

/// Functions here that return an `Option` return `None`, with an exception set, if there is no memory.
impl<'a, 'gil> Stacks<'a, 'gil> {
    /// No stacks yet.
    pub fn new(gil: Option<&'a Gil<'gil>>, fields: Fields<'a>, names: &'a Names<'gil>) -> Self {
        Stacks {
            gil,
            fields,
            names,
            places: Places::default(),
            waits: Vec::new(),
            origins: Vec::new(),
            indices: Table::default(),
            known: Table::default(),
            calls: Vec::new(),
            lock_frames: LockFrames::default(),
        }
    }

    /// Takes a stack down, from its innermost frame; `Some(None)` if it is the agent's own.
    pub fn add(&mut self, innermost: Frame<'a>, limit: Limit) -> Option<Option<Stack>> {
        let is_own = self.take(innermost, limit)?;
        let lock_frames = self.lock_frames.end_stack();
        if is_own {
            return Some(None);
        }
        let index = match self.known.get(&self.calls) {
            Some(&index) => index,
            None => self.new_stack()?,
        };
        Some(Some(Stack {
            index,
            lock_frames,
            is_cut: self.calls.last() == Some(&CUT),
        }))
    }

    /// Takes one stack down into `self.calls`, without the agent's frames at its inner end; returns
    /// whether it is the agent's own from its outer end.
    fn take(&mut self, innermost: Frame<'a>, limit: Limit) -> Option<bool> {
        /// How many frames are taken down between two looks at the clock.
        const AT_ONCE: usize = 64;
        self.calls.clear();
        let fields = self.fields;
        let mut frame = Some(innermost);
        let mut outermost = None;
        while let Some(own) = frame.filter(|&frame| hold::spend(5) && self.is_own(frame)) {
            frame = fields.back(own);
        }
        while let Some(here) = frame {
            let count = self.calls.len();
            let is_late = || Instant::now() >= limit.until || hold::is_over();
            if self.calls.try_reserve(1).is_err() {
                return fields.no_memory();
            }
            if count >= limit.least && count.is_multiple_of(AT_ONCE) && is_late() {
                self.calls.push(CUT);
                return Some(false);
            }
            let index = self.place(here)?;
            self.calls.push(index);
            let may_hold = fields.blocks(here) > 0 || self.waits[index as usize];
            if may_hold && self.lock_frames.add(here).is_none() {
                return fields.no_memory();
            }
            outermost = Some(here);
            frame = fields.back(here);
        }
        Some(outermost.is_none_or(|outermost| self.is_own(outermost)))
    }

    fn is_own(&self, frame: Frame<'a>) -> bool {
        let globals = self.fields.globals(frame);
        self.names.are_own(self.fields, globals)
    }

    /// The index of a frame's place.
    fn place(&mut self, frame: Frame<'a>) -> Option<u32> {
        let fields = self.fields;
        let code = fields.code(frame);
        let key = (code.address(), fields.position(frame));
        match self.indices.get(&key) {
            Some(&index) => Some(index),
            None => self.new_place(frame, code, key),
        }
    }

    fn new_place(&mut self, frame: Frame<'a>, code: Code<'a>, key: (usize, i64)) -> Option<u32> {
        let fields = self.fields;
        if self.indices.try_reserve(1).is_err()
            || self.waits.try_reserve(1).is_err()
            || self.origins.try_reserve(1).is_err()
        {
            return fields.no_memory();
        }
        let origin = self
            .gil
            .and_then(|gil| self.names.origin_of(gil, fields, fields.globals(frame)));
        let of_code: [Name; 2] = fields.names(code).map(|name| {
            let text = fields.bytes(name).unwrap_or(b"?");
            (name.address(), &text[..text.len().min(LONGEST_NAME)])
        });
        let index = self.places.len() as u32;
        let line = fields.line(code, key.1);
        if self.places.add(of_code, line, origin.is_some()).is_none() {
            return fields.no_memory();
        }
        self.waits.push(of_code[1].1 == b"wait");
        self.origins.extend(origin);
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

    /// What was taken down: the stacks, the places and what linecache looks at.
    pub fn finish(self) -> Option<(Vec<Calls>, Places, Vec<Origin<'gil>>)> {
        let mut stacks: Vec<Calls> = Vec::new();
        if stacks.try_reserve_exact(self.known.len()).is_err() {
            return self.fields.no_memory();
        }
        stacks.resize(self.known.len(), Calls::new());
        for (calls, index) in self.known {
            stacks[index] = calls;
        }
        Some((stacks, self.places, self.origins))
    }
}
