//! Standard output, where what cannot be written is an error.
//!
//! Rust's own is none: it takes a descriptor that is closed, or is not open for writing, for one that takes
//! everything (`handle_ebadf`, library/std/src/io/stdio.rs). And where the descriptor is closed, Rust opens
//! `/dev/null` in its place before `main`.

use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether the descriptor was closed when the command was started.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

// SAFETY: what starts a program calls each function of this section once, before `main`; this one needs
// nothing that is set up later.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: it reads the flags of a descriptor, which need not be there.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags < 0, Relaxed);
}

/// Whether it is a pipe that nobody reads any more.
static IS_BROKEN: AtomicBool = AtomicBool::new(false);

/// Whether whoever read standard output has gone, as `head` does: then nothing is said of it.
pub fn is_broken() -> bool {
    IS_BROKEN.load(Relaxed)
}

/// Standard output. Everything that the commands print goes through it, piece by piece.
pub struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if WAS_CLOSED.load(Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let written = rustix::io::write(io::stdout().as_fd(), bytes);
        if written == Err(Errno::PIPE) {
            IS_BROKEN.store(true, Relaxed);
        }
        Ok(written?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
