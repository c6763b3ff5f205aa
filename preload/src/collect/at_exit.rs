//! Forgets the objects that the agent keeps in the interpreter, when that ends.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::stage::ENDED;
use crate::collect::answer;
use crate::cpython::gil::Gil;
use crate::cpython::thread_states;

/// Whether [`after_finalize`] stands in the interpreter's list of exit functions.
static HOOKED_EXIT: AtomicBool = AtomicBool::new(false);

/// Makes sure that [`after_finalize`] is called when the interpreter ends, once in each of its lives; false
/// if that is impossible.
pub fn hook_exit(gil: &mut Gil) -> bool {
    if !HOOKED_EXIT.load(Ordering::Relaxed) {
        // SAFETY: the GIL guards the list of exit functions; `after_finalize` stays mapped.
        let hooked = unsafe { (gil.Py_AtExit)(after_finalize) } == 0;
        HOOKED_EXIT.store(hooked, Ordering::Relaxed);
        ENDED.store(false, Ordering::Relaxed);
    }
    HOOKED_EXIT.load(Ordering::Relaxed)
}

/// At the very end of `Py_Finalize`, on its thread: the interpreter and its objects are gone. The parked
/// thread stays, as the program may initialise another one.
unsafe extern "C" fn after_finalize() {
    // `Py_Finalize` empties its list of exit functions as it calls them (Python/pythonrun.c,
    // `call_ll_exitfuncs`), so the next life has to enter this one again.
    HOOKED_EXIT.store(false, Ordering::Relaxed);
    answer::forget();
    thread_states::forget();
    ENDED.store(true, Ordering::Relaxed);
}
