//! The desk: where who asks and the worker hand over to each other.
//!
//! Who asks may have been interrupted anywhere, by a debugger, so there is no lock: the desk is
//! claimed, the request laid down and the answer accepted by comparing and swapping single words,
//! and every wait for them has a deadline. Nothing here knows of Python.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::answer::Heap;
use crate::wait::{self, Instant};

/// When the desk was claimed, in nanoseconds ([`Instant`]); 0: it is free.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

/// The futex that those wait on who find the desk claimed: counts the times it became free.
static FREED: AtomicU32 = AtomicU32::new(0);

/// The request on the desk: its number times four, plus one of these. The thread that asks and
/// the worker agree by comparing and swapping this one word.
static REQUEST: AtomicU32 = AtomicU32::new(0);
const NOTHING: u32 = 0;
const ASKED: u32 = 1;
const ANSWERED: u32 = 2;
const STATE: u32 = 3;

/// The last answer: its text, or null and a number that says why there is none.
static TEXT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());
static FAILURE: AtomicU32 = AtomicU32::new(0);

/// The answer before, kept until the next one: somebody may still be copying it.
static FORMER: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// The right to ask, and to use the pages of `answer.rs`: one thread has it at a time.
pub struct Claim {
    at: u64,
    /// Whether another thread had the desk, and has had it for too long: it was taken out of
    /// the agent by a debugger, or is stopped; it may come back and go on.
    pub taken_over: bool,
}

impl Claim {
    /// Claims the desk; `None` if it is not free by the deadline. A claim that is older than
    /// `stale` nanoseconds is taken over.
    ///
    /// Any thread, interrupted or not.
    pub fn take(deadline: Instant, stale: u64) -> Option<Claim> {
        loop {
            let freed = FREED.load(Ordering::SeqCst);
            let holder = CLAIMED.load(Ordering::SeqCst);
            let now = Instant::now();
            if (holder == 0 || now.0.saturating_sub(holder) > stale)
                && CLAIMED
                    .compare_exchange(holder, now.0, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            {
                return Some(Claim {
                    at: now.0,
                    taken_over: holder != 0,
                });
            }
            if holder != 0 && !wait::wait_while(&FREED, freed, Some(deadline)) {
                return None;
            }
        }
    }

    /// Whether the desk is still ours: it may have been taken over.
    pub fn holds(&self) -> bool {
        CLAIMED.load(Ordering::SeqCst) == self.at
    }

    /// Frees the desk, if it is still ours.
    pub fn give_back(self) {
        if CLAIMED
            .compare_exchange(self.at, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            FREED.fetch_add(1, Ordering::SeqCst);
            wait::wake(&FREED);
        }
    }

    /// Lays a request down, has `call` wake the worker, and waits; `None` if there is no
    /// answer by the deadline, which is thrown away should it come yet. The answer is a text of
    /// [`Heap`], or the number that was given to [`publish`].
    pub fn ask(
        &self,
        deadline: Instant,
        call: impl FnOnce(),
    ) -> Option<Result<*const c_char, u32>> {
        let number = (REQUEST.load(Ordering::SeqCst) | STATE).wrapping_add(1);
        let asked = number | ASKED;
        REQUEST.store(asked, Ordering::SeqCst);
        call();
        while REQUEST.load(Ordering::SeqCst) == asked
            && wait::wait_while(&REQUEST, asked, Some(deadline))
        {}
        // Too late from here on: either the answer has just come, or it will be thrown away.
        let withdrawn = REQUEST
            .compare_exchange(asked, number | NOTHING, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if withdrawn {
            return None;
        }
        let text = TEXT.load(Ordering::SeqCst).cast_const();
        Some(if text.is_null() {
            Err(FAILURE.load(Ordering::SeqCst))
        } else {
            Ok(text)
        })
    }
}

/// The request that waits for the worker, if there is one. On the worker.
pub fn wanted() -> Option<u32> {
    let request = REQUEST.load(Ordering::SeqCst);
    (request & STATE == ASKED).then_some(request)
}

/// Lays down an answer to a request, a text of [`Heap`] or a number that says why there is none,
/// and tells who asked; throws it away if they have given up. On the worker.
pub fn publish(request: u32, result: Result<*const c_char, u32>) {
    let text = result.unwrap_or_else(|failure| {
        FAILURE.store(failure, Ordering::SeqCst);
        ptr::null()
    });
    let before = TEXT.swap(text.cast_mut(), Ordering::SeqCst);
    let answered = request & !STATE | ANSWERED;
    if REQUEST
        .compare_exchange(request, answered, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok()
    {
        wait::wake(&REQUEST);
        let former = FORMER.swap(before, Ordering::SeqCst);
        // SAFETY: two answers old, so given up; it came from `Heap`, or is null.
        unsafe { Heap::free(former) };
    } else {
        TEXT.store(before, Ordering::SeqCst);
        // SAFETY: nobody was told of it.
        unsafe { Heap::free(text) };
    }
}

/// In a forked child: whatever was asked, was asked of the parent.
pub fn forget() {
    CLAIMED.store(0, Ordering::SeqCst);
    REQUEST.fetch_and(!STATE, Ordering::SeqCst);
}
