//! Ctrl-C and its kin: noted at once, and obeyed as soon as nothing is held.
//!
//! These signals must not end a command that holds a process. So a thread waits for them, and all others
//! block them. The others look now and then whether a signal has come, let go what they hold, and end. If
//! one of them is stuck, the thread that waits for signals ends the command nevertheless.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The first signal that came; 0 is none.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// When that was.
static CAME: Mutex<Option<Instant>> = Mutex::new(None);

/// Wakes whoever sleeps until a signal comes.
static COMES: Condvar = Condvar::new();

/// The signals to note.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The longest time from a signal to the end of this command.
const LONGEST_END: Duration = Duration::from_millis(800);

/// Notes SIGINT, SIGTERM and SIGHUP from now on, except those that we were started to ignore. To be called
/// while this process has one thread: later ones inherit what it blocks.
pub fn watch() {
    let Some(noted) = Signals::not_ignored() else {
        return;
    };
    noted.block(true);
    let builder = thread::Builder::new().name("signals".to_owned());
    if builder.spawn(move || note_and_end(&noted)).is_err() {
        // The system grants no thread. So the signals end this command at once, and the guardian lets go
        // what it holds.
        noted.block(false);
    }
}

/// Waits for a signal. This command should end by itself then; if it does not, this ends it.
fn note_and_end(noted: &Signals) {
    let signal = noted.next();
    SIGNAL.store(signal, Ordering::SeqCst);
    *CAME.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    COMES.notify_all();
    thread::sleep(LONGEST_END);
    // SAFETY: ends this process. Nothing of ours must run at its exit.
    unsafe { libc::_exit(128 + signal) }
}

/// Some of [`SIGNALS`].
#[derive(Clone, Copy)]
struct Signals(libc::sigset_t);

impl Signals {
    /// Those that we were not started to ignore; `None` if we were started to ignore all of them.
    fn not_ignored() -> Option<Signals> {
        let mut any = false;
        // SAFETY: `sigset_t` and `sigaction` are plain data for which all zeroes is a valid value; the
        // pointers are to such values of ours. Nothing is changed but these.
        let signals = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in SIGNALS {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &mut action);
                if action.sa_sigaction != libc::SIG_IGN {
                    libc::sigaddset(&mut set, signal);
                    any = true;
                }
            }
            set
        };
        any.then_some(Signals(signals))
    }

    /// Blocks them in this thread, or lets them in.
    fn block(&self, block: bool) {
        let how = match block {
            true => libc::SIG_BLOCK,
            false => libc::SIG_UNBLOCK,
        };
        // SAFETY: the kernel reads the set, and changes this thread's mask only.
        unsafe { libc::pthread_sigmask(how, &self.0, std::ptr::null_mut()) };
    }

    /// Waits for the next of them.
    fn next(&self) -> i32 {
        let mut signal = 0;
        // SAFETY: both pointers are to values of ours.
        while unsafe { libc::sigwait(&self.0, &mut signal) } != 0 {}
        signal
    }
}

/// Has the kernel end this command, by SIGALRM, when this time is over; `None` calls that off. It ends also a
/// command whose only thread is stuck in `/proc`, where no handler would run.
pub fn end_after(time: Option<Duration>) {
    // Whole seconds, and zero is never.
    let seconds = time.map_or(0, |time| time.as_secs().saturating_add(1));
    // SAFETY: neither takes a pointer. The first installs no code: whoever started us may have had the signal
    // ignored.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(seconds.try_into().unwrap_or(libc::c_uint::MAX));
    }
}

/// Ignores SIGINT, SIGTERM and SIGHUP from now on.
pub fn ignore() {
    for signal in SIGNALS {
        // SAFETY: installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// The signal that asked us to stop, if one did.
pub fn asked_to_stop() -> Option<i32> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

/// When a signal asked us to stop, if one did.
pub fn asked_to_stop_at() -> Option<Instant> {
    asked_to_stop()?;
    *CAME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps until then, or until a signal asks us to stop.
pub fn sleep_until(then: Instant) {
    let mut came = CAME.lock().unwrap_or_else(PoisonError::into_inner);
    while came.is_none() {
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let waited = COMES.wait_timeout(came, left);
        came = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Sleeps so long, or until a signal asks us to stop.
pub fn sleep(time: Duration) {
    sleep_until(Instant::now() + time);
}
