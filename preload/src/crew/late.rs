//! What an agent that has come into a running program makes up for: it has seen no fork, so it looks which threads are
//! there.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::agent::threads;
use crate::cpython::gil::Gil;
use crate::cpython::thread_states::{self, Found};
use crate::system::filter::{self, Call};
use crate::system::identity::process_id;
use crate::system::memory::read;
use crate::system::{signals, thread_struct};

/// How often the worker still looks. The threads that it counts may just be starting or ending.
static LOOKS: AtomicU32 = AtomicU32::new(0);

/// The most looks: one for each question, until what is found is clear.
const MOST_LOOKS: u32 = 10;

/// The agent begins in a running program: the worker has to look. Any thread.
pub fn begin() {
    LOOKS.store(MOST_LOOKS, Ordering::SeqCst);
}

/// In a forked child, where the fork handler has seen to it.
pub fn forget() {
    LOOKS.store(0, Ordering::SeqCst);
}

/// Looks, if that is due. On the worker.
pub fn look(gil: &Gil) {
    let left = LOOKS.load(Ordering::SeqCst);
    if left == 0 || !filter::may(Call::SignalThread) {
        return;
    }
    let own = threads::thread_ids().count();
    let (Some(offset), Some(threads)) = (thread_struct::id_offset(threads::two()), count()) else {
        return;
    };
    let find = |ident: usize| match read::<i32>(ident.wrapping_add(offset)) {
        // A thread of the agent's may have got the memory of a dead thread, and so its identifier.
        Some(id) if id > 0 && !threads::is_ours(ident) && signals::is_there(process_id(), id) => {
            match id == process_id() {
                true => Found::First,
                false => Found::Other,
            }
        }
        _ => Found::None,
    };
    let has_looked = thread_states::note_late(gil, &find, threads.saturating_sub(own));
    LOOKS.store(if has_looked { 0 } else { left - 1 }, Ordering::SeqCst);
}

/// How many threads the process has, the agent's among them: a folder has two links more than folders in it
/// (`proc_task_getattr`, fs/proc/base.c). Nothing is opened. `None` where that cannot be told.
fn count() -> Option<usize> {
    if !filter::may(Call::Stat) {
        return None;
    }
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes to a local only, which is plain data; the path ends in NUL.
    let status = unsafe {
        if libc::stat(c"/proc/self/task".as_ptr(), status.as_mut_ptr()) != 0 {
            return None;
        }
        status.assume_init()
    };
    usize::try_from(status.st_nlink).ok()?.checked_sub(2)
}
