//! The unwinder, `libgcc_s.so.1`: loaded when it is needed, and not with this library.
//!
//! Every process that inherits LD_PRELOAD would load it too, which takes longer than all the rest
//! of what it does for us (`make bench`), and which most of them never use: it takes a panic, or
//! the end of a thread by `pthread_exit`. So its functions have stand-ins here, which the linker
//! finds first. Each goes on to the real one; before there is one, it has the library loaded.
//!
//! A second copy of the unwinder, linked into this library, would not do: glibc unwinds a thread that
//! ends by way of the shared one, whose state our frames' cleanups would then look for in theirs.

use core::arch::global_asm;
use libloading::os::unix::{Library, RTLD_NOW};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What Rust's own library and our frames' cleanups call, in the order of [`FUNCTIONS`].
const NAMES: [&str; 12] = [
    "_Unwind_Backtrace",
    "_Unwind_DeleteException",
    "_Unwind_GetDataRelBase",
    "_Unwind_GetIP",
    "_Unwind_GetIPInfo",
    "_Unwind_GetLanguageSpecificData",
    "_Unwind_GetRegionStart",
    "_Unwind_GetTextRelBase",
    "_Unwind_RaiseException",
    "_Unwind_Resume",
    "_Unwind_SetGR",
    "_Unwind_SetIP",
];

/// The addresses of the real ones; 0: not loaded yet.
static FUNCTIONS: [AtomicUsize; NAMES.len()] = [const { AtomicUsize::new(0) }; NAMES.len()];

// A stand-in leaves the stack and all registers as they are: the real function unwinds from where it
// was called. The longer way saves those that hold arguments (System V ABI for x86-64, 3.2.3).
global_asm!(
    ".macro sleeper_agent_stands_in name, number",
    ".hidden \\name",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    "cmp qword ptr [rip + {functions} + 8 * \\number], 0",
    "je 5f",
    "jmp qword ptr [rip + {functions} + 8 * \\number]",
    "5:",
    "push \\number",
    "jmp sleeper_agent_loads_unwinder",
    ".endm",
    ".pushsection .text.sleeper_agent_unwinder,\"ax\",@progbits",
    "sleeper_agent_loads_unwinder:",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push r8",
    "push r9",
    "call {load}",
    "pop r9",
    "pop r8",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "pop rax",
    "lea r11, [rip + {functions}]",
    "jmp qword ptr [r11 + 8 * rax]",
    "sleeper_agent_stands_in _Unwind_Backtrace, 0",
    "sleeper_agent_stands_in _Unwind_DeleteException, 1",
    "sleeper_agent_stands_in _Unwind_GetDataRelBase, 2",
    "sleeper_agent_stands_in _Unwind_GetIP, 3",
    "sleeper_agent_stands_in _Unwind_GetIPInfo, 4",
    "sleeper_agent_stands_in _Unwind_GetLanguageSpecificData, 5",
    "sleeper_agent_stands_in _Unwind_GetRegionStart, 6",
    "sleeper_agent_stands_in _Unwind_GetTextRelBase, 7",
    "sleeper_agent_stands_in _Unwind_RaiseException, 8",
    "sleeper_agent_stands_in _Unwind_Resume, 9",
    "sleeper_agent_stands_in _Unwind_SetGR, 10",
    "sleeper_agent_stands_in _Unwind_SetIP, 11",
    ".popsection",
    functions = sym FUNCTIONS,
    load = sym load_or_abort,
);

/// Makes sure that the unwinder is there; the error is an errno. It may call the loader and
/// allocate: at the boot, so that nothing of ours has to do it on a thread that was interrupted.
pub fn load() -> Result<(), c_int> {
    // Not tried again in every child.
    static IS_MISSING: AtomicBool = AtomicBool::new(false);
    if IS_MISSING.load(Ordering::Relaxed) {
        return Err(libc::ELIBACC);
    }
    let loaded = look_up();
    IS_MISSING.store(loaded.is_err(), Ordering::Relaxed);
    loaded
}

fn look_up() -> Result<(), c_int> {
    if FUNCTIONS.iter().all(|one| one.load(Ordering::Acquire) != 0) {
        return Ok(());
    }
    // SAFETY: a library of the system's, whose initialisers have no conditions. Of its functions
    // only the addresses are taken. It stays: its handle is given away.
    unsafe {
        let library = Library::open(Some("libgcc_s.so.1"), RTLD_NOW).map_err(|_| libc::ELIBACC)?;
        for (name, function) in NAMES.iter().zip(&FUNCTIONS) {
            let found = library.get::<*const ()>(name.as_bytes());
            let address = found.map_err(|_| libc::ELIBACC)?;
            function.store(*address as usize, Ordering::Release);
        }
        let _ = library.into_raw();
    }
    Ok(())
}

/// In a panic where nothing has booted: without an unwinder no program could go on from there.
extern "C" fn load_or_abort() {
    if load().is_err() {
        std::process::abort();
    }
}
