//! Opens a file that is mapped into another process, and no other file, without waiting and without an
//! effect on anybody.
//!
//! The process chooses the file and its name, and may exchange it at any moment for a pipe, a device or a
//! link. So the file is first named (`O_PATH`), which opens nothing; then looked at; and only a regular file,
//! with the device and the inode of the mapping, is opened.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, major, minor, open};
use rustix::io::Errno;

use crate::system::maps::MappedFile;
use crate::system::named_file::{self, NAMED};
use crate::system::proc_file;
use crate::system::process::Process;
use crate::system::within_root;

/// File systems for which stat(2) gives other numbers than the kernel's own, which maps have: overlayfs, btrfs,
/// bcachefs, aufs (include/uapi/linux/magic.h, fs/bcachefs/super.c, aufs_type.h).
const NUMBERED_TWICE: [i64; 4] = [0x794c_7630, 0x9123_683e, 0xca45_1a4e, 0x6175_6673];

/// Opens a file that is mapped into a process, for reading.
///
/// The process may live in another mount namespace, and the file may have been replaced since: the kernel
/// shows root the mapped file nevertheless (`map_files`, proc_pid_map_files(5)). Everybody else finds it by its
/// name, within the process's root.
///
/// # Errors
/// WouldBlock (EWOULDBLOCK) if somebody holds a lease on the file (fcntl(2)): to wait until the lease is
/// broken would take up to 45 s. InvalidInput if it is no regular file any more, or another file.
pub fn open_mapped(process: Process, file: &MappedFile) -> io::Result<File> {
    let link = process.path(&format!("map_files/{:x}-{:x}", file.start, file.end));
    let named = match open(&link, NAMED, Mode::empty()) {
        Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) if !file.deleted => {
            within_root::look_up(&process.path("root"), &file.path)?
        }
        named => named?,
    };
    open_named(named, file)
}

fn open_named(named: OwnedFd, file: &MappedFile) -> io::Result<File> {
    let data = named_file::status(&named)?;
    if FileType::from_raw_mode(data.st_mode) != FileType::RegularFile {
        return Err(another("it is no regular file"));
    }
    let device = (major(data.st_dev), minor(data.st_dev));
    let same = (device, data.st_ino) == (file.device, file.inode);
    if !same && !NUMBERED_TWICE.contains(&named_file::file_system(&named)?) {
        return Err(another("it is another file than the one that is mapped"));
    }
    // Of the same inode, which `named` holds.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = File::from(open(named_file::link(&named), flags, Mode::empty())?);
    if !same && numbers_in_maps(&opened)? != (file.device, file.inode) {
        return Err(another("it is another file than the one that is mapped"));
    }
    Ok(opened)
}

fn another(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Whether a file may be mapped as the code of a program, as a loader does it.
///
/// # Errors
/// EPERM if its file system is mounted `noexec`; EACCES if a security module forbids it (mmap(2)).
pub fn may_be_code(file: &File) -> io::Result<()> {
    // SAFETY: a new private mapping, at an address that the kernel chooses. Nobody looks into it, and it is
    // unmapped below.
    unsafe {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        let none = std::ptr::null_mut();
        let address = libc::mmap(none, 1, protection, flags, file.as_raw_fd(), 0);
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::munmap(address, 1);
    }
    Ok(())
}

/// A file's device and inode as maps have them, which a mapping of our own shows.
fn numbers_in_maps(file: &File) -> io::Result<((u32, u32), u64)> {
    const LENGTH: usize = 4096;
    // SAFETY: a new private mapping, at an address that the kernel chooses. Nobody reads it, and it is unmapped
    // below.
    let address = unsafe {
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
        let none = std::ptr::null_mut();
        libc::mmap(none, LENGTH, protection, flags, file.as_raw_fd(), 0)
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mut numbers = None;
    let read = proc_file::lines("/proc/self/maps", 1 << 20, |line| {
        numbers = numbers.or_else(|| numbers_of(line, address as u64));
    });
    // SAFETY: the mapping from above, of which nothing is left.
    unsafe { libc::munmap(address, LENGTH) };
    read?;
    numbers.ok_or_else(|| io::Error::other("/proc/self/maps does not show our own mapping"))
}

/// Device and inode in a line of maps, if the mapping has this address in it.
fn numbers_of(line: &[u8], address: u64) -> Option<((u32, u32), u64)> {
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    let line = String::from_utf8_lossy(line);
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if !(hexadecimal(start)?..hexadecimal(end)?).contains(&address) {
        return None;
    }
    let (major, minor) = fields.nth(2)?.split_once(':')?;
    let device = (hexadecimal(major)? as u32, hexadecimal(minor)? as u32);
    Some((device, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::maps;
    use std::os::unix::fs::MetadataExt;

    fn us() -> Process {
        Process {
            pid: std::process::id() as i32,
        }
    }

    fn our_files() -> Vec<MappedFile> {
        let (files, _) = maps::of(us(), maps::MOST_TEXT, |_| false).expect("procfs");
        files
    }

    #[test]
    fn opens_what_is_mapped_and_nothing_else() {
        let files = our_files();
        let name = std::env::current_exe().expect("a name");
        let program = files.iter().find(|file| file.path == name).expect("mapped");
        let opened = open_mapped(us(), program).expect("our own program");
        let data = opened.metadata().expect("an open file");
        assert_eq!(data.ino(), program.inode);
        assert_eq!(
            numbers_in_maps(&opened).expect("mapped"),
            (program.device, program.inode)
        );
        // By its name alone, as an ordinary user has to.
        let by_name = MappedFile {
            start: 1,
            ..program.clone()
        };
        assert!(open_mapped(us(), &by_name).is_ok());
        let refused = |other: MappedFile| {
            let error = open_mapped(us(), &other).expect_err("another file");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        };
        let inode = program.inode + 1;
        refused(MappedFile {
            inode,
            ..program.clone()
        });
        refused(MappedFile {
            path: "/proc/self/status".into(),
            ..by_name.clone()
        });
        refused(MappedFile {
            path: "/dev/null".into(),
            ..by_name.clone()
        });
        let missing = MappedFile {
            path: "/none".into(),
            ..by_name
        };
        assert!(open_mapped(us(), &missing).is_err());
    }
}
