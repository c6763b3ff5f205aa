//! How programs that were started without the agent get it: by `sa-load`, which is also killed at times. At times they are
//! rid of it again.

use crate::cores::Core;
use crate::dice::Dice;
use crate::said::Said;
use crate::ways::{PATIENCE, ended_within};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;
use tests::ask::loader;
use tests::ended::Ended;
use tests::process::Program;
use tests::product::product;

/// One load in so many is begun by a command that is killed.
const KILLED: usize = 5;

/// After one load in so many the agent is taken out again, when it has been asked.
const TAKEN_OUT: usize = 3;

/// What the command says of an agent that has been told to leave, while one of its threads waits for the GIL.
const STILL_WAITS: &str = "its agent leaves, but has a thread that still waits";

/// What the command says where there is no place for its code.
const NO_ROOM: &str = "there is no room in it";

/// A killed command has lived for so long at most. Mostly it has loaded by then.
const LONGEST_LIFE: Duration = Duration::from_millis(12);

/// One start in so many has another allocator, for each of [`ALLOCATORS`].
const OTHER: usize = 20;

/// Other allocators, by an environment variable and its value; a library only where there is one.
const ALLOCATORS: [(&str, &str); 4] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_ARENA_MAX", "1"),
    ("LD_PRELOAD", "libjemalloc.so.2"),
    ("LD_PRELOAD", "libtcmalloc_minimal.so.4"),
];

/// Whether a command has done what it was told, and what it has said of the process.
fn outcome(ended: &Ended, pid: i32) -> Result<(bool, String), String> {
    let err = ended.err();
    let beginning = format!("sa-load: {pid}: ");
    let said: Option<Vec<&str>> = err
        .lines()
        .map(|line| line.strip_prefix(&beginning))
        .collect();
    match (ended.status.code(), said.as_deref()) {
        (Some(0), Some([first, ..])) if ended.out().is_empty() => Ok((true, (*first).to_owned())),
        (Some(1), Some([.., last])) if ended.out().is_empty() => Ok((false, (*last).to_owned())),
        _ => Err(strange(ended)),
    }
}

fn strange(ended: &Ended) -> String {
    format!(
        "sa-load: {}\n--- stdout\n{}\n--- stderr\n{}",
        ended.status,
        ended.out(),
        ended.err()
    )
}

/// The loads of a program.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    /// Begun by a thread that waited.
    pub by_waiting: u64,
    /// Begun by a thread that ran.
    pub by_running: u64,
    /// Begun by a command that was killed, and finished by another.
    pub taken_over: u64,
    /// There was an agent already: a killed command had come so far, or an earlier one.
    pub before: u64,
    /// How often a killed command has made it impossible.
    pub blocked: u64,
    /// How often the agent was taken out again.
    pub taken_out: u64,
    /// Commands that were killed.
    pub killed: u64,
    /// The stops of threads: the longest of each load.
    pub held: Vec<Duration>,
    /// How long each load took, in the command.
    pub took: Vec<Duration>,
    /// How many starts had another allocator, for each by the value that chooses it.
    pub allocators: BTreeMap<&'static str, u64>,
}

impl Loads {
    /// How often the library was loaded.
    pub fn count(&self) -> u64 {
        self.by_waiting + self.by_running + self.taken_over
    }

    /// Adds others.
    pub fn add(&mut self, other: &Loads) {
        self.by_waiting += other.by_waiting;
        self.by_running += other.by_running;
        self.taken_over += other.taken_over;
        self.before += other.before;
        self.blocked += other.blocked;
        self.taken_out += other.taken_out;
        self.killed += other.killed;
        self.held.extend(&other.held);
        self.took.extend(&other.took);
        for (name, count) in &other.allocators {
            *self.allocators.entry(name).or_default() += count;
        }
    }

    /// Loads into a process; at times, if it `kills`, a command that is killed has begun. Returns why nothing was loaded,
    /// if so.
    ///
    /// # Errors
    /// What the command says if it should not say that.
    pub fn load(
        &mut self,
        pid: i32,
        kills: bool,
        dice: &mut Dice,
        core: Option<Core>,
    ) -> Result<Option<Said>, String> {
        let kills = kills && dice.below(KILLED) == 0;
        if kills {
            let mut killed = Program::start_without_input(&mut loader([pid]));
            thread::sleep(dice.moment(LONGEST_LIFE));
            killed.signal(libc::SIGKILL);
            killed.end_within(PATIENCE);
            self.killed += 1;
        }
        let ended = ended_within(PATIENCE, loader(["--verbose", &pid.to_string()]), core)?;
        match outcome(&ended, pid)? {
            (true, account) => {
                self.note(&account).ok_or_else(|| strange(&ended))?;
                Ok(None)
            }
            // A command that was killed between its last two writes leaves code that a thread may be about to enter, for
            // all that is known. Where there is no other room, nothing can be loaded any more.
            (false, reason) if kills && reason.starts_with(NO_ROOM) => {
                self.blocked += 1;
                Ok(None)
            }
            (false, reason) => Ok(Some(Said::refused(&reason))),
        }
    }

    /// Takes the agent out of a process again, at times. Returns why it was not, if so.
    ///
    /// # Errors
    /// As [`Loads::load`].
    pub fn take_out(
        &mut self,
        pid: i32,
        dice: &mut Dice,
        core: Option<Core>,
    ) -> Result<Option<Said>, String> {
        if dice.below(TAKEN_OUT) > 0 {
            return Ok(None);
        }
        let ended = ended_within(PATIENCE, loader(["--unload", &pid.to_string()]), core)?;
        let (done, said) = outcome(&ended, pid)?;
        if done || said.starts_with(STILL_WAITS) {
            self.taken_out += 1;
            return Ok(None);
        }
        Ok(Some(Said::refused(&said)))
    }

    /// Notes what the command says of a load; `None` if it should not say that.
    fn note(&mut self, account: &str) -> Option<()> {
        let milliseconds = |after: &str| {
            let number = account.split_once(after)?.1.split_once(" ms")?.0;
            Some(Duration::from_secs_f64(number.parse::<f64>().ok()? / 1e3))
        };
        if account == "its agent was there already" {
            self.before += 1;
            return Some(());
        }
        if account.starts_with("an earlier command's thread") {
            self.taken_over += 1;
            return Some(());
        }
        match account.contains(", which waited, ") {
            true => self.by_waiting += 1,
            false => self.by_running += 1,
        }
        self.held.push(milliseconds("the longest ")?);
        self.took.push(milliseconds("in all ")?);
        Some(())
    }

    /// The allocator of the next start: an environment variable and its value, where it is not the usual one.
    pub fn allocator(&mut self, dice: &mut Dice) -> Option<(&'static str, String)> {
        let (variable, value) = *ALLOCATORS.get(dice.below(OTHER))?;
        let library = product().root.join(".tools/allocators").join(value);
        let (name, setting) = match variable {
            "LD_PRELOAD" if library.exists() => (value, library.display().to_string()),
            "LD_PRELOAD" => return None,
            _ => (variable, value.to_owned()),
        };
        *self.allocators.entry(name).or_default() += 1;
        Some((variable, setting))
    }
}
