//! The stage: the folder of all files that tests run.
//!
//! The work tree may lie anywhere. But the loader preloads no library whose path contains a space or a
//! colon, other users may not have access, and programs print their own paths. The stage lies below the
//! folder for temporary files, its path is short and plain, and every user may enter it. The runner
//! removes its stage as it exits; the next runner removes the stage of a killed runner.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How the names of all stages begin.
const PREFIX: &str = "sleeper-stage-";

/// The stage of this process, locked for as long as it runs.
static STAGE: OnceLock<(PathBuf, File)> = OnceLock::new();

/// Makes the stage of this process.
pub fn make() -> Result<PathBuf, String> {
    let temporary = std::env::temp_dir();
    let bytes = temporary.as_os_str().as_bytes();
    if bytes.iter().any(|byte| b" :$\n".contains(byte)) {
        return Err(format!(
            "the loader preloads nothing from {}: set TMPDIR to a path without spaces, colons and \
             dollar signs",
            temporary.display()
        ));
    }
    remove_abandoned(&temporary);
    let number = std::process::id();
    let stage = temporary.join(format!("{PREFIX}{number}"));
    let make = || -> io::Result<PathBuf> {
        // The folder gets its final name once it is locked: an unlocked stage looks abandoned.
        let new = temporary.join(format!("sleeper-new-stage-{number}"));
        fs::create_dir(&new)?;
        fs::set_permissions(&new, Permissions::from_mode(0o755))?;
        let folder = File::open(&new)?;
        lock(&folder);
        fs::rename(&new, &stage)?;
        // /proc/PID/maps shows paths without symbolic links.
        let stage = fs::canonicalize(&stage)?;
        if STAGE.set((stage.clone(), folder)).is_ok() {
            // SAFETY: the function follows C's convention and takes nothing.
            unsafe { libc::atexit(remove) };
        }
        Ok(stage)
    };
    make().map_err(|error| format!("{}: {error}", stage.display()))
}

extern "C" fn remove() {
    if let Some((stage, _)) = STAGE.get() {
        let _ = fs::remove_dir_all(stage);
    }
}

/// Locks a folder, unless another process has locked it. Returns whether this process has the lock.
fn lock(folder: &File) -> bool {
    // SAFETY: a plain system call on an open descriptor.
    unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// Removes the stages of killed runners: nobody has locked them.
fn remove_abandoned(temporary: &Path) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let is_stage = entry.file_name().as_bytes().starts_with(PREFIX.as_bytes());
        if is_stage && File::open(entry.path()).is_ok_and(|folder| lock(&folder)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Hard-links a file into a folder, or copies it where that fails, and returns its new path.
pub fn place(file: &Path, folder: &Path) -> Result<PathBuf, String> {
    let placed = folder.join(file.file_name().unwrap_or_default());
    let _ = fs::remove_file(&placed);
    fs::hard_link(file, &placed)
        .or_else(|_| fs::copy(file, &placed).map(|_| ()))
        .map_err(|error| format!("{}: {error}", placed.display()))?;
    Ok(placed)
}

/// Copies all Python files of a folder into a new one.
pub fn place_programs(from: &Path, into: &Path) -> Result<PathBuf, String> {
    let copy = || -> io::Result<()> {
        fs::create_dir_all(into)?;
        for entry in fs::read_dir(from)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "py") {
                fs::copy(&path, into.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    };
    copy().map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(into.to_owned())
}
