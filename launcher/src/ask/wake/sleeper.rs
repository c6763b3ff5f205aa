//! How the agent's sleeping thread waits, as its status in `/proc` shows it: for a signal, or not.
//!
//! Asleep, the thread blocks every real-time signal but the one that it waits for. It waits for none while a
//! question by signal is being answered; then there is another thread of the agent's. Nor does it wait for one
//! where it cannot be woken at all: then it is alone.

use std::time::{Duration, Instant};

use crate::ask::wake::awaited;
use crate::find::no_agent;
use crate::system::process::Process;
use crate::system::thread_status::ThreadStatus;
use protocol::names::{AGENT_THREADS, NUDGE};

/// The sleeping thread of an agent.
pub struct Sleeper {
    process: Process,
    thread: i32,
    /// Since when it has been seen in one and the same wait that no signal ends.
    numb_since: Option<(Look, Instant)>,
}

/// What the thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posture {
    /// It waits for this signal.
    Awaits(i32),
    /// Another question is being answered, or the thread is awake.
    Busy,
    /// A debugger has stopped it.
    Held,
    /// No signal wakes it.
    Deaf,
    /// It is gone.
    Gone,
}

/// How often it must be seen that the thread is deaf: a list of threads may miss one while others end.
const LOOKS: usize = 3;

/// A thread that has been in one wait for so long, where no signal reaches it, is not just busy.
const LONGEST_BUSY: Duration = Duration::from_millis(100);

impl Sleeper {
    /// The sleeping thread with this number.
    pub fn new(process: Process, thread: i32) -> Sleeper {
        Sleeper {
            process,
            thread,
            numb_since: None,
        }
    }

    /// Looks what it does.
    pub fn look(&mut self) -> Posture {
        let Some(look) = self.look_once() else {
            return Posture::Gone;
        };
        if let Some(signal) = look.signal {
            return Posture::Awaits(signal);
        }
        if look.state == 't' {
            return Posture::Held;
        }
        match self.is_deaf(look) || self.is_numb(look) {
            true => Posture::Deaf,
            false => Posture::Busy,
        }
    }

    fn look_once(&self) -> Option<Look> {
        Look::of(
            &ThreadStatus::read(self.process, self.thread)?,
            self.process,
        )
    }

    /// Whether the thread sleeps, waits for no signal, and has nobody to wait for. It nudges itself awake before
    /// its other threads end: so if it is in the same sleep before and after there is no other, there was none.
    fn is_deaf(&self, look: Look) -> bool {
        (0..LOOKS).all(|_| {
            look.naps && look.state == 'S' && !self.has_others() && self.look_once() == Some(look)
        })
    }

    /// Whether the thread sleeps where no signal reaches it, for a filter of system calls: it stays there.
    fn is_numb(&mut self, look: Look) -> bool {
        let since = match self.numb_since {
            Some((before, since)) if before == look => since,
            _ => Instant::now(),
        };
        self.numb_since = Some((look, since));
        !look.naps
            && look.state == 'S'
            && since.elapsed() > LONGEST_BUSY
            && no_agent::is_filtered(self.process)
            && !self.has_others()
    }

    /// Whether the agent has other threads. A thread that was just started still has the name of the one that
    /// started it.
    fn has_others(&self) -> bool {
        let others = self.process.has_other_thread(self.thread, &AGENT_THREADS);
        others.unwrap_or(true)
    }
}

/// The thread at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// The one real-time signal that it does not block, if there is one.
    signal: Option<i32>,
    /// Whether it waits where signals of the agent's own reach it.
    naps: bool,
    /// As [`crate::system::process::Status::state`].
    state: char,
    /// How often it has gone to sleep.
    sleeps: u64,
}

impl Look {
    fn of(status: &ThreadStatus, process: Process) -> Option<Look> {
        let blocked = u64::from_str_radix(status.value("SigBlk")?, 16).ok()?;
        Some(Look {
            signal: awaited::signal_in(blocked, process),
            naps: blocked & 1 << (NUDGE - 1) == 0,
            state: status.state()?,
            sleeps: status.waits().unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(blocked: u64) -> ThreadStatus {
        ThreadStatus::of(&format!(
            "Name:\tx\nState:\tS (sleeping)\nSigBlk:\t{blocked:016x}\nSigIgn:\t0\n\
             voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n"
        ))
    }

    #[test]
    fn sees_how_the_thread_waits() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let faults = 0b1_0000_1101_1000_u64;
        let nudge_and_user = 3 << 31;
        let look = |blocked: u64| Look::of(&with(blocked), us).expect("a whole status");
        assert_eq!(look(!faults & !(1 << 57 | nudge_and_user)).signal, Some(58));
        assert_eq!(look(!faults & !nudge_and_user).signal, None);
        let asleep = look(!nudge_and_user);
        assert!(asleep.naps && (asleep.state, asleep.sleeps) == ('S', 7));
        assert!(!look(!0).naps);
        assert_eq!(Look::of(&ThreadStatus::of("Name:\tx\n"), us), None);
    }

    /// This thread waits as an agent's does that no signal wakes, and has another with the agent's name.
    #[test]
    fn is_deaf_only_alone() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let (told, thread) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let _ = told.send(rustix::thread::gettid().as_raw_pid());
            let _ = ended.recv();
        });
        let thread = thread.recv().expect("it begins");
        let asleep = || {
            Process { pid: thread }
                .status()
                .is_ok_and(|it| it.state == 'S')
        };
        while !asleep() {
            std::thread::yield_now();
        }
        // No signal is blocked here, so the nudge is not, and no single signal is open.
        let mut sleeper = Sleeper::new(us, thread);
        assert_eq!(sleeper.look(), Posture::Deaf);
        let (other_end, other_ended) = std::sync::mpsc::channel::<()>();
        let named = std::thread::Builder::new().name(AGENT_THREADS[1].to_owned());
        let other = named.spawn(move || other_ended.recv().is_err());
        let other = other.expect("a thread");
        while !us.has_other_thread(thread, &AGENT_THREADS).expect("procfs") {
            std::thread::yield_now();
        }
        assert_eq!(sleeper.look(), Posture::Busy);
        drop(other_end);
        assert!(other.join().expect("it ends"));
        drop(end);
        while sleeper.look() != Posture::Gone {
            std::thread::yield_now();
        }
    }
}
