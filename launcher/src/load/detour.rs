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
//! The code is never run here: it is a constant of this command's.

use core::arch::global_asm;
use std::mem::offset_of;

use protocol::{call_with_vectors_saved, pop_registers_and_return, push_registers};

use crate::load::words::{Said, Told};

/// Where the address of one of [`FUNCTIONS`](crate::load::words::FUNCTIONS) stands in [`Told`].
const fn function(number: usize) -> usize {
    offset_of!(Told, functions) + number * size_of::<u64>()
}

/// The same of [`INTERPRETER`](crate::load::words::INTERPRETER).
const fn of_interpreter(number: usize) -> usize {
    offset_of!(Told, interpreter) + number * size_of::<u64>()
}

/// The beginning of a function: saves what its caller needs, and points `rbx` to [`Told`] and `r14` to [`Said`]. It has 24
/// bytes on the stack.
macro_rules! begin {
    () => {
        "push rbx\npush r12\npush r13\npush r14\nsub rsp, 24\n\
         lea rbx, [rip + 20f]\nmov r14, [rbx + {said}]"
    };
}

/// The end of such a function.
macro_rules! end {
    () => {
        "add rsp, 24\npop r14\npop r13\npop r12\npop rbx\nret"
    };
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
    begin!(),
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
    end!(),
    // Loads the library and has it prepare; returns the function that makes the agent begin; -1: it was told to end.
    // Given zero, it shares the descriptors of the program.
    "15:",
    begin!(),
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
    // The library is there already.
    "mov rax, [rbx + {known}]",
    "test rax, rax",
    "jnz 29f",
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
    "29:",
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
    end!(),
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
    known = const offset_of!(Told, known),
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
