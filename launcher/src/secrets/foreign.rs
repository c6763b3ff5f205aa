//! Words for a password in other letters than ASCII's, as they are or as `repr` escapes them.

use std::ops::Range;

use protocol::secrets::{LONGEST_NAME, is_of_name};

/// The words: what stands before the first letter that is not of ASCII, and the rest.
const WORDS: &[(&str, &str)] = &[
    ("", "парол"),
    ("", "密码"),
    ("", "密碼"),
    ("", "パスワード"),
    ("", "비밀번호"),
    ("contrase", "ña"),
    ("has", "ło"),
];

/// Each letter of a name may be escaped, with so many characters.
const LONGEST_ESCAPED: usize = 2 * LONGEST_NAME;

/// The word whose first letter that is not of ASCII stands here, and what follows it of the same name.
pub(super) fn word_at(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (first, _) = letter(&text[at..])?;
    for (before, rest) in WORDS {
        let begin = at.checked_sub(before.len());
        let Some(begin) = begin.filter(|_| rest.starts_with(first)) else {
            continue;
        };
        let mut end = at;
        let mut next = || {
            let (letter, length) = letter(&text[end..])?;
            end += length;
            Some(letter)
        };
        if rest.chars().all(|one| next() == Some(one))
            && text[begin..at].eq_ignore_ascii_case(before.as_bytes())
        {
            while let Some((letter, length)) = letter(&text[end..])
                && (letter.is_alphanumeric() || is_of_name(text[end]))
            {
                end += length;
            }
            return Some(begin..end);
        }
    }
    None
}

/// Whether a text is a name with such a word in it.
pub(super) fn has_name(text: &[u8]) -> bool {
    let may_begin = |&at: &usize| text[at] >= 0x80 || text[at] == b'\\';
    let mut places = (0..text.len()).filter(may_begin);
    text.len() <= LONGEST_ESCAPED && places.any(|at| word_at(text, at).is_some())
}

/// The first letter of a text, as a small one, and how many bytes it takes. Bytes that are escaped one by one
/// are UTF-8 or, in a `unicode`, Latin-1.
fn letter(text: &[u8]) -> Option<(char, usize)> {
    let (letter, length) = match text {
        [b'\\', b'u', digits @ ..] => (char::from_u32(number(digits.get(..4)?)?)?, 6),
        [b'\\', b'x', ..] => {
            let (mut bytes, mut rest) = ([0; 4], text);
            let mut count = 0;
            while let [b'\\', b'x', a, b, behind @ ..] = rest
                && count < bytes.len()
                && let Some(byte) = number(&[*a, *b])
            {
                bytes[count] = byte as u8;
                (count, rest) = (count + 1, behind);
            }
            match first_of(&bytes[..count]) {
                Some(letter) => (letter, 4 * letter.len_utf8()),
                None if count > 0 => (char::from(bytes[0]), 4),
                None => return None,
            }
        }
        _ => {
            let letter = first_of(&text[..text.len().min(4)])?;
            (letter, letter.len_utf8())
        }
    };
    Some((letter.to_lowercase().next()?, length))
}

fn first_of(bytes: &[u8]) -> Option<char> {
    bytes.utf8_chunks().next()?.valid().chars().next()
}

fn number(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_words_however_they_are_written() {
        for name in [
            "пароль",
            "ПАРОЛЬ",
            "новый пароль",
            "密码",
            "contraseña",
            "Contraseña2",
            "hasło",
            r"\u043f\u0430\u0440\u043e\u043b\u044c",
            r"\xe5\xaf\x86\xe7\xa0\x81",
            r"contrase\xf1a",
            r"contrase\xc3\xb1a",
        ] {
            assert!(has_name(name.as_bytes()), "{name}");
        }
        for name in [
            "привет",
            "español",
            "日本",
            r"\x",
            r"\u12",
            r"\xff\xfe",
            "é",
            "парус",
        ] {
            assert!(!has_name(name.as_bytes()), "{name}");
        }
    }
}
