//! What the commands make their other formats of: names of threads, what they wait for, which locks they
//! hold, beside their stacks.
//!
//! On the worker, under the GIL, nobody else let run. It is made without objects of Python's but the
//! last one, and written as `marshal` would.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::agent::failure::Failure;
use crate::collect::lock_frames::Noted;
use crate::collect::waits::{Known, Wait};
use crate::cpython::api::{METH_O, Methods, PyObject, Python, method};
use crate::cpython::{find, glue};
use crate::inspect::attributes::{self, LOCAL};
use crate::inspect::objects::Objects;
use crate::script::raised::raised;
use crate::script::undisturbed;
use crate::system::hash::Table;
use protocol::marshal::MarshalWriter;
use protocol::state::{self, WaitKind};

static METHODS: Methods<1> = Methods([method(c"_more".as_ptr(), more, METH_O)]);

/// The function that the snippet's `_collect` is given; null until first needed in an interpreter's
/// life. Read and written only by who holds the GIL.
pub static MORE: AtomicPtr<PyObject> = AtomicPtr::new(ptr::null_mut());

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    MORE.store(ptr::null_mut(), Ordering::Relaxed);
    attributes::forget();
}

/// Makes that function, once.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn prepare(python: &Python) -> Result<(), Failure> {
    if !MORE.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    // SAFETY: the caller's; the definition stands still, and the reference to the function is kept.
    let make = || unsafe {
        find_local(python);
        let definition = ptr::from_ref(&METHODS.0[0]).cast_mut();
        let function = (python.PyCFunction_NewEx)(definition, ptr::null_mut(), ptr::null_mut());
        if function.is_null() {
            return Err(raised(python));
        }
        MORE.store(function, Ordering::Relaxed);
        Ok(())
    };
    // SAFETY: the caller's.
    unsafe { undisturbed::prepared(python, make) }
}

/// `_more(frames)`, called by the snippet: what there is to tell of each thread in a dictionary as
/// `sys._current_frames()` returns it, by identifier, as a `str`: see [`Telling::written`]. Numbers below
/// zero are no threads.
unsafe extern "C-unwind" fn more(_: *mut PyObject, frames: *mut PyObject) -> *mut PyObject {
    let Some(python) = find::found() else {
        return ptr::null_mut();
    };
    // SAFETY: called by the interpreter, holding the GIL. Nothing is made but what is returned; where
    // that is null, an exception is set.
    unsafe {
        let Some(objects) = Objects::known(python) else {
            return (python.PyErr_NoMemory)();
        };
        let mut threads = Vec::new();
        let mut enough = true;
        let whole = objects
            .live
            .for_each_stack(python, frames, &mut |ident, frame| {
                let ident = objects.number(ident);
                enough = threads.try_reserve(1).is_ok();
                if enough && ident > 0 {
                    threads.push((ident, frame));
                }
                enough
            });
        if !whole && enough {
            return ptr::null_mut();
        }
        match enough.then(|| Telling::of(objects, &threads)?.written()) {
            Some(Some(told)) => {
                let start = told.as_ptr().cast();
                (python.PyString_FromStringAndSize)(start, told.len() as isize)
            }
            _ => (python.PyErr_NoMemory)(),
        }
    }
}

/// A lock that a thread holds for a `with` block, and where.
struct Hold {
    lock: *mut PyObject,
    file: *mut PyObject,
    line: i64,
}

/// What there is to tell of a thread.
#[derive(Default)]
struct Told {
    /// The object that `threading` has for it.
    thread: Option<*mut PyObject>,
    wait: Option<Wait>,
    /// Its part of all holds.
    holds: std::ops::Range<usize>,
}

/// What there is to tell of all threads. Objects are borrowed.
struct Telling<'a> {
    objects: Objects<'a>,
    known: Known<'a>,
    /// Identifiers, and innermost frames.
    threads: &'a [(i64, *mut PyObject)],
    noted: Noted,
    told: Vec<Told>,
    holds: Vec<Hold>,
    /// Which threads have one of the locks that others wait for in a variable, by index and in order.
    having: Vec<(usize, *mut PyObject)>,
}

/// Every function here that returns an `Option` returns `None` if there is no memory.
///
/// # Safety
/// For all of them: as for [`Objects`].
impl<'a> Telling<'a> {
    unsafe fn of(objects: Objects<'a>, threads: &'a [(i64, *mut PyObject)]) -> Option<Self> {
        let mut telling = Telling {
            objects,
            // SAFETY: the caller's.
            known: unsafe { Known::new(objects) },
            threads,
            // SAFETY: the stacks have just been taken down, nobody else let run.
            noted: unsafe { Noted::take() },
            told: Vec::new(),
            holds: Vec::new(),
            having: Vec::new(),
        };
        telling.told.try_reserve_exact(threads.len()).ok()?;
        telling.told.resize_with(threads.len(), Told::default);
        // SAFETY: the caller's.
        unsafe {
            let idents = telling.name_threads()?;
            for index in 0..threads.len() {
                telling.find_holds(index)?;
            }
            telling.find_waits(&idents);
            telling.find_having()?;
        }
        Some(telling)
    }

    /// Finds the objects that `threading` has for threads; returns the threads' identifiers by object.
    unsafe fn name_threads(&mut self) -> Option<Table<usize, i64>> {
        let (objects, python) = (self.objects, self.objects.python);
        let mut indices = Table::default();
        let mut idents = Table::default();
        indices.try_reserve(self.threads.len()).ok()?;
        for (index, &(ident, _)) in self.threads.iter().enumerate() {
            indices.insert(ident, index);
        }
        // SAFETY: the caller's; it is a dictionary, and what is got of it is borrowed.
        unsafe {
            let active = objects.attribute(self.known.threading, b"_active");
            if !objects.is(active, python.dict_type as *mut PyObject) {
                return Some(idents);
            }
            let (mut at, mut key, mut thread) = (0, ptr::null_mut(), ptr::null_mut());
            while (python.PyDict_Next)(active, &mut at, &mut key, &mut thread) != 0 {
                let ident = objects.number(key);
                idents.try_reserve(1).ok()?;
                idents.insert(thread as usize, ident);
                if let Some(&index) = indices.get(&ident) {
                    self.told[index].thread = Some(thread);
                }
            }
        }
        Some(idents)
    }

    /// Finds the locks that a thread holds for `with` blocks.
    unsafe fn find_holds(&mut self, index: usize) -> Option<()> {
        let (objects, known) = (self.objects, &self.known);
        let (python, live) = (objects.python, objects.live);
        let start = self.holds.len();
        let holds = &mut self.holds;
        let mut enough = true;
        // Conditions that it waits for.
        let mut waited: Vec<*mut PyObject> = Vec::new();
        // SAFETY: the caller's.
        unsafe {
            let lock_of = |condition| objects.attribute(condition, b"_Condition__lock");
            let frames = self.noted.of(self.threads[index].1);
            for &frame in frames.unwrap_or_default() {
                let code = live.code(frame);
                if code == known.condition_wait {
                    enough &= waited.try_reserve(1).is_ok();
                    if enough {
                        waited.push(lock_of(objects.variable(frame, b"self")));
                    }
                }
                live.exits(frame, &mut |exit| {
                    let mut lock = objects.owner(exit);
                    if objects.is(lock, known.condition) {
                        lock = lock_of(lock);
                    }
                    if !known.locks.iter().any(|&kind| objects.is(lock, kind)) {
                        return;
                    }
                    enough &= holds.try_reserve(1).is_ok();
                    if enough {
                        let position = live.position(python, frame);
                        (python.PyErr_Clear)();
                        holds.push(Hold {
                            lock,
                            file: live.names(code)[0],
                            line: position.map_or(0, |at| live.line(python, code, at)),
                        });
                    }
                });
            }
        }
        // While it waits for a condition it has let go of that one's lock.
        let mut kept = start;
        for at in start..holds.len() {
            if !waited.contains(&holds[at].lock) {
                holds.swap(kept, at);
                kept += 1;
            }
        }
        holds.truncate(kept);
        self.told[index].holds = start..holds.len();
        enough.then_some(())
    }

    /// Finds what threads wait for. `idents` are the threads' identifiers by object.
    unsafe fn find_waits(&mut self, idents: &Table<usize, i64>) {
        let owner = |thread: *mut PyObject| idents.get(&(thread as usize)).copied().unwrap_or(0);
        for (told, &(ident, frame)) in self.told.iter_mut().zip(self.threads) {
            // SAFETY: the caller's.
            let wait = unsafe { self.known.wait(frame, &owner) };
            let mut held = self.holds[told.holds.clone()].iter();
            told.wait = wait.filter(|wait| match wait.kind {
                // It has got it already.
                WaitKind::RLock => wait.owner != ident,
                // Where a block begins, it has it as soon as there is the block.
                WaitKind::Lock => !(wait.begins && held.any(|hold| hold.lock == wait.thing)),
                _ => true,
            });
        }
        let imports = |told: &Told| {
            told.wait
                .as_ref()
                .is_some_and(|wait| wait.kind == WaitKind::Import)
        };
        if self.told.iter().any(imports) {
            // SAFETY: the caller's.
            let importer = unsafe { self.known.importer(self.threads) };
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
    unsafe fn find_having(&mut self) -> Option<()> {
        let (objects, live) = (self.objects, self.objects.live);
        let waits = self.told.iter().filter_map(|told| told.wait.as_ref());
        let locks = waits.filter(|wait| wait.kind == WaitKind::Lock);
        let mut wanted: Vec<*mut PyObject> = Vec::new();
        wanted.try_reserve_exact(locks.clone().count()).ok()?;
        wanted.extend(locks.map(|wait| wait.thing));
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Some(());
        }
        let mut enough = true;
        for (index, &(_, innermost)) in self.threads.iter().enumerate() {
            let start = self.having.len();
            let having = &mut self.having;
            let mut frame = innermost;
            // SAFETY: the caller's.
            unsafe {
                while !frame.is_null() {
                    // Of nearly all frames it is enough to look at this.
                    let mut here = false;
                    live.slots(objects.python, frame, &mut |value| {
                        here |= wanted.binary_search(&value).is_ok();
                    });
                    let mut add = |_, value| {
                        if wanted.binary_search(&value).is_err()
                            || having[start..].contains(&(index, value))
                        {
                            return;
                        }
                        enough &= having.try_reserve(1).is_ok();
                        if enough {
                            having.push((index, value));
                        }
                    };
                    if here {
                        live.variables(objects.python, frame, &mut add);
                    }
                    frame = live.back(frame);
                }
            }
        }
        enough.then_some(())
    }

    /// What stands under [`state::document::MORE`].
    unsafe fn written(&self) -> Option<Vec<u8>> {
        let objects = self.objects;
        let mut words = MarshalWriter::default();
        words.pairs();
        // SAFETY: the caller's.
        unsafe {
            let main = objects.attribute(self.known.threading, b"_MainThread");
            let mut having = &self.having[..];
            for (index, (told, &(ident, _))) in self.told.iter().zip(self.threads).enumerate() {
                words.number(ident);
                words.pairs();
                if let Some(thread) = told.thread {
                    words.key(state::thread::NAME);
                    objects.write_text(objects.attribute(thread, b"_Thread__name"), &mut words);
                    words.key(state::thread::DAEMON);
                    let daemon = objects.attribute(thread, b"_Thread__daemonic");
                    words.truth(objects.is_true(daemon));
                    words.key(state::thread::MAIN);
                    words.truth(objects.is(thread, main));
                }
                if let Some(wait) = &told.wait {
                    words.key(state::thread::WAIT);
                    wait.write(objects, &mut words);
                }
                let holds = &self.holds[told.holds.clone()];
                if !holds.is_empty() {
                    words.key(state::thread::HOLDS);
                    words.list(holds.len());
                    for hold in holds {
                        words.list(3);
                        words.number(hold.lock as i64);
                        words.text(glue::bytes(objects.python, hold.file).unwrap_or_default());
                        words.number(hold.line);
                    }
                }
                let count = having.iter().take_while(|(one, _)| *one == index).count();
                if count > 0 {
                    let (its, rest) = having.split_at(count);
                    having = rest;
                    words.key(state::thread::HAS);
                    words.list(count);
                    its.iter().for_each(|(_, lock)| words.number(*lock as i64));
                }
                words.end();
            }
        }
        words.end();
        words.finish()
    }
}

/// Finds `thread._local`, in a program that has threads.
///
/// # Safety
/// As for `snippet::collect`.
pub unsafe fn find_local(python: &Python) {
    // SAFETY: the caller's; what is looked at is borrowed, and a reference to the type is kept.
    unsafe {
        if let Some(objects) = Objects::known(python) {
            let local = objects.attribute(objects.module(b"thread"), b"_local");
            (python.Py_IncRef)(local);
            // It was found before, where there was no memory for the rest.
            (python.Py_DecRef)(LOCAL.swap(local, Ordering::Relaxed));
        }
    }
}
