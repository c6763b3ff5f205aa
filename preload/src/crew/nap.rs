//! How the agent's thread sleeps: in one system call, blocking all signals, and awake for three things.
//!
//! It waits in `rt_sigtimedwait`, so that signals come in without a handler: a command's, a nudge by
//! another thread of the agent's, and the signal by which the C library has all threads change their user
//! (`crew/new_user.rs`). A debugger that stops the thread ends the wait as well.
//!
//! Asleep it also blocks the signals that a fault raises, which it must not block at work: the program may block them
//! in all its threads, and wait for them.
//!
//! Under a filter that forbids that call it waits in `futex`, and hears a debugger and other threads only. A command
//! sees by the mask of signals how it waits (`protocol::names`).

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::agent::progress::NAPS_BY_SIGNAL;
use crate::agent::threads;
use crate::crew::new_user;
use crate::crew::walls::View;
use crate::system::filter::{self, Call};
use crate::system::futex::{self, Instant};
use crate::system::identity::process_id;
use crate::system::signals::{FAULTS, NUDGE, SETXID, Set};
use protocol::message::WakeSignal;

/// What a thread sleeps for.
pub struct Nap<'a> {
    /// It sleeps while this word is this value.
    pub word: (&'a AtomicU32, u32),
    /// And while this says no. It is asked at every nudge.
    pub is_due: &'a dyn Fn() -> bool,
    /// It wakes for this signal; 0: for none.
    pub signal: c_int,
    /// After so many nanoseconds it wakes, unless `may_sleep_on` says yes then.
    pub pause: u64,
    /// It may do next to nothing: filters that the program has put on this thread meanwhile are not known.
    pub may_sleep_on: &'a dyn Fn() -> bool,
}

/// Sleeps. Returns the signal that ended the sleep, if a signal did. By then the thread has given up what the
/// program has given up.
///
/// On a thread of the agent's that holds nothing.
pub fn sleep(nap: &Nap) -> Option<WakeSignal> {
    let mut received = None;
    let (word, value) = nap.word;
    let goes_on = || word.load(Ordering::SeqCst) == value && !(nap.is_due)();
    let mut is_over = false;
    let by_signal = NAPS_BY_SIGNAL.load(Ordering::SeqCst);
    if by_signal {
        Set::of(&[NUDGE, SETXID]).block();
        let signals = Set::of(&[NUDGE, SETXID, nap.signal]);
        while goes_on() && !is_over {
            // Each time: a debugger's call on this thread opens them.
            Set::of(&FAULTS).block();
            received = wait(signals, nap, &goes_on, &mut is_over);
            let signal = received.as_ref().map_or(0, |received| received.signal);
            if signal == nap.signal && signal != 0 || signal != SETXID && !goes_on() {
                break;
            }
            received = look_around(received);
            // The program may have put a filter on all its threads meanwhile.
            if !filter::may_nap_by_signal() {
                break;
            }
        }
        wake_up();
    }
    let signal = received.filter(|received| received.signal == nap.signal);
    if signal.is_none() && !(by_signal && filter::may_nap_by_signal()) && goes_on() && !is_over {
        let may_block = filter::may(Call::SignalMask);
        if may_block {
            Set::of(&FAULTS).block();
        }
        while goes_on() && (!futex::wait_for(word, value, nap.pause) || (nap.may_sleep_on)()) {}
        follow();
        if may_block {
            Set::of(&FAULTS).unblock();
        }
    }
    signal
}

/// Waits for one of these signals, and sleeps on after a pause in which nothing has happened. `is_over`: it must not.
fn wait(
    signals: Set,
    nap: &Nap,
    goes_on: &dyn Fn() -> bool,
    is_over: &mut bool,
) -> Option<WakeSignal> {
    loop {
        match signals.wait_or_why_not(Some(nap.pause)) {
            Ok(received) => return Some(received),
            Err(libc::EAGAIN) if goes_on() => match (nap.may_sleep_on)() {
                true => {}
                false => {
                    *is_over = true;
                    return None;
                }
            },
            Err(_) => return None,
        }
    }
}

/// Learns what the filters of this thread allow, and answers the C library's signal, if this is it. Returns any other.
///
/// It stands apart, as do its neighbours: a view takes a page of stack, which [`sleep`] would have to touch and keep.
#[inline(never)]
fn look_around(received: Option<WakeSignal>) -> Option<WakeSignal> {
    let view = View::take();
    let is_setxid = received.as_ref().is_some_and(|one| one.signal == SETXID);
    if is_setxid {
        answer(received, view);
        return None;
    }
    received
}

/// How long a difference has to stay the same, in nanoseconds, until it is believed. It takes the C library less to finish
/// a change of users, once all threads have made it and the first one has a processor.
const STEADY: u64 = 20_000_000;

/// How long such a difference is waited for, in nanoseconds.
const LONGEST_CHANGE: u64 = 150_000_000;

/// The time between two views, in nanoseconds.
const BETWEEN_VIEWS: u64 = 1_000_000;

/// Gives up what the program has given up. It is not known what that is while the program changes its user, as its threads
/// do so one after the other. A program that becomes another user all the time gives up nothing.
#[inline(never)]
fn follow() {
    let until = Instant::now().after(LONGEST_CHANGE);
    let mut steady: Option<(View, Instant)> = None;
    while let Some(view) = View::take() {
        if view.is_same() {
            return;
        }
        let is_late = until.left().is_none();
        let stays =
            |(first, _): &(View, Instant)| view.is_alike(first) && !new_user::is_under_way();
        match steady.take().filter(stays) {
            Some((first, then)) => {
                let may_change = view.first_runs() && !view.has_moved_since(&first);
                if then.left().is_none() && (is_late || !may_change) {
                    view.follow();
                    return;
                }
                steady = Some((first, then));
            }
            None => steady = Some((view, Instant::now().after(STEADY))),
        }
        if is_late {
            return;
        }
        answer_all(Some(Instant::now().after(BETWEEN_VIEWS)));
    }
}

/// Answers the C library's signals that have come, or come by then.
fn answer_all(until: Option<Instant>) {
    while filter::may(Call::AwaitSignal)
        && let Some(one) = Set::of(&[SETXID]).wait(until.or(Some(Instant(0))))
    {
        answer_now(Some(one));
    }
}

/// Sleeps in a child that was just forked, for so many nanoseconds, or until another thread of the agent's nudges
/// this one. It touches next to nothing, as most children end or exec meanwhile. From then on the thread blocks
/// the signals that [`sleep`] waits for.
///
/// On the parked thread.
pub fn doze(nanoseconds: u64) {
    if NAPS_BY_SIGNAL.load(Ordering::SeqCst) {
        let signals = Set::of(&[NUDGE, SETXID]);
        signals.block();
        let received = signals.wait_for(Some(nanoseconds));
        if received.as_ref().is_some_and(|one| one.signal == SETXID) {
            answer_now(received);
        }
    }
}

/// Answers the signal. It needs much more stack than [`doze`].
#[inline(never)]
fn answer_now(received: Option<WakeSignal>) {
    answer(received, View::take());
}

/// Gives up what the program has given up, and lets the C library's handler run at once from here on: a thread at
/// work may wait for the program, and the program for its answer.
#[inline(never)]
fn wake_up() {
    // First: this thread may be under a filter by now.
    follow();
    answer_all(None);
    if !filter::may_nap_by_signal() {
        NAPS_BY_SIGNAL.store(false, Ordering::SeqCst);
    }
    // It was allowed when the signals were blocked.
    Set::of(&[SETXID]).unblock();
    Set::of(&FAULTS).unblock();
}

/// Answers the signal, if it has come since this thread was started. For a thread that starts shut in: it blocks
/// the signal until it is out of reach.
pub fn answer_first() {
    if threads::are_shut_in() && threads::get_out_of_reach() {
        let new_user = Set::of(&[SETXID]);
        while let Some(one) = new_user.wait(Some(Instant(0))) {
            answer(Some(one), None);
        }
        new_user.unblock();
    }
}

/// Answers the C library's signal, if it is one: it sends no other kind (`sighandler_setxid`,
/// nptl/nptl_setxid.c, glibc 2.36).
#[inline(never)]
fn answer(received: Option<WakeSignal>, view: Option<View>) {
    let comes_from_libc =
        |one: &WakeSignal| one.code == libc::SI_TKILL && one.process == process_id();
    if received.as_ref().is_some_and(comes_from_libc) {
        new_user::answer(view);
    }
}
