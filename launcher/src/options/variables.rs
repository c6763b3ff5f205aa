//! `--locals` and its kin: which values to show, and how much of each.

use clap::Args;
use protocol::question::{HIDDEN, HIDDEN_ROOM, MOST, Question, Text};

/// Which values to show, and how much of each.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Variables (in the formats full and json)")]
pub struct VariableOptions {
    /// Show the local variables of every frame. This runs none of the program's code
    #[arg(long)]
    locals: bool,

    /// Show the global variables that the code of every frame names
    #[arg(long)]
    globals: bool,

    /// Show objects by their own `repr`, which is the program's code and may do anything; without
    /// it, by class, address and attributes [implies --locals, unless --globals is given]
    #[arg(long)]
    repr: bool,

    /// Show at most so many characters of a value
    #[arg(long, value_name = "CHARACTERS", default_value_t = Question::default().length, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    value_length: u32,

    /// Show at most so many items of a container, or attributes of an object
    #[arg(long, value_name = "ITEMS", default_value_t = Question::default().items, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST)))]
    value_items: u32,

    /// Show containers within containers down to this level
    #[arg(long, value_name = "LEVELS", default_value_t = Question::default().depth, value_parser = clap::value_parser!(u32).range(0..=20))]
    value_depth: u32,

    /// Hide the value of every name (variable, attribute, key) that contains one of these words; the
    /// word `usual` stands for what is hidden without this option
    #[arg(long, value_name = "WORD,…", default_value = HIDDEN, hide_default_value = true, value_parser = hidden)]
    secrets: Text<HIDDEN_ROOM>,

    /// Hide nothing, be it a password: no value, no literal in a line of source, no argument
    #[arg(long, conflicts_with = "secrets")]
    show_secrets: bool,
}

impl VariableOptions {
    /// Whether any values are to be shown.
    pub fn any(&self) -> bool {
        self.locals || self.globals || self.repr
    }

    /// Adds these options to a question.
    pub fn add_to(&self, question: Question) -> Question {
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
            ..question
        }
    }
}

fn hidden(typed: &str) -> Result<Text<HIDDEN_ROOM>, String> {
    if typed.contains(char::is_control) {
        return Err("give words separated by commas".to_owned());
    }
    Text::of(typed).ok_or_else(|| format!("give at most {HIDDEN_ROOM} bytes"))
}
