//! Keeps the interpreter from calling `threading._after_fork` in the children of a program that has no threads.
//!
//! It makes that call in each forked child where there is a GIL (Python/ceval.c, `PyEval_ReInitThreads`, 2.6 and
//! 2.7). A program without threads would have none: it has one because of the agent. So without the agent its
//! children would not run this Python code, which takes about as long as the fork itself.
//!
//! For the one call a function of ours stands in the module. It puts the program's function back and does nothing
//! else. Where the program has started threads and they have ended, the call would find nothing to do.

use crate::cpython::api::Methods;
use crate::cpython::callback::method;
use crate::cpython::dict;
use crate::cpython::gil::Gil;
use crate::cpython::object::{Dict, Kept, Object, Owned};
use crate::cpython::thread_states;
use crate::inspect::attributes;
use crate::inspect::objects::Objects;

static METHODS: Methods<1> = Methods([method!(c"_after_fork", put_back, 0)]);

/// Our function. It is there if the agent has made the GIL.
static STAND_IN: Kept = Kept::nothing();

/// The program's function, while ours stands in its place.
static ORIGINAL: Kept = Kept::nothing();

/// Once the agent has made the GIL: from now on its program's children are spared the call.
///
/// In the boot. The collector may run, on the program's own thread, as at any object that the program makes. (In the
/// child there could be no object made that the collector counts: the interpreter is not ready for its finalizers.)
pub fn prepare(gil: &mut Gil) {
    let function = gil.new_function(&METHODS.0[0]);
    if function.is_none() {
        gil.clear_exception();
    }
    STAND_IN.put(gil, function);
}

/// After `Py_Finalize`: the objects are gone.
pub fn forget() {
    STAND_IN.forget();
    ORIGINAL.forget();
}

/// Puts our function in the place of the program's, if the program has no threads.
///
/// In the fork handler, on the child's only thread, which is inside the C function that has forked. That goes on to
/// the interpreter's own part (Modules/posixmodule.c, `posix_fork`; Modules/signalmodule.c, `PyOS_AfterFork`), and so
/// to our function, before any other Python code runs. A program that forks in C, without that part, never gets that
/// far; should it fork again, the place is taken.
pub fn leave_out(gil: &mut Gil) {
    // Dead thread states are those of other threads, which are not in the child.
    if STAND_IN.is_empty() || !ORIGINAL.is_empty() || thread_states::has_dead() {
        return;
    }
    gil.with_exception_aside(|gil| {
        if let Some((module, original)) = without_threads(gil) {
            let stands = STAND_IN
                .get(gil)
                .and_then(|ours| put(gil, module.object(), ours));
            match stands {
                Some(()) => ORIGINAL.put(gil, Some(original)),
                None => gil.clear_exception(),
            }
        }
    });
}

/// What the module `threading` holds, and its function; `None` if the program has not imported it, or that knows of
/// more threads than one, or of one that was just starting. Runs no code of the program's.
fn without_threads<'gil>(gil: &Gil<'gil>) -> Option<(Owned<'gil>, Owned<'gil>)> {
    let objects = Objects::known(gil)?;
    let module = held_by_threading(objects)?;
    let named = |name| dict::named(objects.fields(), module, name);
    let count = |name| objects.as_dict(named(name)?).map(|one| gil.dict_size(*one));
    if count(b"_active")? != 1 || count(b"_limbo")? != 0 {
        return None;
    }
    let function = named(b"_after_fork")?;
    Some((gil.own(*module), gil.own(function)))
}

/// What the module `threading` holds, if the program has imported it.
fn held_by_threading<'g>(objects: Objects<'g>) -> Option<Dict<'g>> {
    attributes::own(objects.fields(), objects.module(b"threading")?)
}

fn put(gil: &Gil, module: Object, function: Object) -> Option<()> {
    gil.set_item_named(module, c"_after_fork", function)
}

/// Our function: the interpreter calls it instead of the program's.
fn put_back<'gil>(gil: &mut Gil<'gil>, _: [Object<'gil>; 0]) -> Option<Owned<'gil>> {
    if let Some(original) = ORIGINAL.take(gil) {
        let module = Objects::known(gil).and_then(held_by_threading);
        let is_back = module.and_then(|module| put(gil, *module, original.object()));
        if is_back.is_none() {
            // There was no memory for the name. The next fork's call tries again.
            gil.clear_exception();
            ORIGINAL.put(gil, Some(original));
        }
    }
    Some(gil.own(gil.none()))
}
