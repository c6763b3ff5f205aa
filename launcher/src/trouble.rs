//! What went wrong and what the user can do about it: one line.

use std::fmt;

/// An error as the user reads it: `what happened; what to do next`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    what: String,
    next: Option<String>,
}

impl Trouble {
    /// What happened, and what to do about it.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: Some(next.into()),
        }
    }

    /// What happened, where nothing can be advised.
    pub fn plain(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // File names and other programs' messages may hold anything; an error is one line.
        let line = match &self.next {
            Some(next) => format!("{}; {next}", self.what),
            None => self.what.clone(),
        };
        for character in line.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Trouble {}

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
