//! Looks up who holds the lock on a file that a thread waits for.

use std::io::ErrorKind;

use crate::system::file_locks::{self, Owner};
use crate::system::open_files::{Holder, Identity, OpenFiles};
use crate::system::process::Process;

/// The most descriptors of a file that are looked at for a lock.
const MOST_DESCRIPTORS: usize = 500;

/// The processes that keep this one from locking the file which this descriptor is, by PID, each with its descriptors of
/// it as far as they are known. `None` if it does not wait for such a lock.
pub(crate) fn find(
    process: Process,
    number: i32,
    look: &OpenFiles,
) -> Option<Vec<(i32, Option<i32>)>> {
    let identity = Identity::of(process, number)?;
    let (_, inode) = identity.file()?;
    let (waiting, keepers) = file_locks::wait_of(process, inode)?;
    let mut open = look.holders_of(&identity);
    open.truncate(MOST_DESCRIPTORS);
    let mut holders: Vec<(i32, Option<i32>)> = Vec::new();
    let (by_process, by_file): (Vec<_>, Vec<_>) = keepers
        .into_iter()
        .partition(|one| one.owner == Owner::Process);
    // Such a lock ends with its process.
    for keeper in &by_process {
        let its = open.iter().find(|one| one.pid == keeper.pid);
        holders.push((keeper.pid, its.map(|its| its.number)));
    }
    if !by_file.is_empty() {
        // Processes share an open file after a fork, and who took the lock may have ended.
        let keeps = |one: &&Holder| {
            let Holder { pid, number, .. } = **one;
            let locks = file_locks::of_descriptor(Process { pid }, number);
            let mut locks = locks.iter().filter(|one| one.owner != Owner::Process);
            locks.any(|lock| lock.keeps(&waiting))
        };
        let mut found: Vec<(i32, Option<i32>)> = open
            .iter()
            .filter(keeps)
            .map(|one| (one.pid, Some(one.number)))
            .collect();
        if found.is_empty() {
            // Nobody whose descriptors are shown, or the kernel does not show locks there.
            let is_closed = |pid: i32| {
                let folder = std::fs::read_dir(Process { pid }.path("fd"));
                folder.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
            };
            for pid in by_file.iter().map(|one| one.pid).filter(|&pid| pid > 0) {
                let its = open.iter().find(|one| one.pid == pid);
                if its.is_some() || is_closed(pid) {
                    found.push((pid, its.map(|its| its.number)));
                }
            }
        }
        holders.append(&mut found);
    }
    holders.sort_unstable();
    holders.dedup();
    Some(holders)
}
