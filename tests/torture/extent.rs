//! How much is done: the short form, the full one, or the comparison alone.

use crate::header::Life;
use crate::ways::Way;
use launcher::options::Via;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::product::product;

/// Environment variable: `full`, `direct`, or nothing for the short form.
const FORM: &str = "SLEEPER_TORTURE";

/// Environment variable: how many activations the full form makes by each way in.
const ACTIVATIONS: &str = "SLEEPER_TORTURE_ACTIVATIONS";

/// Environment variable: the seed of another run, to have its moments again.
const SEED: &str = "SLEEPER_TORTURE_SEED";

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// A little of everything.
    Short,
    /// So many activations that losing one in thousands shows.
    Full,
    /// The direct way alone.
    Direct,
}

/// How much a trial does.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// It is done after so many activations,
    pub activations: u64,
    /// or after so many starts,
    pub starts: u64,
    /// or after so long.
    pub longest: Duration,
    /// How it is asked from within the runner, if it is.
    pub from_within: Option<Via>,
}

/// What all trials of a way in have to do together, in the full form.
#[derive(Clone, Copy, Debug)]
pub struct Pot {
    /// So many activations have not been made yet.
    pub activations: u64,
    /// So many trials have not begun yet.
    pub trials: u64,
}

/// How much a run does.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// What it does.
    pub form: Form,
    /// Where random numbers begin.
    pub seed: u64,
    wanted: Option<u64>,
}

/// How often a brief program is asked, at the most, in a way in that has steady ones asked from
/// within: to start it takes a hundred times as long as to ask.
const BRIEF: u64 = 60;

/// How long a trial of such a way may take: some programs let nobody have the GIL for seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// In the short form a steady program is asked so often, in one start; and a brief one, in so many
/// starts.
const SHORT_STEADY: u64 = 5;
const SHORT_BRIEF: u64 = 18;
const SHORT_STARTS: u64 = 6;

fn number(variable: &str) -> Result<Option<u64>, String> {
    match std::env::var(variable) {
        Ok(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(format!("{variable} is not a positive number: {text}")),
        },
        Err(_) => Ok(None),
    }
}

impl Extent {
    /// As the environment says.
    pub fn from_environment() -> Result<Extent, String> {
        let form = match std::env::var(FORM).as_deref() {
            Err(_) | Ok("" | "short") => Form::Short,
            Ok("full") => Form::Full,
            Ok("direct") => Form::Direct,
            Ok(other) => return Err(format!("{FORM} is none of short, full, direct: {other}")),
        };
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let now = now.unwrap_or_default().as_nanos() as u64 % 1_000_000;
        Ok(Extent {
            form,
            seed: number(SEED)?.unwrap_or(now),
            wanted: number(ACTIVATIONS)?,
        })
    }

    /// What this form is called.
    pub fn title(&self) -> &'static str {
        match self.form {
            Form::Short => "The torture suite, short form",
            Form::Full => "The torture suite",
            Form::Direct => "The torture suite, the direct way alone",
        }
    }

    /// Where its table is written.
    pub fn table(&self) -> PathBuf {
        let name = match self.form {
            Form::Short => "torture-short.md",
            Form::Full => "torture.md",
            Form::Direct => "torture-direct.md",
        };
        // The library is in TARGET/release.
        let target = product().library.ancestors().nth(2);
        target.unwrap_or(Path::new("")).join(name)
    }

    /// How many activations all trials together make by a way in at the least, if that is
    /// promised.
    pub fn wanted(&self, way: &Way) -> Option<u64> {
        let wanted = self.wanted.unwrap_or(way.activations);
        (self.form == Form::Full).then_some(wanted)
    }

    /// What is wanted of a way in, before the first of so many trials has begun.
    pub fn pot(&self, way: &Way, trials: u64) -> Pot {
        let activations = self.wanted(way).unwrap_or(0);
        Pot {
            activations,
            trials,
        }
    }

    /// The part of the next trial.
    pub fn share(&self, way: &Way, pot: &mut Pot, life: Life) -> Share {
        let even = pot.activations.div_ceil(pot.trials.max(1));
        pot.trials = pot.trials.saturating_sub(1);
        if self.form != Form::Full {
            return Share {
                activations: match life {
                    Life::Steady => SHORT_STEADY,
                    Life::Brief => SHORT_BRIEF,
                },
                starts: SHORT_STARTS,
                longest: Duration::MAX,
                from_within: None,
            };
        }
        let (activations, longest) = match (way.from_within, life) {
            (None, _) => (even, Duration::MAX),
            (Some(_), Life::Brief) => (even.min(BRIEF), Duration::MAX),
            // For those that cannot do theirs.
            (Some(_), Life::Steady) => (2 * even, LONGEST),
        };
        Share {
            activations,
            // A start of a brief program may be over before it is asked at all.
            starts: 5 * activations + 20,
            longest,
            from_within: way.from_within.filter(|_| life == Life::Steady),
        }
    }

    /// Whether a program is asked by a way in on a build, all by their places in the lists. The
    /// short form chooses another build for each way.
    pub fn includes(&self, program: usize, way: usize, build: usize, builds: usize) -> bool {
        let chosen = (program + way + self.seed as usize) % builds;
        self.form == Form::Full || build == chosen
    }

    /// What a run of this form leaves out, if anything.
    pub fn leaves_out(&self, builds: usize) -> Option<String> {
        (self.form == Form::Short && builds > 1).then(|| {
            format!(
                "each program is asked by each way in on one of the {builds} builds, on others \
                 with another seed; on all with {FORM}=full"
            )
        })
    }
}
