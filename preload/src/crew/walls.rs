//! The program's own walls bind the agent's threads too.
//!
//! Linux keeps users, capabilities, filters of system calls, namespaces and roots for each thread. What the
//! program's first thread has given up since the boot, the agent's sleeping thread still has. So it gives it up as
//! well each time it wakes, and the threads that it starts inherit that. Some walls cannot be built from
//! outside: a filter cannot be copied, and a namespace cannot be entered without the right that the program
//! has just given up. Then the thread shuts itself in (`system/shut_in.rs`): it keeps what an answer needs,
//! and opens no file from then on.

use std::cell::Cell;
use std::ffi::CStr;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::agent::threads::{self, Role};
use crate::crew::last_thread;
use crate::system::aside;
use crate::system::credentials::Change;
use crate::system::filter::{self, Call};
use crate::system::hash;
use crate::system::identity::process_id;
use crate::system::proc_file;
use crate::system::rights::{EFFECTIVE, PERMITTED, Rights, Text};
use crate::system::shut_in;

/// How the calling thread's rights are, compared with those of the program's first thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Walls {
    /// It has no more.
    Same,
    /// They differ, and cannot be made the same.
    Other,
}

thread_local! {
    /// Whether this thread has shut itself in. It cannot look at `/proc` any more, and need not.
    static IS_SHUT_IN: Cell<bool> = const { Cell::new(false) };
}

/// The rights of the calling thread and of the program's first one, at one moment.
pub struct View {
    own: Rights,
    first: Rights,
    /// Whether both are in the same namespaces, and have the same root.
    same_place: bool,
    /// The status of the first thread.
    text: Text,
}

impl View {
    /// Looks at both, and learns what the filters of the calling thread allow. `None` in a process without
    /// `/proc`, where nothing can be compared; and once the thread has shut itself in, so that it need not.
    ///
    /// On the parked thread.
    #[inline(never)]
    pub fn take() -> Option<View> {
        if IS_SHUT_IN.get() {
            return None;
        }
        aside::run(View::look)?
    }

    /// Looks, on a task aside. It asks for no number of a thread or a process: what the filters allow is not known
    /// yet.
    fn look() -> Option<View> {
        let mut text = [0; size_of::<Text>()];
        let own = of_this_thread("status", &mut [0; 64])
            .and_then(|status| Rights::of(status, &mut text))?;
        filter::learn_from(own.as_filters());
        let first = Rights::of(c"/proc/self/status", &mut text)?;
        if own.capabilities[PERMITTED] & TO_LEAVE != 0 {
            COULD_LEAVE.store(true, Ordering::SeqCst);
        }
        let could_leave = COULD_LEAVE.load(Ordering::SeqCst);
        Some(View {
            same_place: !could_leave || is_in_one_place(),
            own,
            first,
            text,
        })
    }

    /// Whether the calling thread has no right that the first thread has not.
    pub fn is_same(&self) -> bool {
        self.same_place && self.own.is_within(&self.first)
    }

    /// Whether both are the same user and in the same groups.
    pub fn has_same_ids(&self) -> bool {
        let ids = |rights: &Rights| (rights.users, rights.groups, rights.further_groups);
        ids(&self.own) == ids(&self.first)
    }

    /// Whether nothing has changed since an earlier view, as the first thread has slept all the time. Else it may have
    /// been changing its user; and the kernel does not write all lines of a status in one moment.
    pub fn is_settled_since(&self, earlier: &View) -> bool {
        self.is_alike(earlier)
            && !self.first_runs()
            && !earlier.first_runs()
            && !self.has_moved_since(earlier)
    }

    /// Whether the first thread runs, or would if there were a processor for it.
    pub fn first_runs(&self) -> bool {
        let state = proc_file::value(&self.text, b"State:").unwrap_or_default();
        state.trim_ascii_start().starts_with(b"R")
    }

    /// Whether the first thread has got or lost a processor since an earlier view.
    pub fn has_moved_since(&self, earlier: &View) -> bool {
        let counts = |view: &View| {
            let names: [&[u8]; 2] = [b"voluntary_ctxt_switches:", b"nonvoluntary_ctxt_switches:"];
            names.map(|name| {
                proc_file::value(&view.text, name).map(|value| hash::of(value.trim_ascii()))
            })
        };
        counts(self) != counts(earlier)
    }

    /// Whether both threads have the rights that they had in another view.
    pub fn is_alike(&self, other: &View) -> bool {
        let rights = |view: &View| {
            [&view.own, &view.first].map(|one| Rights {
                resident: 0,
                ..*one
            })
        };
        rights(self) == rights(other)
    }

    /// Whether a system call that changes users or groups has the same result on both.
    pub fn agrees_on_users(&self) -> bool {
        let sets = [PERMITTED, EFFECTIVE];
        let set = |rights: &Rights| sets.map(|which| rights.capabilities[which]);
        let (own, first) = (&self.own, &self.first);
        (own.users, own.groups, set(own)) == (first.users, first.groups, set(first))
            && own.has_filters_of(first)
    }

    /// Gives up what the first thread has given up. On the thread that took the view, which holds nothing,
    /// before it serves.
    pub fn follow(&self) -> Walls {
        if self.is_same() {
            return Walls::Same;
        }
        let change = Change {
            from: &self.own,
            to: &self.first,
        };
        change.make(&self.text);
        if View::take().is_some_and(|view| view.is_same()) {
            return Walls::Same;
        }
        // Once the first thread has ended, its namespaces are not shown any more; and a thread that is shut in could
        // not see when the last one ends.
        if !last_thread::has_ended() && threads::get_out_of_reach() {
            IS_SHUT_IN.set(shut_in::this_thread(process_id()));
            threads::note_shut_in();
        }
        Walls::Other
    }
}

/// CAP_SYS_ADMIN and CAP_SYS_CHROOT (include/uapi/linux/capability.h): the rights to leave a namespace and a
/// root.
const TO_LEAVE: u64 = 1 << 21 | 1 << 18;

/// Whether the program has ever had one of these. Where it has not, all its threads are in one place.
static COULD_LEAVE: AtomicBool = AtomicBool::new(false);

/// What makes up a thread's place: its root, and those of its namespaces in which names are looked up.
const PLACE: [&str; 6] = ["root", "ns/mnt", "ns/net", "ns/user", "ns/ipc", "ns/uts"];

/// The path of a file in `/proc` about the thread that looks. It is the parked thread, whose ID is known; else it is
/// the task aside itself, which has the same rights. But the kernel has to make all files about a new task first: one
/// look took 0.32 ms then and 0.39 ms so.
fn of_this_thread<'a>(name: &str, path: &'a mut proc_file::Path) -> Option<&'a CStr> {
    match threads::id_of(Role::Parked) {
        0 => proc_file::of_this_thread(name, path),
        id => proc_file::of_thread(id, name, path),
    }
}

/// Whether the calling thread is where the program's first one is.
fn is_in_one_place() -> bool {
    PLACE.iter().all(|name| {
        let (mut own, mut first) = ([0; 512], [0; 512]);
        let (mut own_path, mut first_path) = ([0; 64], [0; 64]);
        let own_path = of_this_thread(name, &mut own_path);
        let written = write!(&mut first_path[..], "/proc/self/{name}\0").ok();
        let first_path = written.and_then(|()| CStr::from_bytes_until_nul(&first_path).ok());
        link(own_path, &mut own) == link(first_path, &mut first) && own == first
    })
}

/// The target of a thread's link in `/proc`, as much as fits: its length.
fn link(path: Option<&CStr>, target: &mut [u8; 512]) -> Option<usize> {
    let path = path.filter(|_| filter::may(Call::ReadLink))?;
    proc_file::link(path, target)
}
