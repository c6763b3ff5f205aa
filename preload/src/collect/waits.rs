//! What a thread waits for, as the objects in its innermost frames tell.
//!
//! On the worker, under the GIL, while nobody else runs: objects are looked at, and never asked.

use std::ptr;

use crate::cpython::api::PyObject;
use crate::cpython::glue;
use crate::inspect::objects::Objects;
use crate::inspect::pending_call::{Calls, PythonCall, Value};
use protocol::marshal::MarshalWriter;
use protocol::state::{WaitKind, wait};

/// What a thread waits for. Objects are borrowed, and null where there is none.
pub struct Wait {
    /// What it is.
    pub kind: WaitKind,
    /// The object.
    pub thing: *mut PyObject,
    /// The identifier of the thread that has it; 0: not known.
    pub owner: i64,
    /// Whether it waits for a limited time only, where that is told.
    limited: Option<bool>,
    /// Numbers that belong to it, under their names; one that there is not, has none.
    numbers: [(&'static str, i64); 2],
    /// A name that belongs to it.
    name: *mut PyObject,
    /// Of a lock: whether it is waited for where a `with` block begins.
    pub begins: bool,
}

impl Wait {
    fn of(kind: WaitKind, thing: *mut PyObject) -> Wait {
        Wait {
            kind,
            thing,
            owner: 0,
            limited: None,
            numbers: [("", 0); 2],
            name: ptr::null_mut(),
            begins: false,
        }
    }

    /// Writes it down.
    ///
    /// # Safety
    /// As for [`Objects`].
    pub unsafe fn write(&self, objects: Objects, words: &mut MarshalWriter) {
        words.pairs();
        words.key(wait::FOR);
        words.text(self.kind.name().as_bytes());
        if !self.thing.is_null() {
            words.key(wait::ID);
            words.number(self.thing as i64);
        }
        if self.owner != 0 {
            words.key(wait::OWNER);
            words.number(self.owner);
        }
        if let Some(limited) = self.limited {
            words.key(wait::LIMITED);
            words.truth(limited);
        }
        if !self.name.is_null() {
            words.key(wait::NAME);
            // SAFETY: the caller's.
            unsafe { objects.write_text(self.name, words) };
        }
        for (name, number) in self.numbers.iter().filter(|(name, _)| !name.is_empty()) {
            words.key(name);
            words.number(*number);
        }
        words.end();
    }
}

/// How many functions of the standard library are known.
const FUNCTIONS: usize = 9;

/// What is looked up once for all threads.
pub struct Known<'a> {
    objects: Objects<'a>,
    pub calls: Calls<'a>,
    /// The module threading.
    pub threading: *mut PyObject,
    /// Its class of conditions.
    pub condition: *mut PyObject,
    /// The classes of what threads hold for `with` blocks: plain locks come first.
    pub locks: [*mut PyObject; 3],
    /// The code of a condition's own function that waits.
    pub condition_wait: *mut PyObject,
    /// Codes of functions of the standard library that threads wait in, and what they wait for there.
    /// Another's in their place is not known.
    functions: [(*mut PyObject, WaitKind); FUNCTIONS],
    sleep: *mut PyObject,
    deque: *mut PyObject,
}

/// # Safety
/// For all of them: as for [`Objects`].
impl<'a> Known<'a> {
    pub unsafe fn new(objects: Objects<'a>) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let threading = objects.module(b"threading");
            let of_threading = |name| objects.attribute(threading, name);
            let function = |class, name, kind| (objects.code(objects.of_class(class, name)), kind);
            let condition = of_threading(b"_Condition");
            let rlock = of_threading(b"_RLock");
            let semaphore = of_threading(b"_Semaphore");
            let queue = objects.attribute(objects.module(b"Queue"), b"Queue");
            let functions = [
                function(condition, b"wait", WaitKind::Condition),
                function(of_threading(b"_Event"), b"wait", WaitKind::Event),
                function(semaphore, b"acquire", WaitKind::Semaphore),
                function(rlock, b"acquire", WaitKind::RLock),
                function(rlock, b"_acquire_restore", WaitKind::RLock),
                function(of_threading(b"Thread"), b"join", WaitKind::Thread),
                function(queue, b"get", WaitKind::QueueGet),
                function(queue, b"put", WaitKind::QueuePut),
                function(queue, b"join", WaitKind::QueueJoin),
            ];
            let lock = objects.attribute(objects.module(b"thread"), b"LockType");
            Known {
                objects,
                calls: Calls::new(objects),
                threading,
                condition,
                locks: [lock, rlock, semaphore],
                condition_wait: functions[0].0,
                functions,
                sleep: objects.attribute(objects.module(b"time"), b"sleep"),
                deque: objects.attribute(objects.module(b"collections"), b"deque"),
            }
        }
    }

    /// What is waited for in the function that this frame, or null, is in.
    unsafe fn function(&self, frame: *mut PyObject) -> Option<WaitKind> {
        if frame.is_null() {
            return None;
        }
        // SAFETY: the caller's; it is a frame.
        let code = unsafe { self.objects.live.code(frame) };
        let mut functions = self.functions.iter();
        functions.find_map(|&(known, kind)| (known == code).then_some(kind))
    }

    /// What a thread with this innermost frame waits for. `owner` knows the identifier of a thread that
    /// is an object, or 0.
    pub unsafe fn wait(
        &mut self,
        frame: *mut PyObject,
        owner: &dyn Fn(*mut PyObject) -> i64,
    ) -> Option<Wait> {
        let objects = self.objects;
        // SAFETY: the caller's.
        unsafe {
            match self.function(frame) {
                Some(WaitKind::RLock) => {
                    // Where it asks its own lock, and not before or after that.
                    self.in_call(frame)
                        .filter(|asked| asked.kind == WaitKind::Lock)?;
                    let lock = objects.variable(frame, b"self");
                    let held_by = objects.attribute(lock, b"_RLock__owner");
                    let count = objects.attribute(lock, b"_RLock__count");
                    let mut wait =
                        Wait::of(WaitKind::RLock, Some(lock).filter(|lock| !lock.is_null())?);
                    // 2.6 keeps the thread itself.
                    wait.owner = match objects.number(held_by) {
                        0 => owner(held_by),
                        ident => ident,
                    };
                    wait.numbers[0] = (wait::COUNT, objects.number(count));
                    Some(wait)
                }
                Some(WaitKind::Condition) => Some(self.in_condition(frame)),
                _ => self.in_call(frame),
            }
        }
    }

    /// In the function of a condition that waits.
    unsafe fn in_condition(&self, frame: *mut PyObject) -> Wait {
        let objects = self.objects;
        // SAFETY: the caller's.
        unsafe {
            let timeout = objects.variable(frame, b"timeout");
            let limited = !timeout.is_null() && timeout != objects.python._Py_NoneStruct;
            // A condition is what the others are made of. It is waited for two frames further out where
            // there is a function between, as _Event has on 2.6.
            let mut outer = objects.live.back(frame);
            let mut found = None;
            for _ in 0..2 {
                found = found.or_else(|| {
                    let kind = self
                        .function(outer)
                        .filter(|&kind| kind != WaitKind::Condition);
                    kind.map(|kind| (kind, outer))
                });
                if !outer.is_null() {
                    outer = objects.live.back(outer);
                }
            }
            let (kind, frame) = found.unwrap_or((WaitKind::Condition, frame));
            let thing = objects.variable(frame, b"self");
            let mut wait = Wait::of(kind, thing);
            wait.limited = Some(limited);
            let number = |name| objects.number(objects.attribute(thing, name));
            match kind {
                WaitKind::Thread => {
                    wait.name = objects.attribute(thing, b"_Thread__name");
                    wait.numbers[0] = (wait::JOINED, number(b"_Thread__ident"));
                }
                WaitKind::Semaphore => {
                    wait.numbers[0] = (wait::VALUE, number(b"_Semaphore__value"))
                }
                WaitKind::Condition | WaitKind::Event => {}
                _ => {
                    wait.numbers[0] = (wait::MOST, number(b"maxsize"));
                    let items = objects.attribute(thing, b"queue");
                    if let Some(size) = objects.size(items, self.deque) {
                        wait.numbers[1] = (wait::SIZE, size);
                    }
                }
            }
            wait
        }
    }

    /// What a function of C's waits for that the frame is calling.
    unsafe fn in_call(&mut self, frame: *mut PyObject) -> Option<Wait> {
        let objects = self.objects;
        // SAFETY: the caller's.
        unsafe {
            let call = self.calls.of(frame);
            if self.calls.imports(frame, &call) {
                return Some(Wait::of(WaitKind::Import, ptr::null_mut()));
            }
            let (thing, name) = call.called?;
            if objects.is(thing, self.locks[0])
                && matches!(name, b"acquire" | b"acquire_lock" | b"__enter__")
            {
                // Unless it only tries.
                if !self.waits_for_lock(&call) {
                    return None;
                }
                let mut wait = Wait::of(WaitKind::Lock, thing);
                wait.begins = call.begins;
                return Some(wait);
            }
            // A module's function.
            if !objects.is(thing, objects.python.PyModule_Type) {
                return None;
            }
            let function = objects.attribute(thing, name);
            if function != self.sleep || !objects.is(function, objects.python.PyCFunction_Type) {
                return None;
            }
            let mut wait = Wait::of(WaitKind::Sleep, ptr::null_mut());
            if let Some(&Value::Known(seconds)) = call.arguments.first()
                && let Some(seconds) = objects.seconds(seconds)
            {
                let milliseconds = seconds.clamp(0.0, 1e9) * 1000.0;
                wait.numbers[0] = (wait::MILLISECONDS, milliseconds as i64);
            }
            Some(wait)
        }
    }

    /// Whether a lock that is called with these arguments is waited for: there are none, or the first
    /// is known, and says so.
    unsafe fn waits_for_lock(&self, call: &PythonCall) -> bool {
        let objects = self.objects;
        // SAFETY: the caller's.
        unsafe {
            match call.arguments.first() {
                None => true,
                Some(&Value::Known(waits)) => objects.is_true(waits) || objects.number(waits) == 1,
                _ => false,
            }
        }
    }

    /// The identifier of the thread that has the import lock, of all these (and their innermost frames):
    /// the one in which the code of a module runs because it is imported. The interpreter holds the lock
    /// meanwhile (Python/import.c, PyImport_ImportModuleLevel). `None` if that is not known: a thread
    /// that reads a module's file, say, or waits in its C code, is not.
    pub unsafe fn importer(&mut self, threads: &[(i64, *mut PyObject)]) -> Option<i64> {
        let live = self.objects.live;
        let mut importer = None;
        // SAFETY: the caller's.
        unsafe {
            if !self.import_lock_is_held() {
                return None;
            }
            for &(ident, innermost) in threads {
                let mut frame = innermost;
                while !frame.is_null() {
                    let [_, name] = live.names(live.code(frame));
                    frame = live.back(frame);
                    // Not a function that a signal or the collector has called there.
                    if self.objects.bytes(name) == Some(b"<module>") && !frame.is_null() {
                        let call = self.calls.of(frame);
                        if self.calls.imports(frame, &call) {
                            if importer.is_some() {
                                return None;
                            }
                            importer = Some(ident);
                            break;
                        }
                    }
                }
            }
        }
        importer
    }

    /// Whether the import lock may be held. Who lets go of it while it imports has this module.
    unsafe fn import_lock_is_held(&self) -> bool {
        let objects = self.objects;
        let python = objects.python;
        // SAFETY: the caller's. The function is C code of the interpreter's own, which tells of a
        // variable (Python/import.c, `imp_lock_held`); what it returns is given back.
        unsafe {
            let held = objects.attribute(objects.module(b"imp"), b"lock_held");
            if !objects.is_in_c(held, b"imp", b"lock_held") {
                return true;
            }
            let held = (python.PyObject_CallObject)(held, ptr::null_mut());
            glue::is_true(python, held)
        }
    }
}
