//! Bytes as a file with a path.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;

/// A file in memory; it goes away with its owner.
pub struct MemoryFile(File);

impl MemoryFile {
    /// Makes a file with these bytes.
    pub fn new(bytes: &[u8]) -> MemoryFile {
        // SAFETY: a constant name; the descriptor is new, and the file becomes its only owner.
        let mut file = unsafe {
            let descriptor = libc::memfd_create(c"fuzz".as_ptr(), libc::MFD_CLOEXEC);
            assert!(descriptor >= 0);
            File::from_raw_fd(descriptor)
        };
        file.write_all(bytes).unwrap();
        MemoryFile(file)
    }

    /// Its path in this process.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
