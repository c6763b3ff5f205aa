//! What a thread waits for, found from the objects in its innermost frames.
//!
//! On the worker, under the GIL, while nobody else runs: objects are looked at, and no method of theirs is
//! called.

use std::ptr;

use crate::agent::hold;
use crate::collect::stacks::Thread;
use crate::cpython::object::{Code, Frame, Object, Owned};
use crate::inspect::objects::Objects;
use crate::inspect::pending_call::{PendingCalls, PythonCall, Value};
use protocol::marshal::MarshalWriter;
use protocol::state::{WaitKind, wait};

/// What a thread waits for.
pub struct Wait<'g> {
    /// What it is.
    pub kind: WaitKind,
    /// The object.
    pub thing: Option<Object<'g>>,
    /// The identifier of the thread that has it; 0: not known.
    pub owner: i64,
    /// Whether the wait has a timeout, where that is known.
    limited: Option<bool>,
    /// Numbers that belong to it, with their keys; an unused place has no key.
    numbers: [(&'static str, i64); 2],
    /// A name that belongs to it.
    name: Option<Object<'g>>,
    /// A lock: whether it is waited for where a `with` block begins.
    pub begins: bool,
}

impl<'g> Wait<'g> {
    fn of(kind: WaitKind, thing: Option<Object<'g>>) -> Self {
        Wait {
            kind,
            thing,
            owner: 0,
            limited: None,
            numbers: [("", 0); 2],
            name: None,
            begins: false,
        }
    }

    /// Writes it down.
    pub fn write(&self, objects: Objects<'g>, words: &mut MarshalWriter) {
        words.pairs();
        words.key(wait::FOR);
        words.text(self.kind.name().as_bytes());
        if let Some(thing) = self.thing {
            words.key(wait::ID);
            words.number(thing.address() as i64);
        }
        if self.owner != 0 {
            words.key(wait::OWNER);
            words.number(self.owner);
        }
        if let Some(limited) = self.limited {
            words.key(wait::LIMITED);
            words.truth(limited);
        }
        if self.name.is_some() {
            words.key(wait::NAME);
            objects.write_text(self.name, words);
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
pub struct Known<'g> {
    objects: Objects<'g>,
    pub calls: PendingCalls<'g>,
    /// The module threading.
    pub threading: Option<Object<'g>>,
    /// Its class of conditions.
    pub condition: Option<Object<'g>>,
    /// The classes of what threads hold for `with` blocks: plain locks come first.
    pub locks: [Option<Object<'g>>; 3],
    /// The code of a condition's own function that waits.
    pub condition_wait: Option<Code<'g>>,
    /// The code of functions of the standard library that threads wait in, and what they wait for there.
    /// Functions that the program has put in their place are not known.
    functions: [(Option<Code<'g>>, WaitKind); FUNCTIONS],
    sleep: Option<Object<'g>>,
    deque: Option<Object<'g>>,
}

impl<'g> Known<'g> {
    pub fn new(objects: Objects<'g>) -> Self {
        let threading = objects.module(b"threading");
        let of_threading = |name| objects.attribute(threading, name);
        let function = |class, name, kind| (objects.code_of(objects.of_class(class, name)), kind);
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
            calls: PendingCalls::new(objects),
            threading,
            condition,
            locks: [lock, rlock, semaphore],
            condition_wait: functions[0].0,
            functions,
            sleep: objects.attribute(objects.module(b"time"), b"sleep"),
            deque: objects.attribute(objects.module(b"collections"), b"deque"),
        }
    }

    /// What is waited for in the function that this frame is in.
    fn function(&self, frame: Option<Frame<'g>>) -> Option<WaitKind> {
        let code = Some(self.objects.code(frame?));
        let mut functions = self.functions.iter();
        functions.find_map(|&(known, kind)| (known == code).then_some(kind))
    }

    /// What a thread with this innermost frame waits for. `owner` gives the identifier of a
    /// `threading.Thread`, or 0.
    pub fn wait(
        &mut self,
        frame: Frame<'g>,
        owner: &dyn Fn(Option<Object<'g>>) -> i64,
    ) -> Option<Wait<'g>> {
        let objects = self.objects;
        match self.function(Some(frame)) {
            Some(WaitKind::RLock) => {
                // It waits where it calls its own lock, and not before or after that.
                self.in_call(frame)
                    .filter(|asked| asked.kind == WaitKind::Lock)?;
                let lock = objects.variable(frame, b"self");
                let held_by = objects.attribute(lock, b"_RLock__owner");
                let count = objects.attribute(lock, b"_RLock__count");
                let mut wait = Wait::of(WaitKind::RLock, Some(lock?));
                // In 2.6 it is the `Thread` itself.
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

    /// In the function of a condition that waits.
    fn in_condition(&self, frame: Frame<'g>) -> Wait<'g> {
        let objects = self.objects;
        let timeout = objects.variable(frame, b"timeout");
        let limited = timeout.is_some_and(|timeout| timeout != objects.none());
        // The others are made of conditions: theirs is the function that called this one, or the one
        // before that, where there is a function between, as in 2.6's `_Event`.
        let mut found = None;
        for outer in objects.frames(objects.back(frame)).take(2) {
            found = found.or_else(|| {
                let kind = self.function(Some(outer));
                let kind = kind.filter(|&kind| kind != WaitKind::Condition);
                kind.map(|kind| (kind, outer))
            });
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
            WaitKind::Semaphore => wait.numbers[0] = (wait::VALUE, number(b"_Semaphore__value")),
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

    /// What the C function that the frame is calling waits for.
    fn in_call(&mut self, frame: Frame<'g>) -> Option<Wait<'g>> {
        let objects = self.objects;
        let call = self.calls.of(frame);
        if self.calls.imports(frame, &call) {
            return Some(Wait::of(WaitKind::Import, None));
        }
        let (thing, name) = call.called?;
        if objects.is_of(thing, self.locks[0])
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
        if !objects.is(thing, objects.PyModule_Type) {
            return None;
        }
        let function = objects.attribute(thing, name);
        if function != self.sleep || !objects.is(function, objects.PyCFunction_Type) {
            return None;
        }
        let mut wait = Wait::of(WaitKind::Sleep, None);
        if let Some(&Value::Known(seconds)) = call.arguments.first()
            && let Some(seconds) = objects.seconds(seconds)
        {
            let milliseconds = seconds.clamp(0.0, 1e9) * 1000.0;
            wait.numbers[0] = (wait::MILLISECONDS, milliseconds as i64);
        }
        Some(wait)
    }

    /// Whether a call of a lock with these arguments waits: there are none, or the first one is known and
    /// true.
    fn waits_for_lock(&self, call: &PythonCall<'g>) -> bool {
        let objects = self.objects;
        match call.arguments.first() {
            None => true,
            Some(&Value::Known(waits)) => objects.is_true(waits) || objects.number(waits) == 1,
            _ => false,
        }
    }

    /// The identifier of the thread, among these, that holds the import lock: the thread in which the code
    /// of a module runs because it is imported. The interpreter holds the lock meanwhile (Python/import.c,
    /// PyImport_ImportModuleLevel). `None` if it is not known, as when a thread reads a module's file, or
    /// waits in the module's C code.
    pub fn importer(&mut self, threads: &[Thread<'g>]) -> Option<i64> {
        let objects = self.objects;
        let mut importer = None;
        if !self.import_lock_is_held() {
            return None;
        }
        for thread in threads {
            for inner in objects.frames(Some(thread.innermost)) {
                // Another one may be the importer too.
                if !hold::spend(5) {
                    return None;
                }
                let [_, name] = objects.names(objects.code(inner));
                // Not a function that a signal or the collector has called there.
                if objects.text(name) == Some(b"<module>")
                    && let Some(frame) = objects.back(inner)
                {
                    let call = self.calls.of(frame);
                    if self.calls.imports(frame, &call) {
                        if importer.is_some() {
                            return None;
                        }
                        importer = Some(thread.ident);
                        break;
                    }
                }
            }
        }
        importer
    }

    /// Whether the import lock may be held. (A program that releases it during an import has imported
    /// `imp`.)
    fn import_lock_is_held(&self) -> bool {
        let objects = self.objects;
        let Some(gil) = objects.gil() else {
            return true;
        };
        let held = objects.attribute(objects.module(b"imp"), b"lock_held");
        let Some(held) = held.filter(|_| objects.is_in_c(held, b"imp", b"lock_held")) else {
            return true;
        };
        // SAFETY: the function is C code of the interpreter's own, which looks at a variable and makes a
        // `bool` (Python/import.c, `imp_lock_held`); the reference is new.
        let held = unsafe {
            let held = (objects.PyObject_CallObject)(held.as_ptr(), ptr::null_mut());
            Owned::new(gil, held)
        };
        match held {
            Some(held) => objects.is_true(held.object()),
            None => {
                objects.clear_exception();
                false
            }
        }
    }
}
