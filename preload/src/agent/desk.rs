//! The desk: where the asking thread lays down a request and the worker lays down the answer.
//!
//! A debugger may have interrupted the asking thread anywhere, so there is no lock: a compare and swap
//! of one word claims the desk, lays down the request and accepts the answer, and every wait of the
//! asking thread has a deadline. Nothing here knows of Python.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::agent::page::Heap;
use crate::system::futex::{self, Instant};
use protocol::question::{LONGEST_QUESTION, Words};

/// When the desk was claimed ([`Instant`], in nanoseconds); 0: it is free.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

/// Counts the times the desk became free. Threads that find it claimed wait on this futex.
static FREED: AtomicU32 = AtomicU32::new(0);

/// The request on the desk: its number times four, plus one of the states below. The asking thread and
/// the worker agree by comparing and swapping this one word.
static REQUEST: AtomicU32 = AtomicU32::new(0);
const NOTHING: u32 = 0;
const ASKED: u32 = 1;
const ANSWERED: u32 = 2;
/// The bits of the state.
const STATE: u32 = 3;

/// The words of the question. The asking thread stores them before it lays down the request.
static WORDS: [AtomicU8; LONGEST_QUESTION] = [const { AtomicU8::new(0) }; LONGEST_QUESTION];
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The last answer: its text, or null and a number that says why there is none.
static TEXT: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());
static FAILURE: AtomicU32 = AtomicU32::new(0);

/// The answer before the last one. It is kept until the next, as a reader may still be copying it.
static FORMER: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// The right to ask, and to write to the pages of `agent/page.rs`. One thread has it at a time.
pub struct Claim {
    at: u64,
    /// Whether the desk was taken from another thread, which had held it for too long: a debugger has
    /// moved that thread out of the agent, or it is stopped. It may come back and go on.
    pub taken_over: bool,
}

impl Claim {
    /// Claims the desk; `None` if it is still claimed at the deadline. A claim older than `stale`
    /// nanoseconds is taken over.
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
            if holder != 0 && !futex::wait_while(&FREED, freed, Some(deadline)) {
                return None;
            }
        }
    }

    /// Whether this claim still stands. Another thread may have taken the desk over.
    pub fn holds(&self) -> bool {
        CLAIMED.load(Ordering::SeqCst) == self.at
    }

    /// Lays down a request, calls the worker by `call` and waits for the answer; `None` if none comes by
    /// the deadline, and one that comes later is thrown away. The answer is a text of [`Heap`], or the
    /// number that the worker gave to [`publish`].
    pub fn ask(
        &self,
        words: &Words,
        deadline: Instant,
        call: impl FnOnce(),
    ) -> Option<Result<*const c_char, u32>> {
        for (place, &byte) in WORDS.iter().zip(words.as_bytes()) {
            place.store(byte, Ordering::SeqCst);
        }
        LENGTH.store(words.as_bytes().len(), Ordering::SeqCst);
        let number = (REQUEST.load(Ordering::SeqCst) | STATE).wrapping_add(1);
        let asked = number | ASKED;
        REQUEST.store(asked, Ordering::SeqCst);
        call();
        while REQUEST.load(Ordering::SeqCst) == asked
            && futex::wait_while(&REQUEST, asked, Some(deadline))
        {}
        // This settles the race with `publish`: either the answer has just come, or it is too late.
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

/// Frees the desk, if this claim still stands.
impl Drop for Claim {
    fn drop(&mut self) {
        if CLAIMED
            .compare_exchange(self.at, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
        {
            FREED.fetch_add(1, Ordering::SeqCst);
            futex::wake(&FREED);
        }
    }
}

/// The request that waits for an answer, if there is one. On the worker.
pub fn request() -> Option<u32> {
    let request = REQUEST.load(Ordering::SeqCst);
    (request & STATE == ASKED).then_some(request)
}

/// Waits until there is a request, or until `end`. On the worker.
pub fn await_request(end: Instant) {
    loop {
        let word = REQUEST.load(Ordering::SeqCst);
        if word & STATE == ASKED || !futex::wait_while(&REQUEST, word, Some(end)) {
            return;
        }
    }
}

/// Wakes a worker that waits for the request that is on the desk now. Any thread, interrupted or not.
pub fn wake_worker() {
    futex::wake(&REQUEST);
}

/// The question of a request; `None` if the request no longer waits. On the worker.
pub fn words(of: u32) -> Option<Words> {
    let mut words = [0; LONGEST_QUESTION];
    let words = words.get_mut(..LENGTH.load(Ordering::SeqCst))?;
    for (byte, place) in words.iter_mut().zip(&WORDS) {
        *byte = place.load(Ordering::SeqCst);
    }
    let words = Words::from_bytes(words)?;
    // Bytes of the next request may be among them; then that request is on the desk by now.
    (request() == Some(of)).then_some(words)
}

/// Lays down the answer to a request, a text of [`Heap`] or a number that says why there is none, and
/// wakes the asking thread. Throws the answer away if the request has been withdrawn. On the worker.
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
        let former = FORMER.swap(before, Ordering::SeqCst);
        // SAFETY: from `Heap` or null, and two answers old: a text is good until the next claim only. On
        // the worker, a thread of ours that no debugger interrupted in `malloc`.
        unsafe { Heap::free(former) };
        // This comes last: the asking thread may fork then, and the child must find all of it done.
        futex::wake(&REQUEST);
    } else {
        TEXT.store(before, Ordering::SeqCst);
        // SAFETY: from `Heap` or null, and no thread but this one has seen the address.
        unsafe { Heap::free(text) };
    }
}

/// In a forked child: the claim and the request were the parent's.
pub fn forget() {
    CLAIMED.store(0, Ordering::SeqCst);
    REQUEST.fetch_and(!STATE, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{CStr, CString};
    use std::sync::atomic::AtomicBool;
    use std::thread;

    const SECOND: u64 = 1_000_000_000;

    fn copy(text: &str) -> *const c_char {
        Heap::copy(&[text.as_bytes()], 0)
    }

    /// One test, as there is one desk. Under Miri (`make miri`) it runs with many interleavings; Miri
    /// notices a text that is leaked, or read after it was freed.
    #[test]
    fn everyone_gets_an_answer_that_is_whole() {
        static BELL: AtomicU32 = AtomicU32::new(0);
        static CLOSED: AtomicBool = AtomicBool::new(false);
        const ASKERS: usize = 3;
        const QUESTIONS: usize = if cfg!(miri) { 4 } else { 2000 };

        let worker = thread::spawn(|| {
            let mut heard = 0;
            let mut served = 0_u32;
            while !CLOSED.load(Ordering::SeqCst) {
                futex::wait_while(&BELL, heard, Some(Instant::now().after(SECOND / 100)));
                heard = BELL.load(Ordering::SeqCst);
                while let Some(request) = request() {
                    let Some(words) = words(request) else {
                        continue;
                    };
                    let words = String::from_utf8_lossy(words.as_bytes()).into_owned();
                    served += 1;
                    publish(
                        request,
                        if served.is_multiple_of(3) {
                            Err(served)
                        } else {
                            Ok(copy(&format!("answer {served} to {words}")))
                        },
                    );
                }
            }
        });
        let askers: Vec<_> = (0..ASKERS)
            .map(|asker| {
                thread::spawn(move || {
                    for turn in 0..QUESTIONS {
                        let claim = Claim::take(Instant::now().after(60 * SECOND), 3600 * SECOND)
                            .expect("our turn comes");
                        assert!(!claim.taken_over);
                        // Every fourth request has a deadline that has passed already.
                        let patience = if (turn + asker) % 4 == 0 {
                            0
                        } else {
                            60 * SECOND
                        };
                        let words = ["this", "that, which is longer", ""][turn % 3];
                        let question = Words::of(words).expect("there is room");
                        let answer = claim.ask(&question, Instant::now().after(patience), || {
                            BELL.fetch_add(1, Ordering::SeqCst);
                            futex::wake(&BELL);
                        });
                        assert!(claim.holds());
                        match answer {
                            Some(Ok(text)) => {
                                // SAFETY: a fresh answer; this thread still holds the desk.
                                let text = unsafe { CStr::from_ptr(text) };
                                let text: CString = text.to_owned();
                                let text = text.to_str().expect("it is text");
                                assert!(text.ends_with(&format!(" to {words}")), "{text}");
                            }
                            Some(Err(number)) => assert!(number.is_multiple_of(3)),
                            None => assert_eq!(patience, 0),
                        }
                    }
                })
            })
            .collect();
        for asker in askers {
            asker.join().expect("it found all as it should be");
        }
        CLOSED.store(true, Ordering::SeqCst);
        worker.join().expect("it served all");

        // A claim that is too old is taken over, and its holder notices.
        let lost = Claim::take(Instant::now(), 3600 * SECOND).expect("it is free");
        assert!(Claim::take(Instant::now().after(SECOND / 100), 3600 * SECOND).is_none());
        thread::sleep(std::time::Duration::from_millis(5));
        let other = Claim::take(Instant::now(), SECOND / 1000).expect("it is stale");
        assert!(other.taken_over && other.holds() && !lost.holds());
        drop(lost);
        assert!(other.holds(), "what is not ours is not given back");
        drop(other);

        // A fork withdraws the request and frees the desk.
        let claim = Claim::take(Instant::now(), 3600 * SECOND).expect("it is free");
        assert!(
            claim
                .ask(&Words::default(), Instant::now(), || {})
                .is_none()
        );
        forget();
        assert!(request().is_none());
        assert!(Claim::take(Instant::now(), 3600 * SECOND).is_some());
        forget();
        for text in [
            TEXT.swap(ptr::null_mut(), Ordering::SeqCst),
            FORMER.swap(ptr::null_mut(), Ordering::SeqCst),
        ] {
            // SAFETY: from `Heap` or null; all other threads have been joined.
            unsafe { Heap::free(text) };
        }
    }
}
