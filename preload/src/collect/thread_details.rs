//! What the full and JSON formats say of threads beside their stacks: their names, what they wait for,
//! which locks they hold.
//!
//! On the worker, under the GIL, while nobody else can run. No Python object is made for it.

use crate::agent::hold;
use crate::collect::evidence::{self, Evidence};
use crate::collect::lock_frames::LockFrames;
use crate::collect::stacks::Thread;
use crate::collect::suspended_holders::{self, Holder};
use crate::collect::waits::{Known, Wait, import_lock_is_held};
use crate::cpython::dict;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Frame, Object};
use crate::cpython::thread_states;
use crate::inspect::attributes;
use crate::inspect::objects::Objects;
use crate::system::hash::Table;
use protocol::marshal::MarshalWriter;
use protocol::state::{self, GoneKind, WaitKind};

/// A lock that a thread holds, and where.
struct Hold<'g> {
    lock: Object<'g>,
    file: Object<'g>,
    line: i64,
    /// Whether that is certain.
    certain: bool,
}

impl<'g> Hold<'g> {
    fn in_frame(objects: Objects<'g>, lock: Object<'g>, frame: Frame<'g>, certain: bool) -> Self {
        let code = objects.code(frame);
        Hold {
            lock,
            file: objects.names(code)[0],
            line: objects.line(code, objects.position(frame)),
            certain,
        }
    }
}

/// No thread waits for more conditions at once that are looked at: one in another's frames, as signal handlers do.
const MOST_WAITED: usize = 8;

/// No more attributes of an object are looked at for a lock.
const MOST_ATTRIBUTES: usize = 200;

/// The details of a thread.
#[derive(Default)]
struct Detail<'g> {
    /// The object that `threading` has for it.
    thread: Option<Object<'g>>,
    wait: Option<Wait<'g>>,
    /// Its range of [`Details::holds`].
    holds: std::ops::Range<usize>,
}

/// The details of all threads.
pub struct Details<'a, 'g> {
    objects: Objects<'g>,
    known: Known<'g>,
    threads: &'a [Thread<'g>],
    lock_frames: &'a LockFrames<Frame<'g>>,
    /// Of each thread, in the same order.
    details: Vec<Detail<'g>>,
    holds: Vec<Hold<'g>>,
    /// What threads hold by the code of their frames, of locks that others wait for, by index, in order.
    concluded: Vec<(usize, Hold<'g>)>,
    /// The threads that have a lock in a variable which others wait for, by index, in order.
    having: Vec<(usize, Object<'g>)>,
    /// What is suspended and holds locks that no thread holds.
    suspended: Vec<Holder<'g>>,
}

/// Every function here that returns an `Option` returns `None` if there is no memory.
impl<'a, 'g> Details<'a, 'g> {
    /// Finds the details of these threads. `lock_frames` are those of their stacks.
    ///
    /// What a thread's innermost frame has on its stack is looked at by `copied`, in copies: the interpreter may have been
    /// between two instructions when it let go of the GIL, and `f_lasti` is the one that is done, whose values are gone
    /// (Python/ceval.c, 2.6 and 2.7).
    pub fn of(
        (objects, copied): (Objects<'g>, Objects<'g>),
        threads: &'a [Thread<'g>],
        lock_frames: &'a LockFrames<Frame<'g>>,
    ) -> Option<Self> {
        let mut all = Details {
            objects,
            known: Known::new(copied),
            threads,
            lock_frames,
            details: Vec::new(),
            holds: Vec::new(),
            concluded: Vec::new(),
            having: Vec::new(),
            suspended: Vec::new(),
        };
        all.details.try_reserve_exact(threads.len()).ok()?;
        all.details.resize_with(threads.len(), Detail::default);
        let idents = all.name_threads()?;
        for index in 0..threads.len() {
            all.find_holds(index)?;
        }
        all.find_waits(&idents);
        all.find_having()?;
        all.find_suspended()?;
        all.check_owners();
        Some(all)
    }

    /// Finds the objects that `threading` has for threads; returns the threads' identifiers by object.
    fn name_threads(&mut self) -> Option<Table<usize, i64>> {
        let objects = self.objects;
        let mut indices = Table::default();
        let mut idents = Table::default();
        indices.try_reserve(self.threads.len()).ok()?;
        for (index, thread) in self.threads.iter().enumerate() {
            indices.insert(thread.ident, index);
        }
        let active = objects.attribute(self.known.threading, b"_active");
        let Some(active) = active.and_then(|active| objects.as_dict(active)) else {
            return Some(idents);
        };
        for (key, thread) in dict::entries(objects.fields(), *active) {
            let ident = objects.number(key);
            idents.try_reserve(1).ok()?;
            idents.insert(thread.address(), ident);
            if let Some(&index) = indices.get(&ident) {
                self.details[index].thread = Some(thread);
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
        // The locks of conditions that it waits for: it has released those that the frames around the wait hold.
        let mut waited: Vec<Option<Object>> = Vec::new();
        let lock_of = |condition| objects.attribute(condition, b"_Condition__lock");
        let frames = self.threads[index].stack.lock_frames.clone();
        for &frame in self.lock_frames.of(frames) {
            if !hold::spend(5) {
                break;
            }
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
                let Some(lock) = lock.filter(|&lock| known.is_lock(lock)) else {
                    return;
                };
                // What is not known to be held is left out.
                if !hold::spend(1 + waited.len() / 8) || waited.contains(&Some(lock)) {
                    return;
                }
                enough &= holds.try_reserve(1).is_ok();
                if enough {
                    holds.push(Hold::in_frame(objects, lock, frame, true));
                }
            });
        }
        self.details[index].holds = start..holds.len();
        enough.then_some(())
    }

    /// Finds what threads wait for. `idents` are the threads' identifiers by object.
    fn find_waits(&mut self, idents: &Table<usize, i64>) {
        let owner = |thread: Option<Object>| {
            let ident = thread.and_then(|thread| idents.get(&thread.address()));
            ident.copied().unwrap_or(0)
        };
        for (detail, thread) in self.details.iter_mut().zip(self.threads) {
            if !hold::spend(50) {
                break;
            }
            let wait = self.known.wait(thread.innermost, &owner);
            // It has acquired it already.
            let has_it = |wait: &Wait| wait.kind == WaitKind::RLock && wait.owner == thread.ident;
            detail.wait = wait.filter(|wait| !has_it(wait));
        }
        let imports = |detail: &Detail| {
            let wait = detail.wait.as_ref();
            wait.is_some_and(|wait| wait.kind == WaitKind::Import)
        };
        if self.details.iter().any(imports) {
            let importer = match import_lock_is_held(self.objects) {
                true => self.known.importer(self.threads),
                false => None,
            };
            let details = self.details.iter_mut().zip(self.threads);
            for (detail, thread) in details.filter(|(detail, _)| imports(detail)) {
                let other = importer.filter(|&importer| importer != thread.ident);
                match (&mut detail.wait, other) {
                    (Some(wait), Some(importer)) => wait.owner = importer,
                    (wait, _) => *wait = None,
                }
            }
        }
    }

    /// The addresses of the locks that threads wait for, in order.
    fn waited_locks(&self) -> Option<Vec<usize>> {
        let waits = self
            .details
            .iter()
            .filter_map(|detail| detail.wait.as_ref());
        let locks = waits.filter(|wait| matches!(wait.kind, WaitKind::Lock | WaitKind::RLock));
        let mut wanted: Vec<usize> = Vec::new();
        wanted.try_reserve_exact(locks.clone().count()).ok()?;
        wanted.extend(locks.filter_map(|wait| wait.thing).map(Object::address));
        wanted.sort_unstable();
        wanted.dedup();
        Some(wanted)
    }

    /// Finds what is suspended and holds a lock that threads wait for and no thread is known to hold.
    fn find_suspended(&mut self) -> Option<()> {
        let mut wanted = self.waited_locks()?;
        wanted.retain(|&lock| {
            let mut holds = self.holds.iter();
            hold::spend(1 + self.holds.len() / 8) && !holds.any(|one| one.lock.address() == lock)
        });
        if !wanted.is_empty() {
            self.suspended = suspended_holders::find(self.objects, &wanted)?;
        }
        Some(())
    }

    /// Finds the threads that have a lock in a variable which others wait for, or hold it by their code.
    fn find_having(&mut self) -> Option<()> {
        let objects = self.objects;
        let wanted = self.waited_locks()?;
        if wanted.is_empty() {
            return Some(());
        }
        let is_wanted = |object: Object| wanted.binary_search(&object.address()).is_ok();
        let mut enough = true;
        let mut may_acquire: Table<usize, bool> = Table::default();
        for (index, thread) in self.threads.iter().enumerate() {
            let start = self.having.len();
            let having = &mut self.having;
            // As in `find_holds`.
            let mut waited: [Option<Object>; MOST_WAITED] = [None; MOST_WAITED];
            let detail = &self.details[index];
            let held = &self.holds[detail.holds.clone()];
            let own = detail.wait.as_ref().and_then(|wait| wait.thing);
            for frame in objects.frames(Some(thread.innermost)) {
                if !hold::spend(5) {
                    break;
                }
                // For nearly all frames this quick look is enough.
                let mut here = false;
                objects.slots(frame, &mut |value| here |= is_wanted(value));
                let mut add = |_, value| {
                    let steps = (having.len() - start) / 8;
                    if !is_wanted(value)
                        || !hold::spend(1 + steps)
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
                    objects.variables(frame, &mut add);
                }
                let code = objects.code(frame);
                if Some(code) == self.known.condition_wait
                    && let Some(place) = waited.iter_mut().find(|place| place.is_none())
                {
                    let condition = objects.variable(frame, b"self");
                    *place = objects.attribute(condition, b"_Condition__lock");
                }
                may_acquire.try_reserve(1).ok()?;
                let may = may_acquire.entry(code.address());
                if !*may.or_insert_with(|| objects.may_acquire(code)) {
                    continue;
                }
                let concluded = &mut self.concluded;
                evidence::of(
                    self.known.objects,
                    &mut self.known.calls,
                    frame,
                    &mut |lock, how| {
                        let is_known = held.iter().any(|hold| hold.lock == lock)
                            || concluded
                                .iter()
                                .rev()
                                .take_while(|one| one.0 == index)
                                .any(|one| one.1.lock == lock);
                        // It may be about to acquire what it will release.
                        let waits = how == Evidence::Released && own == Some(lock);
                        if !is_wanted(lock) || is_known || waits || waited.contains(&Some(lock)) {
                            return;
                        }
                        // Where there is no other thread nobody else can have released it.
                        let certain = how == Evidence::Held
                            || how == Evidence::Acquired && self.threads.len() == 1;
                        enough &= concluded.try_reserve(1).is_ok();
                        if enough {
                            concluded.push((index, Hold::in_frame(objects, lock, frame, certain)));
                        }
                    },
                );
            }
        }
        enough.then_some(())
    }

    /// The identifiers of the threads whose frames say what they wait for, in order.
    pub fn waiting(&self) -> Option<Vec<usize>> {
        let both = || self.details.iter().zip(self.threads);
        let waits = || both().filter(|(detail, _)| detail.wait.is_some());
        let mut idents = Vec::new();
        idents.try_reserve_exact(waits().count()).ok()?;
        idents.extend(waits().map(|(_, thread)| thread.ident as usize));
        Some(idents)
    }

    /// Has those RLocks only be held by a thread that agree with its frames: the owner's identifier may have been
    /// given to another thread since.
    fn check_owners(&mut self) {
        let objects = self.objects;
        for index in 0..self.details.len() {
            let wait = self.details[index].wait.as_ref();
            let Some((wait, lock)) = wait
                .filter(|wait| wait.kind == WaitKind::RLock && wait.owner != 0)
                .and_then(|wait| Some((wait, wait.thing?)))
            else {
                continue;
            };
            if !hold::spend(20 + (self.concluded.len() + self.having.len()) / 8) {
                break;
            }
            let mut threads = self.threads.iter();
            let owner = threads.position(|thread| thread.ident == wait.owner);
            let agrees = owner.is_some_and(|owner| {
                wait.is_sure_of_owner
                    || self.holds[self.details[owner].holds.clone()]
                        .iter()
                        .any(|hold| hold.lock == lock)
                    || self
                        .concluded
                        .iter()
                        .any(|(one, hold)| *one == owner && hold.lock == lock)
                    || self.having.contains(&(owner, lock))
                    || self.leads_to(self.threads[owner].innermost, lock)
            });
            let gone = match (agrees, owner) {
                (true, _) => None,
                // Not everything has been looked at.
                _ if hold::is_over() => None,
                _ if thread_states::was_left_behind(&objects, wait.owner as usize) => {
                    Some(GoneKind::Fork)
                }
                (_, None) => Some(GoneKind::Ended),
                (_, Some(_)) => Some(GoneKind::Replaced),
            };
            if let Some(wait) = &mut self.details[index].wait {
                wait.gone = gone;
            }
        }
    }

    /// Whether an object that is in a variable of one of these frames has the lock as its attribute.
    fn leads_to(&self, innermost: Frame<'g>, lock: Object<'g>) -> bool {
        let objects = self.objects;
        let mut found = false;
        for frame in objects.frames(Some(innermost)) {
            objects.variables(frame, &mut |_, value| {
                let own = attributes::own(objects.fields(), value);
                let entries = own
                    .into_iter()
                    .flat_map(|own| dict::entries(objects.fields(), *own));
                found |= entries
                    .take(MOST_ATTRIBUTES)
                    .any(|(_, one)| hold::spend(1) && one == lock);
            });
            if found || !hold::spend(20) {
                break;
            }
        }
        found
    }

    /// Writes what stands under [`state::document::MORE`].
    pub fn write(&self) -> Option<Vec<u8>> {
        let objects = self.objects;
        let mut words = MarshalWriter::default();
        words.pairs();
        let main = objects.attribute(self.known.threading, b"_MainThread");
        let mut having = &self.having[..];
        let mut concluded = &self.concluded[..];
        for (index, (detail, thread)) in self.details.iter().zip(self.threads).enumerate() {
            words.number(thread.ident);
            words.pairs();
            if let Some(thread) = detail.thread {
                words.key(state::thread::NAME);
                objects.write_text(objects.attribute(thread, b"_Thread__name"), &mut words);
                words.key(state::thread::DAEMON);
                let daemon = objects.attribute(thread, b"_Thread__daemonic");
                words.truth(objects.is_true(daemon));
                words.key(state::thread::MAIN);
                words.truth(objects.is_of(thread, main));
            }
            if let Some(wait) = &detail.wait {
                words.key(state::thread::WAIT);
                wait.write(self.known.objects, &mut words);
                let holders = self.suspended.iter();
                let holders = holders.filter(|one| Some(one.lock) == wait.thing);
                let count = holders.clone().count();
                if count > 0 {
                    words.key(state::thread::SUSPENDED);
                    words.list(count);
                    holders.for_each(|one| one.write(objects, &mut words));
                }
            }
            let holds = &self.holds[detail.holds.clone()];
            let more = concluded
                .iter()
                .take_while(|(one, _)| *one == index)
                .count();
            let (more, rest) = concluded.split_at(more);
            concluded = rest;
            if holds.len() + more.len() > 0 {
                words.key(state::thread::HOLDS);
                words.list(holds.len() + more.len());
                for hold in holds.iter().chain(more.iter().map(|(_, hold)| hold)) {
                    words.list(4);
                    words.number(hold.lock.address() as i64);
                    words.text(objects.bytes(hold.file).unwrap_or_default());
                    words.number(hold.line);
                    words.truth(hold.certain);
                }
            }
            let count = having.iter().take_while(|(one, _)| *one == index).count();
            if count > 0 {
                let (its, rest) = having.split_at(count);
                having = rest;
                words.key(state::thread::HAS);
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
    if attributes::knows_local() {
        return;
    }
    let local = Objects::known(gil)
        .and_then(|objects| objects.attribute(objects.module(b"thread"), b"_local"))
        .map(|local| gil.own(local));
    attributes::keep_local(gil, local);
}
