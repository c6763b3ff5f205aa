//! Names as they stand in text, and which of them are names of secrets.
//!
//! The words stand in [`protocol::secrets`], the library's too. The names that only the commands know are
//! translated into such words ([`MEANINGS`]): `passWord` into `password`, `dbpass` into `pass`.

use protocol::secrets::{
    LONGEST_NAME, NAMED, Secrecy, Words, has_part, is_key_of, is_name, is_of_name, usual,
};

use crate::secrets::foreign;

/// Words, and what stands for them.
const MEANINGS: &[(&str, &str)] = &[
    ("csrf", "auth"),
    ("xsrf", "auth"),
    ("hmac", "auth"),
    ("salt", "auth"),
    ("sig", "key"),
    ("passe", "pass"),
    ("passin", "password"),
    ("passout", "password"),
    ("senha", "password"),
    ("parola", "password"),
    ("haslo", "password"),
];

/// Mean a password within a word too.
const ANYWHERE: &[&str] = &[
    "kennwort",
    "pswd",
    "passkey",
    "appkey",
    "masterauth",
    "motdepasse",
    "contrasena",
];

/// Behind `pass`, these make one word of two: `pass_word`, `passPhrase`.
const SECOND_HALVES: &[&str] = &["word", "words", "wd", "wort", "phrase", "phrases", "key"];

/// Words that end with `pass` and mean something else.
const HARMLESS: &[&str] = &[
    "allpass",
    "bandpass",
    "bypass",
    "compass",
    "encompass",
    "firstpass",
    "highpass",
    "lowpass",
    "multipass",
    "nopass",
    "onepass",
    "overpass",
    "renderpass",
    "secondpass",
    "singlepass",
    "subpass",
    "surpass",
    "trespass",
    "twopass",
    "underpass",
    "xpass",
];

/// A name without any of these means what it says.
const PARTS: &[&str] = &[
    "pass",
    "csrf",
    "xsrf",
    "hmac",
    "salt",
    "sig",
    "senha",
    "parola",
    "haslo",
    "kennwort",
    "pswd",
    "appkey",
    "masterauth",
    "motdepasse",
    "contrasena",
];

/// Of a longer name the end counts.
const LONGEST: usize = 200;

/// How far the value of a name is hidden by the words that only the commands know.
pub(super) fn further(name: &[u8]) -> Secrecy {
    let name = &name[name.len().saturating_sub(LONGEST)..];
    if is_of_directory(name) {
        return Secrecy::Hidden;
    }
    match has_part(name, PARTS) {
        true => usual(&translated(name)),
        false => Secrecy::Open,
    }
}

/// A name in the usual words.
fn translated(name: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = Words(name).collect();
    let (mut all, mut rest) = (Vec::new(), &words[..]);
    while let [word, behind @ ..] = rest {
        let has_pass = word.to_ascii_lowercase().ends_with(b"pass") && !is_key_of(word, HARMLESS);
        let mut meanings = MEANINGS.iter();
        let meaning = meanings.find(|(one, _)| is_key_of(word, &[one]));
        rest = behind;
        let meaning = match (behind, meaning) {
            ([next, behind @ ..], _) if has_pass && is_key_of(next, SECOND_HALVES) => {
                rest = behind;
                b"password"
            }
            (_, Some((_, meaning))) => meaning.as_bytes(),
            _ if has_part(word, ANYWHERE) => b"password",
            _ if has_pass => b"pass",
            _ => word,
        };
        all.extend([meaning, b"_"].concat());
    }
    all
}

/// Whether this is the name of one of the shell's working directories. In `UID=bob;PWD=x` it is that of a
/// password: the values tell.
fn is_of_directory(name: &[u8]) -> bool {
    matches!(name, b"PWD" | b"OLDPWD")
}

/// Whether this value of this name is a working directory, or a variable or a place that stands for one.
pub(super) fn is_directory(name: &[u8], value: &[u8]) -> bool {
    let value = value.strip_prefix(b"u").unwrap_or(value);
    let value = value.strip_prefix(b"'").unwrap_or(value);
    is_of_directory(name) && matches!(value, [b'/' | b'~' | b'.' | b'$' | b'<', ..])
}

/// A word, or text in quotes, as the name of what follows. Most words name nothing: what a name says is only
/// looked at where a value follows.
#[derive(Clone, Copy, Default)]
pub(super) struct Name<'a> {
    /// Empty if it is no name.
    pub(super) text: &'a [u8],
    pub(super) quoted: bool,
}

/// Calls of functions with such a first word take the name of a secret, and not the secret.
const ASKING: &[&str] = &[
    "get", "read", "load", "find", "fetch", "lookup", "ask", "prompt", "has", "is", "require",
    "input", "check", "need", "delete", "del", "remove", "pop", "validate",
];

/// The same, and functions whose arguments are no parts of what they give.
const GIVING: &[&str] = &[
    "raw",
    "getpass",
    "getenv",
    "getattr",
    "env",
    "environ",
    "config",
    "settings",
    "open",
    "setdefault",
    "field",
    "charfield",
    "column",
    "import",
    "__import__",
    "gettext",
    "ugettext",
    "lazy",
    "option",
    "argument",
    "exists",
    "compile",
    "search",
    "match",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "partition",
    "encode",
    "decode",
];

/// A name in quotes may have spaces: so many words, of so many letters in all.
const LONGEST_PHRASE: [usize; 2] = [3, 30];

impl<'a> Name<'a> {
    pub(super) fn of(text: &'a [u8], quoted: bool) -> Name<'a> {
        let text = match is_name(text) || (quoted && is_phrase(text)) {
            true => text,
            false if quoted && foreign::has_name(text) => b"password",
            false => &[],
        };
        Name { text, quoted }
    }

    /// How far its value is hidden.
    pub(super) fn secrecy(self, secrecy: &dyn Fn(&[u8]) -> Secrecy) -> Secrecy {
        match self.text {
            [] => Secrecy::Open,
            text => secrecy(text),
        }
    }

    /// Whether it has no spaces.
    pub(super) fn is_one_word(self) -> bool {
        !self.text.contains(&b' ')
    }

    pub(super) fn is_option(self) -> bool {
        self.text.starts_with(b"-")
    }

    /// Whether it is an option that takes `USER:PASSWORD`.
    pub(super) fn is_user_option(self) -> bool {
        matches!(
            self.text,
            b"-u" | b"-U" | b"--user" | b"--proxy-user" | b"--username"
        )
    }

    /// What stands behind the last dot.
    fn bare(self) -> &'a [u8] {
        let mut parts = self.text.rsplit(|&one| one == b'.');
        parts.next().unwrap_or_default()
    }

    /// Whether it is `value` or the like.
    pub(super) fn is_named(self) -> bool {
        is_key_of(self.bare(), NAMED)
    }

    /// Whether it asks for a secret by its name, as `get_secret` does.
    pub(super) fn asks(self) -> bool {
        let first = self.bare().split(|&one| one == b'_').next();
        is_key_of(first.unwrap_or_default(), ASKING)
    }

    /// Whether it gives a secret that is not among its arguments, as `getpass` does.
    pub(super) fn gives(self) -> bool {
        let bare = self.bare();
        let public = bare.strip_prefix(b"_").unwrap_or(bare);
        let first = public.split(|&one| one == b'_').next();
        self.asks()
            || bare == b"_"
            || public.starts_with(b"get")
            || is_key_of(first.unwrap_or_default(), GIVING)
    }

    /// Whether it takes what it gives if there is nothing else, as `environ.get` does.
    pub(super) fn takes_default(self) -> bool {
        is_key_of(
            self.bare(),
            &["get", "getenv", "pop", "setdefault", "getattr"],
        )
    }

    /// Whether all that follows in the line belongs to it.
    pub(super) fn is_header(self) -> bool {
        has_part(self.text, &["authorization", "cookie"])
    }
}

fn is_phrase(text: &[u8]) -> bool {
    let [most, longest] = LONGEST_PHRASE;
    text.len() <= longest.min(LONGEST_NAME)
        && text.iter().all(|&one| is_of_name(one) || one == b' ')
        && text.split(|&one| one == b' ').count() <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_more_names_of_secrets() {
        for (secrecy, names) in [
            (
                Secrecy::Hidden,
                "passWord pass_word pass-word PASS_WORD passPhrase pass_phrase pass.word dbpass_word \
                 -Dpass.word --pass-word pass_key passkey kennwort dbKennwort pswd db_pswd appkey appKey \
                 masterauth motdepasse senha parola contrasena haslo PWD OLDPWD -passin",
            ),
            (
                Secrecy::IfText,
                "dbpass userpass requirepass --requirepass SMTPPASS userpass2 csrf csrf_value xsrf hmac \
                 HMAC salt user_salt_hex mot_de_passe_2 passe",
            ),
            (Secrecy::IfRandom, "sig"),
            (
                Secrecy::Open,
                "bypass compass trespass surpass encompass passenger passage passing passed password_file \
                 dbpass_len csrf_exempt csrf_enabled salt_len salted signal signals sigma design hmac_size \
                 author monkey keyboard tokenizer max_tokens pass_count bypass_word compass_word by_pass_list \
                 first_passage x",
            ),
        ] {
            for name in names.split_whitespace() {
                let found = match usual(name.as_bytes()) {
                    Secrecy::Open => further(name.as_bytes()),
                    known if secrecy == Secrecy::Open => known,
                    known => known.max(further(name.as_bytes())),
                };
                assert_eq!(found, secrecy, "{name}");
            }
        }
        assert_eq!(further("a_pass".repeat(1000).as_bytes()), Secrecy::IfText);
    }

    #[test]
    fn tells_passwords_from_directories() {
        for (name, value, is_one) in [
            ("PWD", "/root", true),
            ("PWD", "'/root'", true),
            ("PWD", "u'/root'", true),
            ("OLDPWD", "~/x", true),
            ("PWD", "$HOME", true),
            ("PWD", "rosebud", false),
            ("pwd", "/root", false),
        ] {
            assert_eq!(is_directory(name.as_bytes(), value.as_bytes()), is_one);
        }
    }

    #[test]
    fn phrases_are_names_in_quotes() {
        for (text, quoted, name) in [
            ("API key", true, "API key"),
            ("API key", false, ""),
            ("пароль", true, "password"),
            ("a b c d", true, ""),
            ("what, this", true, ""),
        ] {
            assert_eq!(Name::of(text.as_bytes(), quoted).text, name.as_bytes());
        }
    }
}
