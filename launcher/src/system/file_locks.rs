//! Locks on files, as the kernel lists them: `/proc/locks` (proc_locks(5)) and `/proc/PID/fdinfo`.

use crate::system::proc_file;
use crate::system::process::Process;

/// The most bytes of the list: 50,000 locks.
const MOST_TEXT: usize = 4 << 20;

/// The most bytes of what the kernel says of one descriptor.
const MOST_OF_DESCRIPTOR: usize = 64 << 10;

/// A lock, or a wait for one.
#[derive(Clone, Debug, PartialEq)]
pub struct FileLock {
    /// Whether it is waited for.
    pub waits: bool,
    /// What it belongs to.
    pub owner: Owner,
    /// Whether others may have one for reading meanwhile.
    shared: bool,
    /// The process that took it, or waits for it; 0 and less: not one that is seen here.
    pub pid: i32,
    /// The file: its device and inode, as the kernel counts them.
    file: String,
    /// The first byte of the file that is locked, and the last.
    range: (u64, u64),
}

/// What a lock belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Owner {
    /// A process: fcntl(2), lockf(3).
    Process,
    /// An open file, which processes may share after a fork: flock(2).
    OpenFile,
    /// An open file, and it excludes those of processes: F_OFD_SETLK of fcntl(2).
    OpenFileRange,
}

impl FileLock {
    /// Parses a line (`lock_get_status`, fs/locks.c, Linux 6.18); `None` for leases, on which nobody waits.
    fn parse(line: &str) -> Option<FileLock> {
        let mut words = line.split_ascii_whitespace();
        words.next()?.strip_suffix(':')?;
        let mut word = words.next()?;
        let waits = word == "->";
        if waits {
            word = words.next()?;
        }
        let owner = match word {
            "POSIX" => Owner::Process,
            "FLOCK" => Owner::OpenFile,
            "OFDLCK" => Owner::OpenFileRange,
            _ => return None,
        };
        let shared = words.nth(1)? == "READ";
        let pid = words.next()?.parse().ok()?;
        let file = words.next()?.to_owned();
        let first = words.next()?.parse().ok()?;
        let last = match words.next()? {
            "EOF" => u64::MAX,
            number => number.parse().ok()?,
        };
        Some(FileLock {
            waits,
            owner,
            shared,
            pid,
            file,
            range: (first, last),
        })
    }

    /// The inode of its file.
    fn inode(&self) -> Option<u64> {
        self.file.rsplit_once(':')?.1.parse().ok()
    }

    /// Whether this lock, which somebody has, keeps that one waiting.
    pub fn keeps(&self, waiting: &FileLock) -> bool {
        let flock = |one: &FileLock| one.owner == Owner::OpenFile;
        let process = |one: &FileLock| (one.owner == Owner::Process).then_some(one.pid);
        let overlap = self.range.0 <= waiting.range.1 && waiting.range.0 <= self.range.1;
        !self.waits
            && self.file == waiting.file
            && flock(self) == flock(waiting)
            && overlap
            && !(self.shared && waiting.shared)
            // A process's locks do not exclude each other.
            && process(self).is_none_or(|pid| process(waiting) != Some(pid))
    }
}

/// What a process waits for, of a file with this inode: the lock, and the locks of others that keep it waiting. `None`
/// if the kernel lists no such wait: it is over, or another machine keeps the lock.
pub fn wait_of(process: Process, inode: u64) -> Option<(FileLock, Vec<FileLock>)> {
    let text = proc_file::read("/proc/locks", MOST_TEXT).ok()?;
    waits_in(&String::from_utf8_lossy(&text.bytes), process.pid, inode)
}

fn waits_in(text: &str, pid: i32, inode: u64) -> Option<(FileLock, Vec<FileLock>)> {
    let all: Vec<FileLock> = text.lines().filter_map(FileLock::parse).collect();
    let waiting = || all.iter().filter(|one| one.waits && one.pid == pid);
    // Some file systems show users another inode than they lock.
    let wait = waiting().find(|one| one.inode() == Some(inode));
    let only = || waiting().next().filter(|_| waiting().count() == 1);
    let wait = wait.or_else(only)?;
    let keepers = all.iter().filter(|one| one.keeps(wait));
    Some((wait.clone(), keepers.cloned().collect()))
}

/// The locks of the open file that this descriptor of a process is. (Linux 4.1 and later.)
pub fn of_descriptor(process: Process, number: i32) -> Vec<FileLock> {
    let text = proc_file::read(
        process.path(&format!("fdinfo/{number}")),
        MOST_OF_DESCRIPTOR,
    );
    let text = text.map(|read| read.bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let locks = text.lines().filter_map(|line| line.strip_prefix("lock:"));
    locks.filter_map(FileLock::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
1: POSIX  ADVISORY  WRITE 10 fe:00:7 0 99
1: -> POSIX  ADVISORY  WRITE 20 fe:00:7 50 149
2: POSIX  ADVISORY  READ 30 fe:00:7 100 EOF
3: POSIX  ADVISORY  READ 20 fe:00:7 150 EOF
4: FLOCK  ADVISORY  WRITE 40 fe:00:7 0 EOF
4: -> FLOCK  ADVISORY  READ 50 fe:00:7 0 EOF
4:  -> FLOCK  ADVISORY  WRITE 60 fe:00:7 0 EOF
5: FLOCK  ADVISORY  WRITE 40 fe:01:7 0 EOF
6: LEASE  ACTIVE    READ 70 fe:00:7 0 EOF
7: OFDLCK ADVISORY  READ -1 fe:00:7 0 EOF
";

    #[test]
    fn finds_who_keeps_a_lock() {
        let keepers = |pid, inode| {
            let (_, keepers) = waits_in(LIST, pid, inode)?;
            Some(keepers.iter().map(|one| one.pid).collect::<Vec<i32>>())
        };
        assert_eq!(keepers(20, 7), Some(vec![10, 30, -1]));
        assert_eq!(keepers(50, 7), Some(vec![40]));
        // It is its only wait.
        assert_eq!(keepers(60, 8), Some(vec![40]));
        assert_eq!(keepers(10, 7), None);
    }

    #[test]
    fn survives_any_line() {
        for line in [
            "",
            "1:",
            "1: ->",
            "1: POSIX a b",
            "1: FLOCK  ADVISORY  WRITE x y z 0",
        ] {
            assert_eq!(FileLock::parse(line), None);
        }
    }
}
