//! What a thread waits for in C: mutexes, read-write locks, condition variables, semaphores, the end of a thread.
//!
//! The functions on its stack say what it is, and the word that it sleeps on where it is. Who holds a mutex is what
//! glibc has noted in it.

use std::collections::{HashMap, HashSet};

use crate::native::join;
use crate::native::running;
use crate::state::State;
use crate::state::native::{NativeFrame, RawStack};
use crate::state::thread::Thread;
use crate::state::wait::{Owner, Wait};
use crate::system::process::Process;
use protocol::state::WaitKind;

/// The threads that may hold something.
pub struct Owners {
    process: Process,
    /// By TID, the identifier.
    idents: HashMap<i32, u64>,
    /// Threads that run no Python, by TID.
    others: HashSet<i32>,
}

impl Owners {
    /// The threads of a state, and others by their TIDs.
    pub fn of(process: Process, state: &State, others: HashSet<i32>) -> Owners {
        let threads = state.threads.iter();
        let idents = threads.filter_map(|one| Some((one.tid()?, one.ident)));
        Owners {
            process,
            idents: idents.collect(),
            others,
        }
    }

    /// What is known of the thread with this TID.
    fn named(&self, tid: i32) -> Owner {
        let ident = self.idents.get(&tid).copied();
        // Another PID namespace than ours is looked through, too.
        let lives = ident.is_some()
            || self.others.contains(&tid)
            || running::outer(self.process, tid).is_some();
        Owner {
            tid,
            ident,
            lives: lives || self.process.threads().is_err(),
        }
    }
}

/// More frames are not looked at: the C library's own are few.
const MOST_FRAMES: usize = 12;

/// The operations of futex(2) without the bits beside them, and those that this looks at (include/uapi/linux/futex.h).
const COMMAND: u64 = !(128 | 256);
const FUTEX_WAIT: u64 = 0;
const FUTEX_LOCK_PI: u64 = 6;
const FUTEX_WAIT_BITSET: u64 = 9;
const FUTEX_LOCK_PI2: u64 = 13;

/// The bits of a robust or PI mutex's word that hold the owner's TID (FUTEX_TID_MASK).
const TID_MASK: u32 = 0x3fff_ffff;

/// The bits of a mutex's kind that say that its word holds the TID: robust and PI (PTHREAD_MUTEX_ROBUST_NORMAL_NP and
/// PTHREAD_MUTEX_PRIO_INHERIT_NP, nptl/pthreadP.h).
const OWNER_IN_WORD: u32 = 16 | 32;

/// All bits that a mutex's kind may have (nptl/pthreadP.h).
const KINDS: u32 = 0x3ff;

/// The largest TID (PID_MAX_LIMIT, include/linux/threads.h).
const LARGEST_TID: u32 = 4 << 20;

/// Where the TID of a read-write lock's writer stands (`__cur_writer`, sysdeps/x86/nptl/bits/struct_rwlock.h).
const WRITER: usize = 24;

/// What these functions of the C library wait for, and whether that has a timeout, where the name says so. (Behind one
/// name there are more, such as `sem_wait_slow64` and `pthread_clockjoin_ex`.)
const FUNCTIONS: [(&str, WaitKind, Option<bool>); 18] = [
    ("pthread_mutex_timedlock", WaitKind::Mutex, Some(true)),
    ("pthread_mutex_clocklock", WaitKind::Mutex, Some(true)),
    ("pthread_mutex_cond_lock", WaitKind::Mutex, Some(false)),
    ("pthread_mutex_lock", WaitKind::Mutex, Some(false)),
    ("pthread_rwlock_rdlock", WaitKind::RwLock, Some(false)),
    ("pthread_rwlock_wrlock", WaitKind::RwLock, Some(false)),
    ("pthread_rwlock_timed", WaitKind::RwLock, Some(true)),
    ("pthread_rwlock_clock", WaitKind::RwLock, Some(true)),
    ("pthread_cond_wait", WaitKind::CCondition, Some(false)),
    ("pthread_cond_timedwait", WaitKind::CCondition, Some(true)),
    ("pthread_cond_clockwait", WaitKind::CCondition, Some(true)),
    ("sem_wait", WaitKind::CSemaphore, None),
    ("sem_timedwait", WaitKind::CSemaphore, Some(true)),
    ("sem_clockwait", WaitKind::CSemaphore, Some(true)),
    ("pthread_join", WaitKind::Thread, Some(false)),
    ("pthread_timedjoin", WaitKind::Thread, None),
    ("pthread_clockjoin", WaitKind::Thread, None),
    ("pthread_tryjoin", WaitKind::Thread, None),
];

/// Functions that wait for the GIL (Python/ceval.c, Python/pystate.c).
const FOR_THE_GIL: [&str; 4] = [
    "PyEval_RestoreThread",
    "PyEval_AcquireThread",
    "PyEval_AcquireLock",
    "PyGILState_Ensure",
];

/// The interpreter's own function that waits for a lock.
const FOR_A_PYTHON_LOCK: &str = "PyThread_acquire_lock";

/// Completes what a thread waits for by its native frames, innermost first.
pub fn refine(thread: &mut Thread, raw: &RawStack, frames: &[NativeFrame], owners: &Owners) {
    let Some(futex) = raw.futex() else {
        return;
    };
    let innermost = frames.iter().take(MOST_FRAMES);
    let innermost: Vec<&str> = innermost
        .take_while(|frame| !join::is_eval(frame))
        .map(name_of)
        .collect();
    let for_gil = innermost
        .iter()
        .rposition(|name| FOR_THE_GIL.contains(name));
    let on_gil = thread
        .wait
        .as_ref()
        .is_some_and(|wait| wait.kind == WaitKind::Gil);
    if let Some(at) = for_gil
        && (on_gil || thread.wait.is_none())
    {
        let wait = thread
            .wait
            .get_or_insert_with(|| Wait::of_kind(WaitKind::Gil));
        // Who called it has let the GIL go before.
        wait.within = Some(innermost[at].to_owned());
        wait.called_from = frames.get(at + 1).and_then(caller);
        return;
    }
    if on_gil || innermost.contains(&FOR_A_PYTHON_LOCK) {
        return;
    }
    let is_musl = frames
        .first()
        .is_some_and(|frame| frame.file.contains("musl"));
    let known = innermost.iter().find_map(|name| {
        let mut known = FUNCTIONS.iter();
        known.find(|(function, ..)| name.starts_with(function))
    });
    let found = match known {
        Some(&(_, kind, limited)) => of_kind(kind, limited, futex, &raw.words, is_musl, owners),
        None if thread.wait.is_none() && !is_musl && innermost.first() == Some(&"") => {
            nameless(futex, &raw.words, owners)
        }
        None => None,
    };
    if let Some(mut wait) = found {
        let at = known.and_then(|(function, ..)| {
            innermost
                .iter()
                .rposition(|name| name.starts_with(function))
        });
        wait.within = known.map(|(function, ..)| (*function).to_owned());
        wait.called_from = at.and_then(|at| caller(frames.get(at + 1)?));
        thread.wait = Some(wait);
    }
}

/// The name of a frame's function as it is documented: glibc has several for one, such as `__pthread_mutex_lock` and
/// `__new_sem_wait`.
fn name_of(frame: &NativeFrame) -> &str {
    let name = frame.function.as_deref().unwrap_or_default();
    let name = name.split('.').next().unwrap_or_default();
    let name = name.trim_start_matches('_');
    name.strip_prefix("new_").unwrap_or(name)
}

/// Who called a function, by this frame of the caller.
fn caller(frame: &NativeFrame) -> Option<String> {
    match &frame.function {
        _ if join::is_eval(frame) => None,
        Some(function) => Some(function.clone()),
        None if frame.file.is_empty() => None,
        None => Some((*frame.file).to_owned()),
    }
}

/// A wait of this kind, on a word.
fn of_kind(
    kind: WaitKind,
    limited: Option<bool>,
    [address, operation, _]: [u64; 3],
    words: &[u8],
    is_musl: bool,
    owners: &Owners,
) -> Option<Wait> {
    let mut wait = Wait {
        id: Some(address),
        limited,
        ..Wait::of_kind(kind)
    };
    let owner = |tid: Option<u32>| {
        let tid = tid.filter(|&tid| tid > 0 && tid <= LARGEST_TID && !is_musl)?;
        Some(owners.named(tid as i32))
    };
    match kind {
        WaitKind::Mutex => {
            let by_kernel = matches!(operation & COMMAND, FUTEX_LOCK_PI | FUTEX_LOCK_PI2);
            wait.c_owner = owner(mutex_owner(words, by_kernel));
        }
        WaitKind::RwLock => {
            // Of two words, at 8 and at 12, that readers and writers wait on; it begins at a multiple of 8.
            let within = if address % 8 == 0 { 8 } else { 12 };
            wait.id = address.checked_sub(within);
            wait.c_owner = owner(word(words, WRITER - within as usize));
        }
        WaitKind::CSemaphore => wait.value = word(words, 0).map(i64::from),
        WaitKind::Thread => {
            // The word is the thread's own TID, which the kernel clears at its end.
            let joined = owner(word(words, 0))?;
            wait.id = None;
            wait.joined = joined.ident;
            wait.c_owner = Some(joined);
        }
        _ => {}
    }
    Some(wait)
}

/// The owner of a `pthread_mutex_t` by glibc: the word, the count, the owner, the number of users, the kind
/// (sysdeps/x86/nptl/bits/struct_mutex.h).
fn mutex_owner(words: &[u8], by_kernel: bool) -> Option<u32> {
    let kind = word(words, 16)?;
    match by_kernel || kind & OWNER_IN_WORD != 0 {
        true => Some(word(words, 0)? & TID_MASK),
        false => word(words, 8),
    }
}

/// A wait where no function has a name, by what lies at the word: glibc waits for mutexes with the value 2, for
/// semaphores with 0 (and counts those who wait behind it, since 2.21), for the end of a thread with its TID.
fn nameless(futex: [u64; 3], words: &[u8], owners: &Owners) -> Option<Wait> {
    let [_, operation, value] = futex;
    let few = |at: usize| word(words, at).is_some_and(|count| (1..=1 << 16).contains(&count));
    let kind = match (operation & COMMAND, value as u32) {
        (FUTEX_WAIT, 2) if few(12) && word(words, 16)? & !KINDS == 0 => WaitKind::Mutex,
        (FUTEX_WAIT_BITSET, 0) if word(words, 0) == Some(0) && few(4) => WaitKind::CSemaphore,
        (FUTEX_WAIT | FUTEX_WAIT_BITSET, tid) if word(words, 0) == Some(tid) => WaitKind::Thread,
        _ => return None,
    };
    let wait = of_kind(kind, None, futex, words, false, owners)?;
    let has_owner = wait
        .c_owner
        .is_some_and(|owner| owner.lives || kind == WaitKind::Mutex);
    (has_owner || kind == WaitKind::CSemaphore).then_some(wait)
}

fn word(words: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*words.get(at..)?.first_chunk()?))
}
