//! How each command starts: it reads its command line, or says why it cannot.

use clap::Parser;
use std::ffi::OsString;
use std::io::{self, Write};

use crate::printable::Printable;
use crate::report::terminal;
use crate::system::standard_output::{self, StandardOutput};

/// Reads the command line. `unwritten` is the exit status where the help or the version cannot be written,
/// `misused` that of a usage error.
///
/// # Errors
/// The status to end with: everything has been said.
pub fn arguments<A: Parser>(unwritten: u8, misused: u8) -> Result<A, u8> {
    let mut words = std::env::args_os();
    words.next();
    arguments_of(words, unwritten, misused)
}

/// The same for these words, which stand behind the command's name.
///
/// # Errors
/// As [`arguments`].
pub fn arguments_of<A: Parser>(
    words: impl Iterator<Item = OsString>,
    unwritten: u8,
    misused: u8,
) -> Result<A, u8> {
    let name = OsString::from(A::command().get_name());
    let words: Vec<OsString> = [name].into_iter().chain(words).collect();
    let instead = match A::try_parse_from(&words) {
        Ok(arguments) => return Ok(arguments),
        Err(instead) => instead,
    };
    if instead.use_stderr() {
        // It repeats what was typed. Nothing that has to be escaped is right anywhere.
        let escaped = words
            .iter()
            .map(|one| Printable(&one.to_string_lossy()).to_string());
        let instead = A::try_parse_from(escaped).err().unwrap_or(instead);
        // If nobody can read it, nothing is left to do.
        let _ = instead.print();
        return Err(misused);
    }
    let text = instead.render();
    let text = match terminal::has_colours() {
        true => text.ansi().to_string(),
        false => text.to_string(),
    };
    match StandardOutput.write_all(text.as_bytes()) {
        Ok(()) => Err(0),
        Err(_) if standard_output::is_broken() => Err(unwritten),
        Err(error) => {
            let command = A::command();
            let name = command.get_name();
            let _ = writeln!(io::stderr(), "{name}: this could not be written ({error})");
            Err(unwritten)
        }
    }
}
