//! What the kernel says of epolls.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use rustix::event::epoll::{CreateFlags, EventData, EventFlags, add, create};

use crate::system::proc_file;

/// Whether `/proc/PID/fdinfo/N` of an epoll lists what it watches: since Linux 3.8 (`ep_show_fdinfo`,
/// fs/eventpoll.c). An epoll of our own shows it.
pub fn is_listed() -> bool {
    static LISTED: OnceLock<bool> = OnceLock::new();
    *LISTED.get_or_init(|| look().unwrap_or(false))
}

fn look() -> io::Result<bool> {
    let watches = create(CreateFlags::CLOEXEC)?;
    let watched = create(CreateFlags::CLOEXEC)?;
    add(&watches, &watched, EventData::new_u64(0), EventFlags::IN)?;
    let text = proc_file::read(
        format!("/proc/self/fdinfo/{}", watches.as_raw_fd()),
        proc_file::SHORT,
    )?;
    Ok(text.bytes.windows(4).any(|word| word == b"tfd:"))
}
