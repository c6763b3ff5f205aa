//! Which processes have a pipe, a socket or a file open, as far as this user may look.
//!
//! A look reads every link in `/proc/*/fd`, a microsecond or two each. It is taken only where a wait makes it
//! necessary, and shared by all processes that are asked at about the same time.

use std::ffi::CStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, StatxFlags, open, readlinkat_raw, statx};

use crate::system::proc_file::{self, SHORT};
use crate::system::process::Process;

/// The most descriptors that one look takes down, 16 bytes each.
const MOST_DESCRIPTORS: usize = 500_000;

/// The longest time of one look: 100,000 descriptors and more.
const MOST_TIME: Duration = Duration::from_millis(500);

/// How long a look is good for. Whoever is asked later gets a new one.
const GOOD_FOR: Duration = Duration::from_millis(200);

/// A longer link is cut to this many bytes: those of pipes and sockets are short.
const LONGEST_LINK: usize = 4096;

/// The inode of the PID namespace that sees all processes: PROC_PID_INIT_INO (include/linux/proc_ns.h).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The open descriptors of all processes.
pub struct OpenFiles {
    /// In the order of their hashes.
    entries: Vec<Entry>,
    hash: RandomState,
    /// Whether all processes could be looked at, to the end.
    complete: bool,
    begun: Instant,
}

struct Entry {
    hash: u64,
    pid: i32,
    number: i32,
}

/// An open descriptor of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holder {
    /// The process's PID.
    pub pid: i32,
    /// The descriptor's number.
    pub number: i32,
    /// Whether it is open for reading.
    pub reads: bool,
    /// Whether it is open for writing.
    pub writes: bool,
}

/// The latest look.
static LATEST: Mutex<Option<Arc<OpenFiles>>> = Mutex::new(None);

impl OpenFiles {
    /// A look at all processes that is fresh. It may be cut at `until`.
    ///
    /// On a thread that may be kept for ever, as any reader of `/proc` may.
    pub fn fresh(until: Instant) -> Arc<OpenFiles> {
        let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
        let good = latest
            .as_ref()
            .filter(|look| look.begun.elapsed() < GOOD_FOR);
        if let Some(look) = good {
            return look.clone();
        }
        let look = Arc::new(OpenFiles::look(until));
        *latest = Some(look.clone());
        look
    }

    fn look(until: Instant) -> OpenFiles {
        let begun = Instant::now();
        let until = until.min(begun + MOST_TIME);
        let mut look = OpenFiles {
            entries: Vec::new(),
            hash: RandomState::new(),
            complete: sees_all_processes(),
            begun,
        };
        let ours = own_processes();
        for process in Process::all().unwrap_or_default() {
            if ours.contains(&process.pid) {
                continue;
            }
            if Instant::now() > until || !look.add(process) {
                look.complete = false;
                break;
            }
        }
        look.entries.sort_unstable_by_key(|entry| entry.hash);
        look
    }

    /// Adds the descriptors of a process; returns whether there is room for more.
    fn add(&mut self, process: Process) -> bool {
        let folder = open(
            process.path("fd"),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => {
                // It may have ended meanwhile.
                if error.kind() == ErrorKind::PermissionDenied {
                    self.complete = false;
                }
                return true;
            }
        };
        let Ok(names) = Dir::read_from(folder.as_fd()) else {
            return true;
        };
        let mut buffer = [0; LONGEST_LINK];
        for name in names.filter_map(Result::ok) {
            let Some(number) = number_of(name.file_name()) else {
                continue;
            };
            let Ok(length) = readlinkat_raw(&folder, name.file_name(), &mut buffer[..]) else {
                continue;
            };
            let link = &buffer[..length];
            // Nobody waits for these.
            if link.starts_with(b"anon_inode:") || link == b"/dev/null" {
                continue;
            }
            if self.entries.len() == MOST_DESCRIPTORS {
                return false;
            }
            let hash = self.hash.hash_one(key(link));
            let pid = process.pid;
            self.entries.push(Entry { hash, pid, number });
        }
        true
    }

    /// Whether all processes could be looked at: whoever else has a file open would have been found.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Who has this open.
    pub fn holders_of(&self, identity: &Identity) -> Vec<Holder> {
        let hash = self.hash.hash_one(key(&identity.link));
        let first = self.entries.partition_point(|entry| entry.hash < hash);
        let entries = self.entries[first..].iter();
        let same = entries.take_while(|entry| entry.hash == hash);
        // Of equal hashes not all need be the same, and what was open may be closed.
        let still = same.filter(|entry| {
            let process = Process { pid: entry.pid };
            Identity::of(process, entry.number).is_some_and(|its| its.is(identity))
        });
        let mut holders: Vec<Holder> = still.filter_map(Entry::holder).collect();
        holders.sort_unstable_by_key(|one| (one.pid, one.number));
        holders
    }
}

impl Entry {
    /// The rights of the link tell how the file was opened (`tid_fd_update_inode`, fs/proc/fd.c, Linux 6.18; before 3.7
    /// in fs/proc/base.c).
    fn holder(&self) -> Option<Holder> {
        let process = Process { pid: self.pid };
        let link = fs::symlink_metadata(process.path(&format!("fd/{}", self.number))).ok()?;
        Some(Holder {
            pid: self.pid,
            number: self.number,
            reads: link.mode() & 0o400 != 0,
            writes: link.mode() & 0o200 != 0,
        })
    }
}

/// What is open: two descriptors with the same are the same pipe, socket or file.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The link in `/proc/PID/fd`.
    link: Vec<u8>,
    /// The device and inode of what has a path: the path depends on who looks.
    file: Option<(u64, u64)>,
}

impl Identity {
    /// What this link of `/proc/PID/fd` names, without a path: `pipe:[7]`.
    pub fn named(link: String) -> Identity {
        Identity {
            link: link.into_bytes(),
            file: None,
        }
    }

    /// What this descriptor of a process is, if it is open.
    pub fn of(process: Process, number: i32) -> Option<Identity> {
        let path = process.path(&format!("fd/{number}"));
        let mut buffer = [0; LONGEST_LINK];
        let length = readlinkat_raw(CWD, &path, &mut buffer[..]).ok()?;
        let link = buffer[..length].to_vec();
        let file = match link.starts_with(b"/") {
            true => {
                let (_, device, inode) = file_at(&path)?;
                Some((device, inode))
            }
            false => None,
        };
        Some(Identity { link, file })
    }

    /// The device and inode of a file.
    pub fn file(&self) -> Option<(u64, u64)> {
        self.file
    }

    fn is(&self, other: &Identity) -> bool {
        match (self.file, other.file) {
            (None, None) => self.link == other.link,
            (one, other) => one == other,
        }
    }
}

/// Whether this descriptor of a process is a FIFO that has a path.
pub fn is_fifo(process: Process, number: i32) -> bool {
    let file = file_at(&process.path(&format!("fd/{number}")));
    file.is_some_and(|(mode, ..)| mode & libc::S_IFMT == libc::S_IFIFO)
}

/// The mode, the device and the inode of a file. Nobody is asked who serves it: a file system of a user's own may
/// not answer.
fn file_at(path: &Path) -> Option<(u32, u64, u64)> {
    let wanted = StatxFlags::TYPE | StatxFlags::INO;
    match statx(CWD, path, AtFlags::STATX_DONT_SYNC, wanted) {
        Ok(file) => {
            let device = rustix::fs::makedev(file.stx_dev_major, file.stx_dev_minor);
            Some((file.stx_mode.into(), device, file.stx_ino))
        }
        // Before Linux 4.11.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            let file = fs::metadata(path).ok()?;
            Some((file.mode(), file.dev(), file.ino()))
        }
        Err(_) => None,
    }
}

/// What of a link is hashed: of a path the last part, as the rest depends on who looks.
fn key(link: &[u8]) -> &[u8] {
    match link.iter().rposition(|&byte| byte == b'/') {
        Some(at) if link[0] == b'/' => &link[at + 1..],
        _ => link,
    }
}

fn number_of(name: &CStr) -> Option<i32> {
    name.to_str().ok()?.parse().ok()
}

/// This process, and the one that supervises it, if any: what they have open, they have for this question only.
fn own_processes() -> Vec<i32> {
    let program = |pid: &str| -> Option<PathBuf> { fs::read_link(format!("/proc/{pid}/exe")).ok() };
    let mut ours = vec![std::process::id() as i32];
    if let Some(parent) = rustix::process::getppid().map(|one| one.as_raw_nonzero().get())
        && program("self").is_some_and(|own| program(&parent.to_string()) == Some(own))
    {
        ours.push(parent);
    }
    ours
}

/// Whether `/proc` shows all processes of this machine: in a container it shows those of the container, and
/// with the mount option `hidepid` those of this user.
fn sees_all_processes() -> bool {
    let namespace = fs::metadata("/proc/self/ns/pid").map(|one| one.ino());
    namespace.is_ok_and(|inode| inode == FIRST_PID_NAMESPACE)
        && proc_file::read("/proc/1/stat", SHORT).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn tells_the_ends_of_a_pipe() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .stdout(writer)
            .spawn()
            .unwrap();
        let us = Process {
            pid: std::process::id() as i32,
        };
        let identity = Identity::of(us, reader.as_raw_fd()).unwrap();
        let look = OpenFiles::look(Instant::now() + Duration::from_secs(60));
        let holders = look.holders_of(&identity);
        // This process is not looked at.
        let expected = Holder {
            pid: child.id() as i32,
            number: 1,
            reads: false,
            writes: true,
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(holders, [expected]);
        assert_eq!(look.holders_of(&identity), []);
    }

    #[test]
    fn compares_paths_by_their_last_part() {
        assert_eq!(key(b"/tmp/a b"), b"a b");
        assert_eq!(key(b"pipe:[7]"), b"pipe:[7]");
        assert_eq!(key(b""), b"");
    }
}
