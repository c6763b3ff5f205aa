//! The detour: a thread of the program answers, where the agent has no thread of its own (yet).
//!
//! A debugger that calls a function must stay until it returns: if it is killed meanwhile, the call
//! returns to a breakpoint that nobody handles, and the program dies. So the command's gdb calls nothing.
//! It stores where the thread is in [`Bell::resume`], sets the thread's program counter to a detour, which
//! is one write, and lets go. The thread saves all its registers, answers, restores them and carries on
//! where it was. If gdb is killed at any moment, it has changed either nothing that matters or all that is
//! needed.
//!
//! The thread may have been stopped in a system call that the kernel will restart. The kernel does so by
//! setting the program counter back by the two bytes of the `syscall` instruction; if a signal comes
//! first, it leaves the counter and has the call return EINTR (`handle_signal` and
//! `arch_do_signal_or_restart`, arch/x86/kernel/signal.c). It decides when gdb lets the thread go, and
//! applies the decision to the counter that it finds then: the detour's. So each detour has two entry
//! points, two bytes apart, one for each of the kernel's two behaviours, and resumes the thread
//! accordingly. The kernel has already set the other registers of a restart.

use core::arch::global_asm;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use crate::agent::bell::BELL;
use crate::ask::ring;
use crate::entry::boot;
use protocol::bell::Bell;
use protocol::names::{DETOUR_ENTRY, DETOUR_SIZE, DETOURS};
use protocol::{call_with_vectors_saved, pop_registers_and_return, push_registers};

// The assembly below relies on these values.
const _: () = assert!(DETOUR_SIZE == 64 && DETOUR_ENTRY == 2);

// A function that calls no other may keep its variables in the red zone, the 128 bytes below the stack
// pointer (System V ABI for x86-64, 3.2.2), so the detour skips them. It saves the flags before any
// instruction that changes them.
global_asm!(
    ".pushsection .text.sleeper_agent_detours,\"ax\",@progbits",
    ".p2align 6",
    ".hidden sleeper_agent_detours",
    ".globl sleeper_agent_detours",
    "sleeper_agent_detours:",
    ".set sleeper_agent_detour, 0",
    ".rept {count}",
    ".p2align 6",
    // The entry for a restarted system call: a jump of two bytes to the second half.
    ".byte 0xeb, 16",
    // The entry for everything else.
    "lea rsp, [rsp - 128]",
    "push qword ptr [rip + {bell} + {resume} + 8 * sleeper_agent_detour]",
    ".byte 0xe9",
    ".long sleeper_agent_goes_on - . - 4",
    "lea rsp, [rsp - 128]",
    "push qword ptr [rip + {bell} + {resume} + 8 * sleeper_agent_detour]",
    ".byte 0xe9",
    ".long sleeper_agent_calls_again - . - 4",
    ".set sleeper_agent_detour, sleeper_agent_detour + 1",
    ".endr",
    ".p2align 4",
    "sleeper_agent_calls_again:",
    "pushfq",
    "sub qword ptr [rsp + 8], 2",
    "jmp 2f",
    "sleeper_agent_goes_on:",
    "pushfq",
    "2:",
    push_registers!(),
    call_with_vectors_saved!("call {answer}"),
    pop_registers_and_return!(),
    ".popsection",
    count = const DETOURS,
    bell = sym BELL,
    resume = const offset_of!(Bell, resume),
    answer = sym answer,
);

unsafe extern "C" {
    /// The first detour.
    static sleeper_agent_detours: u8;
}

/// The address of the first detour.
pub fn address() -> u64 {
    &raw const sleeper_agent_detours as u64
}

/// On a thread of the program, interrupted anywhere. Where the agent has no thread, nothing is waited
/// for, so this takes no longer than reading memory does.
extern "C" fn answer() {
    ring::answer(BELL.rung.load(Ordering::SeqCst), boot::program_asks());
}
