//! Assembly that both detours have: how a thread's registers are saved and restored (preload/src/entry/detour.rs,
//! launcher/src/load/detour.rs). Each macro is a literal for `global_asm!`.

/// Pushes the 15 general registers, `rax` first, and notes in `rbp` where they are.
#[macro_export]
macro_rules! push_registers {
    () => {
        "cld\n\
         push rax\npush rcx\npush rdx\npush rbx\npush rbp\npush rsi\npush rdi\n\
         push r8\npush r9\npush r10\npush r11\npush r12\npush r13\npush r14\npush r15\n\
         mov rbp, rsp"
    };
}

/// Makes a call, with the floating-point and vector registers saved on the stack. Has the local labels 3 and 4.
///
/// `cpuid` gives the size of the XSAVE area, which must be aligned to 64 bytes; its header, behind the 512 bytes of the
/// old format, must be zero (Intel SDM, vol. 1, 13.4). The first `bt` asks for OSXSAVE.
#[macro_export]
macro_rules! call_with_vectors_saved {
    ($call:literal) => {
        concat!(
            "mov eax, 1\ncpuid\nbt ecx, 27\njnc 3f\n",
            "mov eax, 0xd\nxor ecx, ecx\ncpuid\nsub rsp, rbx\nand rsp, -64\n",
            "xor eax, eax\nlea rdi, [rsp + 512]\nmov ecx, 8\nrep stosq\n",
            "mov eax, -1\nmov edx, -1\nxsave64 [rsp]\n",
            $call,
            "\nmov eax, -1\nmov edx, -1\nxrstor64 [rsp]\njmp 4f\n",
            "3:\nsub rsp, 512\nand rsp, -64\nfxsave64 [rsp]\n",
            $call,
            "\nfxrstor64 [rsp]\n4:"
        )
    };
}

/// Pops what [`push_registers`] has pushed, and the flags below; then goes on at the address below these, and skips the
/// red zone.
#[macro_export]
macro_rules! pop_registers_and_return {
    () => {
        "mov rsp, rbp\n\
         pop r15\npop r14\npop r13\npop r12\npop r11\npop r10\npop r9\npop r8\n\
         pop rdi\npop rsi\npop rbp\npop rbx\npop rdx\npop rcx\npop rax\n\
         popfq\nret 128"
    };
}
