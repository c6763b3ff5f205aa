//! What the kernel says in a small file of `/proc`.

use std::ffi::{CStr, c_int};

/// Reads as much of a file as there is room for; `None` if it cannot be read.
///
/// Takes no lock and allocates nothing. For the time of one read a descriptor is open.
pub fn read<'a>(path: &CStr, room: &'a mut [u8]) -> Option<&'a [u8]> {
    read_in(None, path, room)
}

/// The same of a file within a folder, if there is one given.
pub fn read_in<'a>(folder: Option<&Folder>, path: &CStr, room: &'a mut [u8]) -> Option<&'a [u8]> {
    let folder = folder.map_or(libc::AT_FDCWD, |folder| folder.0);
    // SAFETY: the kernel writes to `room` only. The descriptor is closed before anyone could have
    // learnt its number; O_CLOEXEC keeps it from a program that execs now.
    let count = unsafe {
        let file = libc::openat(folder, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let count = libc::read(file, room.as_mut_ptr().cast(), room.len());
        libc::close(file);
        usize::try_from(count).ok()?
    };
    Some(&room[..count])
}

/// A folder that many files are read in: the kernel then does not look for it each time.
pub struct Folder(c_int);

impl Folder {
    /// Opens it. On the reader, in whose own table of descriptors it may stay open.
    pub fn open(path: &CStr) -> Option<Folder> {
        // SAFETY: the descriptor is closed where this ends.
        let folder = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        (folder >= 0).then_some(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: it is ours.
        unsafe { libc::close(self.0) };
    }
}
