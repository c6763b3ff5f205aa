//! How programs that were started without the agent get it: by `sa-load`, which is also killed at times.

use crate::cores::Core;
use crate::dice::Dice;
use crate::said::Said;
use crate::ways::{PATIENCE, ended_within};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;
use tests::ask::loader;
use tests::process::Program;
use tests::product::product;

/// One load in so many is begun by a command that is killed.
const KILLED: usize = 5;

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
        if kills && dice.below(KILLED) == 0 {
            let mut killed = Program::start_without_input(&mut loader([pid]));
            thread::sleep(dice.moment(LONGEST_LIFE));
            killed.signal(libc::SIGKILL);
            killed.end_within(PATIENCE);
            self.killed += 1;
        }
        let command = loader(["--verbose".to_owned(), pid.to_string()]);
        let ended = ended_within(PATIENCE, command, core)?;
        let (out, err) = (ended.out(), ended.err());
        let strange = || {
            format!(
                "sa-load: {}\n--- stdout\n{out}\n--- stderr\n{err}",
                ended.status
            )
        };
        if !out.is_empty() {
            return Err(strange());
        }
        let beginning = format!("sa-load: {pid}: ");
        let mut lines = err.lines().map(|line| line.strip_prefix(&beginning));
        match (ended.status.code(), lines.next().flatten()) {
            (Some(0), Some(account)) => {
                self.note(account).ok_or_else(strange)?;
                Ok(None)
            }
            (Some(1), Some(first)) => {
                let reason = lines.next().flatten().unwrap_or(first);
                Ok(Some(Said::refused(reason)))
            }
            _ => Err(strange()),
        }
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
