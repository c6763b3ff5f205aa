//! Who holds a lock that a thread waits for and no thread holds: a suspended greenlet or generator, in a
//! `with` block of its own.
//!
//! On the worker, under the GIL, while nobody else can run. The garbage collector knows all frames, also
//! those that nobody runs (`PyFrame_New`, Objects/frameobject.c). A frame that has ended is in no block any
//! more, as whatever ends it unwinds them (Python/ceval.c). All objects are searched, so only where it is
//! needed.

use crate::agent::hold;
use crate::cpython::fields::Fields;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Frame, Object};
use crate::cpython::{collector, thread_states};
use crate::inspect::objects::Objects;
use protocol::marshal::MarshalWriter;
use protocol::state::suspended_holder;

/// More holders of locks are not looked for: hundreds of generators may share a semaphore.
const MOST: usize = 32;

/// CO_GENERATOR (Include/code.h).
const GENERATOR: i32 = 0x20;

/// Something suspended that holds a lock.
#[derive(Clone, Copy)]
pub struct Holder<'g> {
    /// The lock.
    pub lock: Object<'g>,
    frame: Frame<'g>,
    is_generator: bool,
    /// The identifier of the thread whose loop drives the generator; 0: not known.
    thread: i64,
}

/// Finds who holds these locks, whose addresses are in order; `None` if there is no memory.
pub fn find<'g>(objects: Objects<'g>, locks: &[usize]) -> Option<Vec<Holder<'g>>> {
    let mut found: Vec<Holder> = Vec::new();
    // What is read from memory is read of threads alone.
    let Some(gil) = objects.gil() else {
        return Some(found);
    };
    found.try_reserve_exact(MOST).ok()?;
    let is_wanted = |object: Object| locks.binary_search(&object.address()).is_ok();
    collector::for_each_object(gil, &mut |object| {
        let frame = objects.as_frame(object);
        if let Some(frame) = frame.filter(|&frame| objects.blocks(frame) > 0) {
            objects.exits(frame, &mut |exit| {
                let owner = objects.owner(exit);
                let of_condition = || objects.attribute(owner, b"_Condition__lock");
                let lock = owner.filter(|&lock| is_wanted(lock));
                let lock = lock.or_else(|| of_condition().filter(|&lock| is_wanted(lock)));
                if let Some(lock) = lock.filter(|_| found.len() < MOST) {
                    found.push(Holder {
                        lock,
                        frame,
                        is_generator: objects.flags(objects.code(frame)) & GENERATOR != 0,
                        thread: 0,
                    });
                }
            });
        }
        found.len() < MOST
    });
    if found.is_empty() {
        return Some(found);
    }
    // A frame without a generator is a greenlet's, where there are greenlets.
    let has_greenlets =
        objects.module(b"greenlet").is_some() || objects.module(b"greenlet._greenlet").is_some();
    found.retain(|one| {
        (one.is_generator || has_greenlets) && !is_running(gil, objects.fields(), one.frame)
    });
    for holder in found.iter_mut().filter(|one| one.is_generator) {
        holder.thread = driver(gil, objects, holder.frame).unwrap_or(0);
    }
    Some(found)
}

/// Whether a frame is in the stack of a thread, also of one that a fork has left behind.
fn is_running(gil: &Gil, fields: Fields, frame: Frame) -> bool {
    let mut is_running = false;
    thread_states::for_each_frame_of_any(gil, &mut |innermost| {
        is_running |= fields
            .frames(Some(innermost))
            .take_while(|_| hold::spend(1))
            .any(|one| one == frame);
        !is_running
    });
    // Then it is not known.
    is_running || hold::is_over()
}

/// The identifier of the thread whose loop drives the generator that has this frame: Twisted's reactor, by
/// `inlineCallbacks`, or one of Tornado's loops. Where nobody drives it, its own caller may be any thread.
fn driver<'g>(gil: &'g Gil<'g>, objects: Objects<'g>, frame: Frame<'g>) -> Option<i64> {
    let twisted = objects.module(b"twisted.internet.defer");
    let twisted =
        twisted.and_then(|module| objects.code_of(objects.attribute(module, b"_inlineCallbacks")));
    let runner = objects.attribute(objects.module(b"tornado.gen"), b"Runner");
    let runner = runner.and_then(|runner| objects.as_type(runner));
    if twisted.is_none() && runner.is_none() {
        return None;
    }
    let mut generator = None;
    collector::for_each_object(gil, &mut |object| {
        // Only a generator holds a frame of one that does not run, but for tracebacks and the program.
        if objects.type_name(objects.type_of(object)) == b"generator"
            && !objects.has_class_of_python(object)
        {
            objects.referents(object, &mut |one| {
                if one == *frame {
                    generator = Some(object);
                }
                generator.is_none()
            });
        }
        generator.is_none()
    });
    let generator = generator?;
    let mut thread = None;
    collector::for_each_object(gil, &mut |object| {
        if let Some(code) = objects.function_code(object) {
            // `gotResult`, which `_inlineCallbacks` defines, has the generator in a cell.
            let is_nested = || {
                let outer = twisted.map(|outer| objects.constants(outer));
                let mut nested = outer
                    .into_iter()
                    .flat_map(|outer| objects.tuple_items(outer));
                nested.any(|one| one == *code)
            };
            if is_nested() && encloses(objects, object, generator) {
                thread =
                    objects.attribute(objects.module(b"twisted.python.threadable"), b"ioThread");
            }
        } else if runner.is_some_and(|runner| objects.derives(objects.type_of(object), runner))
            && objects.attribute(object, b"gen") == Some(generator)
        {
            thread = objects.attribute(objects.attribute(object, b"io_loop"), b"_thread_ident");
        }
        thread.is_none()
    });
    Some(objects.number(thread)).filter(|&ident| ident != 0)
}

/// Whether a function has an object in a cell.
fn encloses<'g>(objects: Objects<'g>, function: Object<'g>, wanted: Object<'g>) -> bool {
    let mut found = false;
    objects.referents(function, &mut |closure| {
        if objects.is(closure, objects.PyTuple_Type) {
            for cell in objects.tuple_items(closure) {
                if objects.type_name(objects.type_of(cell)) == b"cell" {
                    objects.referents(cell, &mut |one| {
                        found |= one == wanted;
                        !found
                    });
                }
            }
        }
        !found
    });
    found
}

impl<'g> Holder<'g> {
    /// Writes it down: a dictionary of [`suspended_holder`].
    pub fn write(&self, objects: Objects<'g>, words: &mut MarshalWriter) {
        let code = objects.code(self.frame);
        let position = objects.position(self.frame);
        let [file, function] = objects.names(code);
        words.pairs();
        words.key(suspended_holder::FRAME);
        words.number(self.frame.address() as i64);
        words.key(suspended_holder::GENERATOR);
        words.truth(self.is_generator);
        words.key(suspended_holder::THREAD);
        words.number(self.thread);
        words.key(suspended_holder::FUNCTION);
        objects.write_text(function, words);
        words.key(suspended_holder::FILE);
        words.text(objects.bytes(file).unwrap_or_default());
        words.key(suspended_holder::LINE);
        words.number(objects.line(code, position));
        words.end();
    }
}
