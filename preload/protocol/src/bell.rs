//! The bell: what the commands see of an agent in its process's memory, and how a debugger wakes it.

use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::names::DETOURS;

/// What a command sees of an agent in the memory of its process, and how a debugger wakes it.
///
/// To ring: hold the parked thread, and it alone, add one to `rung`, let the thread go. Its wait
/// ends, and it answers. To ask for something else than the state's text, first write what is wanted
/// to `question`, and the count that `rung` will have to `asked`. Nothing is called and no register is changed, so a debugger that is
/// killed at any moment leaves nothing behind that the program could fall over.
///
/// Where no thread listens: hold the whole process; choose a detour, another one than last time;
/// store a thread's program counter in its `resume`, add one to `rung`, set the program counter to
/// the detour's entry, let go. The thread answers and goes on where it was.
#[repr(C)]
pub struct Bell {
    /// [`BELL_MAGIC`] in native byte order; zero until the library has been bound, and before
    /// that [`STATE_FUNCTION`] must not be called.
    pub magic: AtomicU64,
    /// How many threads of this process listen, or will in a moment: 1, or 0 in a library that
    /// has none (yet), or that passes questions on to another copy of itself.
    pub listens: AtomicU32,
    /// How often the bell was rung.
    pub rung: AtomicU32,
    /// `rung` as it was when the answer below was begun. Stored last, so to be read first.
    pub answered: AtomicU32,
    /// For which ring there is something in `question`.
    pub asked: AtomicU32,
    /// Address of the answer's text.
    pub text: AtomicU64,
    /// [`AnswerHeader::number`] of that answer, for as long as it is still there.
    pub number: AtomicU64,
    /// Address of room for a question: its length (four bytes), and as many bytes of its words, at
    /// most `wanted::LONGEST_QUESTION`.
    pub question: AtomicU64,
    /// Address of the first of [`DETOURS`] detours, each of [`DETOUR_SIZE`] bytes.
    pub detours: AtomicU64,
    /// For each detour: where the thread that is sent there goes on after it. Several, as one may
    /// not have been entered yet when the next is made.
    pub resume: [AtomicU64; DETOURS],
}
