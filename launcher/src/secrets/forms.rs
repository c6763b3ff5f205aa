//! Forms of text that say what is a secret in a way of their own: SQL, XML, netrc, Go's data sources.

use std::ops::Range;

use protocol::secrets::{Secrecy, is_key_of, is_of_name};

use crate::secrets::ahead::{Ahead, is_end_of_word};
use crate::secrets::literal::{Literal, escaped_quote, is_placeholder};
use crate::secrets::looks::run_of;
use crate::secrets::names::Name;

/// So far a form reaches.
const LONGEST: usize = 200;

/// So far a data source's password reaches.
const LONGEST_PASSWORD: usize = 100;

/// A secret in a form whose first word this is.
pub(super) fn secret_behind(
    text: &[u8],
    word: Range<usize>,
    secrecy: &dyn Fn(&[u8]) -> Secrecy,
    ahead: &mut Ahead,
) -> Option<Range<usize>> {
    if matches!(text[..word.start].last(), Some(b'<' | b':'))
        && let Some(secret) = of_element(text, &word, secrecy, ahead)
    {
        return Some(secret);
    }
    let name = &text[word.clone()];
    match name.len() {
        // From its beginning: in `a:b:c:…` nothing is read twice.
        _ if text.get(word.end) == Some(&b':') && !text[..word.start].ends_with(b":") => {
            of_data_source(text, word.end)
        }
        10 if name.eq_ignore_ascii_case(b"identified") => identified_by(text, word.end),
        5 if name == b"login" => of_netrc(text, word.end),
        7 if name == b"machine" => of_netrc(text, word.end),
        _ => None,
    }
}

/// `IDENTIFIED BY 'x'`, `IDENTIFIED WITH plugin BY 'x'`, `IDENTIFIED BY x`.
fn identified_by(text: &[u8], start: usize) -> Option<Range<usize>> {
    let text = &text[..text.len().min(start + LONGEST)];
    let (mut at, mut is_next) = (start, false);
    loop {
        at += run_of(&text[at..], |one| !one.is_ascii_whitespace());
        let literal = match text.get(at)? {
            b'\'' | b'"' => Some(Literal::at(text, at)),
            _ if escaped_quote(&text[at..]).is_some() => Some(Literal::escaped_at(text, at)?),
            _ => None,
        };
        let length = run_of(&text[at..], |one| !is_of_name(one));
        let end = match &literal {
            Some(literal) => literal.end,
            None => at + length,
        };
        if end == at {
            return None;
        }
        let word = &text[at..end];
        let leads = is_key_of(word, &["by", "as", "using", "password"]);
        let is_value = literal.is_some() || text[..start].ends_with(b"IDENTIFIED");
        if is_next && !leads && is_value {
            let content = literal.map_or(word, |literal| &text[literal.content]);
            return (!is_placeholder(content)).then_some(at..end);
        }
        (at, is_next) = (end, leads);
    }
}

/// `machine h login bob password x`: the words come in pairs.
fn of_netrc(text: &[u8], end: usize) -> Option<Range<usize>> {
    let text = &text[..text.len().min(end + LONGEST)];
    let mut at = end;
    let mut word = || {
        at += run_of(&text[at..], |one| !one.is_ascii_whitespace());
        let length = run_of(&text[at..], is_end_of_word);
        at += length;
        (length > 0).then_some(at - length..at)
    };
    word()?;
    while let (Some(name), Some(value)) = (word(), word()) {
        if matches!(&text[name], b"password" | b"passwd") {
            return Some(value);
        }
    }
    None
}

/// `USER:PASSWORD@tcp(HOST)/DATABASE`; the user ends at `end`.
fn of_data_source(text: &[u8], end: usize) -> Option<Range<usize>> {
    let rest = &text[end + 1..text.len().min(end + LONGEST_PASSWORD)];
    let run = &rest[..run_of(rest, |one| is_end_of_word(one) || one == b'(')];
    let at = run.iter().rposition(|&one| one == b'@')?;
    let protocol = &run[at + 1..];
    let is_one = rest.get(run.len()) == Some(&b'(')
        && !protocol.is_empty()
        && protocol.iter().all(u8::is_ascii_alphanumeric);
    (is_one && at > 0 && !is_placeholder(&run[..at])).then(|| end + 1..end + 1 + at)
}

/// `<password>x</password>`, `<p:password type="x">x</p:password>`.
fn of_element(
    text: &[u8],
    word: &Range<usize>,
    secrecy: &dyn Fn(&[u8]) -> Secrecy,
    ahead: &mut Ahead,
) -> Option<Range<usize>> {
    let before = &text[word.start.saturating_sub(LONGEST)..word.start];
    let prefix = before.strip_suffix(b":").map(|before| {
        let length = before.iter().rev().take_while(|&&one| is_of_name(one));
        &before[..before.len() - length.count()]
    });
    let before = prefix.unwrap_or(before).strip_suffix(b"<")?;
    let rest = &text[word.end..];
    let tag = &rest[..run_of(&rest[..rest.len().min(LONGEST)], |one| {
        one == b'>' || one == b'<'
    })];
    let is_open = rest.get(tag.len()) == Some(&b'>')
        && !tag.ends_with(b"/")
        && tag.first().is_none_or(u8::is_ascii_whitespace);
    let name = Name::of(&text[word.clone()], false);
    if !is_open || name.secrecy(secrecy) <= Secrecy::IfRandom {
        return None;
    }
    let start = word.end + tag.len() + 1;
    let value = &text[start..];
    if value.starts_with(b"<![CDATA[") {
        let end = ahead.data.from(start, || {
            let end = value.windows(3).position(|place| place == b"]]>");
            end.unwrap_or(value.len())
        });
        // Without an end the text has been cut.
        let end = text.len().min(end + 3);
        let is_whole = end == text.len() || text[end..].starts_with(b"</");
        return is_whole.then_some(start..end);
    }
    let length = run_of(value, |one| one == b'<');
    // Without an end the text has been cut. `(?P<token>x)` and `http://<user>:<password>@h` are no elements.
    let is_whole = value[length..].starts_with(b"</");
    let begins = before.last().is_none_or(|one| b" >'\"\n".contains(one));
    let is_cut = length == value.len() && tag.is_empty() && begins && !value.contains(&b' ');
    let has = length > 0 && !is_placeholder(&value[..length]);
    ((is_whole || is_cut) && has).then(|| start..start + length)
}
