//! Values without quotes that stand behind the name of a secret, in text that is no source.

use std::ops::Range;

use protocol::secrets::{Secrecy, is_of_name, looks_random};

use crate::secrets::ahead::{Ahead, is_end_of_word};
use crate::secrets::literal::{Literal, escaped_quote, is_placeholder};
use crate::secrets::looks::run_of;
use crate::secrets::names::{self, Name};

/// What follows is a part of a value that looks random so far.
const LONGEST_RANDOM: usize = 500;

/// Percent-escapes that end a value: of `&`, `"`, `'`, `,`, `;`, `}`.
const ESCAPED_ENDS: &[&[u8]] = &[b"%26", b"%22", b"%27", b"%2C", b"%3B", b"%7D"];

/// Between a user and the password.
const ENDS_OF_USER: &[u8] = b":%";

/// The value of a name, such as `password=x`, `password: x`, `--password x`. The name ends at `end`.
pub(super) fn value_of(
    text: &[u8],
    end: usize,
    name: &Name,
    secrecy: &dyn Fn(&[u8]) -> Secrecy,
    ahead: &mut Ahead,
) -> Option<Range<usize>> {
    let rest = &text[end..];
    let is_space = |one: &u8| *one == b' ' || *one == b'\t';
    let spaces = rest.iter().take_while(|one| is_space(one)).count();
    let (separator, skipped) = match rest.get(spaces)? {
        b'=' if rest.get(spaces + 1) != Some(&b'=') => (b'=', spaces + 1),
        b':' if spaces == 0 && rest.get(1) != Some(&b':') => (b':', 1),
        one if name.is_option() && spaces > 0 && *one != b'-' => (b' ', spaces),
        _ => return None,
    };
    let more = rest[skipped..]
        .iter()
        .take_while(|one| is_space(one))
        .count();
    let start = end + skipped + more;
    let value = &text[start..];
    // Text in quotes is looked at where it stands.
    if value.first().is_none_or(|one| b"'\"([{<\r\n".contains(one)) && !value.starts_with(b"{")
        || escaped_quote(value).is_some()
    {
        return None;
    }
    if name.is_user_option() && separator != b':' {
        return password_of_option(text, start, ahead);
    }
    let secrecy = match name.secrecy(secrecy) {
        Secrecy::Open => return None,
        // `?sig=x`
        Secrecy::IfRandom if name.text == b"sig" && is_in_query(text, end - 3) => Secrecy::Hidden,
        secrecy => secrecy,
    };
    // In `PWD=$PWD=$…` each value reaches to the end: its beginning tells.
    if names::is_directory(name.text, &value[..value.len().min(2)]) {
        return None;
    }
    if secrecy == Secrecy::IfRandom {
        // Random values have digits: in `key=key=…` each would be read to the bound.
        let at = ahead.digit.from(start, || {
            run_of(value, |one| one.is_ascii_digit() || is_end_of_word(one))
        });
        if at - start >= LONGEST_RANDOM || !text.get(at)?.is_ascii_digit() {
            return None;
        }
    }
    let is_header = name.is_header();
    let is_next = |rest: &[u8]| {
        let length = run_of(rest, |one| !is_of_name(one));
        rest.is_empty() || (length > 0 && matches!(rest.get(length), Some(b'=' | b':')))
    };
    let (value, behind) = match secrecy {
        Secrecy::IfRandom => value.split_at(value.len().min(LONGEST_RANDOM)),
        _ => (value, &[][..]),
    };
    let (mut length, mut in_call) = (0, false);
    while let Some(&one) = value.get(length) {
        let ends = match one {
            b'\r' | b'\n' => true,
            b'}' if value.starts_with(b"{") => {
                length += 1;
                true
            }
            _ if is_header && separator != b' ' => false,
            b'&' | b';' | b',' => is_next(value[length + 1..].trim_ascii_start()),
            // `str('x')`
            b'\'' | b'"' if value[..length].ends_with(b"(") => {
                length = Literal::at(value, length).end;
                in_call = true;
                continue;
            }
            b')' if in_call => {
                length += 1;
                true
            }
            b'\'' | b'"' => true,
            b'>' | b')' | b']' | b'}' => {
                let follows = value.get(length + 1);
                follows.is_none_or(|next| b", '\"\r\n".contains(next))
            }
            _ => one.is_ascii_whitespace(),
        };
        if ends {
            break;
        }
        length += 1;
    }
    let value = &value[..length.min(value.len())];
    let looks_secret = value.len() >= 12 || value.iter().any(u8::is_ascii_digit);
    let is_secret = match secrecy {
        Secrecy::Open => false,
        Secrecy::IfRandom => looks_random(value),
        // `session: closed` is no secret.
        Secrecy::IfText => separator != b':' || looks_secret,
        Secrecy::Hidden => true,
    };
    if !is_secret || value.is_empty() || is_placeholder(value) {
        return None;
    }
    let more = match value.len() {
        LONGEST_RANDOM => run_of(behind, |one| is_end_of_word(one) || one == b'&'),
        _ => 0,
    };
    Some(start..start + value.len() + more)
}

/// Whether a name that begins here is that of a parameter in an address.
fn is_in_query(text: &[u8], start: usize) -> bool {
    matches!(text[..start].last(), Some(b'?' | b'&'))
}

/// The password in `USER:PASSWORD`, or `USER%PASSWORD` as Samba writes it. `1000:1000` and `C:\x` have none.
pub(super) fn password_of_user(text: &[u8]) -> Option<Range<usize>> {
    let at = text.iter().position(|one| ENDS_OF_USER.contains(one))?;
    is_password(&text[..at], &text[at + 1..]).then(|| at + 1..text.len())
}

/// The same in a word that begins here. In `-u=-u=…` all words have the same end, and the same password.
fn password_of_option(text: &[u8], start: usize, ahead: &mut Ahead) -> Option<Range<usize>> {
    let is_end = |one| ENDS_OF_USER.contains(&one) || is_end_of_word(one);
    let at = ahead.user.from(start, || run_of(&text[start..], is_end));
    if !ENDS_OF_USER.contains(text.get(at)?) {
        return None;
    }
    let end = ahead.word.from(at, || run_of(&text[at..], is_end_of_word));
    is_password(&text[start..at], &text[at + 1..end]).then(|| at + 1..end)
}

fn is_password(user: &[u8], password: &[u8]) -> bool {
    let is_path =
        user.starts_with(b"/") || password.starts_with(b"/") || password.starts_with(b"\\");
    let is_number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let are_numbers = || is_number(user) && is_number(password);
    !password.is_empty() && !is_path && !are_numbers() && !is_placeholder(password)
}

/// The value of a name that ends at `end` where both are escaped as in an address: `password%3Dx`,
/// `%22password%22%3A%22x%22`.
pub(super) fn escaped_value(
    text: &[u8],
    word: Range<usize>,
    secrecy: &dyn Fn(&[u8]) -> Secrecy,
) -> Option<Range<usize>> {
    let without = |rest: &[u8], escapes: &[&[u8]]| {
        let mut escapes = escapes.iter();
        let is_here = |escape: &&&[u8]| {
            let place = rest.get(..3);
            place.is_some_and(|place| place.eq_ignore_ascii_case(escape))
        };
        escapes.find(is_here).map_or(0, |_| 3)
    };
    let mut start = word.end;
    start += without(&text[start..], &[b"%22", b"%27"]);
    match without(&text[start..], &[b"%3D", b"%3A"]) {
        0 => return None,
        escape => start += escape,
    }
    start += without(&text[start..], &[b"%20"]);
    start += without(&text[start..], &[b"%22", b"%27"]);
    let name = match text[..word.start].ends_with(b"%") {
        true => word.start + 2..word.end,
        false => word,
    };
    let name = Name::of(text.get(name)?, false);
    if name.secrecy(secrecy) <= Secrecy::IfRandom {
        return None;
    }
    let value = &text[start..];
    // Whichever end is the first: what lies behind it is read where it stands.
    let ends = |at: &usize| {
        let one = value[*at];
        let is_escaped = |place: &[u8]| {
            let mut ends = ESCAPED_ENDS.iter();
            ends.any(|end| place.eq_ignore_ascii_case(end))
        };
        let is_end = is_end_of_word(one) || one == b'&';
        is_end || (one == b'%' && value.get(*at..*at + 3).is_some_and(is_escaped))
    };
    let length = (0..value.len()).find(ends).unwrap_or(value.len());
    (length > 0).then(|| start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_password_of_a_user() {
        for (text, password) in [
            ("bob:x", Some("x")),
            ("bob:1234", Some("1234")),
            ("bob:a:b", Some("a:b")),
            ("dom%x", Some("x")),
            ("bob", None),
            ("bob:", None),
            ("1000:1000", None),
            ("http://h", None),
            ("/run/x:y", None),
            (r"C:\x", None),
            ("u:%s", None),
        ] {
            let found = password_of_user(text.as_bytes()).map(|found| &text[found]);
            assert_eq!(found, password, "{text}");
        }
    }
}
