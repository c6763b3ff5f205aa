//! Foreign text (file names, arguments, messages) as one line without effect on a terminal.

use std::fmt;

/// Shows its text with every control character escaped.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        // Nearly every text is plain, and this check takes many bytes at a time.
        if rest
            .bytes()
            .fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
        {
            return f.write_str(rest);
        }
        // Long runs between control characters are written in one piece.
        while let Some(at) = rest.find(char::is_control) {
            let (before, after) = rest.split_at(at);
            let mut after = after.chars();
            f.write_str(before)?;
            if let Some(control) = after.next() {
                write!(f, "{}", control.escape_default())?;
            }
            rest = after.as_str();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn escapes_control_characters() {
        let text = Printable("a\nb\t\x1b[31mé\u{9b}");
        assert_eq!(text.to_string(), r"a\nb\t\u{1b}[31mé\u{9b}");
    }
}
