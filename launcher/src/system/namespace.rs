//! Namespaces of other processes.

use std::fs;
use std::path::PathBuf;

use crate::system::process::Process;

/// The file of a namespace of a process's thread; the kind is `net`, `user` or `pid`.
pub fn path(process: Process, thread: i32, kind: &str) -> PathBuf {
    process.path(&format!("task/{thread}/ns/{kind}"))
}

/// Whether a thread is in another namespace than we are. If we may not look, it is taken for ours.
///
/// The kernel's links name a namespace by its kind and number, such as `net:[4026531840]`. Linux before 3.8 has
/// plain files here, or none, and they do not show which of them are of one namespace: ours too, then.
pub fn is_other(process: Process, thread: i32, kind: &str) -> bool {
    let theirs = fs::read_link(path(process, thread, kind));
    let ours = fs::read_link(format!("/proc/self/ns/{kind}"));
    matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs != ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_is_no_other() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        for kind in ["net", "user", "pid", "none"] {
            assert!(!is_other(us, us.pid, kind));
        }
        assert!(!is_other(Process { pid: i32::MAX }, 1, "net"));
    }
}
