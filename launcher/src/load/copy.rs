//! A copy of the library where a program can open it, for a program that sees neither the library nor `/proc`. It is
//! removed as soon as it is loaded.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use rustix::process::geteuid;

use crate::system::named_file;
use crate::system::process::Process;
use crate::system::random;
use crate::system::within_root;

/// Folders, as the program sees them, that a copy may be put into; best first.
pub const FOLDERS: [&str; 5] = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/"];

/// A copy. Dropping it removes the file.
pub struct Copy {
    folder: OwnedFd,
    name: String,
    /// Its path, as the program sees it.
    pub path: CString,
}

impl Copy {
    /// Makes a copy of a library in one of [`FOLDERS`].
    ///
    /// The process chooses what its folders are. So the new file has a name that nobody could guess, and its folder must
    /// be one in which only root, the process's user and ours can put another file in its place.
    ///
    /// # Errors
    /// The kernel's; PermissionDenied if others could replace it.
    pub fn make(process: Process, folder: &str, library: &Path) -> io::Result<Copy> {
        let [user, effective, saved] = process.status()?.users;
        let opened = within_root::look_up(&process.path("root"), folder.as_ref())?;
        let status = named_file::status(&opened)?;
        let mode = Mode::from_raw_mode(status.st_mode);
        let others_may_write = mode.intersects(Mode::WGRP | Mode::WOTH);
        let ours = geteuid().as_raw();
        // A program that has the rights of another than its user must not get its code from that user.
        let is_one = user == effective && user == saved;
        let owners = [0, ours, if is_one { user } else { ours }];
        if others_may_write && !mode.contains(Mode::SVTX) || !owners.contains(&status.st_uid) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let name = format!("libsleeper-{:016x}.so", random::number()?);
        let bytes = fs::read(library)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let created = openat(&opened, &name, flags | OFlags::NOFOLLOW, Mode::RUSR)?;
        let copy = Copy {
            folder: opened,
            path: CString::new(format!("{}/{name}", folder.trim_end_matches('/')))?,
            name,
        };
        let mut file = File::from(created);
        file.write_all(&bytes)?;
        file.set_permissions(fs::Permissions::from_mode(0o444))?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}
