//! Who is at the other end of a Unix socket.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// The PID of the process that connected, in our own PID namespace; 0 if it lives outside that.
///
/// (rustix has this call, but no value for a PID of 0.)
pub fn pid(line: &UnixStream) -> Option<i32> {
    // SAFETY: `peer` is plain numbers; the kernel fills them in, and `size` tells it how large they are.
    unsafe {
        let mut peer: libc::ucred = std::mem::zeroed();
        let mut size = size_of::<libc::ucred>() as libc::socklen_t;
        let result = libc::getsockopt(
            line.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut size,
        );
        (result == 0).then_some(peer.pid)
    }
}
