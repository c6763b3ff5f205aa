//! What the kernel says in a small file of `/proc`.

use std::ffi::CStr;

/// Reads as much of a file as there is room for; `None` if it cannot be read.
///
/// Takes no lock and allocates nothing. For the time of one read a descriptor is open.
pub fn read<'a>(path: &CStr, room: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: the kernel writes to `room` only. The descriptor is closed before anyone could have
    // learnt its number; O_CLOEXEC keeps it from a program that execs now.
    let count = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let count = libc::read(file, room.as_mut_ptr().cast(), room.len());
        libc::close(file);
        usize::try_from(count).ok()?
    };
    Some(&room[..count])
}
