//! Keeps the program's interpreter as it was while our Python text runs: its other threads, its garbage
//! collector, its `sys.exc_type`.

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cpython::gil::Gil;
use crate::cpython::object::{Kept, Object, Owned};
use crate::inspect::objects::Objects;
use crate::script::imports;
use crate::system::filter::{self, Call};

/// The collector's switches, once they have been found.
static GC_ENABLED: Kept = Kept::nothing();
static GC_DISABLE: Kept = Kept::nothing();
static GC_ENABLE: Kept = Kept::nothing();

/// Whether we have stopped the program's garbage collector.
static GC_STOPPED: AtomicBool = AtomicBool::new(false);

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    for function in [&GC_ENABLED, &GC_DISABLE, &GC_ENABLE] {
        function.forget();
    }
    GC_STOPPED.store(false, Ordering::Relaxed);
}

/// Runs a part of the work that does no input or output, so that no other thread's bytecode and no garbage
/// collection runs meanwhile.
///
/// The counter that makes the interpreter hand over the GIL is set far away, and to "at once" after. (A
/// signal that arrives meanwhile sets it to "at once" too, and that is fine.) A collection that our
/// allocations set off would run the program's finalizers on our thread: a program with one thread, or with
/// a user interface, never expects that. Since the GIL is not let go of (but for such a signal), the
/// program never sees its collector stopped.
pub fn alone<'gil, R>(gil: &mut Gil<'gil>, part: impl FnOnce(&mut Gil<'gil>) -> R) -> R {
    set_ticker(gil, c_int::MAX);
    let enabled = |gil: &mut Gil<'gil>| {
        let enabled = gil.call(&GC_ENABLED, []);
        gil.is_true(enabled)
    };
    if !GC_ENABLE.is_empty() && enabled(gil) {
        GC_STOPPED.store(true, Ordering::Relaxed);
        let none = gil.call(&GC_DISABLE, []);
        gil.is_true(none);
    }
    let result = part(gil);
    leave(gil);
    result
}

/// Lets the collector and the other threads go on. Also after a panic.
pub fn leave(gil: &mut Gil) {
    restart_collector(gil);
    set_ticker(gil, 0);
}

/// Lets other threads run that wait for the GIL, as the interpreter does between bytecodes.
pub fn let_others_run(gil: &mut Gil) {
    // SAFETY: this thread holds the GIL, with a thread state in place, and takes it again with that.
    unsafe {
        let thread = (gil.PyEval_SaveThread)();
        give_a_moment();
        (gil.PyEval_RestoreThread)(thread);
    }
}

/// Once the GIL has been let go of: whoever was woken needs a moment to take it. Holding nothing.
pub fn give_a_moment() {
    if filter::may(Call::Yield) {
        std::thread::yield_now();
    }
}

/// Sets the number of bytecodes that run before the interpreter next hands the GIL over.
fn set_ticker(gil: &Gil, count: c_int) {
    // SAFETY: the counter is a plain int that only the GIL's holder minds.
    unsafe { gil._Py_Ticker.write_volatile(count) };
}

/// Starts the collector again, if [`alone`] has stopped it: the part is done, or a forked child has been
/// left with it stopped. An exception that is set stays set.
pub fn restart_collector(gil: &mut Gil) {
    if GC_STOPPED.swap(false, Ordering::Relaxed) {
        gil.with_exception_aside(|gil| {
            let none = gil.call(&GC_ENABLE, []);
            gil.is_true(none);
        });
    }
}

/// Runs a part of the work, and puts `sys.exc_type` and its like back if that has wiped them.
///
/// Every `except` clause of every thread writes them (Python/ceval.c, `set_exc_info` and
/// `reset_exc_info`, 2.6 and 2.7), linecache's for a file that is not there among them; and old programs
/// read them.
pub fn keeping_exc_info<'gil, R>(gil: &mut Gil<'gil>, part: impl FnOnce(&mut Gil<'gil>) -> R) -> R {
    const NAMES: [&CStr; 3] = [c"exc_type", c"exc_value", c"exc_traceback"];
    let before = NAMES.map(|name| gil.of_sys(name).map(|object| gil.own(object)));
    // There may have been no memory for a name.
    gil.clear_exception();
    let pointer = |object: &Option<Owned>| object.as_ref().map(|object| object.as_ptr());
    let result = part(gil);
    let kind = gil.of_sys(NAMES[0]).map(Object::as_ptr);
    let has_value = gil.of_sys(NAMES[1]).is_some();
    // As our own reset leaves them; anything else is another thread's doing. (Where the interpreter is
    // being taken apart there may be no `sys` any more.)
    if kind != pointer(&before[0]) && !has_value && gil.initialized() {
        gil.with_exception_aside(|gil| {
            for (name, object) in NAMES.iter().zip(&before) {
                gil.set_of_sys(name, object.as_ref().map(Owned::object));
            }
        });
    }
    result
}

/// Whether no garbage collection runs within [`alone`].
pub fn can_stop_collector(gil: &mut Gil) -> bool {
    if !GC_ENABLE.is_empty() {
        return true;
    }
    // Where it is off, there is nothing to stop.
    !GC_ENABLED.is_empty() && {
        let enabled = gil.call(&GC_ENABLED, []);
        !gil.is_true(enabled)
    }
}

/// Finds the garbage collector's switches, unless that is done, or another thread is importing, or the
/// program has put functions of its own in place of them: the next question tries again.
pub fn find_collector(gil: &mut Gil) {
    if !GC_ENABLE.is_empty() {
        return;
    }
    let Ok(collector) = imports::module(gil, c"gc", None) else {
        return;
    };
    let mut find = |name| switch(gil, collector.object(), name);
    let enabled = find(c"isenabled");
    // One of these alone is of no use.
    let [disable, enable] = match [find(c"disable"), find(c"enable")] {
        both @ [Some(_), Some(_)] => both,
        _ => [None, None],
    };
    GC_ENABLED.put(gil, enabled);
    GC_DISABLE.put(gil, disable);
    GC_ENABLE.put(gil, enable);
    drop(collector);
    gil.clear_exception();
}

/// A function of the module's; `None` if there is none, or if it is not written in C, as all of that
/// module are.
fn switch<'gil>(gil: &mut Gil<'gil>, module: Object, name: &CStr) -> Option<Owned<'gil>> {
    // Whatever stands in the module's place, it is not asked where it is known how objects are laid out.
    if Objects::known(gil).is_none() {
        return gil.attribute(module, name);
    }
    let objects = Objects::known(gil)?;
    let function = objects.attribute(module, name.to_bytes());
    let function = function.filter(|&function| objects.is(function, gil.PyCFunction_Type));
    function.map(|function| gil.own(function))
}
