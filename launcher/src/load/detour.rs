//! The code that is written into a process: a detour for one of its threads, and the life of the thread that it starts.
//!
//! The detour saves all registers, calls `pthread_create`, and goes on where the thread was. The new thread has another
//! load the library and look around, which has a table of descriptors of its own; then it makes the agent begin. Both end
//! after that. Nothing else happens on the program's thread, but where a program without threads waits: CPython 2 has no
//! GIL before `PyEval_InitThreads`, which must run on its first thread. A first thread that waits has let go of the GIL,
//! had there been one (`PyEval_SaveThread`, Python/ceval.c, 2.6 and 2.7), and takes it when it goes on. So there the
//! detour makes it, and lets go of it.
//!
//! All signals of the program's are blocked from before the detour until its last instructions, so no handler of the
//! program's meets a half-made thread, and the new thread blocks them too. A signal that comes meanwhile waits. If it
//! would have interrupted the system call that the thread was in, that call returns EINTR; else the call is made again,
//! and the kernel keeps the time that is left (`restart_syscall`, signal(7)).
//!
//! The code is never run here: it is a constant of this command's. This file is long for it, as it stands in one piece.

use core::arch::global_asm;
use std::mem::offset_of;

use protocol::{call_with_vectors_saved, pop_registers_and_return, push_registers};

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

/// Where the address of one of [`FUNCTIONS`] stands in [`Told`].
const fn function(number: usize) -> usize {
    offset_of!(Told, functions) + number * size_of::<u64>()
}

/// The same of [`INTERPRETER`].
const fn of_interpreter(number: usize) -> usize {
    offset_of!(Told, interpreter) + number * size_of::<u64>()
}

// As in the library's own detour (preload/src/entry/detour.rs) the red zone is skipped, and the flags are saved before an
// instruction changes them.
//
// System calls by number: 3 close, 13 rt_sigaction, 14 rt_sigprocmask, 35 nanosleep, 127 rt_sigpending, 186 gettid,
// 272 unshare, 319 memfd_create, 436 close_range.
global_asm!(
    ".pushsection .rodata.sleeper_load,\"a\",@progbits",
    ".p2align 4",
    ".globl sleeper_load_code",
    ".hidden sleeper_load_code",
    "sleeper_load_code:",
    "lea rsp, [rsp - 128]",
    "push qword ptr [rip + 20f + {resume}]",
    "pushfq",
    push_registers!(),
    "mov eax, 14",
    "xor edi, edi", // SIG_BLOCK
    "lea rsi, [rip + 20f + {all}]",
    "xor edx, edx",
    "mov r10d, 8",
    "syscall",
    call_with_vectors_saved!("call 5f"),
    // Does a signal wait that would have interrupted the system call?
    "lea rbx, [rip + 20f]",
    "mov r12, [rbx + {resume}]",
    "mov r13, [rbx + {result}]",
    "cmp qword ptr [rbx + {interrupts}], 0",
    "je 9f",
    "sub rsp, 64",
    "mov eax, 127",
    "mov rdi, rsp",
    "mov esi, 8",
    "syscall",
    "test rax, rax",
    "js 9f",
    "mov r15, [rbx + {mask}]",
    "not r15",
    "and r15, [rsp]",
    "6:",
    "bsf r14, r15",
    "jz 9f",
    "btr r15, r14",
    "mov eax, 13",
    "lea edi, [r14 + 1]",
    "xor esi, esi",
    "lea rdx, [rsp + 16]",
    "mov r10d, 8",
    "syscall",
    "test rax, rax",
    "js 6b",
    "cmp qword ptr [rsp + 16], 1", // SIG_DFL, SIG_IGN
    "jbe 6b",
    "cmp qword ptr [rbx + {interrupts}], 2",
    "je 8f",
    "test dword ptr [rsp + 24], 0x10000000", // SA_RESTART
    "jnz 6b",
    "8:",
    "mov r12, [rbx + {interrupted}]",
    "mov r13, -4", // EINTR
    "9:",
    "mov [rbp + 14 * 8], r13",
    "mov [rbp + 16 * 8], r12",
    "mov eax, 14",
    "mov edi, 2", // SIG_SETMASK
    "lea rsi, [rbx + {mask}]",
    "xor edx, edx",
    "mov r10d, 8",
    "syscall",
    "mov rax, [rbx + {said}]",
    "mov dword ptr [rax + {detour}], 3",
    pop_registers_and_return!(),
    // Makes the GIL, if that is wanted, and starts the thread; leaves errno as it was.
    "5:",
    "sub rsp, 24",
    "lea rbx, [rip + 20f]",
    "mov r14, [rbx + {said}]",
    "mov dword ptr [r14 + {detour}], 2",
    "call [rbx + {errno_location}]",
    "mov r12, rax",
    "mov r13d, [rax]",
    "cmp qword ptr [rbx + {init_threads}], 0",
    "je 7f",
    // Only where `Py_Main` runs, which keeps its arguments.
    "mov qword ptr [rsp], 0",
    "mov rdi, rsp",
    "lea rsi, [rsp + 8]",
    "call [rbx + {get_argc_argv}]",
    "cmp dword ptr [rsp], 0",
    "jle 7f",
    "call [rbx + {threads_initialized}]",
    "test eax, eax",
    "jnz 7f",
    "call [rbx + {init_threads}]",
    // This thread has the GIL now. If it waits without it, it takes it itself when it goes on.
    "mov rax, [rbx + {current}]",
    "cmp qword ptr [rax], 0",
    "jne 7f",
    "call [rbx + {release_lock}]",
    "7:",
    "lea rdi, [r14 + {ident}]",
    "xor esi, esi",
    "lea rdx, [rip + 10f]",
    "xor ecx, ecx",
    "call [rbx + {pthread_create}]",
    "mov [r12], r13d",
    "inc eax",
    "mov [r14 + {created}], eax",
    "add rsp, 24",
    "ret",
    // The new thread's life.
    "10:",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "sub rsp, 24",
    "lea rbx, [rip + 20f]",
    "mov r14, [rbx + {said}]",
    "mov eax, 186",
    "syscall",
    "mov [r14 + {thread}], eax",
    "mov dword ptr [r14 + {stage}], 1",
    "call [rbx + {pthread_self}]",
    "mov rdi, rax",
    "call [rbx + {pthread_detach}]",
    "cmp dword ptr [r14 + {cancel}], 0",
    "jne 12f",
    // A second thread loads, with descriptors of its own. If there is none, this one does.
    "mov rdi, rsp",
    "xor esi, esi",
    "lea rdx, [rip + 15f]",
    "mov rcx, rbx",
    "call [rbx + {pthread_create}]",
    "test eax, eax",
    "jnz 16f",
    "mov rdi, [rsp]",
    "mov qword ptr [rsp + 8], 0",
    "lea rsi, [rsp + 8]",
    "call [rbx + {pthread_join}]",
    "mov rdi, [rsp + 8]",
    "jmp 17f",
    "16:",
    "xor edi, edi",
    "call 15f",
    "mov rdi, rax",
    "17:",
    "cmp rdi, -1",
    "je 12f",
    "test rdi, rdi",
    "jz 11f",
    "mov dword ptr [r14 + {stage}], 3",
    "mov rax, rdi",
    "mov edi, 1",
    "call rax",
    "mov [r14 + {begun}], eax",
    "mov dword ptr [r14 + {stage}], 4",
    "jmp 13f",
    "11:",
    "mov dword ptr [r14 + {stage}], 5",
    "jmp 13f",
    "12:",
    "mov dword ptr [r14 + {stage}], 6",
    "13:",
    "xor eax, eax",
    "add rsp, 24",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "ret",
    // Loads the library and has it prepare; returns the function that makes the agent begin; -1: it was told to end.
    // Given zero, it shares the descriptors of the program.
    "15:",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "sub rsp, 24",
    "lea rbx, [rip + 20f]",
    "mov r14, [rbx + {said}]",
    "test rdi, rdi",
    "jz 22f",
    // What it opens must take no number that the program may count on, nor fail where the program has too many. All
    // descriptors are closed in its own table; before Linux 5.9 the first 1,024 in a copy, so that what the program
    // closes meanwhile is not kept open here.
    "mov eax, 436",
    "xor edi, edi",
    "mov esi, -1",
    "mov edx, 2", // CLOSE_RANGE_UNSHARE
    "syscall",
    "test eax, eax",
    "jz 22f",
    "mov eax, 272",
    "mov edi, 0x400", // CLONE_FILES
    "syscall",
    "test eax, eax",
    "jnz 22f",
    "mov r12d, 1023",
    "21:",
    "mov edi, r12d",
    "mov eax, 3",
    "syscall",
    "dec r12d",
    "jns 21b",
    "22:",
    // A file in memory, if the program does not see the library.
    "cmp qword ptr [rbx + {in_memory}], 0",
    "je 25f",
    "lea rdi, [rbx + {name}]",
    "mov esi, 1", // MFD_CLOEXEC
    "mov eax, 319",
    "syscall",
    "test eax, eax",
    "js 26f",
    "mov r12d, eax",
    "inc eax",
    "mov [r14 + {file}], eax",
    // Until it has been filled, for 5 s at most: 5,000 times a millisecond.
    "mov r13d, 5000",
    "23:",
    "cmp dword ptr [r14 + {filled}], 0",
    "jne 25f",
    "cmp dword ptr [r14 + {cancel}], 0",
    "jne 24f",
    "mov qword ptr [rsp], 0",
    "mov qword ptr [rsp + 8], 1000000",
    "mov rdi, rsp",
    "xor esi, esi",
    "mov eax, 35",
    "syscall",
    "dec r13d",
    "jnz 23b",
    "24:",
    "mov rax, -1",
    "jmp 27f",
    "26:",
    "xor eax, eax",
    "jmp 27f",
    "25:",
    "mov dword ptr [r14 + {stage}], 2",
    "lea rdi, [rbx + {path}]",
    "mov esi, 2", // RTLD_NOW
    "call [rbx + {dlopen}]",
    "test rax, rax",
    "jz 27f",
    "mov rdi, rax",
    "lea rsi, [rbx + {begin}]",
    "call [rbx + {dlsym}]",
    "test rax, rax",
    "jz 27f",
    "mov r13, rax",
    "xor edi, edi", // It prepares.
    "call rax",
    "mov rax, r13",
    "27:",
    "mov r13, rax",
    // Where the table is shared.
    "cmp dword ptr [r14 + {file}], 0",
    "je 28f",
    "mov edi, r12d",
    "mov eax, 3",
    "syscall",
    "28:",
    "mov rax, r13",
    "add rsp, 24",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "ret",
    ".p2align 3",
    ".globl sleeper_load_code_end",
    ".hidden sleeper_load_code_end",
    "sleeper_load_code_end:",
    "20:",
    ".popsection",
    resume = const offset_of!(Told, resume),
    result = const offset_of!(Told, result),
    interrupted = const offset_of!(Told, interrupted),
    interrupts = const offset_of!(Told, interrupts),
    mask = const offset_of!(Told, mask),
    all = const offset_of!(Told, all),
    said = const offset_of!(Told, said),
    path = const offset_of!(Told, path),
    begin = const offset_of!(Told, begin),
    in_memory = const offset_of!(Told, in_memory),
    name = const offset_of!(Told, name),
    pthread_create = const function(0),
    pthread_self = const function(1),
    pthread_detach = const function(2),
    pthread_join = const function(3),
    dlopen = const function(4),
    dlsym = const function(5),
    errno_location = const function(6),
    get_argc_argv = const of_interpreter(0),
    threads_initialized = const of_interpreter(1),
    init_threads = const of_interpreter(2),
    release_lock = const of_interpreter(3),
    current = const of_interpreter(4),
    detour = const offset_of!(Said, detour),
    created = const offset_of!(Said, created),
    stage = const offset_of!(Said, stage),
    thread = const offset_of!(Said, thread),
    begun = const offset_of!(Said, begun),
    cancel = const offset_of!(Said, cancel),
    file = const offset_of!(Said, file),
    filled = const offset_of!(Said, filled),
    ident = const offset_of!(Said, ident),
);

unsafe extern "C" {
    static sleeper_load_code: u8;
    static sleeper_load_code_end: u8;
}

/// The code, which is entered at its first byte. [`Told`] stands right behind it.
pub fn code() -> &'static [u8] {
    // SAFETY: both are labels of one constant, above, in this order.
    unsafe {
        let (start, end) = (
            &raw const sleeper_load_code,
            &raw const sleeper_load_code_end,
        );
        std::slice::from_raw_parts(start, end.offset_from_unsigned(start))
    }
}

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
    size_of::<Told>() == 8 * (1 + FUNCTIONS.len() + INTERPRETER.len() + 7) + LONGEST_PATH + 64
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
