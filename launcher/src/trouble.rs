//! Error messages: what went wrong, and what the user can do about it, in one line.

use std::fmt;

use crate::printable::Printable;
use protocol::message::LONGEST_ANSWER;

/// The library in the process and this command do not understand each other.
pub fn of_another_version() -> Trouble {
    Trouble::new(
        "the library in this process is of another version than this command",
        "use the sleeper_agent_activate that was installed with that library, or restart the program with this one",
    )
}

/// An agent answered with what the question does not ask for: it is not the library's.
pub fn not_asked() -> Trouble {
    Trouble::new(
        "its agent answered what was not asked for, which is not believed",
        "look at the process by other means (`ps`, `gdb -p`): its agent is not what it claims to be",
    )
}

/// A large answer came too slowly.
pub fn too_slow() -> Trouble {
    Trouble::new(
        "its answer is large and came slowly, while others waited to be read",
        "ask it alone",
    )
}

/// A signal stopped this command before the answer came.
pub fn not_waited_for() -> Trouble {
    Trouble::plain("this command was told to stop before the answer came")
}

/// An error as the user reads it: `what happened; what to do next`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    what: String,
    next: Option<String>,
    of_the_debugger: bool,
}

impl Trouble {
    /// What happened, and what to do about it.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: Some(next.into()),
            of_the_debugger: false,
        }
    }

    /// What happened, if no advice helps.
    pub fn plain(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: None,
            of_the_debugger: false,
        }
    }

    /// Marks a trouble that only the debugger's way has.
    pub fn of_the_debugger(self) -> Self {
        Self {
            of_the_debugger: true,
            ..self
        }
    }

    /// Whether the other way in may succeed.
    pub fn is_the_debuggers(&self) -> bool {
        self.of_the_debugger
    }

    /// What happened, without what to do about it.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File names and other programs' messages may hold line ends; an error is one line.
        let line = match &self.next {
            Some(next) => format!("{}; {next}", self.what),
            None => self.what.clone(),
        };
        Printable(&line).fmt(f)
    }
}

impl std::error::Error for Trouble {}

/// An answer announces more bytes than are read of any.
pub fn answer_too_long(length: u64) -> Trouble {
    Trouble::new(
        format!(
            "its answer would have {length} bytes, and answers of {} MB or more are not read",
            LONGEST_ANSWER >> 20
        ),
        "ask for less (without --locals or --greenlets), or look at it by other means (`gdb -p`)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn is_one_line_whatever_it_holds() {
        let trouble = Trouble::new("no file \"a\nb\"", "look\tagain");
        assert_eq!(trouble.to_string(), r#"no file "a\nb"; look\tagain"#);
        assert_eq!(Trouble::plain("gone").to_string(), "gone");
    }
}
