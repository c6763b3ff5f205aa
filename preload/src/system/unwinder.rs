//! The unwinder, `libgcc_s.so.1`: loaded at the boot, and not with this library.
//!
//! If this library needed it, every process that inherits LD_PRELOAD would load it too. That takes longer
//! than all the rest of the library's work there (`make bench`), and most processes never use it: only a
//! panic or a `pthread_exit` does. So stand-ins for its functions are defined here, and the linker finds
//! them first. Each jumps to the real function, and loads `libgcc_s.so.1` first if that has not been done.
//!
//! Some systems have none, such as small images with musl. There the agent works as elsewhere, and a panic takes
//! another way out (`system/way_out.rs`).
//!
//! A second copy of the unwinder, linked into this library, would not work: glibc unwinds an ending thread
//! by the shared copy, and the cleanups of our frames would look for its state in the other.

#[cfg(not(any(test, miri)))]
use core::arch::global_asm;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::system::c_library::Loaded;
use crate::system::way_out;

/// The functions that Rust's standard library and the cleanups of our frames call.
const NAMES: [&CStr; 12] = [
    c"_Unwind_Backtrace",
    c"_Unwind_DeleteException",
    c"_Unwind_GetDataRelBase",
    c"_Unwind_GetIP",
    c"_Unwind_GetIPInfo",
    c"_Unwind_GetLanguageSpecificData",
    c"_Unwind_GetRegionStart",
    c"_Unwind_GetTextRelBase",
    c"_Unwind_RaiseException",
    c"_Unwind_Resume",
    c"_Unwind_SetGR",
    c"_Unwind_SetIP",
];

/// The addresses of the real functions, in the order of [`NAMES`]; 0: not loaded yet.
static FUNCTIONS: [AtomicUsize; NAMES.len()] = [const { AtomicUsize::new(0) }; NAMES.len()];

// A stand-in leaves the stack and all registers as they are, as the real function unwinds from its
// caller's frame. Before it loads the library, it saves the registers that hold arguments (System V ABI
// for x86-64, 3.2.3).
#[cfg(not(any(test, miri)))]
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
    load = sym load_or_leave,
);

/// Loads the unwinder, unless it is there, if there is one. It may call the loader and allocate, so the boot calls
/// it: later it could be needed on a thread that was interrupted.
pub fn load() {
    // A forked child does not try again.
    static IS_MISSING: AtomicBool = AtomicBool::new(false);
    if !IS_MISSING.load(Ordering::Relaxed) && !is_loaded() {
        let found = look_up().is_some();
        IS_MISSING.store(!found, Ordering::Relaxed);
    }
}

/// Whether the unwinder is there. Any thread, interrupted or not.
pub fn is_loaded() -> bool {
    // In unit tests the linker takes the real one.
    cfg!(any(test, miri)) || FUNCTIONS.iter().all(|one| one.load(Ordering::Acquire) != 0)
}

fn look_up() -> Option<()> {
    // SAFETY: the compiler's own runtime library, whose initialisers any process may run.
    let library = unsafe { Loaded::library("libgcc_s.so.1") }?;
    for (name, function) in NAMES.iter().zip(&FUNCTIONS) {
        function.store(library.address_of(name)?, Ordering::Release);
    }
    Some(())
}

/// For a panic before the boot, or without an unwinder: that one takes the way out.
extern "C" fn load_or_leave() {
    load();
    if !is_loaded() {
        way_out::take();
        std::process::abort();
    }
}
