//! Hides secrets in what is shown: in values, lines of source and command lines. The rules stand in
//! [`protocol::secrets`] and [`protocol::secret_text`], the library's too.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::question::{Question, Text};
use protocol::secret_text::{Finder, Kind};
use protocol::secrets::{HIDDEN, Secrecy, looks_random};

/// What is hidden.
#[derive(Clone, Debug)]
pub struct Secrets {
    question: Question,
    /// How far the values of names are hidden: most variables have the names of others.
    known: Arc<Mutex<HashMap<String, Secrecy>>>,
}

/// So many names are remembered, and only shorter ones, in bytes.
const MOST_KNOWN: [usize; 2] = [10_000, 100];

impl Default for Secrets {
    /// The usual secrets.
    fn default() -> Secrets {
        Secrets::of(&Question::default())
    }
}

impl Secrets {
    /// What this question hides.
    pub fn of(question: &Question) -> Secrets {
        Secrets {
            question: *question,
            known: Arc::default(),
        }
    }

    /// Hides nothing.
    pub fn none() -> Secrets {
        Secrets::of(&Question {
            hidden: Text::new(),
            ..Question::default()
        })
    }

    /// A line of source.
    pub fn source<'a>(&self, line: &'a str) -> Cow<'a, str> {
        self.without(line, Kind::Source)
    }

    /// The value of this name, as text.
    pub fn value<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if value == HIDDEN {
            return value.into();
        }
        // The library has hidden it already, if it knows this rule. Of text it shows the beginning.
        let is_hidden = match self.secrecy(name) {
            Secrecy::Open => false,
            Secrecy::IfRandom => looks_random(value.trim_matches(['u', '\'', '"']).as_bytes()),
            Secrecy::IfText => value.starts_with(|first: char| {
                first.is_ascii_digit() || matches!(first, '\'' | '"' | 'u' | '(' | '[' | '{' | '-')
            }),
            Secrecy::Hidden => true,
        };
        match is_hidden {
            true => HIDDEN.into(),
            false => self.without(value, Kind::Data),
        }
    }

    /// How far the value of a name is hidden.
    fn secrecy(&self, name: &str) -> Secrecy {
        let [most, longest] = MOST_KNOWN;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&secrecy) = known.get(name) {
            return secrecy;
        }
        let secrecy = self.question.secrecy(name.as_bytes());
        if known.len() < most && name.len() < longest {
            known.insert(name.to_owned(), secrecy);
        }
        secrecy
    }

    /// A command line.
    pub fn command_line(&self, mut arguments: Vec<String>) -> Vec<String> {
        if !self.question.hides() {
            return arguments;
        }
        // Whether the argument before is an option whose value is a secret.
        let mut is_awaited = false;
        for argument in &mut arguments {
            let is_option = argument.starts_with('-');
            if is_awaited && !is_option && !argument.is_empty() {
                *argument = HIDDEN.to_owned();
                is_awaited = false;
                continue;
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (&**argument, None),
            };
            let is_name = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
            let secrecy = match name.chars().all(is_name) {
                true => self.question.secrecy(name.as_bytes()),
                false => Secrecy::Open,
            };
            is_awaited = is_option && value.is_none() && secrecy > Secrecy::IfRandom;
            *argument = match value {
                // The whole, also if there are spaces in it.
                Some(value) if secrecy > Secrecy::IfRandom && !value.is_empty() => {
                    format!("{name}={HIDDEN}")
                }
                _ => self.without(argument, Kind::Data).into_owned(),
            };
        }
        arguments
    }

    /// The text without its secrets.
    fn without<'a>(&self, text: &'a str, kind: Kind) -> Cow<'a, str> {
        if !self.question.hides() || !may_have_secrets(text) {
            return text.into();
        }
        let (mut shown, mut end) = (String::new(), 0);
        let secrecy = |name: &[u8]| self.question.secrecy(name);
        let mut finder = Finder {
            secrecy: &secrecy,
            hide: &mut |secret| {
                shown.push_str(text.get(end..secret.start).unwrap_or_default());
                shown.push_str(HIDDEN);
                end = secret.end;
            },
        };
        finder.find(text.as_bytes(), kind);
        if shown.is_empty() {
            return text.into();
        }
        shown.push_str(text.get(end..).unwrap_or_default());
        shown.into()
    }
}

/// Whether there is anything in a text that a secret needs: most values are short numbers, or `None`.
fn may_have_secrets(text: &str) -> bool {
    text.len() > 7
        && text
            .bytes()
            .any(|one| matches!(one, b'\'' | b'"' | b'=' | b':' | b'-' | b' ' | b'.' | b'_'))
        || text.len() >= 20
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(secrets: &Secrets, line: &[&str]) -> Vec<String> {
        secrets.command_line(line.iter().map(|one| one.to_string()).collect())
    }

    #[test]
    fn hides_in_command_lines() {
        let secrets = Secrets::default();
        for (arguments, expected) in [
            (
                &["app", "--password", "x", "y"][..],
                &["app", "--password", "<hidden>", "y"][..],
            ),
            (&["app", "--password=x y"], &["app", "--password=<hidden>"]),
            (
                &["app", "--token", "-v", "x"],
                &["app", "--token", "-v", "x"],
            ),
            (&["DB_PASSWORD=a b", "é"], &["DB_PASSWORD=<hidden>", "é"]),
            (
                &["app", "--db", "postgres://u:p@h/é"],
                &["app", "--db", "postgres://u:<hidden>@h/é"],
            ),
            (
                &["python", "-c", "f(password='x')"],
                &["python", "-c", "f(password=<hidden>)"],
            ),
            (
                &["curl", "-H", "Authorization: Basic x y"],
                &["curl", "-H", "Authorization: <hidden>"],
            ),
            (
                &["celery worker --password x -v"],
                &["celery worker --password <hidden> -v"],
            ),
            (
                &["app", "--key", "/etc/ssl/key.pem"],
                &["app", "--key", "/etc/ssl/key.pem"],
            ),
            (&["app", "--pin", "1234"], &["app", "--pin", "<hidden>"]),
            (&["app", "--password"], &["app", "--password"]),
            (&["mysql", "-pSECRET"], &["mysql", "-pSECRET"]),
        ] {
            assert_eq!(line(&secrets, arguments), expected, "{arguments:?}");
        }
        let shown = line(&Secrets::none(), &["app", "--password", "x"]);
        assert_eq!(shown, ["app", "--password", "x"]);
    }

    #[test]
    fn hides_values() {
        let secrets = Secrets::default();
        for (name, value, expected) in [
            ("password", "'x'", "<hidden>"),
            ("a", "'x'", "'x'"),
            (
                "session",
                "<requests.Session at 0x1>",
                "<requests.Session at 0x1>",
            ),
            ("session", "u'x'", "<hidden>"),
            ("pin", "1234", "<hidden>"),
            ("key", "'a3f5c9e1b2d4f607'", "<hidden>"),
            ("key", "'name'", "'name'"),
            ("conn", "<Conn password=x>", "<Conn password=<hidden>>"),
            ("é", "'é password=é'", "'é password=<hidden>'"),
        ] {
            assert_eq!(secrets.value(name, value), expected, "{name}");
        }
        assert_eq!(Secrets::none().value("password", "'x'"), "'x'");
        assert_eq!(
            secrets.source("password = 'x' + y"),
            "password = <hidden> + y"
        );
    }
}
