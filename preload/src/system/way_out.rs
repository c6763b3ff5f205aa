//! A way out of a panic where there is no unwinder: back to where the work began, past all frames in between.
//!
//! Nothing in those frames is dropped. So what they hold stays allocated, and whoever takes the way out has to let
//! go what matters: see `crew/worker.rs`.

use std::cell::Cell;
use std::ffi::{c_int, c_void};

thread_local! {
    /// The stack pointer at the latest [`run`] of this thread; 0: there is none.
    static LATEST: Cell<usize> = const { Cell::new(0) };
}

#[cfg(not(miri))]
unsafe extern "C" {
    /// Calls `work(data)`, and stores before it in `place` where [`sleeper_agent_takes_way_out`] leads. Returns 0 if
    /// the call returns by itself, and 1 if it takes the way out.
    fn sleeper_agent_leaves_way_out(
        work: extern "C" fn(*mut c_void),
        data: *mut c_void,
        place: *mut usize,
    ) -> c_int;

    fn sleeper_agent_takes_way_out(place: usize) -> !;
}

// The registers that a function keeps for its caller go to the stack (System V ABI for x86-64, 3.2.1).
#[cfg(not(miri))]
core::arch::global_asm!(
    ".pushsection .text.sleeper_agent_way_out,\"ax\",@progbits",
    ".hidden sleeper_agent_leaves_way_out",
    ".globl sleeper_agent_leaves_way_out",
    ".type sleeper_agent_leaves_way_out, @function",
    "sleeper_agent_leaves_way_out:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov qword ptr [rdx], rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "xor eax, eax",
    "5:",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".hidden sleeper_agent_takes_way_out",
    ".globl sleeper_agent_takes_way_out",
    ".type sleeper_agent_takes_way_out, @function",
    "sleeper_agent_takes_way_out:",
    "mov rsp, rdi",
    "mov eax, 1",
    "jmp 5b",
    ".popsection",
);

/// Runs `work`, and leaves it a way out. Returns whether it ended by itself.
///
/// Any thread, interrupted or not.
#[cfg(not(miri))]
pub fn run<F: FnOnce()>(work: F) -> bool {
    extern "C" fn call<F: FnOnce()>(data: *mut c_void) {
        // SAFETY: `data` is the local of `run`, which waits for this call and does not touch it meanwhile.
        if let Some(work) = unsafe { (*data.cast::<Option<F>>()).take() } {
            work();
        }
    }
    let mut work = Some(work);
    let before = LATEST.get();
    let data: *mut Option<F> = &raw mut work;
    // SAFETY: the place is this thread's own. The way out leads into this frame, which stays until the call returns;
    // by then the place is what it was before.
    let took_it =
        unsafe { sleeper_agent_leaves_way_out(call::<F>, data.cast(), LATEST.with(Cell::as_ptr)) };
    LATEST.set(before);
    took_it == 0
}

/// Miri runs no assembler.
#[cfg(miri)]
pub fn run<F: FnOnce()>(work: F) -> bool {
    work();
    true
}

/// Takes the way out that the latest [`run`] of this thread has left; returns if there is none.
pub fn take() {
    let place = LATEST.get();
    if place != 0 {
        #[cfg(not(miri))]
        // SAFETY: `run` of this thread has stored the place, and has not returned. The frames in between are left for
        // good: they hold nothing but memory, and what `crew/worker.rs` lets go.
        unsafe {
            sleeper_agent_takes_way_out(place)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it runs no assembler")]
    fn leads_to_the_latest_run() {
        let (mut inner, mut after, mut behind) = (true, false, false);
        let outer = run(|| {
            inner = run(|| {
                take();
                behind = true;
            });
            after = true;
        });
        assert!(outer && !inner && after && !behind);
        // There is none any more.
        take();
        assert!(!run(take) && run(|| ()));
    }
}
