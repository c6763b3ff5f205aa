//! Files that are named and not opened (`O_PATH`): nothing is asked of the file itself, be it a pipe, a device
//! or under a lease.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{OFlags, Stat, fstat, fstatfs, stat, statfs};
use rustix::io::Errno;

/// Names a file. Linux before 2.6.39 opens it nevertheless: then at least without waiting.
pub const NAMED: OFlags = ALONE.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The same, for the call that checks its flags (openat2(2)).
pub const ALONE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// What the file is.
pub fn status(named: impl AsFd) -> io::Result<Stat> {
    match fstat(&named) {
        // Linux before 3.6.
        Err(Errno::BADF) => Ok(stat(link(named))?),
        result => Ok(result?),
    }
}

/// The number of its file system (include/uapi/linux/magic.h).
pub fn file_system(named: impl AsFd) -> io::Result<i64> {
    let found = match fstatfs(&named) {
        // Linux before 3.12.
        Err(Errno::BADF) => statfs(link(named))?,
        result => result?,
    };
    Ok(found.f_type as i64)
}

/// A path that leads to it, whatever has happened to its own.
pub fn link(named: impl AsFd) -> String {
    format!("/proc/self/fd/{}", named.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, open};

    #[test]
    fn a_link_leads_to_what_is_named() {
        let path = std::env::temp_dir().join(format!("sleeper-named-{}", std::process::id()));
        std::os::unix::fs::symlink("/etc", &path).expect("a new link");
        for flags in [NAMED, NAMED | OFlags::NOFOLLOW] {
            let named = open(&path, flags, Mode::empty()).expect("a file");
            let (direct, by_link) = (status(&named).expect("named"), stat(link(&named)));
            let by_link = by_link.expect("named");
            let numbers = |one: &Stat| (one.st_dev, one.st_ino, one.st_mode);
            assert_eq!(numbers(&direct), numbers(&by_link));
            let by_link = statfs(link(&named)).expect("named").f_type as i64;
            assert_eq!(file_system(&named).expect("named"), by_link);
        }
        std::fs::remove_file(path).expect("just made");
    }
}
