//! The detour: an answer on a thread of the program's, where the agent has none of its own (yet).
//!
//! A debugger that calls a function has to stay until it returns: if it is killed meanwhile, the
//! call returns into a breakpoint that nobody handles, and the program dies. So nothing is called.
//! The debugger stores where the thread is, in [`Bell::resume`], sets the thread's program counter
//! to a detour, which is one write, and lets go. The thread saves all its registers, answers,
//! restores them, and goes on where it was. A debugger that is killed at any moment has either
//! changed nothing that matters, or all that is needed.
//!
//! Where the thread was stopped in a system call that is to be made again, the kernel sets its
//! program counter back by the two bytes of the `syscall` instruction, or, if a signal comes
//! first, has the call return EINTR and leaves the counter (`handle_signal` and
//! `arch_do_signal_or_restart`, arch/x86/kernel/signal.c). It decides that when the thread is let
//! go, and does it to the counter that it finds then: ours. So each detour may be entered at either
//! place, and goes on at the same one of where the thread was. The registers that belong to it,
//! the kernel has set as it must.

use core::arch::global_asm;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use crate::agent::bell::BELL;
use crate::ask::ring;
use crate::entry::boot;
use protocol::bell::Bell;
use protocol::names::{DETOUR_ENTRY, DETOUR_SIZE, DETOURS};

// The assembly below is written for these.
const _: () = assert!(DETOUR_SIZE == 64 && DETOUR_ENTRY == 2);

// Red zone: a function that calls no other may keep its variables in the 128 bytes below the stack
// pointer (System V ABI for x86-64, 3.2.2). Flags count too, so none is changed before they are
// saved. What XSAVE covers is asked of the processor; its area is aligned to 64 bytes, and the
// header within, behind the 512 bytes of the old format, has to be zero (Intel SDM, vol. 1, 13.4).
global_asm!(
    ".pushsection .text.sleeper_agent_detours,\"ax\",@progbits",
    ".p2align 6",
    ".hidden sleeper_agent_detours",
    ".globl sleeper_agent_detours",
    "sleeper_agent_detours:",
    ".set sleeper_agent_detour, 0",
    ".rept {count}",
    ".p2align 6",
    // Entered where a system call is made again: two bytes, over to the second half.
    ".byte 0xeb, 16",
    // Entered anywhere else.
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
    "cld",
    "push rax",
    "push rcx",
    "push rdx",
    "push rbx",
    "push rbp",
    "push rsi",
    "push rdi",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov rbp, rsp",
    "mov eax, 1",
    "cpuid",
    "bt ecx, 27", // OSXSAVE
    "jnc 3f",
    "mov eax, 0xd",
    "xor ecx, ecx",
    "cpuid",
    "sub rsp, rbx",
    "and rsp, -64",
    "xor eax, eax",
    "lea rdi, [rsp + 512]",
    "mov ecx, 8",
    "rep stosq",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rsp]",
    "call {answer}",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rsp]",
    "jmp 4f",
    "3:",
    "sub rsp, 512",
    "and rsp, -64",
    "fxsave64 [rsp]",
    "call {answer}",
    "fxrstor64 [rsp]",
    "4:",
    "mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rdi",
    "pop rsi",
    "pop rbp",
    "pop rbx",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "popfq",
    "ret 128",
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

/// Where the detours begin.
pub fn address() -> u64 {
    &raw const sleeper_agent_detours as u64
}

/// On a thread of the program's, in the midst of anything. Without a thread of the agent's nothing
/// is waited for, so this takes no longer than to read memory does.
extern "C" fn answer() {
    ring::answer(BELL.rung.load(Ordering::SeqCst), boot::arm);
}
