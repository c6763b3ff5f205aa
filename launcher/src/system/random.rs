//! Numbers that nobody can guess.

use std::fs::File;
use std::io::{self, Read};

/// A number that nobody can guess. (getrandom(2) came with Linux 3.17.)
///
/// # Errors
/// The kernel's, where `/dev/urandom` is not there.
pub fn number() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
