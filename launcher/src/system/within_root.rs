//! Paths of another process, looked up within its root as the process itself would do it, and never
//! outside: the process chooses the names, and may have put symbolic links in their way.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, open, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::system::named_file::{self, ALONE, NAMED};

/// The kernel follows as many symbolic links in one path (MAXSYMLINKS, include/linux/namei.h).
const MOST_LINKS: usize = 40;

/// The most names of a path that are looked up one by one.
const MOST_NAMES: usize = 2048;

/// The most folders within each other: each is held open.
const DEEPEST: usize = 64;

/// The file system of `/proc`, whose links lead to anywhere (include/uapi/linux/magic.h).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// Looks up an absolute path within a root, such as `/proc/PID/root`. The file is named by the result
/// (`O_PATH`), and not opened.
///
/// # Errors
/// ELOOP if there are too many symbolic links, or if one is a link of `/proc`'s.
pub fn look_up(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let root = open(root, NAMED | OFlags::DIRECTORY, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(&root, path, ALONE, Mode::empty(), resolve) {
        // Older than Linux 5.6, or a filter of system calls; or a folder was moved meanwhile.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => walk(root, path),
        result => Ok(result?),
    }
}

/// The same, name by name.
fn walk(root: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut above = vec![root];
    let mut names = Names::default();
    names.put_in_front(path.as_os_str())?;
    let mut links = 0;
    while let Some(name) = names.next() {
        let here = above.last().ok_or(Errno::NOENT)?;
        match name.as_bytes() {
            b"." => continue,
            // The root's parent is the root.
            b".." => {
                above.truncate(above.len().saturating_sub(1).max(1));
                continue;
            }
            _ => {}
        }
        let flags = NAMED | OFlags::NOFOLLOW;
        let found = openat(here, &name, flags, Mode::empty())?;
        if FileType::from_raw_mode(named_file::status(&found)?.st_mode) != FileType::Symlink {
            if above.len() > DEEPEST {
                return Err(Errno::NAMETOOLONG.into());
            }
            above.push(found);
            continue;
        }
        links += 1;
        if links > MOST_LINKS || is_procfs(here)? {
            return Err(Errno::LOOP.into());
        }
        let target = OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            above.truncate(1);
        }
        names.put_in_front(&target)?;
    }
    above.pop().ok_or(Errno::NOENT.into())
}

fn is_procfs(folder: impl AsFd) -> io::Result<bool> {
    Ok(named_file::file_system(folder)? == PROC_SUPER_MAGIC)
}

/// The names of a path that are still to be looked up, the last one first.
#[derive(Default)]
struct Names(Vec<OsString>);

impl Names {
    fn put_in_front(&mut self, path: &OsStr) -> io::Result<()> {
        let names = path.as_bytes().split(|byte| *byte == b'/');
        let names = names.filter(|name| !name.is_empty());
        let names: Vec<OsString> = names.map(|name| OsStr::from_bytes(name).into()).collect();
        self.0.extend(names.into_iter().rev());
        match self.0.len() {
            0..=MOST_NAMES => Ok(()),
            _ => Err(Errno::NAMETOOLONG.into()),
        }
    }

    fn next(&mut self) -> Option<OsString> {
        self.0.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    /// A root with links that lead out of it, as far as they can.
    struct Root(PathBuf);

    impl Root {
        fn new() -> Root {
            let name = format!("sleeper-root-{}", std::process::id());
            let root = std::env::temp_dir().join(name);
            fs::create_dir_all(root.join("a/b")).expect("a new folder");
            fs::write(root.join("a/b/file"), "").expect("a new file");
            fs::write(root.join("file"), "").expect("a new file");
            fs::create_dir_all(root.join("etc")).expect("a new folder");
            for (target, name) in [
                ("/etc", "out"),
                ("../../../../../../../../etc", "up"),
                ("/proc/self/root", "magic"),
                ("b/../b/./file", "a/inside"),
                ("/a/b", "absolute"),
                ("loop", "loop"),
            ] {
                symlink(target, root.join(name)).expect("a new link");
            }
            Root(root)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nothing_leads_out() {
        let root = Root::new();
        let ways: [fn(&Path, &Path) -> io::Result<OwnedFd>; 2] = [look_up, |root, path| {
            walk(open(root, NAMED, Mode::empty())?, path)
        }];
        for way in ways {
            let found = |path: &str| {
                let found = way(&root.0, Path::new(path))?;
                io::Result::Ok(named_file::status(found)?.st_ino)
            };
            let inode = |path: &str| fs::metadata(root.0.join(path)).expect("a file").ino();
            for (path, same) in [
                ("/file", "file"),
                ("/../../file", "file"),
                ("/a/b/file", "a/b/file"),
                ("/a/inside", "a/b/file"),
                ("/absolute/file", "a/b/file"),
                ("/absolute/..", "a"),
                ("/out", "etc"),
                ("/up", "etc"),
            ] {
                assert_eq!(found(path).expect(path), inode(same), "{path}");
            }
            for path in [
                "/out/passwd",
                "/up/passwd",
                "/magic",
                "/none",
                "/loop",
                "/file/x",
            ] {
                assert!(found(path).is_err(), "{path}");
            }
            let outside = way(Path::new("/"), Path::new("/proc/self/exe"));
            assert!(outside.is_err(), "a link of /proc's");
        }
    }
}
