//! What a thread waits for, found from the objects in its innermost frames.
//!
//! On the worker, under the GIL, while nobody else runs: objects are looked at, and no method of theirs is
//! called.

use std::ptr;

use crate::agent::hold;
use crate::collect::stacks::Thread;
use crate::collect::wait_times::WaitTimes;
use crate::cpython::dict;
use crate::cpython::object::{Code, Frame, Object, Owned};
use crate::inspect::attributes;
use crate::inspect::locks::is_acquire;
use crate::inspect::objects::Objects;
use crate::inspect::pending_call::{PendingCalls, PythonCall};
use protocol::marshal::MarshalWriter;
use protocol::state::{GoneKind, WaitKind, wait};

/// What a thread waits for.
pub struct Wait<'g> {
    /// What it is.
    pub kind: WaitKind,
    /// The object.
    pub thing: Option<Object<'g>>,
    /// The identifier of the thread that has it; 0: not known.
    pub owner: i64,
    /// Whether the owner is known as an object, and not by a number that may be given to another.
    pub is_sure_of_owner: bool,
    /// Where the owner is no thread any more, why.
    pub gone: Option<GoneKind>,
    /// What it is a part of: the name of the attribute, and the object.
    part: Option<(&'g [u8], Object<'g>)>,
    /// Whether the wait has a timeout, where that is known.
    limited: Option<bool>,
    /// Numbers that belong to it, with their keys; an unused place has no key.
    numbers: [(&'static str, i64); 2],
    /// How long it lasts, where it has a timeout.
    times: Option<WaitTimes>,
    /// A name that belongs to it.
    name: Option<Object<'g>>,
    /// A plain lock: the address of its semaphore.
    semaphore: Option<usize>,
    /// Whether the frame does not say so itself: it is so only if the thread waits on that semaphore, or sleeps.
    is_likely: bool,
}

impl<'g> Wait<'g> {
    fn of(kind: WaitKind, thing: Option<Object<'g>>) -> Self {
        Wait {
            kind,
            thing,
            owner: 0,
            is_sure_of_owner: false,
            gone: None,
            part: None,
            limited: None,
            numbers: [("", 0); 2],
            times: None,
            name: None,
            semaphore: None,
            is_likely: false,
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
        if let Some(gone) = self.gone {
            words.key(wait::GONE);
            words.text(gone.name().as_bytes());
        }
        if let Some((name, whole)) = self.part {
            words.key(wait::PART);
            words.text(name);
            words.key(wait::WHOLE);
            words.text(objects.class_name(whole));
            words.key(wait::WHOLE_ID);
            words.number(whole.address() as i64);
        }
        if let Some(semaphore) = self.semaphore {
            words.key(wait::FUTEX);
            words.number(semaphore as i64);
        }
        if self.is_likely {
            words.key(wait::LIKELY);
            words.truth(true);
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
        if let Some(times) = &self.times {
            times.write(words);
        }
        words.end();
    }
}

/// No more objects are looked at of what is handed over to a function that is written in C.
const MOST_HANDED_OVER: usize = 16;

/// So many frames are searched for the object that a lock belongs to, and so many of its attributes.
const MOST_METHODS: usize = 3;
const MOST_ATTRIBUTES: usize = 200;

/// How many functions of the standard library are known.
const FUNCTIONS: usize = 9;

/// What is looked up once for all threads.
pub struct Known<'g> {
    pub objects: Objects<'g>,
    pub calls: PendingCalls<'g>,
    /// The module threading.
    pub threading: Option<Object<'g>>,
    /// Its class of conditions.
    pub condition: Option<Object<'g>>,
    /// The classes of what threads hold for `with` blocks, beside those of C's locks.
    locks: [Option<Object<'g>>; 2],
    /// The code of a condition's own function that waits.
    pub condition_wait: Option<Code<'g>>,
    /// The code of functions of the standard library that threads wait in, and what they wait for there.
    /// Functions that the program has put in their place are not known.
    functions: [(Option<Code<'g>>, WaitKind); FUNCTIONS],
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
        Known {
            objects,
            calls: PendingCalls::new(objects),
            threading,
            condition,
            locks: [rlock, semaphore],
            condition_wait: functions[0].0,
            functions,
            deque: objects.attribute(objects.module(b"collections"), b"deque"),
        }
    }

    /// Whether this is something that threads hold: a lock of whatever kind.
    pub fn is_lock(&self, object: Object<'g>) -> bool {
        let objects = self.objects;
        let mut locks = self.locks.iter();
        objects.is_lock_of_c(object) || locks.any(|&kind| objects.is_of(object, kind))
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
        let mut wait = self.wait_in(frame, owner)?;
        if matches!(wait.kind, WaitKind::Lock | WaitKind::RLock) {
            wait.part = wait.thing.and_then(|lock| self.whole_of(lock, frame));
        }
        Some(wait)
    }

    /// The object in whose methods a thread waits for a lock that is its attribute, and that attribute's name.
    fn whole_of(&self, lock: Object<'g>, innermost: Frame<'g>) -> Option<(&'g [u8], Object<'g>)> {
        let objects = self.objects;
        objects
            .frames(Some(innermost))
            .take(MOST_METHODS)
            .find_map(|frame| {
                let whole = objects
                    .variable(frame, b"self")
                    .filter(|&whole| whole != lock)?;
                let own = attributes::own(objects.fields(), whole)?;
                let mut entries = dict::entries(objects.fields(), *own).take(MOST_ATTRIBUTES);
                let (name, _) = entries.find(|&(_, one)| hold::spend(1) && one == lock)?;
                let name = objects.text(name)?;
                // As in `_Condition__lock`.
                let private = name.windows(2).rposition(|two| two == b"__");
                let name = &name[private.map_or(0, |at| at + 2)..];
                Some((name.trim_ascii(), whole)).filter(|(name, _)| name.len() < MOST_ATTRIBUTES)
            })
    }

    fn wait_in(
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
                wait.owner = match (objects.number(held_by), owner(held_by)) {
                    (0, 0) => objects.number(objects.attribute(held_by, b"_Thread__ident")),
                    (0, ident) => {
                        wait.is_sure_of_owner = true;
                        ident
                    }
                    (ident, _) => ident,
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
        let inner = frame;
        let (kind, frame) = found.unwrap_or((WaitKind::Condition, inner));
        let thing = objects.variable(frame, b"self");
        let mut wait = Wait::of(kind, thing);
        wait.limited = Some(limited);
        if limited {
            wait.times = WaitTimes::of(objects, frame, inner);
        }
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
        if self.imports(frame, &call) {
            return Some(Wait::of(WaitKind::Import, None));
        }
        if let Some((thing, name)) = call.called {
            if objects.is_lock_of_c(thing) && is_acquire(name) {
                // Unless it only tries.
                let lock = thing.filter(|_| self.waits_for_lock(&call));
                return lock.map(|lock| self.for_lock(lock));
            }
            if objects.is_sleep(call.function) {
                return Some(self.for_sleep(call.arguments.first().copied()));
            }
        }
        self.handed_over(&call)
    }

    /// The wait for a lock of C's.
    fn for_lock(&self, lock: Object<'g>) -> Wait<'g> {
        Wait {
            semaphore: self.objects.semaphore(lock),
            ..Wait::of(WaitKind::Lock, Some(lock))
        }
    }

    fn for_sleep(&self, seconds: Option<Object<'g>>) -> Wait<'g> {
        let mut wait = Wait::of(WaitKind::Sleep, None);
        if let Some(seconds) = seconds.and_then(|seconds| self.objects.seconds(seconds)) {
            let milliseconds = seconds.clamp(0.0, 1e9) * 1000.0;
            wait.numbers[0] = (wait::MILLISECONDS, milliseconds as i64);
        }
        wait
    }

    /// What a function waits for that was handed over to the one in C that the frame is calling, as in
    /// `map(time.sleep, [9])`: an argument, or what an argument or the called object itself holds.
    fn handed_over(&self, call: &PythonCall<'g>) -> Option<Wait<'g>> {
        let objects = self.objects;
        let of = |function: Object<'g>| match objects.acquires(function) {
            Some(lock) => Some(self.for_lock(lock)),
            None => objects.is_sleep(function).then(|| self.for_sleep(None)),
        };
        let mut found = None;
        for one in call
            .function
            .into_iter()
            .chain(call.arguments.iter().copied())
        {
            found = found.or_else(|| of(one));
            // What these hold is not handed over with them.
            let is_function = objects.as_c_function(one).is_some();
            if found.is_some() || is_function || objects.has_class_of_python(one) {
                continue;
            }
            let holds_few = [
                objects.PyFunction_Type,
                objects.PyMethod_Type,
                objects.PyModule_Type,
                objects.PyType_Type,
                objects.PyClass_Type,
                objects.instance_type as *mut _,
                objects.frame_type as *mut _,
            ];
            if holds_few.iter().any(|&class| objects.is(one, class)) {
                continue;
            }
            let mut looks = 0;
            objects.pointed_to(one, &mut |held| {
                looks += 1;
                found = of(held);
                found.is_none() && looks < MOST_HANDED_OVER && hold::spend(2)
            });
        }
        let mut wait = found?;
        wait.is_likely = true;
        Some(wait)
    }

    /// Whether a call of a lock with these arguments waits: there are none, or the first one is true.
    fn waits_for_lock(&self, call: &PythonCall<'g>) -> bool {
        let objects = self.objects;
        match call.arguments.first() {
            None => true,
            Some(&waits) => objects.is_true(waits) || objects.number(waits) == 1,
        }
    }

    /// Whether a frame that is making this call is importing something, as the interpreter itself does it: holding the
    /// import lock, or waiting for it.
    fn imports(&self, frame: Frame<'g>, call: &PythonCall<'g>) -> bool {
        let objects = self.objects;
        let function = match self.calls.is_importing(frame) {
            true => {
                let builtins = objects.as_dict(objects.builtins(frame));
                builtins.and_then(|builtins| dict::named(objects.fields(), builtins, b"__import__"))
            }
            false => call.function,
        };
        objects.is_in_c(function, b"__builtin__", b"__import__")
            || objects.is_in_c(function, b"imp", b"acquire_lock")
    }

    /// The identifier of the thread, among these, that holds the import lock: the thread in which the code
    /// of a module runs because it is imported. The interpreter holds the lock meanwhile (Python/import.c,
    /// PyImport_ImportModuleLevel). `None` if it is not known, as when a thread reads a module's file, or
    /// waits in the module's C code.
    pub fn importer(&mut self, threads: &[Thread<'g>]) -> Option<i64> {
        let objects = self.objects;
        let mut importer = None;
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
                    && let call = self.calls.of(frame)
                    && self.imports(frame, &call)
                {
                    if importer.is_some() {
                        return None;
                    }
                    importer = Some(thread.ident);
                    break;
                }
            }
        }
        importer
    }
}

/// Whether the import lock may be held. (A program that releases it during an import has imported
/// `imp`.)
pub fn import_lock_is_held(objects: Objects) -> bool {
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
