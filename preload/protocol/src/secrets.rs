//! Which names are those of secrets: the one place that holds the words that the library and the commands know.
//!
//! A name is taken apart into words, at every character that is no letter or digit, and where small letters
//! turn into capitals: `dbPassword`, `DB_PASSWORD` and `db-password` have the same words. Some words are
//! searched for within these ([`ANYWHERE`]); most count only where they stand alone ([`ALONE`]), so that
//! `author`, `monkey` and `spin` are no secrets. What only describes a secret is none ([`DESCRIBING`]):
//! `token_count`, `password_file`.
//!
//! Nothing here takes memory: the library uses it while the program stands still.

/// How far the value of a name is hidden. Each hides more than those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secrecy {
    /// It is shown.
    #[default]
    Open,
    /// Hidden if it looks like random letters and digits ([`looks_random`]).
    IfRandom,
    /// Hidden if it is text, a number or a container; but not an object such as an `auth` or a `session` may
    /// be, nor a function, a class, `None`, or a truth value.
    IfText,
    /// Hidden, whatever it is.
    Hidden,
}

/// Stands in place of what is hidden.
pub const HIDDEN: &str = "<hidden>";

/// Found within a word too, as in `mypassword` and `PGPASSWORD`.
const ANYWHERE: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "secret",
    "credential",
    "authorization",
    "cookie",
    "apikey",
    "privatekey",
    "accesskey",
    "sessionkey",
    "authkey",
    "encryptionkey",
    "signingkey",
];

/// Words that contain one of those, and mean something else.
const HARMLESS: &[&str] = &["secretar", "cookiecutter"];

/// Found at the end of a word, as in `authtoken` and `dbpwd`.
const AT_END: &[&str] = &["token", "pwd", "sessionid", "sessid"];

/// Words that name a secret where they stand alone, and are the last, or one of [`CARRIERS`] follows. What
/// they name may be an object too.
const ALONE: &[&str] = &[
    "pw",
    "pass",
    "passw",
    "auth",
    "authentication",
    "jwt",
    "otp",
    "totp",
    "pin",
    "bearer",
    "session",
    "signature",
    "psk",
    "cred",
    "creds",
];

/// What may follow such a word: it is the secret still.
const CARRIERS: &[&str] = &[
    "id", "key", "data", "value", "val", "header", "string", "str", "text", "code", "raw", "bytes",
    "hash", "hex", "b64", "base64", "plain", "env", "var", "new", "old", "hdr", "pair",
];

/// A `key` that one of these words stands before is a secret. A `key` alone mostly is that of a dictionary:
/// it is hidden if it looks random.
const BEFORE_KEY: &[&str] = &[
    "api",
    "private",
    "priv",
    "secret",
    "access",
    "auth",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "session",
    "master",
    "ssh",
    "ssl",
    "tls",
    "rsa",
    "dsa",
    "ecdsa",
    "aes",
    "des",
    "hmac",
    "crypt",
    "crypto",
    "cipher",
    "account",
    "storage",
    "consumer",
    "deploy",
    "shared",
    "jwt",
    "gpg",
    "pgp",
    "app",
    "client",
    "subscription",
    "license",
    "wep",
    "wpa",
    "root",
];

/// A name that ends with one of these says something about a secret, and is none.
const DESCRIBING: &[&str] = &[
    "count",
    "counts",
    "counter",
    "len",
    "length",
    "lengths",
    "size",
    "sizes",
    "num",
    "number",
    "total",
    "type",
    "types",
    "kind",
    "kinds",
    "class",
    "classes",
    "method",
    "methods",
    "mode",
    "limit",
    "max",
    "min",
    "timeout",
    "ttl",
    "age",
    "expires",
    "expiry",
    "expiration",
    "url",
    "urls",
    "uri",
    "endpoint",
    "host",
    "port",
    "domain",
    "user",
    "username",
    "name",
    "names",
    "field",
    "fields",
    "file",
    "filename",
    "path",
    "dir",
    "folder",
    "stdin",
    "prompt",
    "label",
    "required",
    "enabled",
    "disabled",
    "valid",
    "verified",
    "error",
    "errors",
    "status",
    "regex",
    "pattern",
    "policy",
    "prefix",
    "suffix",
    "index",
    "ids",
    "pos",
    "position",
    "offset",
    "line",
    "backend",
    "backends",
    "factory",
    "maker",
    "manager",
    "middleware",
    "handler",
    "store",
    "provider",
    "providers",
    "stream",
    "iter",
    "list",
    "tree",
    "usage",
    "created",
    "updated",
    "func",
    "function",
    "callback",
    "validator",
    "validators",
    "hasher",
    "hashers",
    "generator",
    "strength",
    "algorithm",
    "alg",
    "engine",
    "serializer",
    "form",
    "view",
    "views",
    "jar",
    "lib",
    "ok",
];

/// The most words of a name that are looked at.
const MOST_WORDS: usize = 16;

/// How far the value of a name is hidden by the usual rules.
pub fn usual(name: &[u8]) -> Secrecy {
    // The shell's working directories.
    if matches!(name, b"PWD" | b"OLDPWD") {
        return Secrecy::Open;
    }
    let mut words: [&[u8]; MOST_WORDS] = [b""; MOST_WORDS];
    let mut count = 0;
    for word in Words(name) {
        // Of a very long name, the last words count.
        if count == MOST_WORDS {
            words.rotate_left(1);
            count -= 1;
        }
        words[count] = word;
        count += 1;
    }
    let words = &words[..count];
    let Some((last, before)) = words.split_last() else {
        return Secrecy::Open;
    };
    let mut secrecy = Secrecy::Open;
    for (index, word) in words.iter().enumerate() {
        let follows = words.get(index + 1);
        let is_last = follows.is_none_or(|next| is_one_of(next, CARRIERS));
        let is_key = is_one_of(word, &["key", "keys"]);
        let after_kind = index > 0 && is_one_of(words[index - 1], BEFORE_KEY);
        secrecy = secrecy.max(if is_secret_word(word) || (is_key && after_kind) {
            Secrecy::Hidden
        } else if is_last && is_one_of(word, ALONE) {
            Secrecy::IfText
        } else if word.eq_ignore_ascii_case(b"key") && count == 1 {
            Secrecy::IfRandom
        } else {
            Secrecy::Open
        });
    }
    // `max_tokens`, `secret_name`: but a word that describes may stand alone within a secret's name.
    match secrecy > Secrecy::Open && !before.is_empty() && is_one_of(last, DESCRIBING) {
        true => Secrecy::Open,
        false => secrecy,
    }
}

/// Whether one of these words, in small letters, stands anywhere in a text, whatever its case.
pub fn has_part(text: &[u8], parts: &[&str]) -> bool {
    // Nearly every place is ruled out by its first letter.
    let firsts = parts
        .iter()
        .fold(0_u32, |all, part| all | letter(part.as_bytes()[0]));
    (0..text.len()).any(|at| {
        firsts & letter(text[at]) != 0
            && parts.iter().any(|part| {
                let place = text.get(at..at + part.len());
                place.is_some_and(|place| place.eq_ignore_ascii_case(part.as_bytes()))
            })
    })
}

/// A bit for each letter, whatever its case; none for other characters.
fn letter(one: u8) -> u32 {
    match one.to_ascii_lowercase() {
        one @ b'a'..=b'z' => 1 << (one - b'a'),
        _ => 0,
    }
}

fn is_secret_word(word: &[u8]) -> bool {
    let ends = |part: &&str| {
        let end = word.len().checked_sub(part.len()).map(|at| &word[at..]);
        end.is_some_and(|end| end.eq_ignore_ascii_case(part.as_bytes()))
    };
    AT_END.iter().any(ends) || (has_part(word, ANYWHERE) && !has_part(word, HARMLESS))
}

fn is_one_of(word: &[u8], words: &[&str]) -> bool {
    let mut words = words.iter();
    words.any(|one| word.eq_ignore_ascii_case(one.as_bytes()))
}

/// The words of a name. Digits behind a word do not count, nor do versions such as `v2`.
pub struct Words<'a>(pub &'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.0.iter().position(u8::is_ascii_alphanumeric)?;
            let name = &self.0[start..];
            let ends = |at: usize| {
                let (before, one) = (name[at - 1], name[at]);
                // In `APIKey` the last capital belongs to the second word.
                let next_is_small = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
                !one.is_ascii_alphanumeric()
                    || (one.is_ascii_uppercase()
                        && (before.is_ascii_lowercase()
                            || (before.is_ascii_uppercase() && next_is_small)))
            };
            let end = (1..name.len()).find(|&at| ends(at)).unwrap_or(name.len());
            let (word, rest) = name.split_at(end);
            self.0 = rest;
            let digits = word.iter().rev().take_while(|one| one.is_ascii_digit());
            let bare = &word[..word.len() - digits.count()];
            if !bare.is_empty() && !bare.eq_ignore_ascii_case(b"v") {
                return Some(bare);
            }
        }
    }
}

/// Keys of dictionaries, attributes and columns whose value is the name of something.
pub const NAMING: &[&str] = &[
    "name", "key", "header", "field", "param", "option", "variable",
];

/// Those whose value is the thing that bears the name.
pub const NAMED: &[&str] = &["value", "val", "content", "default", "data"];

/// Longer text is no name.
pub const LONGEST_NAME: usize = 100;

/// Whether names consist of such characters.
pub fn is_of_name(one: u8) -> bool {
    one.is_ascii_alphanumeric() || b"_-.".contains(&one)
}

/// Whether a text may be a name, rather than a sentence, or a name with its value.
pub fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && text.iter().all(|&one| is_of_name(one))
}

/// Whether this is one of these words, whatever its case.
pub fn is_key_of(name: &[u8], words: &[&str]) -> bool {
    is_one_of(name, words)
}

/// Whether a text looks like the letters and digits of a random key, and not like words.
pub fn looks_random(text: &[u8]) -> bool {
    let count = |of: fn(&u8) -> bool| text.iter().filter(|&one| of(one)).count();
    let of_a_key = |one: &u8| one.is_ascii_alphanumeric() || b"+/=".contains(one);
    text.len() >= 16
        && text.iter().all(of_a_key)
        && count(u8::is_ascii_digit) >= 2
        && count(u8::is_ascii_alphabetic) >= 2
        && !text.starts_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_names_of_secrets() {
        for (secrecy, names) in [
            (
                Secrecy::Hidden,
                "password passwd db_password dbPassword DB_PASSWORD PGPASSWORD mypassword password2 \
                 user-password passphrase secret client_secret SECRET_KEY secret_word token api_token \
                 authToken authtoken csrftoken access_token refresh_token token_v2 api_key apiKey APIKey \
                 X-Api-Key private_key privatekey ssh_key AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID \
                 Authorization Proxy-Authorization cookie Set-Cookie cookies credential credentials pwd \
                 db_pwd dbpwd session_key sessionid PHPSESSID encryption_key api_keys self.password \
                 spring.datasource.password password_hash smtp_passwd --password hmac_key jwt_key",
            ),
            (
                Secrecy::IfText,
                "pw pw1 db_pw pass db_pass SMTP_PASS auth auth_header jwt user_jwt otp totp pin pin_code \
                 bearer session session_id signature psk creds userSession",
            ),
            (Secrecy::IfRandom, "key KEY"),
            (
                Secrecy::Open,
                "author authority authors keys monkey keyboard cache_key sort_key primary_key public_key \
                 key_func token_count max_tokens tokens tokenizer tokenize token_type password_file \
                 PASSWORD_FIELD secret_name secretary passed passing passenger bypass compass spin pinned \
                 opinion session_count session_timeout sessions assignment design designature PWD OLDPWD \
                 cookie_domain username login user host auth_url auth_backend pw_len x _ 7 \
                 password_min_length get_pass_count pwdx note hotplug capital",
            ),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(usual(name.as_bytes()), secrecy, "{name}");
            }
        }
        assert_eq!(usual(b""), Secrecy::Open);
        assert_eq!(usual("a_".repeat(100).as_bytes()), Secrecy::Open);
        let long = "a_".repeat(100) + "password";
        assert_eq!(usual(long.as_bytes()), Secrecy::Hidden);
    }

    #[test]
    fn takes_names_apart() {
        for (name, words) in [
            ("dbPassword2", &["db", "Password"][..]),
            ("APIKey", &["API", "Key"]),
            ("--a.b_c v2 7", &["a", "b", "c"]),
            ("é", &[]),
        ] {
            let found = Words(name.as_bytes());
            assert!(found.eq(words.iter().map(|word| word.as_bytes())), "{name}");
        }
    }

    #[test]
    fn tells_random_text_from_words() {
        for random in [
            "a3f5c9e1b2d4f607",
            "Zm9vYmFyMTIzNDU2Nzg5",
            "AbC123+/dEf456gh==",
        ] {
            assert!(looks_random(random.as_bytes()), "{random}");
        }
        for words in [
            "user:4711:profile",
            "name",
            "1234567890123456",
            "/usr/lib/python27",
            "settings_1_2_3_4_x",
        ] {
            assert!(!looks_random(words.as_bytes()), "{words}");
        }
    }
}
