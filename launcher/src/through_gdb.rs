//! The way in by a debugger: gdb stops one thread, rings the agent's bell, and lets go.
//!
//! gdb is given the *thread's* number where it usually gets the process's: it then attaches to
//! that thread alone, the one that the agent has parked, and the program's own threads run on
//! undisturbed. It changes one word that this thread waits on, and detaches. The thread then calls
//! `sleeper_agent_state()` itself, and the answer is read from memory when it is there. So nothing
//! holds the program while it answers, and a gdb that is killed at any moment leaves no half-made
//! call behind. (Were it to call the function by itself, as people do by hand, and killed
//! meanwhile, the call would return into a breakpoint that nobody handles, and the program would
//! die.)
//!
//! Only where there is no parked thread, as the agent has not booted, it attaches to the whole
//! process and calls on its first thread; what is answered then never waits for anything.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::activation::{self, WayIn};
use crate::answer;
use crate::bell::{self, Seen, Waited};
use crate::checks::{self, Target};
use crate::gdb::{Failure, Gdb, Patience};
use crate::guardian::Guardian;
use crate::interface::DEADLINE_LONGEST_SECONDS;
use crate::mi;
use crate::trouble::Trouble;
use crate::turn::Turn;

/// Asks through a gdb of its own for each process.
pub struct ThroughGdb {
    /// The debugger.
    pub gdb: PathBuf,
    /// How long all may take that comes before the agent is reached.
    pub timeout: Duration,
    /// Whether to report every step on standard error.
    pub verbose: bool,
}

/// No init files, no symbols, no scripts, no thread library, no questions; the program's
/// signals go to the program. Each gdb ignores what it does not know.
const SETTINGS: &[&str] = &[
    "set confirm off",
    "set pagination off",
    "set width 0",
    "set language c",
    "set python print-stack none",
    "set auto-load off",
    "set auto-load safe-path /dev/null",
    "set auto-solib-add off",
    "set sysroot /dev/null",
    "set debuginfod enabled off",
    "set index-cache enabled off",
    "set libthread-db-search-path /dev/null",
    "set print thread-events off",
    "set print inferior-events off",
    "set scheduler-locking off",
    "set non-stop off",
    "set unwindonsignal on",
    "set unwind-on-signal on",
    "handle all nostop noprint pass",
    // A fault in the call itself: gdb takes the call back. One of the program's own happens
    // again, and is then its own affair, when it is let go.
    "handle SIGSEGV SIGBUS SIGILL SIGFPE stop print nopass",
];

/// For the answer that comes after the agent's own deadline.
const SLACK: Duration = Duration::from_secs(5);

/// How often to ask again where others' questions overtake ours.
const TRIES: usize = 5;

/// What was had while the process was held.
enum Held {
    /// The bell at this address has been rung, so many times by now.
    Rung(u64, u32),
    /// The answer itself.
    Answer(Vec<u8>),
}

/// The call is still under way.
struct InTheCall;

impl WayIn for ThroughGdb {
    fn fetch(&mut self, target: &Target) -> Result<Vec<u8>, Trouble> {
        for _ in 0..TRIES {
            let (bell, ticket) = match self.hold(target)? {
                Held::Answer(text) => return Ok(text),
                Held::Rung(bell, ticket) => (bell, ticket),
            };
            let rung = Instant::now();
            if let Waited::Answer(text) = bell::wait(target, bell, ticket, longest(target))? {
                self.say(target, &format!("the agent answered after {}", since(rung)));
                return Ok(text);
            }
        }
        Err(Trouble::new(
            "others ask it so often that its answer to us was replaced every time",
            "ask again",
        ))
    }
}

impl ThroughGdb {
    /// Starts gdb, has it do what must be done while the process is held, and ends it.
    fn hold(&self, target: &Target) -> Result<Held, Trouble> {
        let before = Patience {
            until: Instant::now() + self.timeout,
            interruptible: true,
        };
        let began = Instant::now();
        let mut gdb = Gdb::start(&self.gdb, self.verbose).map_err(|error| {
            Trouble::new(
                format!("{} cannot be run ({error})", self.gdb.display()),
                "give --gdb the path of an executable gdb",
            )
        })?;
        let prepared = gdb
            .ready(before)
            .and_then(|()| gdb.settings(SETTINGS, before));
        if let Err(failure) = prepared {
            gdb.end(false);
            return Err(self.not_ready(failure));
        }
        self.say(target, &format!("gdb is ready after {}", since(began)));
        let _turn = Turn::take(target.process, before.until);
        if let Err(trouble) = checks::is_untraced(target) {
            gdb.end(true);
            return Err(trouble);
        }
        let guardian = Guardian::post(target, gdb.pid());
        let had = self.attached(gdb, target, before);
        if let Some(guardian) = guardian {
            guardian.dismiss();
        }
        had
    }

    fn attached(&self, mut gdb: Gdb, target: &Target, before: Patience) -> Result<Held, Trouble> {
        let thread = target.thread();
        let held = Instant::now();
        // Attaching is never left half done on Ctrl-C: it is a matter of milliseconds.
        let whole = Patience {
            interruptible: false,
            ..before
        };
        if let Err(failure) = gdb.command(&format!("-target-attach {thread}"), whole) {
            gdb.end(false);
            self.set_going(target);
            return Err(match failure {
                Failure::Refused(message) => {
                    Trouble::plain(format!("gdb could not attach: {message}"))
                }
                failure => self.not_ready(failure),
            });
        }
        let Ok(had) = self.while_held(&mut gdb, target) else {
            let trouble = Trouble::new(
                "the agent does not come back from the call",
                format!(
                    "gdb (PID {}) stays with it and lets go when it does; don't kill that gdb",
                    gdb.pid()
                ),
            );
            gdb.leave();
            return Err(trouble);
        };
        let detached = gdb.command("-target-detach", soon(Duration::from_secs(5)));
        let scope = match target.agent.parked_thread {
            Some(_) => "the agent's thread alone",
            None => "the whole process",
        };
        self.say(target, &format!("gdb held {scope} for {}", since(held)));
        gdb.end(detached.is_ok());
        if detached.is_err() {
            self.set_going(target);
        }
        had
    }

    fn while_held(
        &self,
        gdb: &mut Gdb,
        target: &Target,
    ) -> Result<Result<Held, Trouble>, InTheCall> {
        if crate::interrupt::asked_to_stop().is_some() {
            return Ok(Err(stopped_by_us()));
        }
        // What was found before may be another program's by now, or not bound yet; now that it
        // is held, it stays as it is.
        if let Some(trouble) = activation::vanished(target) {
            return Ok(Err(trouble));
        }
        let Some(bell) = target.agent.bell else {
            return Ok(Err(answer::of_another_version()));
        };
        match bell::look(target.process, bell) {
            Err(error) => Ok(Err(answer::unreadable(&error))),
            Ok(None) => Ok(Err(Trouble::new(
                "its program has only just started, and its libsleeper.so is not in place yet \
                 (or is of another version than this command)",
                "ask again",
            ))),
            Ok(Some(seen)) if target.agent.parked_thread.is_some() => Ok(self
                .ring(gdb, bell, seen)
                .map(|ticket| Held::Rung(bell, ticket))),
            Ok(Some(_)) => Ok(self.call(gdb, target)?.map(Held::Answer)),
        }
    }

    /// Rings the bell of the parked thread, which gdb holds; gives the count of rings.
    fn ring(&self, gdb: &mut Gdb, bell: u64, seen: Seen) -> Result<u32, Trouble> {
        if !seen.listens {
            return Err(answer::of_another_version());
        }
        let ticket = seen.rung.wrapping_add(1);
        let digits: String = ticket
            .to_ne_bytes()
            .map(|byte| format!("{byte:02x}"))
            .concat();
        let command = format!("-data-write-memory-bytes {:#x} {digits}", bell + bell::RUNG);
        gdb.command(&command, soon(Duration::from_secs(5)))
            .map(|_| ticket)
            .map_err(|failure| match failure {
                Failure::Refused(message) => {
                    Trouble::plain(format!("gdb could not ring the agent's bell: {message}"))
                }
                failure => self.not_ready(failure),
            })
    }

    /// Calls the agent on the first thread and fetches what it returns. No thread of the agent's
    /// is there that could be waited for, so this returns at once.
    fn call(&self, gdb: &mut Gdb, target: &Target) -> Result<Result<Vec<u8>, Trouble>, InTheCall> {
        let function = target.agent.state_function;
        let command = format!(
            "-data-evaluate-expression \"(unsigned long)((char *(*)(void)) {function:#x})()\""
        );
        let fields = match gdb.command(&command, soon(longest(target))) {
            Err(Failure::Late) => return Err(InTheCall),
            Err(failure) => return Ok(Err(self.call_failed(failure))),
            Ok(fields) => fields,
        };
        let Some(address) = mi::field(&fields, "value").and_then(|value| value.parse().ok()) else {
            return Ok(Err(Trouble::plain(format!(
                "gdb gave no address for the answer: {fields}"
            ))));
        };
        Ok(answer::fetch(address, |address, length| {
            answer::read_memory(target.process.pid, address, length)
                .map_err(|error| answer::unreadable(&error))
        }))
    }

    fn call_failed(&self, failure: Failure) -> Trouble {
        match failure {
            Failure::Refused(message) if message.contains("signaled while in a function") => {
                Trouble::new("it got a signal while it was being asked", "ask again")
            }
            Failure::Refused(message) => {
                let first = message.lines().next().unwrap_or_default().to_owned();
                Trouble::new(
                    format!("gdb could not call the agent: {first}"),
                    "run it again with -v to see what gdb says",
                )
            }
            failure => self.not_ready(failure),
        }
    }

    fn not_ready(&self, failure: Failure) -> Trouble {
        let gdb = self.gdb.display();
        match failure {
            Failure::Refused(message) => Trouble::plain(format!("gdb refused: {message}")),
            Failure::Late => Trouble::new(
                format!(
                    "gdb was not ready within {} s, and has been ended",
                    self.timeout.as_secs_f64()
                ),
                "give it more time with --timeout, or see with -v what it does",
            ),
            Failure::Interrupted => stopped_by_us(),
            Failure::Ended(words) if words.is_empty() => Trouble::new(
                format!("{gdb} ended before it did anything"),
                "see whether it is a gdb, and give another with --gdb",
            ),
            Failure::Ended(words) => Trouble::new(
                format!("{gdb} ended, saying: {words}"),
                "see whether it is a gdb that works, and give another with --gdb",
            ),
        }
    }

    /// The process was running when we came. A gdb ended while it was attaching leaves its
    /// SIGSTOP behind, which takes a moment to be delivered.
    fn set_going(&self, target: &Target) {
        let until = Instant::now() + Duration::from_millis(100);
        while Instant::now() < until {
            if checks::set_going(target) {
                return self.say(target, "it was left stopped; setting it going");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn say(&self, target: &Target, what: &str) {
        if self.verbose {
            let _ = writeln!(
                std::io::stderr(),
                "sleeper_agent_activate: {}: {what}",
                target.process
            );
        }
    }
}

fn stopped_by_us() -> Trouble {
    Trouble::plain("not asked, because this command was told to stop")
}

/// How long the agent may take: once the deadline for those who asked before, once for us.
fn longest(target: &Target) -> Duration {
    2 * target.process.agent_deadline() + SLACK
}

fn soon(time: Duration) -> Patience {
    let longest = Duration::from_secs_f64(4.0 * DEADLINE_LONGEST_SECONDS);
    Patience {
        until: Instant::now() + time.min(longest),
        interruptible: false,
    }
}

fn since(start: Instant) -> String {
    format!("{:.1} ms", start.elapsed().as_secs_f64() * 1e3)
}
