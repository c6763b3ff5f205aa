//! What an agent that has come into a running program makes up for: it has seen no fork, so it looks which threads are
//! there.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::threads;
use crate::cpython::gil::Gil;
use crate::cpython::thread_states;
use crate::system::filter::{self, Call};
use crate::system::identity::process_id;
use crate::system::memory::read;
use crate::system::{signals, thread_struct};

/// Whether nobody has looked yet.
static IS_DUE: AtomicBool = AtomicBool::new(false);

/// The agent begins in a running program: the worker has to look. Any thread.
pub fn begin() {
    IS_DUE.store(true, Ordering::SeqCst);
}

/// In a forked child, where the fork handler has seen to it.
pub fn forget() {
    IS_DUE.store(false, Ordering::SeqCst);
}

/// Looks, if that is due. On the worker.
pub fn look(gil: &Gil) {
    if !IS_DUE.load(Ordering::SeqCst) || !filter::may(Call::SignalThread) {
        return;
    }
    if let Some(offset) = thread_struct::id_offset(threads::two()) {
        let has_looked = thread_states::note_late(gil, &|ident| {
            // A thread of the agent's may have got the memory of a dead thread, and so its identifier.
            !threads::is_ours(ident)
                && read::<i32>(ident.wrapping_add(offset))
                    .is_some_and(|id| id > 0 && signals::send(process_id(), id, 0))
        });
        IS_DUE.store(!has_looked, Ordering::SeqCst);
    }
}
