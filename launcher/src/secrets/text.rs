//! Secrets in text: in lines of source, in values as `repr` writes them, in command lines, in addresses of
//! servers, in headers.
//!
//! Two things make a secret: a name that stands before it ([`crate::secrets::names`]), or how it looks
//! ([`crate::secrets::looks`]). The text is read once, and what stands in quotes once more.

use std::ops::Range;

use protocol::secrets::{NAMING, Secrecy, is_key_of, is_name, is_of_name, looks_random};

use crate::secrets::ahead::{Ahead, is_end_of_word};
use crate::secrets::bare;
use crate::secrets::before::Before;
use crate::secrets::expression::Expression;
use crate::secrets::foreign;
use crate::secrets::forms;
use crate::secrets::literal::{Literal, escaped_quote, is_placeholder};
use crate::secrets::looks::{by_its_looks, run_of};
use crate::secrets::names::{self, Name};

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A program's source: only what stands in quotes can be a secret.
    Source,
    /// Anything else: a value, an argument, what stands within quotes.
    Data,
}

/// What finds secrets.
pub(super) struct Finder<'a> {
    /// How far the value of a name is hidden.
    pub(super) secrecy: &'a dyn Fn(&[u8]) -> Secrecy,
    /// Takes the places of secrets, in their order.
    pub(super) hide: &'a mut dyn FnMut(Range<usize>),
}

/// Text within quotes within quotes, and so on, is only looked at so deep.
const DEEPEST: usize = 3;

/// So far an address reaches. What has no end before is a password still.
const LONGEST_ADDRESS: usize = 4096;

/// Words that may be the second half of a name.
const SECOND_HALVES: &[&str] = &["key", "keys", "word", "phrase"];

/// The first half is at most so long.
const LONGEST_FIRST_HALF: usize = 20;

impl Finder<'_> {
    /// Finds the secrets in a text.
    pub(super) fn find(&mut self, text: &[u8], kind: Kind) {
        let whole = 0..text.len();
        self.part(text, whole, kind, 0);
    }

    fn part(&mut self, text: &[u8], part: Range<usize>, kind: Kind, depth: usize) {
        let mut scan = Scan {
            text: &text[..part.end],
            at: part.start,
            kind,
            depth,
            before: Before::default(),
            ahead: Ahead::default(),
            expression: Expression::default(),
            names_one: false,
        };
        scan.names_one = depth == 0 && self.names_a_secret(scan.text, part.start);
        while scan.at < scan.text.len() {
            self.token(&mut scan);
        }
    }

    /// Whether the text has `'name': 'password'` somewhere, or the like: then a `'value'` is a secret.
    fn names_a_secret(&self, text: &[u8], start: usize) -> bool {
        let mut at = start;
        let mut is_naming = false;
        while at < text.len() {
            match text[at] {
                b'\'' | b'"' => {
                    let literal = Literal::at(text, at);
                    let content = &text[literal.content.clone()];
                    if is_naming && is_name(content) && (self.secrecy)(content) > Secrecy::IfRandom
                    {
                        return true;
                    }
                    let rest = text[literal.end..].trim_ascii_start();
                    is_naming = is_key_of(content, NAMING) && rest.starts_with(b":");
                    at = literal.end;
                }
                b':' | b' ' | b'u' | b'b' => at += 1,
                _ => {
                    is_naming = false;
                    at += 1;
                }
            }
        }
        false
    }

    /// Looks at what stands at the present place, and goes behind it.
    fn token(&mut self, scan: &mut Scan) {
        let text = scan.text;
        let one = text[scan.at];
        match one {
            _ if is_of_name(one) => self.word(scan),
            b'\'' | b'"' => {
                let literal = Literal::at(text, scan.at);
                self.literal(scan, scan.at, literal);
            }
            b'\\' | 0x80.. if scan.kind == Kind::Data => self.escape(scan),
            b'\\' => scan.at = (scan.at + 2).min(text.len()),
            _ => {
                scan.at += 1;
                if scan.kind == Kind::Source && !one.is_ascii_whitespace() {
                    let next = text.get(scan.at).copied().unwrap_or_default();
                    let before = &scan.before;
                    scan.expression.separator([one, next], before, self.secrecy);
                }
                scan.before.separator(one);
            }
        }
    }

    /// A character that is escaped, or not of ASCII.
    fn escape(&mut self, scan: &mut Scan) {
        let (text, at) = (scan.text, scan.at);
        let is_letter = text[at] != b'\\' || matches!(text.get(at + 1), Some(b'u' | b'x'));
        if is_letter && let Some(word) = foreign::word_at(text, at) {
            scan.at = word.end;
            let name = Name {
                text: b"password",
                quoted: false,
            };
            return self.named(scan, word.end, name);
        }
        if text[at] != b'\\' {
            scan.at += 1;
            return scan.before.separator(text[at]);
        }
        let endless = &mut scan.ahead.endless;
        let quote = escaped_quote(&text[at..]).filter(|quote| !endless.contains(quote));
        match quote.and_then(|_| Literal::escaped_at(text, at)) {
            Some(literal) => self.literal(scan, at, literal),
            None => {
                endless.extend(quote);
                scan.at = (at + 2).min(text.len());
            }
        }
    }

    /// Text in quotes; `start` is where it begins, with its prefix, such as `u`.
    fn literal(&mut self, scan: &mut Scan, start: usize, literal: Literal) {
        scan.at = literal.end;
        let content = &scan.text[literal.content.clone()];
        let follows = scan.text[literal.end..].trim_ascii_start();
        if scan.hides_literal(content, follows, self.secrecy) {
            (self.hide)(start..literal.end);
            scan.before.was_hidden();
            return;
        }
        let is_of_user = scan.before.name.is_user_option()
            && matches!(scan.before.separators(), b"" | b"," | b"=");
        match bare::password_of_user(content).filter(|_| is_of_user) {
            Some(password) => {
                let start = literal.content.start;
                (self.hide)(start + password.start..start + password.end);
            }
            None if scan.depth < DEEPEST => {
                self.part(
                    scan.text,
                    literal.content.clone(),
                    Kind::Data,
                    scan.depth + 1,
                );
            }
            None => {}
        }
        scan.before.name(Name::of(content, true));
    }

    /// A run of characters that names consist of.
    fn word(&mut self, scan: &mut Scan) {
        let (text, start) = (scan.text, scan.at);
        let rest = &text[start..];
        let length = rest.iter().take_while(|&&one| is_of_name(one)).count();
        let word = &rest[..length];
        let end = start + length;
        scan.at = end;
        if let Some(secret) = by_its_looks(text, start..end, &mut scan.ahead) {
            scan.at = secret.end.max(end);
            return (self.hide)(secret);
        }
        if text[end..].starts_with(b"://") {
            return self.address(scan);
        }
        let is_prefix = word.len() <= 2 && word.iter().all(|one| b"uUbBrR".contains(one));
        if is_prefix && text.get(end).is_some_and(|one| b"'\"".contains(one)) {
            return self.literal(scan, start, Literal::at(text, end));
        }
        if scan.kind == Kind::Source {
            return scan.before.name(Name::of(word, false));
        }
        let secret = match text.get(end) {
            Some(b'%') => bare::escaped_value(text, start..end, self.secrecy),
            _ => forms::secret_behind(text, start..end, self.secrecy, &mut scan.ahead),
        };
        match secret {
            Some(secret) => self.hide_behind(scan, secret),
            None => self.named(scan, end, name_at(text, start..end)),
        }
    }

    /// A name in text that is no source, which ends here.
    fn named<'a>(&mut self, scan: &mut Scan<'a>, end: usize, name: Name<'a>) {
        match bare::value_of(scan.text, end, &name, self.secrecy, &mut scan.ahead) {
            Some(secret) => self.hide_behind(scan, secret),
            None => scan.before.name(name),
        }
    }

    fn hide_behind(&mut self, scan: &mut Scan, secret: Range<usize>) {
        scan.at = secret.end;
        (self.hide)(secret);
        scan.before = Before::default();
    }

    /// `://USER:PASSWORD@`, at the present place.
    fn address(&mut self, scan: &mut Scan) {
        let text = scan.text;
        let start = scan.at + 3;
        scan.at = start;
        scan.before = Before::default();
        let rest = &text[start..];
        // This ends before the next address begins.
        let is_end = |one| is_end_of_word(one) || b"/?#".contains(&one);
        let authority = &rest[..run_of(rest, is_end)];
        let Some(colon) = authority.iter().position(|&one| one == b':') else {
            return;
        };
        let last_at = |part: &[u8]| part.iter().rposition(|&one| one == b'@');
        let is_port = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        let end = match last_at(authority) {
            Some(at) if at > colon => at,
            // `http://host:80/a@b` has none; a password may have characters that should have been escaped.
            _ if is_port(&authority[colon + 1..]) || authority[colon + 1..].starts_with(b"%") => {
                return;
            }
            _ if authority[..colon].starts_with(b"[") => return,
            // Without an end the text has been cut, which may be within the password.
            _ if authority.len() >= LONGEST_ADDRESS
                || rest
                    .get(authority.len())
                    .is_none_or(|&one| is_end_of_word(one)) =>
            {
                authority.len()
            }
            _ => {
                let from = start + authority.len();
                let is_end = |one| one == b'@' || is_end_of_word(one);
                let next = scan
                    .ahead
                    .at_sign
                    .from(from, || run_of(&text[from..], is_end));
                if text.get(next) != Some(&b'@') || next - start >= LONGEST_ADDRESS {
                    return;
                }
                let rest = &rest[..rest.len().min(LONGEST_ADDRESS)];
                // The last one: until here no address has one behind it.
                match last_at(&rest[..run_of(rest, is_end_of_word)]) {
                    Some(at) if at > colon => at,
                    _ => return,
                }
            }
        };
        let password = &rest[colon + 1..end];
        scan.at = start + end;
        if !password.is_empty() && !is_placeholder(password) {
            (self.hide)(start + colon + 1..start + end);
        }
    }
}

/// A word as a name, with the one before it if they make one name together: `api key`, `pass word`.
fn name_at(text: &[u8], word: Range<usize>) -> Name<'_> {
    let second = &text[word.clone()];
    let is_half = matches!(second.len(), 3..=6) && is_key_of(second, SECOND_HALVES);
    let Some(before) = text[..word.start].strip_suffix(b" ").filter(|_| is_half) else {
        return Name::of(second, false);
    };
    let before = &before[before.len().saturating_sub(LONGEST_FIRST_HALF)..];
    let length = before.iter().rev().take_while(|&&one| is_of_name(one));
    Name {
        text: &text[word.start - 1 - length.count()..word.end],
        quoted: false,
    }
}

/// Where a text is being read.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    kind: Kind,
    depth: usize,
    before: Before<'a>,
    ahead: Ahead,
    /// What is assigned to a name here, in source.
    expression: Expression<'a>,
    /// Whether a name of a secret stands in it as a value, as in `{'name': 'password'}`.
    names_one: bool,
}

impl Scan<'_> {
    /// Whether text in quotes is a secret by what stands before it.
    fn hides_literal(
        &mut self,
        content: &[u8],
        follows: &[u8],
        secrecy: &dyn Fn(&[u8]) -> Secrecy,
    ) -> bool {
        let before = &self.before;
        let separators = before.separators();
        if content.is_empty() || is_placeholder(content) {
            return false;
        }
        if self.kind == Kind::Source && self.expression.hides(content, follows, secrecy) {
            return true;
        }
        if before.hidden {
            // `'a' 'b'`, `'a' + 'b'`, and lists.
            return matches!(separators, b"" | b"+") || (before.in_list && separators == b",");
        }
        let name = before.name;
        let assigned = matches!(
            separators,
            b"=" | b"==" | b"!=" | b":" | b"]=" | b"=(" | b"=[" | b":[" | b":(" | b"+="
        );
        if assigned && self.names_one && name.is_named() {
            return true;
        }
        // SQL's `PASSWORD 'x'`.
        let of_sql = separators.is_empty() && !name.quoted && self.kind == Kind::Data;
        let may_be_one = assigned
            || (separators == b"," && name.quoted && name.is_one_word())
            || (separators == b"(" && !name.quoted)
            || (of_sql && is_key_of(name.text, &["password", "passwd"]));
        if !may_be_one {
            return false;
        }
        let its_secrecy = name.secrecy(secrecy);
        match its_secrecy {
            Secrecy::Open => return false,
            Secrecy::IfRandom if !looks_random(content) => return false,
            _ => {}
        }
        let is_pair = || {
            matches!(before.opened_by, b'(' | b'[')
                && matches!(follows, [b')' | b']', ..] | [b',', b')' | b']', ..])
                && (!is_name(content) || secrecy(content) <= Secrecy::IfRandom)
        };
        match separators {
            _ if assigned || of_sql => !names::is_directory(name.text, content),
            b"," if name.is_option() => !content.starts_with(b"-"),
            b"," => is_pair(),
            _ => !name.asks() && its_secrecy == Secrecy::Hidden,
        }
    }
}
