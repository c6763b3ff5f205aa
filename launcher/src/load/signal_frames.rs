//! The frames of signal handlers on a stack: what the kernel puts there, and what is left of it afterwards.
//!
//! A handler returns to a place of the C library's that is known, so its frame begins with that address. The same word
//! stays behind when the handler has returned, in a part of the stack that later functions have not written to: for as
//! long as these functions run, as in a server's main loop. (The arrays of Python's `select` have 74 kB, and are mostly
//! left as they are: a whole frame has room there.) So a frame has to be whole to count, and its signal to be blocked.

/// How many bytes of a frame are looked at: `struct rt_sigframe` up to its `ucontext` (arch/x86/include/asm/sigframe.h and
/// arch/x86/include/uapi/asm/sigcontext.h, Linux 2.6.32 to 6.18).
pub const LENGTH: usize = 312;

// Offsets in it, in bytes.
const LINK: usize = 16;
const SEGMENTS: usize = 192;
const FLOATING: usize = 232;
/// The signals that were blocked before.
const MASK: usize = 304;

/// How far behind a frame's beginning what the kernel keeps of floating-point registers may begin, in bytes.
const LONGEST: u64 = 4096;

/// The code segment of 64-bit programs (`__USER_CS`).
const USER_CODE: u16 = 0x33;

/// Whether a handler's frame that has not returned may stand at this address of a stack, whose bytes these are, of a thread
/// that blocks these signals. While a handler runs its own signal is blocked, unless it was set up with SA_NODEFER or has
/// opened it: such a handler should not wait. Nothing is asked of the place that it has interrupted: that may be anything.
pub fn may_be_live(frame: &[u8], at: u64, blocked: u64) -> bool {
    let word = |offset: usize| {
        let bytes = frame.get(offset..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    let all = || {
        // As if the handler had been called with an aligned stack (`get_sigframe`, arch/x86/kernel/signal.c).
        let is_placed = at % 16 == 8;
        let floating = word(FLOATING)?;
        Some(
            is_placed
                && word(LINK)? == 0
                && word(SEGMENTS)? as u16 == USER_CODE
                && blocked & !word(MASK)? != 0
                // Behind the frame, where there is one.
                && (floating == 0 || (at..at.saturating_add(LONGEST)).contains(&floating)),
        )
    };
    // What cannot be read may be one.
    all().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static FRAMES: AtomicUsize = AtomicUsize::new(0);
    static LIVE: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn handler(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // The address to return to stands before the context.
        let at = context as usize - 8;
        // SAFETY: the kernel has put the frame there, and it stays until this function returns.
        let frame = unsafe { std::slice::from_raw_parts(at as *const u8, LENGTH) };
        FRAMES.fetch_add(1, Ordering::SeqCst);
        let blocked = 1 << (libc::SIGUSR2 - 1);
        LIVE.fetch_add(
            usize::from(may_be_live(frame, at as u64, blocked)),
            Ordering::SeqCst,
        );
        LIVE.fetch_add(
            usize::from(may_be_live(frame, at as u64, 0)),
            Ordering::SeqCst,
        );
        for overwritten in [LINK, SEGMENTS, FLOATING] {
            let mut torn = [0; LENGTH];
            torn.copy_from_slice(frame);
            torn[overwritten..overwritten + 8].copy_from_slice(&3_u64.to_ne_bytes());
            LIVE.fetch_add(
                usize::from(may_be_live(&torn, at as u64, blocked)),
                Ordering::SeqCst,
            );
        }
    }

    #[test]
    fn knows_the_frame_of_a_handler_that_runs() {
        // SAFETY: the handler stays, and does nothing but look at memory that is there. The signal is raised on this
        // thread alone.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(
                libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()),
                0
            );
            assert_eq!(libc::raise(libc::SIGUSR2), 0);
        }
        assert_eq!(FRAMES.load(Ordering::SeqCst), 1);
        assert_eq!(LIVE.load(Ordering::SeqCst), 1, "the whole one alone");
        assert!(may_be_live(&[0; 8], 8, 0), "what cannot be read");
    }
}
