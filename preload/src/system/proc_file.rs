//! Reads small files of `/proc`.

use std::ffi::{CStr, c_int};

/// Reads the beginning of a file, as much as fits the buffer; `None` if it cannot be read.
///
/// Any thread, interrupted or not. A descriptor is open for the time of one read.
pub fn read<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    read_in(None, path, buffer)
}

/// The same for a path within a folder, if one is given.
pub fn read_in<'a>(folder: Option<&Folder>, path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let folder = folder.map_or(libc::AT_FDCWD, |folder| folder.0);
    // SAFETY: the kernel writes to `buffer` only. The descriptor is closed before another thread can
    // learn its number; O_CLOEXEC closes it if the program execs now.
    let count = unsafe {
        let file = libc::openat(folder, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let count = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        usize::try_from(count).ok()?
    };
    Some(&buffer[..count])
}

/// Writes a small file; what cannot be written is not. On a thread that is not interrupted.
pub fn write(path: &CStr, bytes: &[u8]) {
    // SAFETY: the kernel reads `bytes` only. The descriptor is closed before another thread can learn its
    // number; O_CLOEXEC closes it if the program execs now.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, bytes.as_ptr().cast(), bytes.len());
            libc::close(file);
        }
    }
}

/// An open folder: the kernel need not look for it again for each file in it.
pub struct Folder(c_int);

impl Folder {
    /// Opens a folder. On the reader, in whose own table of descriptors it may stay open.
    pub fn open(path: &CStr) -> Option<Folder> {
        // SAFETY: the path ends in NUL. The new descriptor belongs to the `Folder`, which closes it.
        let folder = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        (folder >= 0).then_some(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: `open` opened the descriptor, and it is closed only here.
        unsafe { libc::close(self.0) };
    }
}
