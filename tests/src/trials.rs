//! What both runners do with a trial: a panic becomes its failure, and what cannot be run here says
//! why by its name.

use libtest_mimic::{Failed, Trial};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    /// What the last panic of a trial said, and where: shown once, with the failed trial.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps what panics say, instead of printing it. To be called once, before the trials.
pub fn keep_panics() {
    panic::set_hook(Box::new(|info| LAST_PANIC.set(info.to_string())));
}

/// Takes what the last panic on this thread said, and where.
pub fn last_panic() -> String {
    LAST_PANIC.take()
}

/// Does a trial's work, and makes a panic its failure.
pub fn catch(work: impl FnOnce() -> Result<(), Failed>) -> Result<(), Failed> {
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    result.unwrap_or_else(|_| Err(last_panic().into()))
}

/// A trial that is never run: its name says what is missing.
pub fn ignored(name: String) -> Trial {
    Trial::test(name, || Err("it can't be run here".into())).with_ignored_flag(true)
}

/// The name of a trial that cannot be run here, with the reason.
pub fn skipped(name: &str, why: &str) -> String {
    format!("{name} (skipped: {why})")
}
