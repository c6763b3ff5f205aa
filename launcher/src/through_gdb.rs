//! The way in by a debugger: gdb stops one thread, calls the agent on it, and lets go.
//!
//! gdb is given the *thread's* number where it usually gets the process's: it then attaches to
//! that thread alone, the one that the agent has parked, and the program's own threads run on
//! undisturbed. Only where there is no parked thread (the agent has not booted) it attaches to
//! the whole process and calls on its first thread.
//!
//! A call that is under way must come to its end: were gdb killed meanwhile, the call would
//! return into a breakpoint that nobody handles any more, and the program would die.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::activation::{self, WayIn};
use crate::answer;
use crate::checks::Target;
use crate::gdb::{Failure, Gdb, Patience};
use crate::interface::DEADLINE_LONGEST_SECONDS;
use crate::mi;
use crate::process::Process;
use crate::trouble::Trouble;

/// Asks through a gdb of its own for each process.
pub struct ThroughGdb {
    /// The debugger.
    pub gdb: PathBuf,
    /// How long all may take that comes before the call.
    pub timeout: Duration,
    /// Whether to report every step on standard error.
    pub verbose: bool,
}

/// No init files, no symbols, no scripts, no thread library, no questions; the program's
/// signals go to the program, except SIGSTOP, by which we take back a call that never ends.
/// Each gdb ignores what it does not know.
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
    "handle SIGSTOP stop print nopass",
    // A fault in the call itself: gdb takes the call back. One of the program's own happens
    // again, and is then its own affair, when it is let go.
    "handle SIGSEGV SIGBUS SIGILL SIGFPE stop print nopass",
];

/// For the answer that comes after the agent's own deadline.
const SLACK: Duration = Duration::from_secs(5);

impl WayIn for ThroughGdb {
    fn fetch(&mut self, target: &Target) -> Result<Vec<u8>, Trouble> {
        let before_call = Patience {
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
            .ready(before_call)
            .and_then(|()| gdb.settings(SETTINGS, before_call));
        if let Err(failure) = prepared {
            gdb.end(false);
            return Err(self.not_ready(failure));
        }
        self.say(target, &format!("gdb is ready after {}", since(began)));
        self.attached(gdb, target, before_call)
    }
}

impl ThroughGdb {
    fn attached(
        &self,
        mut gdb: Gdb,
        target: &Target,
        before_call: Patience,
    ) -> Result<Vec<u8>, Trouble> {
        let thread = target.thread();
        let held = Instant::now();
        // Attaching is never left half done on Ctrl-C: it is a matter of milliseconds.
        let whole = Patience {
            interruptible: false,
            ..before_call
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
        // What was found before may be another program's by now, or not bound yet; now that it
        // is held, it stays as it is for the call.
        let answer = if crate::interrupt::asked_to_stop().is_some() {
            Ok(Err(stopped_by_us()))
        } else if let Some(trouble) = activation::vanished(target) {
            Ok(Err(trouble))
        } else if !target.agent.is_ready(target.process) {
            Ok(Err(Trouble::new(
                "its program has only just started, and its libsleeper.so is not in place yet \
                 (or is of another version than this command)",
                "ask again",
            )))
        } else {
            self.call(&mut gdb, target)
        };
        let Ok(answer) = answer else {
            let trouble = Trouble::new(
                "the agent does not come back from the call, and cannot be taken out of it",
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
        self.set_going(target);
        answer
    }

    /// Calls the agent and fetches what it returns. Fails if the call is still under way.
    fn call(&self, gdb: &mut Gdb, target: &Target) -> Result<Result<Vec<u8>, Trouble>, ()> {
        let function = target.agent.state_function;
        let command = format!(
            "-data-evaluate-expression \"(unsigned long)((char *(*)(void)) {function:#x})()\""
        );
        let called = Instant::now();
        // Once the deadline for those who asked before, once for us.
        let longest = 2 * target.process.agent_deadline() + SLACK;
        let token = match gdb.send(&command) {
            Ok(token) => token,
            Err(failure) => return Ok(Err(self.call_failed(failure))),
        };
        let result = match gdb.result_of(token, soon(longest)) {
            Err(Failure::Late) => return self.take_back(gdb, target, token, longest),
            Err(failure) => return Ok(Err(self.call_failed(failure))),
            Ok(fields) => fields,
        };
        self.say(
            target,
            &format!("the agent answered after {}", since(called)),
        );
        let Some(address) = mi::field(&result, "value").and_then(|value| value.parse().ok()) else {
            return Ok(Err(Trouble::plain(format!(
                "gdb gave no address for the answer: {result}"
            ))));
        };
        Ok(answer::fetch(address, |address, length| {
            read(gdb, target, address, length)
        }))
    }

    /// The last resort: a SIGSTOP for that one thread makes gdb stop it and put it back to
    /// where it was before the call. (A SIGINT to gdb would do too, but gdb passes it to the
    /// whole process, and so to the program itself.)
    fn take_back(
        &self,
        gdb: &mut Gdb,
        target: &Target,
        token: u64,
        waited: Duration,
    ) -> Result<Result<Vec<u8>, Trouble>, ()> {
        self.say(target, "taking the call back");
        // SAFETY: the system call takes three numbers and touches no memory. The thread is
        // traced by our gdb, so its number cannot have been given to another.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_tgkill,
                target.process.pid,
                target.thread(),
                libc::SIGSTOP,
            )
        };
        match gdb.result_of(token, soon(Duration::from_secs(5))) {
            Err(Failure::Late) => Err(()),
            _ if sent != 0 => Ok(Err(self.call_failed(Failure::Late))),
            _ => Ok(Err(Trouble::new(
                format!(
                    "its agent gave no answer within {:.0} s, and was taken out of the call",
                    waited.as_secs_f64()
                ),
                "look at the process by other means (`ps`, `gdb -p`)",
            ))),
        }
    }

    fn call_failed(&self, failure: Failure) -> Trouble {
        match failure {
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

    /// The process was running when we came. A gdb ended by force while it was attaching can
    /// leave its SIGSTOP behind.
    fn set_going(&self, target: &Target) {
        let stopped = |process: Process| {
            process.started().is_ok_and(|at| at == target.started)
                && process
                    .status()
                    .is_ok_and(|status| status.state == 'T' && status.tracer == 0)
        };
        if stopped(target.process) {
            self.say(target, "it was left stopped; setting it going");
            // SAFETY: sends a signal, touches no memory; it is the process we were asked about.
            unsafe { libc::kill(target.process.pid, libc::SIGCONT) };
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

/// Reads memory in one piece ourselves, or has gdb do it where only gdb may.
fn read(gdb: &mut Gdb, target: &Target, address: u64, length: usize) -> Result<Vec<u8>, Trouble> {
    let error = match answer::read_memory(target.process.pid, address, length) {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    let command = format!("-data-read-memory-bytes {address:#x} {length}");
    gdb.command(&command, soon(Duration::from_secs(60)))
        .ok()
        .and_then(|fields| mi::hex_bytes(&mi::field(&fields, "contents")?))
        .filter(|bytes| bytes.len() == length)
        .ok_or_else(|| unreadable(error))
}

fn unreadable(error: std::io::Error) -> Trouble {
    Trouble::plain(format!(
        "its answer could not be read from memory ({error})"
    ))
}

fn stopped_by_us() -> Trouble {
    Trouble::plain("not asked, because this command was told to stop")
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
