//! The options that say which processes to ask, and how the answer is shown.

use clap::{Args, ValueEnum};
use std::time::Duration;

use protocol::question::{HIDDEN, MOST, Question, Text};

/// Which processes to ask, as the user says it.
#[derive(Args)]
pub struct Choice {
    /// Ask all programs that carry an agent: yours, or, for root, everyone's
    #[arg(long)]
    pub all: bool,

    /// Ask all programs that carry an agent among a process and its descendants
    #[arg(long, value_name = "PID", allow_negative_numbers = true)]
    pub children: Vec<String>,

    /// The processes to ask
    #[arg(
        required_unless_present_any = ["all", "children", "diff"],
        value_name = "PID",
        allow_negative_numbers = true
    )]
    pub pids: Vec<String>,
}

/// How a state is shown.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Format {
    // No help of its own for each: `--format` says it. (So these are no doc comments.)
    #[allow(missing_docs)]
    Plain,
    #[allow(missing_docs)]
    Full,
    #[allow(missing_docs)]
    Json,
}

/// A time limit, as the user types it: above 0, at most a day.
///
/// # Errors
/// What to type instead.
pub fn seconds(typed: &str) -> Result<Duration, String> {
    typed
        .parse()
        .ok()
        .filter(|seconds: &f64| *seconds > 0.0 && *seconds <= 86_400.0)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give a number of seconds, such as 10 or 0.5, at most a day".to_owned())
}

/// The time between two looks, as the user types it: at least 0.1 s.
///
/// # Errors
/// What to type instead.
pub fn interval(typed: &str) -> Result<Duration, String> {
    seconds(typed)
        .ok()
        .filter(|time| *time >= Duration::from_millis(100))
        .ok_or_else(|| "give a number of seconds, such as 2 or 0.5, at least 0.1".to_owned())
}

/// Which values are shown, and how much of them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Variables (in the formats full and json)")]
pub struct VariableOptions {
    /// Show the local variables of every frame. None of the program's code is run for it
    #[arg(long)]
    locals: bool,

    /// Show the global variables that the code of every frame names
    #[arg(long)]
    globals: bool,

    /// Show objects as their own `repr` does, which is the program's code and may do anything; else
    /// by their class, address and attributes [shows locals where nothing else is said]
    #[arg(long)]
    repr: bool,

    /// How many characters of a value are shown
    #[arg(long, value_name = "CHARACTERS", default_value_t = Question::default().length, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    value_length: u32,

    /// How many items of a container, and attributes of an object
    #[arg(long, value_name = "ITEMS", default_value_t = Question::default().items, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST)))]
    value_items: u32,

    /// How many containers within each other
    #[arg(long, value_name = "LEVELS", default_value_t = Question::default().depth, value_parser = clap::value_parser!(u32).range(0..=20))]
    value_depth: u32,

    /// Hide values under names (of variables, attributes, keys) that contain one of these
    #[arg(long, value_name = "WORD,…", default_value = HIDDEN, hide_default_value = true, value_parser = hidden)]
    secrets: Text<{ protocol::question::HIDDEN_ROOM }>,

    /// Hide none: they may be passwords
    #[arg(long, conflicts_with = "secrets")]
    show_secrets: bool,
}

impl VariableOptions {
    /// Whether any are to be shown.
    pub fn any(&self) -> bool {
        self.locals || self.globals || self.repr
    }

    /// What is asked of the agent, with this among it.
    pub fn add_to(&self, wanted: Question) -> Question {
        Question {
            locals: self.locals || (self.repr && !self.globals),
            globals: self.globals,
            repr: self.repr,
            length: self.value_length,
            items: self.value_items,
            depth: self.value_depth,
            hidden: match self.show_secrets {
                true => Text::default(),
                false => self.secrets,
            },
            ..wanted
        }
    }
}

fn hidden(typed: &str) -> Result<Text<{ protocol::question::HIDDEN_ROOM }>, String> {
    if typed.contains(char::is_control) {
        return Err("give words with commas between".to_owned());
    }
    Text::of(typed).ok_or_else(|| format!("at most {} bytes", protocol::question::HIDDEN_ROOM))
}
