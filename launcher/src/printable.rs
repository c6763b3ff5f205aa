//! Text of others' (file names, arguments, messages) in one line that does nothing to a terminal.

use std::fmt::{self, Write};

/// Shows its text with every control character escaped.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_what_can_be_seen() {
        let text = Printable("a\nb\t\x1b[31mé\u{9b}");
        assert_eq!(text.to_string(), r"a\nb\t\u{1b}[31mé\u{9b}");
    }
}
