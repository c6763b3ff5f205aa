//! Hides secrets in what is shown.
//!
//! Enters: values, lines of source, command lines and other text of a program's, and the words of
//! [`protocol::secrets`], which the library knows too. Leaves: the same text with [`HIDDEN`] in place of
//! secrets. [`text`] reads a text from its beginning to its end, and asks the others: [`names`] and [`foreign`]
//! for names, [`before`] for what stands before a place, [`ahead`] for what has been searched behind it,
//! [`literal`], [`bare`] and [`expression`] for values with quotes, without, and in source, [`forms`] for notations
//! with ways of their own, and [`looks`] for what is known without any name.
//!
//! A hostile program may choose the text, so all of it takes time in proportion to the text. What is read ahead of a
//! place is a secret, and is not read again; or it has a bound; or it ends where the next such search begins; or it
//! is remembered.

mod ahead;
mod bare;
mod before;
mod expression;
mod foreign;
mod forms;
mod literal;
mod looks;
mod names;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod time_tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::question::{Question, Text, USUAL};
use protocol::secrets::{HIDDEN, Secrecy, looks_random};

use crate::secrets::names::Name;
use crate::secrets::text::{Finder, Kind};

/// What is hidden.
#[derive(Clone, Debug)]
pub struct Secrets {
    question: Question,
    /// Whether the usual secrets are hidden.
    usual: bool,
    /// How far the values of names are hidden: most variables have the names of others.
    known: Arc<Mutex<HashMap<Box<[u8]>, Secrecy>>>,
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
        let mut words = question.hidden.as_bytes().split(|&one| one == b',');
        Secrets {
            question: *question,
            usual: words.any(|word| word.trim_ascii() == USUAL.as_bytes()),
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

    /// Text of the program's that is no value: a thread's name, a path.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.without(text, Kind::Data)
    }

    /// The name of a thread, or the like, if it has one.
    pub fn name(&self, name: Option<String>) -> Option<String> {
        name.map(|name| self.text(&name).into_owned())
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
        let is_hidden = match self.secrecy(name.as_bytes()) {
            Secrecy::Open => false,
            Secrecy::IfRandom => looks_random(value.trim_matches(['u', '\'', '"']).as_bytes()),
            Secrecy::IfText => value.starts_with(|first: char| {
                first.is_ascii_digit() || matches!(first, '\'' | '"' | 'u' | '(' | '[' | '{' | '-')
            }),
            Secrecy::Hidden => !names::is_directory(name.as_bytes(), value.as_bytes()),
        };
        match is_hidden {
            true => HIDDEN.into(),
            false => self.without(value, Kind::Data),
        }
    }

    /// How far the value of a name is hidden, by all rules.
    fn secrecy_of(&self, name: &[u8]) -> Secrecy {
        match self.question.secrecy(name) {
            Secrecy::Hidden => Secrecy::Hidden,
            known if self.usual => known.max(names::further(name)),
            known => known,
        }
    }

    /// The same, which is looked up if the name has been there before.
    fn secrecy(&self, name: &[u8]) -> Secrecy {
        let [most, longest] = MOST_KNOWN;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&secrecy) = known.get(name) {
            return secrecy;
        }
        let secrecy = self.secrecy_of(name);
        if known.len() < most && name.len() < longest {
            known.insert(name.into(), secrecy);
        }
        secrecy
    }

    /// A command line.
    pub fn command_line(&self, mut arguments: Vec<String>) -> Vec<String> {
        if !self.question.hides() {
            return arguments;
        }
        // Whether the argument before is an option whose value is, or has, a secret.
        let (mut is_awaited, mut is_user_awaited) = (false, false);
        for argument in &mut arguments {
            let is_option = argument.starts_with('-');
            if is_awaited && !is_option && !argument.is_empty() {
                *argument = HIDDEN.to_owned();
                is_awaited = false;
                continue;
            }
            if is_user_awaited && let Some(password) = bare::password_of_user(argument.as_bytes()) {
                argument.replace_range(password, HIDDEN);
                is_user_awaited = false;
                continue;
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (&**argument, None),
            };
            let is_name = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
            let secrecy = match name.chars().all(is_name) {
                true => self.secrecy(name.as_bytes()),
                false => Secrecy::Open,
            };
            is_awaited = is_option && value.is_none() && secrecy > Secrecy::IfRandom;
            is_user_awaited = value.is_none() && Name::of(name.as_bytes(), false).is_user_option();
            // The whole, also if there are spaces in it.
            let hides = |value: &str| {
                secrecy > Secrecy::IfRandom
                    && !value.is_empty()
                    && !names::is_directory(name.as_bytes(), value.as_bytes())
            };
            *argument = match value {
                Some(value) if hides(value) => format!("{name}={HIDDEN}"),
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
        let secrecy = |name: &[u8]| self.secrecy(name);
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
    text.len() > 7 && text.bytes().any(|one| b"'\"=:- ._<%".contains(&one)) || text.len() >= 20
}
