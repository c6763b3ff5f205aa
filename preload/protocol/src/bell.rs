//! The bell, which lies in the memory of each process that has an agent.
//!
//! Change [`BELL_MAGIC`](crate::names::BELL_MAGIC) whenever [`Bell`] or the meaning of its fields
//! changes.

use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::names::DETOURS;

/// [`Bell::listens`] of an agent that has left its process: it gives no answer until it is brought in again.
pub const HAS_LEFT: u32 = 2;

/// What a command sees of an agent in the memory of its process, and how a debugger wakes it.
///
/// To ring: stop the parked thread, and no other; add one to `rung`; let the thread go. Its wait ends,
/// and the agent answers with the plain format. To ask for something else, first write the question to
/// `question`, and to `asked` the value that `rung` is about to have. Nothing is called and no register
/// changes, so a debugger that is killed at any moment leaves nothing behind that harms the program.
///
/// Where no thread listens: stop the whole process; choose a detour, another one than last time; store
/// a thread's program counter in its `resume`; add one to `rung`; set the program counter to the
/// detour's entry; let the process go. The thread answers, and goes on where it was.
#[repr(C)]
pub struct Bell {
    /// [`BELL_MAGIC`](crate::names::BELL_MAGIC) in native byte order; zero until the library is bound.
    /// Before that, [`STATE_FUNCTION`](crate::names::STATE_FUNCTION) must not be called.
    pub magic: AtomicU64,
    /// How many threads of this process listen, or will in a moment: 1, or 0 in a library that has no
    /// thread yet, or that passes questions on to another copy of itself. [`HAS_LEFT`]: none, and no thread will.
    pub listens: AtomicU32,
    /// How often the bell has been rung.
    pub rung: AtomicU32,
    /// `rung` as it was when the answer below was begun. Stored last: read it first.
    pub answered: AtomicU32,
    /// The value of `rung` that `question` is for.
    pub asked: AtomicU32,
    /// The address of the answer's text.
    pub text: AtomicU64,
    /// [`AnswerHeader::number`](crate::answer::AnswerHeader::number) of that answer. If its header has
    /// another number, it has been replaced.
    pub number: AtomicU64,
    /// The address of the buffer for a question: its length, four bytes, and as many bytes of text, at
    /// most [`LONGEST_QUESTION`](crate::question::LONGEST_QUESTION).
    pub question: AtomicU64,
    /// The address of the first of [`DETOURS`] detours, each of
    /// [`DETOUR_SIZE`](crate::names::DETOUR_SIZE) bytes.
    pub detours: AtomicU64,
    /// For each detour, the address where the thread that is sent there goes on afterwards. There are
    /// several, as a thread may not have entered its detour yet when the next one is sent.
    pub resume: [AtomicU64; DETOURS],
}
