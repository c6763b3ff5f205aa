//! The wake-up signal, with a value of ours in it.

use std::io;

use crate::system::process::Process;
use protocol::message::WakeSignal;
use protocol::names::WAKE_CODE;

/// Sends a real-time signal to one thread of a process, with the token that says where we listen.
pub fn wake(process: Process, thread: i32, signal: i32, token: u64) -> io::Result<()> {
    let wake_signal = WakeSignal {
        signal,
        errno: 0,
        code: WAKE_CODE,
        padding: 0,
        process: rustix::process::getpid().as_raw_pid(),
        user: rustix::process::getuid().as_raw(),
        value: token,
        rest: [0; 12],
    };
    // SAFETY: the kernel reads `wake_signal`, which has the size of a siginfo_t.
    let sent = unsafe {
        let number = libc::SYS_rt_tgsigqueueinfo;
        libc::syscall(number, process.pid, thread, signal, &raw const wake_signal)
    };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
