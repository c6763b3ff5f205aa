//! A file in memory (memfd_create(2)) of another process.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, open};

use crate::system::named_file::{self, NAMED};

/// The file system of such files (include/uapi/linux/magic.h).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Opens the file in memory that `/proc/PID/fd/N` leads to, to write to it.
///
/// The process may put anything in its place at any moment. So the file is first named (`O_PATH`), which opens nothing,
/// and then looked at: only a file that never had a name in any folder, and was made with this one, is opened.
///
/// # Errors
/// InvalidInput if it is another file.
pub fn open_named(place: &Path, name: &str) -> io::Result<File> {
    let named = open(place, NAMED, Mode::empty())?;
    let link = named_file::link(&named);
    let data = named_file::status(&named)?;
    let is_ours = std::fs::read_link(&link)?.to_str() == Some(&format!("/memfd:{name} (deleted)"))
        && FileType::from_raw_mode(data.st_mode) == FileType::RegularFile
        && data.st_nlink == 0
        && named_file::file_system(&named)? == TMPFS_MAGIC;
    if !is_ours {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(open(link, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn opens_a_file_in_memory_and_no_other() {
        let place = |number: i32| format!("/proc/self/fd/{number}");
        let file = File::from(memfd_create("one.so", MemfdFlags::CLOEXEC).expect("a file"));
        let number = file.as_raw_fd();
        let mut opened = open_named(place(number).as_ref(), "one.so").expect("ours");
        opened.write_all(b"text").expect("it can be written to");
        let mut text = String::new();
        (&file).read_to_string(&mut text).expect("it can be read");
        assert_eq!(text, "text");
        assert!(open_named(place(number).as_ref(), "another.so").is_err());
        let other = File::open("/proc/self/exe").expect("our own program");
        assert!(open_named(place(other.as_raw_fd()).as_ref(), "one.so").is_err());
        assert!(open_named("/dev/null".as_ref(), "one.so").is_err());
    }
}
