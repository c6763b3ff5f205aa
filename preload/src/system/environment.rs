//! The program's environment.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system::proc_file;

/// The longest name and value that are of interest, in bytes.
const LONGEST: usize = 64;

/// Whether the program may change its environment at any moment.
static MAY_CHANGE: AtomicBool = AtomicBool::new(false);

/// From now on the environment is looked up as the process was started with it (`/proc/self/environ`): the calling
/// thread does not run Python, and the program's threads may call `putenv` meanwhile, which moves what `getenv` reads.
pub fn leave_to_the_program() {
    MAY_CHANGE.store(true, Ordering::Relaxed);
}

/// Whether that has been said.
pub fn is_left_to_the_program() -> bool {
    MAY_CHANGE.load(Ordering::Relaxed)
}

/// The value of a variable of the agent.
pub struct Value {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Value {
    fn new(bytes: &[u8]) -> Option<Value> {
        let mut value = Value {
            bytes: [0; LONGEST],
            length: bytes.len(),
        };
        value.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(value)
    }

    /// Its text; empty if it is not UTF-8.
    pub fn text(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// The value of a variable of the agent, if it is set and short.
///
/// On a thread that is not interrupted, and where a thread of the program might call `getenv` too (a program must not
/// change its environment then), unless it has been left to the program ([`leave_to_the_program`]).
pub fn value(name: &str) -> Option<Value> {
    match is_left_to_the_program() {
        true => started_with(name),
        false => value_now(name),
    }
}

/// The same where nobody changes the environment: before `main`, or while the program imports the library.
pub fn value_now(name: &str) -> Option<Value> {
    let mut text = [0_u8; LONGEST];
    text.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    let name = CStr::from_bytes_until_nul(&text).ok()?;
    // SAFETY: the name ends in NUL. The value stands in the environment, which nobody changes now.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
    .and_then(|value| Value::new(value.to_bytes()))
}

/// The value with which the process was started.
fn started_with(name: &str) -> Option<Value> {
    let mut found = None;
    proc_file::for_each_entry(c"/proc/self/environ", &mut |entry| {
        let rest = entry.strip_prefix(name.as_bytes());
        found = rest
            .and_then(|rest| rest.strip_prefix(b"="))
            .and_then(Value::new);
        found.is_none()
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_the_process_was_started_with() {
        let (name, value) = std::env::vars()
            .find(|(name, value)| name.len() < 30 && (1..LONGEST).contains(&value.len()))
            .expect("a short variable");
        assert_eq!(started_with(&name).expect("it is set").text(), value);
        assert!(started_with("SLEEPER_NO_SUCH_VARIABLE").is_none());
        assert!(started_with(&name[..name.len() - 1]).is_none_or(|other| other.text() != value));
    }
}
