//! The threads' native stacks, as they lie in memory: the command finds the C functions in them. And the words that
//! threads sleep on in the kernel, which say who holds a mutex of C's.
//!
//! Nothing is stopped for it. The kernel shows where the stack of a thread ends that sleeps; of one that runs nothing
//! is known. What is read while the thread goes on is thrown away.

use std::io::Write;

use crate::agent::threads;
use crate::cpython::{find, gil_semaphore};
use crate::files::system_calls::SystemCall;
use crate::files::tasks;
use crate::system::filter::{self, Call};
use crate::system::memory::{read, read_bytes};
use crate::system::proc_file::{Descriptors, Folder};
use crate::system::thread_struct;

/// Which threads' native stacks are read.
#[derive(Default)]
pub struct Wanted {
    /// Whether any are.
    pub some: bool,
    /// Whether all are. If not, only those of threads are read of which nothing else says what they do.
    pub all: bool,
    /// The threads whose frames say what they wait for: identifiers in order.
    pub explained: Vec<usize>,
    /// The thread that keeps the GIL, if it does not let go of it; 0: none.
    pub keeps_gil: usize,
}

/// How much is read of one stack, in bytes, from its inner end on: where all are wanted, and where not.
const LONGEST: usize = 64 << 10;
const LONGEST_OF_FEW: usize = 16 << 10;

/// How much of all stacks together, and the least of one.
const ROOM: usize = 8 << 20;
const LEAST: usize = 4 << 10;

/// How many stacks are read where not all are wanted.
const FEW: usize = 64;

/// How many of them may be of threads that want the GIL.
const FEW_FOR_GIL: usize = 16;

/// The most threads without Python frames that are looked at.
const MOST_OTHERS: usize = 1000;

/// What is read of the word that a thread sleeps on, and of what stands behind it: a `pthread_mutex_t` has 40 bytes.
const WORDS: usize = 48;

/// A stack is read in pieces of this size, in bytes: it may end anywhere.
const PIECE: usize = 4096;

/// The operations that futex(2) waits with, as plain locks of the C library do, and the bits beside them
/// (include/uapi/linux/futex.h).
const FUTEX_WAIT: usize = 0;
const FUTEX_COMMAND: usize = !(128 | 256);

/// Takes down the native stacks of the threads with these identifiers, and of threads that run no Python, as the state
/// has them under [`NATIVE`](protocol::state::document::NATIVE). Stops when memory runs out.
///
/// On the reader, holding nothing.
pub fn describe(idents: &[usize], wanted: &Wanted) -> Vec<u8> {
    let mut taken = Taken {
        wanted,
        gil: find::found().and_then(gil_semaphore::semaphore),
        folder: Folder::open(c"/proc/self/task"),
        longest: match wanted.all {
            true => (ROOM / idents.len().max(1)).clamp(LEAST, LONGEST),
            false => LONGEST_OF_FEW,
        },
        left: if wanted.all { usize::MAX } else { FEW },
        left_for_gil: FEW_FOR_GIL,
        bytes: Vec::new(),
    };
    if !wanted.some {
        return taken.bytes;
    }
    let Some(tid_offset) = thread_struct::id_offset(threads::two()) else {
        return taken.bytes;
    };
    let mut known: Vec<i32> = Vec::new();
    if known.try_reserve_exact(idents.len()).is_err() {
        return taken.bytes;
    }
    // It matters most.
    if let Some(tid) = read::<i32>(wanted.keeps_gil.wrapping_add(tid_offset))
        && wanted.keeps_gil != 0
        && taken.add(wanted.keeps_gil, tid).is_none()
    {
        return taken.bytes;
    }
    let all = thread_struct::each_id(idents, tid_offset, &mut |ident, tid| {
        known.push(tid);
        match ident == wanted.keeps_gil {
            true => Some(()),
            false => taken.add(ident, tid),
        }
    });
    if all.is_none() {
        return taken.bytes;
    }
    known.sort_unstable();
    if filter::may(Call::ListFolder) {
        let others = Descriptors::in_folder(c"/proc/self/task").into_iter();
        let others = others.flatten().filter(|tid| {
            known.binary_search(tid).is_err() && !threads::thread_ids().any(|own| own == *tid)
        });
        for tid in others.take(MOST_OTHERS) {
            if taken.add(0, tid).is_none() {
                break;
            }
        }
    }
    taken.bytes
}

/// What has been taken down.
struct Taken<'a> {
    wanted: &'a Wanted,
    /// The word that threads wait for the GIL on.
    gil: Option<usize>,
    folder: Option<Folder>,
    /// How much is read of one stack.
    longest: usize,
    /// How many more stacks may be read, and how many of threads that want the GIL.
    left: usize,
    left_for_gil: usize,
    bytes: Vec<u8>,
}

impl Taken<'_> {
    /// Adds a thread's record, if it is wanted; `None` if there is no room for more. A thread that runs no Python has
    /// the identifier 0.
    fn add(&mut self, ident: usize, tid: i32) -> Option<()> {
        if self.left == 0 {
            return None;
        }
        let mut line = [0; 256];
        let folder = self.folder.as_ref();
        let Some(line) = tasks::system_call(folder, tid, &mut line) else {
            return Some(());
        };
        let line = line.trim_ascii_end();
        let call = SystemCall::parse(line);
        let restarted = call.as_ref().and_then(SystemCall::restarted);
        let futex = call.and_then(|call| match restarted {
            Some(number) => call.with_number(number).futex(),
            None => call.futex(),
        });
        let futex = futex.map(Futex::of);
        if !self.is_wanted(ident, futex) {
            return Some(());
        }
        let begin = self.bytes.len();
        // Room for the heading, which is known last.
        const HEADING: usize = 24 + 12 + 2 * 8 + 256;
        let most = HEADING + WORDS + self.longest;
        if begin + most > ROOM || self.bytes.try_reserve(most).is_err() {
            return None;
        }
        let mut words = [0; WORDS];
        let words_read = futex.map_or(0, |futex| {
            // The word may stand at the end of what can be read.
            let read = [WORDS, 24, 4].into_iter();
            let mut read = read.filter(|&count| read_bytes(futex.address, &mut words[..count]));
            read.next().unwrap_or(0)
        });
        let mut pieces = [0; PIECE];
        let mut stack = Vec::new();
        if let Some(start) = SystemCall::stack_pointer(line) {
            // glibc puts a thread's own structure, which is its identifier, at the outer end of its stack.
            let most = match ident.checked_sub(start) {
                Some(0) | None => self.longest,
                Some(distance) => self.longest.min(distance),
            };
            stack.try_reserve_exact(most).ok()?;
            while stack.len() < most {
                let at = start.wrapping_add(stack.len());
                let to_end_of_page = PIECE - at % PIECE;
                let piece = &mut pieces[..to_end_of_page.min(most - stack.len())];
                if !read_bytes(at, piece) {
                    break;
                }
                stack.extend_from_slice(piece);
            }
        }
        // If the thread has left that call meanwhile, what was read need not belong to it.
        let mut again = [0; 256];
        let again = tasks::system_call(self.folder.as_ref(), tid, &mut again);
        if again.map(<[u8]>::trim_ascii_end) != Some(line) {
            return Some(());
        }
        let _ = write!(self.bytes, "{ident} {tid} {words_read} {} ", stack.len());
        tasks::write_call(line, restarted, &mut self.bytes);
        self.bytes.push(b'\n');
        self.bytes.extend_from_slice(&words[..words_read]);
        self.bytes.extend_from_slice(&stack);
        self.left -= 1;
        Some(())
    }

    fn is_wanted(&mut self, ident: usize, futex: Option<Futex>) -> bool {
        if self.wanted.all || ident == 0 || ident == self.wanted.keeps_gil {
            return true;
        }
        let Some(futex) = futex else {
            return false;
        };
        if Some(futex.address) == self.gil {
            let wanted = self.wanted.keeps_gil != 0 && self.left_for_gil > 0;
            self.left_for_gil -= usize::from(wanted);
            return wanted;
        }
        futex.is_plain_lock() || self.wanted.explained.binary_search(&ident).is_err()
    }
}

/// A call of futex(2).
#[derive(Clone, Copy)]
pub struct Futex {
    address: usize,
    operation: usize,
    value: usize,
}

impl Futex {
    /// Of a call with these arguments.
    pub fn of(arguments: [usize; 3]) -> Futex {
        let [address, operation, value] = arguments;
        Futex {
            address,
            operation,
            value,
        }
    }

    /// Whether it is a wait for one of glibc's plain locks, as mutexes are: 2 stands for a lock that others wait for
    /// (sysdeps/nptl/lowlevellock.h).
    fn is_plain_lock(self) -> bool {
        self.operation & FUTEX_COMMAND == FUTEX_WAIT && self.value as u32 == 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_lock_is_told_from_semaphores() {
        let is_plain = |operation, value| Futex::of([0x1000, operation, value]).is_plain_lock();
        assert!(is_plain(128, 2) && is_plain(0, 2));
        // FUTEX_WAIT_BITSET with the real-time clock, as semaphores and conditions wait.
        assert!(!is_plain(0x189, 0) && !is_plain(0x189, 2));
        // As semaphores waited before glibc 2.25.
        assert!(!is_plain(128, 0));
    }
}
