//! The way in by a debugger: gdb stops one thread, rings the agent's bell, and lets go.
//!
//! gdb gets the number of a *thread* instead of a process. So it attaches to that thread alone, the one
//! that the agent has parked, and the program's own threads run on undisturbed. It changes the word that
//! this thread waits on, and detaches. The thread then calls `sleeper_agent_state()` itself, and we read
//! the answer from memory. So nothing holds the program while it answers, and a gdb that is killed at any
//! moment leaves no half-made call behind. (If gdb called the function itself, as people do by hand, and
//! were killed meanwhile, the call would return into a breakpoint that nobody handles, and the program
//! would die.)
//!
//! If there is no parked thread because the agent has not booted, gdb attaches to the whole process and
//! sends its first thread on a detour through the agent (`protocol::bell`), which is no call either.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ask::allowance::Allowance;
use crate::ask::checks;
use crate::ask::gdb::driver::{Failure, Gdb, Patience};
use crate::ask::gdb::explain;
use crate::ask::gdb::fetch::{self, Waited};
use crate::ask::gdb::guardian::Guardian;
use crate::ask::gdb::mi;
use crate::find::agent::Agent;
use crate::find::bell::{self, Seen};
use crate::find::target::{self, Target};
use crate::state::budget::AnswerBytes;
use crate::system::tracee::{EINTR, LETS_GO, RESTART_NO_HANDLER};
use crate::system::turn::Turn;
use crate::system::{interrupt, permission};
use crate::trouble::{self, Trouble};
use protocol::question::Question;

/// Asks through a gdb of its own for each process.
pub struct ThroughGdb<'a> {
    /// The question.
    pub question: Question,
    /// The debugger.
    pub gdb: PathBuf,
    /// Its time, and its place among the debuggers.
    pub allowance: &'a Allowance,
    /// Whether no other way was tried before: then its time begins when it has a place.
    pub first_way: bool,
    /// Whether to report every step on standard error.
    pub verbose: bool,
}

/// No init files, no symbols, no scripts, no thread library, no prompts; the program's signals go to the
/// program. Each gdb ignores the settings that it does not know.
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

/// How often to ask again when answers to other commands replace ours.
const TRIES: usize = 5;

/// The longest time from "the agent is just starting" to its thread.
const STARTING: Duration = Duration::from_secs(1);

/// The longest time that gdb takes to attach, on a loaded machine.
const LONGEST_ATTACHING: Duration = Duration::from_secs(5);

/// The time for gdb to let the process go at the end of the question's time.
const LETTING_GO: Duration = Duration::from_millis(150);

/// What gdb did while it held the process.
enum Done {
    /// It rang for the agent's own thread, or sent another thread on the detour.
    Rung(Rung),
    /// Nothing, as the agent's thread is just starting.
    Starting,
}

/// A ring of the bell.
struct Rung {
    /// The bell's address.
    bell: u64,
    /// The number of this ring.
    ticket: u32,
    /// Kept until the answer is there, in two cases: another command's ring was answered in place of ours
    /// before; or a thread of the program's is on a detour, and the next would enter the same.
    _turn: Option<Turn>,
}

impl ThroughGdb<'_> {
    /// Brings the agent's answer. Leaves the process as it was.
    pub fn fetch(&self, target: &Target) -> Result<AnswerBytes, Trouble> {
        let mut target = target.clone();
        let mut may_start = true;
        for tried in 0..TRIES {
            let rung = match self.hold(&target, may_start, tried)? {
                Done::Rung(rung) => rung,
                Done::Starting => {
                    may_start = self.has_started(&mut target)?;
                    continue;
                }
            };
            let began = Instant::now();
            if let Waited::Answer(text, question) =
                fetch::wait(&target, rung.bell, rung.ticket, self.allowance)?
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
            "so many others ask it that an answer to them replaced ours every time",
            "ask again",
        ))
    }

    /// Waits for the agent's thread. Returns whether it has come.
    fn has_started(&self, target: &mut Target) -> Result<bool, Trouble> {
        self.say(target, "its agent is just starting");
        let until = self.allowance.until().min(Instant::now() + STARTING);
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

    /// Starts gdb, lets it hold the process and ring, and ends it.
    fn hold(&self, target: &Target, may_start: bool, tried: usize) -> Result<Done, Trouble> {
        let place = self.allowance.place(self.first_way && tried == 0);
        let _place = place.ok_or_else(|| explain::without_place(self.allowance.time()))?;
        let before = Patience {
            until: self.allowance.until(),
            interruptible: true,
        };
        let began = Instant::now();
        let mut gdb = Gdb::start(&self.gdb, self.verbose)
            .map_err(|error| explain::not_started(&self.gdb, &error))?;
        let prepared = gdb
            .ready(before)
            .and_then(|()| gdb.type_in(SETTINGS, before));
        if let Err(failure) = prepared {
            gdb.end(false, before.until);
            return Err(self.not_ready(failure));
        }
        self.say(target, &format!("gdb is ready after {}", since(began)));
        let turn = Turn::take(target.alive.process, before.until);
        if let Err(trouble) = checks::is_still_free(target) {
            gdb.end(true, before.until);
            return Err(trouble);
        }
        let guardian = Guardian::post(target, gdb.pid());
        let seen = self.attached(gdb, target, may_start, before);
        if let Some(guardian) = guardian {
            guardian.dismiss();
        }
        let keeps_turn = tried > 0 || target.agent.parked_thread.is_none();
        seen.map(|ticket| match ticket {
            None => Done::Starting,
            Some((bell, ticket)) => Done::Rung(Rung {
                bell,
                ticket,
                _turn: keeps_turn.then_some(turn),
            }),
        })
    }

    /// Attaches, rings and detaches. Returns the bell and the number of the ring; `None` if the agent is
    /// just starting.
    fn attached(
        &self,
        mut gdb: Gdb,
        target: &Target,
        may_start: bool,
        before: Patience,
    ) -> Result<Option<(u64, u32)>, Trouble> {
        let thread = target.thread();
        let held = Instant::now();
        // Ctrl-C leaves no attachment half done: it takes milliseconds. But a process can draw it out for
        // ever, which must not keep others waiting.
        let whole = Patience {
            until: before.until.min(held + LONGEST_ATTACHING),
            interruptible: false,
        };
        if let Err(failure) = gdb.command(&format!("-target-attach {thread}"), whole) {
            gdb.end(false, before.until);
            self.set_going(target);
            return Err(match failure {
                // The kernel could not be asked before (see `permission::probe`).
                Failure::Refused(message) if message.contains("Operation not permitted") => {
                    permission::explain(target.alive.process)
                }
                Failure::Refused(message) => Trouble::new(
                    format!("gdb could not attach: {message}"),
                    "see with -v what gdb does, or ask --via wake",
                ),
                Failure::Late => Trouble::new(
                    format!(
                        "gdb could not attach within {:.0} s, and has been ended",
                        held.elapsed().as_secs_f64()
                    ),
                    "ask --via wake, or see with -v what gdb does",
                )
                .of_the_debugger(),
                failure => self.not_ready(failure),
            });
        }
        if target.agent.parked_thread.is_none() {
            // First of all: if gdb is killed before that, the program sees the error.
            let again = make_calls_again();
            // A thread that just ends is an error, at which the first command stops; older gdbs have no other.
            let commands =
                ["", " -s"].map(|silently| format!("thread apply all{silently} {again}"));
            let _ = gdb.type_in(&commands.each_ref().map(String::as_str), self.soon());
        }
        let rung = self.while_held(&mut gdb, target, may_start);
        let detached = gdb.command("-target-detach", self.soon());
        let scope = match target.agent.parked_thread {
            Some(_) => "the agent's thread alone",
            None => "the whole process",
        };
        self.say(target, &format!("gdb held {scope} for {}", since(held)));
        gdb.end(detached.is_ok(), before.until);
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
        if interrupt::asked_to_stop().is_some() {
            return Err(explain::stopped_by_us());
        }
        // The process may have become another program since we found the agent, or may not have bound
        // the library yet. Now that gdb holds it, it stays as it is.
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
            self.leave_question(gdb, bell, seen, ticket)?;
            self.write(gdb, bell + bell::RUNG, &ticket.to_ne_bytes())?;
        } else if seen.listens && may_start {
            return Ok(None);
        } else {
            self.leave_question(gdb, bell, seen, ticket)?;
            self.send_round(gdb, bell, seen, ticket)?;
        }
        Ok(Some((bell, ticket)))
    }

    /// Writes the question for this ring beside the bell.
    fn leave_question(
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
        // A command left a question and was killed before it could ring.
        if seen.asked == ticket {
            self.write(gdb, asked, &ticket.wrapping_sub(1).to_ne_bytes())?;
        }
        Ok(())
    }

    /// Sends the first thread, which gdb holds with all others, on a detour. Only the last of these steps
    /// takes effect, and it is a single write.
    fn send_round(&self, gdb: &mut Gdb, bell: u64, seen: Seen, ticket: u32) -> Result<(), Trouble> {
        let (detour, resume) = bell::detour(&seen, ticket);
        let counter = self.done(gdb, "-data-evaluate-expression \"(unsigned long) $pc\"")?;
        let counter = mi::field(&counter, "value")
            .and_then(|value| value.parse::<u64>().ok())
            .ok_or_else(|| {
                Trouble::new(
                    format!("gdb gave no program counter: {counter}"),
                    "give another gdb with --gdb",
                )
            })?;
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

    /// The result of a command that takes no long time.
    fn done(&self, gdb: &mut Gdb, command: &str) -> Result<String, Trouble> {
        gdb.command(command, self.soon())
            .map_err(|failure| match failure {
                Failure::Refused(message) => Trouble::new(
                    format!("gdb could not wake the agent: {message}"),
                    "see with -v what gdb does, or ask --via wake",
                ),
                failure => self.not_ready(failure),
            })
    }

    /// Time for a command that takes milliseconds, also at the end of the question's time: the program is
    /// held.
    fn soon(&self) -> Patience {
        let left = self.allowance.left().clamp(LETTING_GO, LONGEST_ATTACHING);
        Patience {
            until: Instant::now() + left,
            interruptible: false,
        }
    }

    fn not_ready(&self, failure: Failure) -> Trouble {
        explain::not_ready(&self.gdb, self.allowance.time(), failure)
    }

    /// Lets the process run again, as it ran when we came: a gdb that ends while it attaches leaves its
    /// SIGSTOP behind, which the kernel delivers a moment later.
    fn set_going(&self, target: &Target) {
        let until = Instant::now() + Duration::from_millis(100);
        while Instant::now() < until {
            if checks::set_going(target) {
                return self.say(target, "it was left stopped; letting it run again");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn say(&self, target: &Target, what: &str) {
        if self.verbose {
            let _ = writeln!(
                io::stderr(),
                "sleeper_agent_activate: {}: {what}",
                target.alive.process
            );
        }
    }
}

/// The command by which gdb has a thread go on in a system call that its stop has ended with EINTR: `epoll_wait` and a few
/// others, which the kernel does not make again by itself (signal(7)). In the one register is what the kernel then goes by,
/// so that each thread is changed by a single write.
fn make_calls_again() -> String {
    let lets_go = LETS_GO.map(|number| format!(" && $orig_rax != {number}"));
    format!(
        "print $orig_rax >= 0 && $rax == {EINTR}{} ? ($rax = {RESTART_NO_HANDLER}) : 0",
        lets_go.concat()
    )
}

fn since(start: Instant) -> String {
    format!("{:.1} ms", start.elapsed().as_secs_f64() * 1e3)
}
