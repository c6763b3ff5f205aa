//! The search for a command along `$PATH`, as a shell does it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{getegid, geteuid, getgid, getuid};

use crate::trouble::Trouble;

/// The exit status for a file that cannot be executed (as `env` has it).
pub const NOT_EXECUTABLE: u8 = 126;

/// The exit status for a command that is not found.
pub const NOT_FOUND: u8 = 127;

/// Why a command cannot be run, and the exit status for that (as `env` has them).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 127 not found, 126 found but not executable, 125 our own failure.
    pub status: u8,
    /// The message.
    pub trouble: Trouble,
}

/// Finds the file that `execvp` would run.
pub fn find(command: &OsStr, search_path: Option<&OsStr>) -> Result<PathBuf, Refusal> {
    let shown = command.display();
    if command.as_bytes().contains(&b'/') {
        let path = PathBuf::from(command);
        return match executable(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(not_runnable(command, &error)),
        };
    }
    let mut denied = None;
    if !command.is_empty() {
        let search_path = search_path.unwrap_or(OsStr::new("/bin:/usr/bin"));
        for folder in search_path.as_bytes().split(|byte| *byte == b':') {
            // An empty entry is the working directory.
            let folder = if folder.is_empty() { b"." } else { folder };
            let path = Path::new(OsStr::from_bytes(folder)).join(command);
            match executable(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    denied.get_or_insert(error);
                }
                Err(_) => {}
            }
        }
    }
    match denied {
        Some(error) => Err(not_runnable(command, &error)),
        None => Err(Refusal {
            status: NOT_FOUND,
            trouble: Trouble::new(
                format!("there is no command {shown} on $PATH"),
                "check its name, or give its path",
            ),
        }),
    }
}

/// Succeeds if we may execute this file.
pub(crate) fn executable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    // The kernel then judges by the same users either way. Linux before 5.8 lacks the other call
    // (`faccessat2`), and a filter of system calls may refuse it.
    let flags = match geteuid() == getuid() && getegid() == getgid() {
        true => AtFlags::empty(),
        false => AtFlags::EACCESS,
    };
    Ok(accessat(CWD, path, Access::EXEC_OK, flags)?)
}

/// Why a command cannot be run, from the error of trying.
pub fn not_runnable(command: &OsStr, error: &io::Error) -> Refusal {
    let shown = command.display();
    match error.kind() {
        io::ErrorKind::NotFound => Refusal {
            status: NOT_FOUND,
            trouble: Trouble::new(format!("there is no command {shown}"), "check its path"),
        },
        io::ErrorKind::PermissionDenied => Refusal {
            status: NOT_EXECUTABLE,
            trouble: Trouble::new(
                format!("{shown} is not an executable file"),
                "name a program, or make it executable with `chmod +x`",
            ),
        },
        _ => Refusal {
            status: NOT_EXECUTABLE,
            trouble: Trouble::new(
                format!("{shown} cannot be executed ({error})"),
                "check that it is a program for this machine",
            ),
        },
    }
}
