//! Text in quotes.

use std::ops::Range;

/// More backslashes before a quote are not counted.
const MOST_ESCAPES: usize = 8;

/// Longer values stand for nothing that is put in later.
const LONGEST_PLACEHOLDER: usize = 500;

/// So many stars or dots stand for a secret, and not more.
const LONGEST_MASK: usize = 100;

/// Text in quotes.
pub(super) struct Literal {
    /// Between the quotes.
    pub(super) content: Range<usize>,
    /// Behind the last quote.
    pub(super) end: usize,
}

impl Literal {
    /// The one whose first quote is here. It may have no end.
    pub(super) fn at(text: &[u8], start: usize) -> Literal {
        let quote = text[start];
        let triple = text[start..].starts_with(&[quote; 3]);
        let width = if triple { 3 } else { 1 };
        let first = (start + width).min(text.len());
        let mut at = first;
        while at < text.len() {
            match text[at] {
                b'\\' => at += 2,
                _ if text[at..].starts_with(&[quote; 3][..width]) => {
                    return Literal {
                        content: first..at,
                        end: at + width,
                    };
                }
                _ => at += 1,
            }
        }
        Literal {
            content: first..text.len(),
            end: text.len(),
        }
    }

    /// The one whose first quote is escaped, by backslashes that begin here, as in `{\"name\": \"x\"}`; `None`
    /// if it has no end.
    pub(super) fn escaped_at(text: &[u8], start: usize) -> Option<Literal> {
        let (escapes, quote) = escaped_quote(&text[start..])?;
        let first = start + escapes + 1;
        let mut before = 0;
        for (at, &one) in text.iter().enumerate().skip(first) {
            match one {
                b'\\' => before += 1,
                _ if one == quote && before == escapes => {
                    return Some(Literal {
                        content: first..at - escapes,
                        end: at + 1,
                    });
                }
                _ => before = 0,
            }
        }
        None
    }
}

/// The quote that a text begins with, behind some backslashes, and how many these are.
pub(super) fn escaped_quote(text: &[u8]) -> Option<(usize, u8)> {
    let escapes = text.iter().take(MOST_ESCAPES + 1);
    let escapes = escapes.take_while(|&&one| one == b'\\').count();
    match text.get(escapes) {
        Some(&quote @ (b'\'' | b'"')) if (1..=MOST_ESCAPES).contains(&escapes) => {
            Some((escapes, quote))
        }
        _ => None,
    }
}

/// Whether this stands for a value that is put in later, or has been hidden.
pub(super) fn is_placeholder(text: &[u8]) -> bool {
    match text {
        [b'%', b's' | b'r' | b'd'] => true,
        [b'%', b'(', .., b's'] | [b'{', .., b'}'] | [b'$', b'{', .., b'}'] => {
            text.len() <= LONGEST_PLACEHOLDER
        }
        b"<hidden>" | b"None" | b"null" => true,
        _ => text.len() <= LONGEST_MASK && text.iter().all(|&one| one == b'*' || one == b'.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_escaped_text() {
        for (text, content) in [
            (r#"\"a\" b"#, Some("a")),
            (r#"\\"a\" \\\" b\\" c"#, Some(r#"a\" \\\" b"#)),
            (r#"\'it"s\'"#, Some(r#"it"s"#)),
            (r#"\"a"#, None),
            (r#"\n"a""#, None),
            (r#""a""#, None),
            (r"\", None),
        ] {
            let found = Literal::escaped_at(text.as_bytes(), 0);
            assert_eq!(found.map(|one| &text[one.content]), content, "{text}");
        }
    }
}
