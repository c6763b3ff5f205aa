//! The words between this command and the code that it writes into a process ([`crate::load::detour`]): what the code is
//! told, and what it says.

use std::mem::offset_of;

/// What the code is told, behind it. It only reads it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Told {
    /// The address of [`Said`].
    pub said: u64,
    /// The addresses of [`FUNCTIONS`] in the process.
    pub functions: [u64; FUNCTIONS.len()],
    /// The addresses of [`INTERPRETER`] in the process; all zero: the GIL is not made.
    pub interpreter: [u64; INTERPRETER.len()],
    /// Where the thread goes on.
    pub resume: u64,
    /// What it has in `rax` then.
    pub result: u64,
    /// Where it goes on if its system call is interrupted.
    pub interrupted: u64,
    /// Which signals interrupt its system call: see [`Interrupts`].
    pub interrupts: u64,
    /// The signals that the thread blocks.
    pub mask: u64,
    /// The signals that it blocks on the detour: [`BLOCKED`].
    pub all: u64,
    /// Where the function that begins is, if the library is there already; else 0.
    pub known: u64,
    /// The library's path; or where the number of a descriptor is to be put in, if it comes in a file in memory.
    pub path: [u8; LONGEST_PATH],
    /// Not zero: the library comes in a file in memory.
    pub in_memory: u64,
    /// The name of that file, as `/proc/PID/maps` shows it.
    pub name: [u8; 32],
    /// The name of the function that makes the agent begin.
    pub begin: [u8; 32],
}

/// What it takes of the interpreter to make the GIL.
pub const INTERPRETER: [&str; 5] = [
    "Py_GetArgcArgv",
    "PyEval_ThreadsInitialized",
    "PyEval_InitThreads",
    "PyEval_ReleaseLock",
    CURRENT,
];

/// The one among them that is a variable.
pub const CURRENT: &str = "_PyThreadState_Current";

/// What the code calls in the C library.
pub const FUNCTIONS: [&str; 7] = [
    "pthread_create",
    "pthread_self",
    "pthread_detach",
    "pthread_join",
    "dlopen",
    "dlsym",
    "__errno_location",
];

/// What is blocked meanwhile: all signals but 33, by which glibc has all threads change their user (`SIGSETXID`,
/// nptl/nptl_setxid.c). Whoever calls `setuid` waits for every thread to take it.
pub const BLOCKED: u64 = !(1 << 32);

/// The longest path of a library, with its NUL.
pub const LONGEST_PATH: usize = 512;

/// Which signals that have a handler interrupt a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Interrupts {
    /// None: it is made again whatever comes, or the thread is in none.
    None = 0,
    /// Those without SA_RESTART.
    Some = 1,
    /// All.
    All = 2,
}

/// What the code says, in memory that it may write to. All are zero before.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// How far the detour is: [`SENT`], [`ENTERED`], [`LEFT`].
    pub detour: u32,
    /// What `pthread_create` has returned, and one more; 0: nothing yet.
    pub created: u32,
    /// How far the new thread is: see [`STARTED`] and the others.
    pub stage: u32,
    /// The new thread's ID, in its own namespace.
    pub thread: u32,
    /// What the library has returned.
    pub begun: i32,
    /// Not zero: the new thread ends without loading anything.
    pub cancel: u32,
    /// The descriptor of the file in memory that is to be filled, and one more; 0: there is none.
    pub file: u32,
    /// Not zero: it has been filled.
    pub filled: u32,
    /// The number that this was written for: a forked child inherits it. It is the process's in its own PID namespace, which
    /// all who look at it see alike.
    pub process: u32,
    /// Nothing.
    unused: u32,
    /// The new thread's `pthread_t`.
    pub ident: u64,
}

/// [`Said::detour`]: a thread is on its way.
pub const SENT: u32 = 1;
/// [`Said::detour`]: a thread has come.
pub const ENTERED: u32 = 2;
/// [`Said::detour`]: it has gone on, or will with its next instructions.
pub const LEFT: u32 = 3;

/// [`Said::stage`]: the new thread runs.
pub const STARTED: u32 = 1;
/// [`Said::stage`]: it is in the loader.
pub const LOADING: u32 = 2;
/// [`Said::stage`]: the library is there.
pub const BEGINNING: u32 = 3;
/// [`Said::stage`]: the agent has begun, or has said why not.
pub const DONE: u32 = 4;
/// [`Said::stage`]: the loader has refused the library.
pub const REFUSED: u32 = 5;
/// [`Said::stage`]: it was told to end.
pub const CANCELLED: u32 = 6;

impl Told {
    /// Its bytes, as they stand in the process.
    pub fn bytes(&self) -> Vec<u8> {
        let resumption = [
            self.resume,
            self.result,
            self.interrupted,
            self.interrupts,
            self.mask,
            self.all,
            self.known,
        ];
        let words = [self.said].into_iter().chain(self.functions);
        let words = words.chain(self.interpreter).chain(resumption);
        let words = words.flat_map(u64::to_ne_bytes);
        words
            .chain(self.path)
            .chain(self.in_memory.to_ne_bytes())
            .chain(self.name)
            .chain(self.begin)
            .collect()
    }
}

const _: () = assert!(
    size_of::<Told>() == 8 * (1 + FUNCTIONS.len() + INTERPRETER.len() + 8) + LONGEST_PATH + 64
        && size_of::<Said>() == 48,
    "there is no padding"
);

impl Said {
    /// Its bytes, where a thread is about to be sent to the code in a process.
    pub fn sent(process: i32) -> [u8; size_of::<Said>()] {
        let mut bytes = [0; size_of::<Said>()];
        let mut put = |at: usize, word: u32| {
            for (place, byte) in bytes.iter_mut().skip(at).zip(word.to_ne_bytes()) {
                *place = byte;
            }
        };
        put(offset_of!(Said, detour), SENT);
        put(offset_of!(Said, process), process as u32);
        bytes
    }

    /// Whether the code may be used again in this process: no thread is in it, nor will be.
    pub fn is_free(&self, process: i32) -> bool {
        let failed = self.created > 1;
        self.process != process as u32
            || self.detour == 0
            || self.detour == LEFT && (failed || self.stage >= DONE)
    }

    /// Whether a thread is loading the library.
    pub fn is_under_way(&self) -> bool {
        self.detour >= ENTERED && self.created <= 1 && self.stage < DONE
    }

    /// What these bytes say.
    pub fn parse(bytes: &[u8; size_of::<Said>()]) -> Said {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            u32::from_ne_bytes(word.unwrap_or_default())
        };
        Said {
            detour: word(offset_of!(Said, detour)),
            created: word(offset_of!(Said, created)),
            stage: word(offset_of!(Said, stage)),
            thread: word(offset_of!(Said, thread)),
            begun: word(offset_of!(Said, begun)) as i32,
            cancel: word(offset_of!(Said, cancel)),
            file: word(offset_of!(Said, file)),
            filled: word(offset_of!(Said, filled)),
            process: word(offset_of!(Said, process)),
            unused: 0,
            ident: 0,
        }
    }
}
