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
//! process and sends its first thread on a detour through the agent ([`Bell`]), which is no call
//! either.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ask::checks;
use crate::ask::gdb::driver::{Failure, Gdb, Patience};
use crate::ask::gdb::fetch::{self, Waited};
use crate::ask::gdb::guardian::Guardian;
use crate::ask::gdb::mi;
use crate::ask::turn::Turn;
use crate::find::agent::Agent;
use crate::find::bell::{self, Seen};
use crate::find::target::{self, Target};
use crate::trouble::{self, Trouble};
use protocol::question::Question;

/// Asks through a gdb of its own for each process.
pub struct ThroughGdb {
    /// What is asked for.
    pub question: Question,
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
    "set non-stop off",
    "handle all nostop noprint pass",
];

/// How often to ask again where others' questions overtake ours.
const TRIES: usize = 5;

/// For how long a process may be just about to start the agent's thread.
const STARTING: Duration = Duration::from_secs(1);

/// What was done while the process was held.
enum Done {
    /// The agent's own thread is rung for, or another is on its way to it.
    Rung(Rung),
    /// Nothing: its own thread is just being started.
    Starting,
}

/// A ring of the bell.
struct Rung {
    /// The bell's address.
    bell: u64,
    /// How often it was rung by then.
    ticket: u32,
    /// Kept until the answer is there, where another command's ring has been answered in place of ours
    /// before; and where a thread of the program's is on a detour: the next would go round on the same.
    _turn: Option<Turn>,
}

impl ThroughGdb {
    /// Has the agent answer, and brings its text. Leaves the process as it was.
    pub fn fetch(&self, target: &Target) -> Result<Vec<u8>, Trouble> {
        let mut target = target.clone();
        let mut may_start = true;
        for tried in 0..TRIES {
            let rung = match self.hold(&target, may_start, tried > 0)? {
                Done::Rung(rung) => rung,
                Done::Starting => {
                    may_start = self.has_started(&mut target)?;
                    continue;
                }
            };
            let began = Instant::now();
            let longest = target.alive.process.longest_answer();
            if let Waited::Answer(text, question) =
                fetch::wait(&target, rung.bell, rung.ticket, longest)?
                && fetch::is_for(question, self.question)
            {
                self.say(
                    &target,
                    &format!("the agent answered after {}", since(began)),
                );
                return Ok(text);
            }
        }
        Err(Trouble::new(
            "others ask it so often that its answer to us was replaced every time",
            "ask again",
        ))
    }

    /// Waits for the agent's thread; whether it has come.
    fn has_started(&self, target: &mut Target) -> Result<bool, Trouble> {
        self.say(target, "its agent is just starting");
        let until = Instant::now() + STARTING;
        while target.agent.parked_thread.is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
            if let Some(trouble) = target::vanished(target) {
                return Err(trouble);
            }
            if let Ok(Some(agent)) = Agent::find(target.alive.process) {
                target.agent = agent;
            }
        }
        Ok(target.agent.parked_thread.is_some())
    }

    /// Starts gdb, has it do what must be done while the process is held, and ends it.
    fn hold(&self, target: &Target, may_start: bool, keeps_turn: bool) -> Result<Done, Trouble> {
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
        let turn = Turn::take(target.alive.process, before.until);
        if let Err(trouble) = checks::is_untraced(target) {
            gdb.end(true);
            return Err(trouble);
        }
        let guardian = Guardian::post(target, gdb.pid());
        let seen = self.attached(gdb, target, may_start, before);
        if let Some(guardian) = guardian {
            guardian.dismiss();
        }
        let keeps_turn = keeps_turn || target.agent.parked_thread.is_none();
        seen.map(|ticket| match ticket {
            None => Done::Starting,
            Some((bell, ticket)) => Done::Rung(Rung {
                bell,
                ticket,
                _turn: keeps_turn.then_some(turn),
            }),
        })
    }

    /// The bell and its count after it was rung; `None` if the agent is just starting.
    fn attached(
        &self,
        mut gdb: Gdb,
        target: &Target,
        may_start: bool,
        before: Patience,
    ) -> Result<Option<(u64, u32)>, Trouble> {
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
        let rung = self.while_held(&mut gdb, target, may_start);
        let detached = gdb.command("-target-detach", soon());
        let scope = match target.agent.parked_thread {
            Some(_) => "the agent's thread alone",
            None => "the whole process",
        };
        self.say(target, &format!("gdb held {scope} for {}", since(held)));
        gdb.end(detached.is_ok());
        if detached.is_err() {
            self.set_going(target);
        }
        rung
    }

    fn while_held(
        &self,
        gdb: &mut Gdb,
        target: &Target,
        may_start: bool,
    ) -> Result<Option<(u64, u32)>, Trouble> {
        if crate::system::interrupt::asked_to_stop().is_some() {
            return Err(stopped_by_us());
        }
        // What was found before may be another program's by now, or not bound yet; now that it
        // is held, it stays as it is.
        if let Some(trouble) = target::vanished(target) {
            return Err(trouble);
        }
        let bell = target.agent.bell.ok_or_else(trouble::of_another_version)?;
        let seen = bell::look(target.alive.process, bell)
            .map_err(|error| fetch::unreadable(&error))?
            .ok_or_else(target::just_started)?;
        let ticket = seen.rung.wrapping_add(1);
        if target.agent.parked_thread.is_some() {
            if !seen.listens {
                return Err(trouble::of_another_version());
            }
            self.say_what_is_wanted(gdb, bell, seen, ticket)?;
            self.write(gdb, bell + bell::RUNG, &ticket.to_ne_bytes())?;
        } else if seen.listens && may_start {
            return Ok(None);
        } else {
            self.say_what_is_wanted(gdb, bell, seen, ticket)?;
            self.send_round(gdb, bell, seen, ticket)?;
        }
        Ok(Some((bell, ticket)))
    }

    /// Leaves beside the bell what the ring of this number is for.
    fn say_what_is_wanted(
        &self,
        gdb: &mut Gdb,
        bell: u64,
        seen: Seen,
        ticket: u32,
    ) -> Result<(), Trouble> {
        let words = self.question.words();
        let words = words.as_bytes();
        let asked = bell + bell::ASKED;
        if !words.is_empty() {
            let length = (words.len() as u32).to_ne_bytes();
            self.write(gdb, seen.question, &[&length, words].concat())?;
            return self.write(gdb, asked, &ticket.to_ne_bytes());
        }
        // Somebody was killed before they could ring for theirs.
        if seen.asked == ticket {
            self.write(gdb, asked, &ticket.wrapping_sub(1).to_ne_bytes())?;
        }
        Ok(())
    }

    /// Sends the first thread, which gdb holds with all others, on a detour. Until the last of
    /// these steps nothing has happened, and that one is a single write.
    fn send_round(&self, gdb: &mut Gdb, bell: u64, seen: Seen, ticket: u32) -> Result<(), Trouble> {
        let (detour, resume) = bell::detour(&seen, ticket);
        let counter = self.done(gdb, "-data-evaluate-expression \"(unsigned long) $pc\"")?;
        let counter = mi::field(&counter, "value")
            .and_then(|value| value.parse::<u64>().ok())
            .ok_or_else(|| Trouble::plain(format!("gdb gave no program counter: {counter}")))?;
        self.write(gdb, bell + resume, &counter.to_ne_bytes())?;
        self.write(gdb, bell + bell::RUNG, &ticket.to_ne_bytes())?;
        let command = format!("-data-evaluate-expression \"(unsigned long) ($pc = {detour:#x})\"");
        self.done(gdb, &command).map(drop)
    }

    fn write(&self, gdb: &mut Gdb, address: u64, bytes: &[u8]) -> Result<(), Trouble> {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let command = format!("-data-write-memory-bytes {address:#x} {digits}");
        self.done(gdb, &command).map(drop)
    }

    /// What gdb says to a command that does not take long.
    fn done(&self, gdb: &mut Gdb, command: &str) -> Result<String, Trouble> {
        gdb.command(command, soon())
            .map_err(|failure| match failure {
                Failure::Refused(message) => {
                    Trouble::plain(format!("gdb could not wake the agent: {message}"))
                }
                failure => self.not_ready(failure),
            })
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
                target.alive.process
            );
        }
    }
}

fn stopped_by_us() -> Trouble {
    Trouble::plain("not asked, because this command was told to stop")
}

fn soon() -> Patience {
    Patience {
        until: Instant::now() + Duration::from_secs(5),
        interruptible: false,
    }
}

fn since(start: Instant) -> String {
    format!("{:.1} ms", start.elapsed().as_secs_f64() * 1e3)
}
