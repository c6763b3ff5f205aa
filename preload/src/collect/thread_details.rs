//! What the commands make their other formats of: names of threads, what they wait for, which locks they
//! hold, beside their stacks.
//!
//! On the worker, under the GIL, nobody else let run. It is made without objects of Python's but the
//! last one, and written as `marshal` would.

use crate::agent::failure::Failure;
use crate::collect::lock_frames::Noted;
use crate::collect::waits::{Known, Wait};
use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Frame, Kept, Object, Owned};
use crate::inspect::attributes;
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::script::undisturbed;
use crate::system::hash::Table;
use protocol::marshal::MarshalWriter;

static METHODS: Methods<1> = Methods([method!(c"_more", more)]);

/// The function that the snippet's `_collect` is given, once it has been made.
pub static MORE: Kept = Kept::nothing();

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    MORE.forget();
    attributes::forget();
}

/// Makes that function, once.
pub fn prepare(gil: &mut Gil) -> Result<(), Failure> {
    if !MORE.is_empty() {
        return Ok(());
    }
    undisturbed::alone(gil, |gil| {
        find_local(gil);
        let function = gil.new_function(&METHODS.0[0]);
        let function = function.ok_or_else(|| raised(gil))?;
        MORE.put(gil, Some(function));
        Ok(())
    })
}

/// `_more(frames)`, called by the snippet: what there is to tell of each thread in a dictionary as
/// `sys._current_frames()` returns it, by identifier, as a `str`: see [`Telling::written`]. Numbers below
/// zero are no threads.
fn more<'gil>(gil: &mut Gil<'gil>, frames: Object<'gil>) -> Option<Owned<'gil>> {
    let Some(objects) = Objects::known(gil) else {
        return gil.no_memory();
    };
    let mut threads = Vec::new();
    let mut enough = true;
    let whole = objects.for_each_stack(frames, &mut |ident, frame| {
        let ident = objects.number(ident);
        enough = threads.try_reserve(1).is_ok();
        if enough && ident > 0 {
            threads.push((ident, frame));
        }
        enough
    });
    if !whole && enough {
        return None;
    }
    match enough.then(|| Telling::of(objects, &threads)?.written()) {
        Some(Some(told)) => gil.new_str(&told),
        _ => gil.no_memory(),
    }
}

/// A lock that a thread holds for a `with` block, and where.
struct Hold<'g> {
    lock: Object<'g>,
    file: Object<'g>,
    line: i64,
}

/// What there is to tell of a thread.
#[derive(Default)]
struct Told<'g> {
    /// The object that `threading` has for it.
    thread: Option<Object<'g>>,
    wait: Option<Wait<'g>>,
    /// Its part of all holds.
    holds: std::ops::Range<usize>,
}

/// What there is to tell of all threads.
struct Telling<'a, 'g> {
    objects: Objects<'g>,
    known: Known<'g>,
    /// Identifiers, and innermost frames.
    threads: &'a [(i64, Frame<'g>)],
    noted: Noted,
    told: Vec<Told<'g>>,
    holds: Vec<Hold<'g>>,
    /// Which threads have one of the locks that others wait for in a variable, by index and in order.
    having: Vec<(usize, Object<'g>)>,
}

/// Every function here that returns an `Option` returns `None` if there is no memory.
impl<'a, 'g> Telling<'a, 'g> {
    fn of(objects: Objects<'g>, threads: &'a [(i64, Frame<'g>)]) -> Option<Self> {
        let mut telling = Telling {
            objects,
            known: Known::new(objects),
            threads,
            noted: Noted::take(objects.gil()),
            told: Vec::new(),
            holds: Vec::new(),
            having: Vec::new(),
        };
        telling.told.try_reserve_exact(threads.len()).ok()?;
        telling.told.resize_with(threads.len(), Told::default);
        let idents = telling.name_threads()?;
        for index in 0..threads.len() {
            telling.find_holds(index)?;
        }
        telling.find_waits(&idents);
        telling.find_having()?;
        Some(telling)
    }

    /// Finds the objects that `threading` has for threads; returns the threads' identifiers by object.
    fn name_threads(&mut self) -> Option<Table<usize, i64>> {
        let objects = self.objects;
        let mut indices = Table::default();
        let mut idents = Table::default();
        indices.try_reserve(self.threads.len()).ok()?;
        for (index, &(ident, _)) in self.threads.iter().enumerate() {
            indices.insert(ident, index);
        }
        let active = objects.attribute(self.known.threading, b"_active");
        let Some(active) = active.and_then(|active| objects.as_dict(active)) else {
            return Some(idents);
        };
        for (key, thread) in objects.gil().entries(*active) {
            let ident = objects.number(key);
            idents.try_reserve(1).ok()?;
            idents.insert(thread.address(), ident);
            if let Some(&index) = indices.get(&ident) {
                self.told[index].thread = Some(thread);
            }
        }
        Some(idents)
    }

    /// Finds the locks that a thread holds for `with` blocks.
    fn find_holds(&mut self, index: usize) -> Option<()> {
        let (objects, known) = (self.objects, &self.known);
        let start = self.holds.len();
        let holds = &mut self.holds;
        let mut enough = true;
        // Conditions that it waits for.
        let mut waited: Vec<Option<Object>> = Vec::new();
        let lock_of = |condition| objects.attribute(condition, b"_Condition__lock");
        let frames = self.noted.of(self.threads[index].1.as_ptr());
        for &frame in frames.unwrap_or_default() {
            // SAFETY: the stacks have just been taken down, and nobody else has run since.
            let frame = unsafe { Frame::assume(Object::existing(frame)) };
            let code = objects.code(frame);
            if Some(code) == known.condition_wait {
                enough &= waited.try_reserve(1).is_ok();
                if enough {
                    waited.push(lock_of(objects.variable(frame, b"self")));
                }
            }
            objects.exits(frame, &mut |exit| {
                let mut lock = objects.owner(exit);
                if objects.is_of(lock, known.condition) {
                    lock = lock_of(lock);
                }
                let Some(lock) = lock else {
                    return;
                };
                if !known.locks.iter().any(|&kind| objects.is_of(lock, kind)) {
                    return;
                }
                enough &= holds.try_reserve(1).is_ok();
                if enough {
                    let position = objects.position(frame);
                    objects.clear_exception();
                    holds.push(Hold {
                        lock,
                        file: objects.names(code)[0],
                        line: position.map_or(0, |at| objects.line(code, at)),
                    });
                }
            });
        }
        // While it waits for a condition it has let go of that one's lock.
        let mut kept = start;
        for at in start..holds.len() {
            if !waited.contains(&Some(holds[at].lock)) {
                holds.swap(kept, at);
                kept += 1;
            }
        }
        holds.truncate(kept);
        self.told[index].holds = start..holds.len();
        enough.then_some(())
    }

    /// Finds what threads wait for. `idents` are the threads' identifiers by object.
    fn find_waits(&mut self, idents: &Table<usize, i64>) {
        let owner = |thread: Option<Object>| {
            let ident = thread.and_then(|thread| idents.get(&thread.address()));
            ident.copied().unwrap_or(0)
        };
        for (told, &(ident, frame)) in self.told.iter_mut().zip(self.threads) {
            let wait = self.known.wait(frame, &owner);
            let mut held = self.holds[told.holds.clone()].iter();
            told.wait = wait.filter(|wait| match wait.kind {
                // It has got it already.
                "rlock" => wait.owner != ident,
                // Where a block begins, it has it as soon as there is the block.
                "lock" => !(wait.begins && held.any(|hold| Some(hold.lock) == wait.thing)),
                _ => true,
            });
        }
        let imports = |told: &Told| told.wait.as_ref().is_some_and(|wait| wait.kind == "import");
        if self.told.iter().any(imports) {
            let importer = self.known.importer(self.threads);
            for (told, &(ident, _)) in self.told.iter_mut().zip(self.threads) {
                if imports(told) {
                    match (
                        &mut told.wait,
                        importer.filter(|&importer| importer != ident),
                    ) {
                        (Some(wait), Some(importer)) => wait.owner = importer,
                        (wait, _) => *wait = None,
                    }
                }
            }
        }
    }

    /// Finds which threads have one of the plain locks in a variable that are waited for.
    fn find_having(&mut self) -> Option<()> {
        let objects = self.objects;
        let waits = self.told.iter().filter_map(|told| told.wait.as_ref());
        let locks = waits.filter(|wait| wait.kind == "lock");
        let mut wanted: Vec<usize> = Vec::new();
        wanted.try_reserve_exact(locks.clone().count()).ok()?;
        wanted.extend(locks.filter_map(|wait| wait.thing).map(Object::address));
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Some(());
        }
        let is_wanted = |object: Object| wanted.binary_search(&object.address()).is_ok();
        let mut enough = true;
        for (index, &(_, innermost)) in self.threads.iter().enumerate() {
            let start = self.having.len();
            let having = &mut self.having;
            for frame in objects.frames(Some(innermost)) {
                // Of nearly all frames it is enough to look at this.
                let mut here = false;
                objects.slots(frame, &mut |value| here |= is_wanted(value));
                let mut add = |_, value| {
                    if !is_wanted(value) || having[start..].contains(&(index, value)) {
                        return;
                    }
                    enough &= having.try_reserve(1).is_ok();
                    if enough {
                        having.push((index, value));
                    }
                };
                if here {
                    objects.variables(frame, &mut add);
                }
            }
        }
        enough.then_some(())
    }

    /// A dictionary by identifier; what is not known is left out:
    /// `{'name': …, 'daemon': …, 'main': …, 'wait': …, 'holds': [[lock, file, line]], 'has': [lock]}`
    fn written(&self) -> Option<Vec<u8>> {
        let objects = self.objects;
        let mut words = MarshalWriter::default();
        words.pairs();
        let main = objects.attribute(self.known.threading, b"_MainThread");
        let mut having = &self.having[..];
        for (index, (told, &(ident, _))) in self.told.iter().zip(self.threads).enumerate() {
            words.number(ident);
            words.pairs();
            if let Some(thread) = told.thread {
                words.text(b"name");
                objects.write_text(objects.attribute(thread, b"_Thread__name"), &mut words);
                words.text(b"daemon");
                let daemon = objects.attribute(thread, b"_Thread__daemonic");
                words.truth(objects.is_true(daemon));
                words.text(b"main");
                words.truth(objects.is_of(thread, main));
            }
            if let Some(wait) = &told.wait {
                words.text(b"wait");
                wait.write(objects, &mut words);
            }
            let holds = &self.holds[told.holds.clone()];
            if !holds.is_empty() {
                words.text(b"holds");
                words.list(holds.len());
                for hold in holds {
                    words.list(3);
                    words.number(hold.lock.address() as i64);
                    words.text(objects.bytes(hold.file).unwrap_or_default());
                    words.number(hold.line);
                }
            }
            let count = having.iter().take_while(|(one, _)| *one == index).count();
            if count > 0 {
                let (its, rest) = having.split_at(count);
                having = rest;
                words.text(b"has");
                words.list(count);
                for (_, lock) in its {
                    words.number(lock.address() as i64);
                }
            }
            words.end();
        }
        words.end();
        words.finish()
    }
}

/// Finds `thread._local`, in a program that has threads.
pub fn find_local(gil: &mut Gil) {
    let local = Objects::known(gil)
        .and_then(|objects| objects.attribute(objects.module(b"thread"), b"_local"))
        .map(|local| gil.own(local));
    attributes::keep_local(gil, local);
}
