//! The extent of a run: the short form, the full form, or the comparison alone.

use crate::header::Life;
use crate::ways::Way;
use launcher::options::Via;
use std::path::PathBuf;
use std::time::Duration;
use tests::product::product;

/// Environment variable: `full`, `direct`, or unset for the short form.
const FORM: &str = "SLEEPER_TORTURE";

/// Environment variable: how many activations the full form makes through each way in.
const ACTIVATIONS: &str = "SLEEPER_TORTURE_ACTIVATIONS";

/// Environment variable: the seed of an earlier run, to repeat its moments.
const SEED: &str = "SLEEPER_TORTURE_SEED";

/// The form of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// A little of everything.
    Short,
    /// Enough activations to show the loss of one in thousands.
    Full,
    /// The direct way alone.
    Direct,
}

/// A trial's share of the run.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// The trial is done after this many activations,
    pub activations: u64,
    /// or after this many starts,
    pub starts: u64,
    /// or after this time.
    pub longest: Duration,
    /// The way in, if the runner itself asks, without a command.
    pub from_within: Option<Via>,
}

/// The remaining work of all trials of a way in, in the full form.
#[derive(Clone, Copy, Debug)]
pub struct Pot {
    /// The activations still to be made.
    pub activations: u64,
    /// The trials that have not begun yet.
    pub trials: u64,
}

/// The extent of a run.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Its form.
    pub form: Form,
    /// The seed of its random numbers.
    pub seed: u64,
    wanted: Option<u64>,
}

/// How often a brief program is asked, at most, through a way in by which the runner itself asks
/// steady programs: a start takes a hundred times as long as a question.
const BRIEF: u64 = 60;

/// How long a trial of such a way in may take: some programs keep the GIL for seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// How often the short form asks a steady program, in one start, and a brief program, in at most
/// `SHORT_STARTS` starts.
const SHORT_STEADY: u64 = 5;
const SHORT_BRIEF: u64 = 18;
const SHORT_STARTS: u64 = 6;

/// How often the short form loads into a program, each time in a start of its own.
const SHORT_LOADS: u64 = 2;

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
    /// The extent that the environment variables choose.
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

    /// The name of this form.
    pub fn title(&self) -> &'static str {
        match self.form {
            Form::Short => "The torture suite, short form",
            Form::Full => "The torture suite",
            Form::Direct => "The torture suite, the direct way alone",
        }
    }

    /// The file for its table.
    pub fn table(&self) -> PathBuf {
        let name = match self.form {
            Form::Short => "torture-short.md",
            Form::Full => "torture.md",
            Form::Direct => "torture-direct.md",
        };
        product().target.join(name)
    }

    /// How many activations all trials of a way in together must make at least, if there is such a
    /// number.
    pub fn wanted(&self, way: &Way) -> Option<u64> {
        let wanted = self.wanted.unwrap_or(way.activations);
        (self.form == Form::Full).then_some(wanted)
    }

    /// The work of a way in before the first of this many trials has begun.
    pub fn pot(&self, way: &Way, trials: u64) -> Pot {
        let activations = self.wanted(way).unwrap_or(0);
        Pot {
            activations,
            trials,
        }
    }

    /// The share of the next trial.
    pub fn share(&self, way: &Way, pot: &mut Pot, life: Life) -> Share {
        let even = pot.activations.div_ceil(pot.trials.max(1));
        pot.trials = pot.trials.saturating_sub(1);
        if self.form != Form::Full {
            return Share {
                activations: match (way.loads, life) {
                    (true, _) => SHORT_LOADS,
                    (false, Life::Steady) => SHORT_STEADY,
                    (false, Life::Brief) => SHORT_BRIEF,
                },
                starts: SHORT_STARTS,
                longest: Duration::MAX,
                from_within: None,
            };
        }
        let (activations, longest) = match (way.from_within, life) {
            (None, _) => (even, Duration::MAX),
            (Some(_), Life::Brief) => (even.min(BRIEF), Duration::MAX),
            // Twice as many, for the trials that cannot make theirs.
            (Some(_), Life::Steady) => (2 * even, LONGEST),
        };
        Share {
            activations,
            // A brief program may end before it is asked at all.
            starts: 5 * activations + 20,
            longest,
            from_within: way.from_within.filter(|_| life == Life::Steady),
        }
    }

    /// Whether a program is asked through a way in on a build, each given by its index. The short form
    /// chooses a different build for each way in.
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
