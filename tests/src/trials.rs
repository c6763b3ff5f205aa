//! How the runners begin and treat trials: a panic becomes the trial's failure, and the name of a trial that
//! cannot run here says why.

use crate::{process, product};
use libtest_mimic::{Failed, Trial};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// The message and place of a trial's last panic: shown once, with the failed trial.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes the runner ready, whatever has started it. To be called once, before the first thread. The error says why
/// nothing can be tested.
pub fn begin() -> Result<(), String> {
    process::signals_as_usual();
    process::descriptors_as_usual();
    keep_panics();
    product::find().map(drop)
}

/// Keeps panic messages instead of printing them.
fn keep_panics() {
    panic::set_hook(Box::new(|info| LAST_PANIC.set(info.to_string())));
}

/// Takes the message and place of this thread's last panic.
pub fn last_panic() -> String {
    LAST_PANIC.take()
}

/// Does a trial's work, and turns a panic into its failure.
pub fn catch(work: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    // Each program starts as a fork of the runner, which copies the tables of all its memory, also of what a trial has
    // freed: that was more than half of the hostile suite's processor time.
    // SAFETY: only gives memory that nobody uses back to the system.
    unsafe { libc::malloc_trim(0) };
    result.unwrap_or_else(|_| Err(last_panic().into()))
}

/// A trial that is never run: its name says what is missing.
pub fn ignored(name: String) -> Trial {
    Trial::test(name, || Err("it can't be run here".into())).with_ignored_flag(true)
}

/// The name of a trial that cannot run here, with the reason.
pub fn skipped(name: &str, why: &str) -> String {
    format!("{name} (skipped: {why})")
}
