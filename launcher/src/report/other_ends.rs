//! Looks up who has the other ends of pipes, FIFOs and Unix sockets that threads wait for, and who holds locks on files.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::report::lock_holders;
use crate::report::room::{MOST_SHOWN, Room};
use crate::secrets::Secrets;
use crate::state::descriptor::Descriptor;
use crate::state::other_end::{MOST_PROCESSES, OtherEnd, OtherProcess};
use crate::state::wait::{self, Wait};
use crate::system::open_files::{Holder, Identity, OpenFiles, is_fifo};
use crate::system::proc_file::{self, SHORT, hexadecimal};
use crate::system::process::Process;
use crate::system::supervisor;
use crate::system::unix_peers;

/// The most descriptors of one process whose other ends are looked up.
const MOST_ENDS: usize = 100;

/// The most time that is spent on them.
const MOST_TIME: Duration = Duration::from_millis(700);

/// The most bytes of a command line.
const LONGEST_COMMAND: usize = 300;

/// The most threads of another process that are looked at.
const MOST_THREADS: usize = 64;

/// An end of something that has two.
#[derive(Clone, PartialEq, Eq, Hash)]
struct End {
    number: i32,
    shape: Shape,
    /// Whether the thread waits for room to write, and not for something to read.
    writes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    /// A pipe with this inode.
    Pipe(u64),
    /// A file, which may be a FIFO.
    Path,
    /// A Unix socket with this inode.
    Unix(u64),
    /// A file that the thread waits to lock: who holds it is looked for.
    Lock,
}

impl End {
    /// The end that a thread waits on, if this is one.
    fn of(descriptor: &Descriptor) -> Option<End> {
        let writes = match descriptor.ways[..] {
            ["read"] => false,
            ["write"] => true,
            ["lock"] => {
                return Some(End {
                    number: descriptor.number,
                    shape: Shape::Lock,
                    writes: true,
                });
            }
            _ => return None,
        };
        let shape = match (descriptor.kind.as_deref()?, descriptor.inode) {
            ("pipe", Some(inode)) => Shape::Pipe(inode),
            ("unix", Some(inode)) => Shape::Unix(inode),
            ("file" | "fifo", _) => Shape::Path,
            _ => return None,
        };
        let number = descriptor.number;
        Some(End {
            number,
            shape,
            writes,
        })
    }
}

/// Completes these waits of a process, as far as that is done by `until`. A thread of its own looks, as in
/// [`crate::report::resolve`].
pub fn look_up(process: Process, waits: &mut [&mut Wait], secrets: &Secrets, until: Instant) {
    let shown = waits.iter_mut();
    let shown = shown.flat_map(|wait| wait.descriptors.iter_mut().take(wait::MOST_SHOWN));
    let mut shown: Vec<(End, &mut Descriptor)> =
        shown.filter_map(|one| Some((End::of(one)?, one))).collect();
    let ends: HashSet<End> = shown.iter().map(|(end, _)| end.clone()).collect();
    if ends.is_empty() {
        return;
    }
    let until = until.min(Instant::now() + MOST_TIME);
    let (sender, found) = mpsc::sync_channel(1);
    let look = {
        let secrets = secrets.clone();
        move || {
            let _ = sender.send(find(process, ends, &secrets, until));
        }
    };
    let builder = thread::Builder::new().name("other-ends".to_owned());
    if builder.spawn(look).is_err() {
        // The system grants no thread: the answer does without.
        return;
    }
    let Ok(found) = found.recv_timeout(until.saturating_duration_since(Instant::now())) else {
        supervisor::note_stuck();
        return;
    };
    let mut room = Room(MOST_SHOWN);
    for (end, descriptor) in &mut shown {
        let Some(found) = found.get(end).filter(|found| room.take(found.size())) else {
            continue;
        };
        match end.shape {
            Shape::Lock => {
                descriptor.held_by = Some(found.clone());
                continue;
            }
            Shape::Path => descriptor.kind = Some("fifo".to_owned()),
            Shape::Pipe(_) | Shape::Unix(_) => {}
        }
        descriptor.other_end = Some(found.clone());
    }
}

fn is_unix(end: &End) -> bool {
    matches!(end.shape, Shape::Unix(_))
}

/// What was found of these ends.
fn find(
    process: Process,
    mut ends: HashSet<End>,
    secrets: &Secrets,
    until: Instant,
) -> HashMap<End, OtherEnd> {
    ends.retain(|end| end.shape != Shape::Path || is_fifo(process, end.number));
    if ends.is_empty() {
        return HashMap::new();
    }
    let look = OpenFiles::fresh(until);
    let peers = match ends.iter().any(is_unix) {
        true => unix_peers::of(process, until).unwrap_or_default(),
        false => HashMap::new(),
    };
    let ends = ends.into_iter().take(MOST_ENDS);
    let ends = ends.take_while(|_| Instant::now() < until);
    let found = ends.filter_map(|end| {
        let holders = match end.shape {
            Shape::Lock => {
                let holders = lock_holders::find(process, end.number, &look)?;
                let found = processes(process, &holders, look.is_complete(), secrets);
                return Some((end, found));
            }
            Shape::Pipe(inode) => look.holders_of(&Identity::named(format!("pipe:[{inode}]"))),
            Shape::Path => look.holders_of(&Identity::of(process, end.number)?),
            Shape::Unix(inode) => {
                look.holders_of(&Identity::named(format!("socket:[{}]", peers.get(&inode)?)))
            }
        };
        let has_it = |one: &Holder| one.pid == process.pid && one.number == end.number;
        if !is_unix(&end) && !holders.iter().any(has_it) {
            // It is closed by now, or another; or what was found is not of now.
            return None;
        }
        let found = other_end(process, &end, &holders, look.is_complete(), secrets);
        Some((end, found?))
    });
    found.collect()
}

/// Who of these holders has the other end; `None` if nobody has: then the wait is over.
fn other_end(
    process: Process,
    end: &End,
    holders: &[Holder],
    complete: bool,
    secrets: &Secrets,
) -> Option<OtherEnd> {
    let is_other = |one: &&Holder| match (end.shape, end.writes) {
        (Shape::Unix(_) | Shape::Lock, _) => true,
        (_, true) => one.reads,
        (_, false) => one.writes,
    };
    let others = holders.iter().filter(is_other);
    let others: Vec<_> = others.map(|one| (one.pid, Some(one.number))).collect();
    let mut found = processes(process, &others, complete, secrets);
    for other in &mut found.processes {
        let process = Process { pid: other.pid };
        let on_this_end =
            |one: &&Holder| one.pid == other.pid && if end.writes { one.writes } else { one.reads };
        let here = holders.iter().filter(on_this_end);
        let numbers: Vec<i32> = here.map(|one| one.number).collect();
        other.waits_too = !is_unix(end) && waits_on(process, &numbers, end.writes);
    }
    let nobody = found.processes.is_empty() && !found.own;
    (!nobody || !complete).then_some(found)
}

/// Names the processes that have these descriptors, in the order of their PIDs; what `process` has is its own.
fn processes(
    process: Process,
    descriptors: &[(i32, Option<i32>)],
    complete: bool,
    secrets: &Secrets,
) -> OtherEnd {
    let mut found = OtherEnd {
        complete,
        ..OtherEnd::default()
    };
    for its in descriptors.chunk_by(|one, next| one.0 == next.0) {
        let pid = its[0].0;
        if pid == process.pid {
            found.own = true;
        } else if found.processes.len() == MOST_PROCESSES {
            found.more += 1;
        } else {
            let command = Process { pid }.command_line_within(LONGEST_COMMAND);
            found.processes.push(OtherProcess {
                pid,
                command: Some(secrets.command_line(command.arguments()).join(" ")),
                descriptors: its.iter().filter_map(|one| one.1).collect(),
                waits_too: false,
            });
        }
    }
    found
}

/// Whether a thread of this process is known to read, or to write, one of these descriptors and to wait meanwhile: where
/// the kernel shows its system call, it does not run.
fn waits_on(process: Process, numbers: &[i32], writes: bool) -> bool {
    if numbers.is_empty() {
        return false;
    }
    let calls = match writes {
        false => [
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_pread64,
            libc::SYS_preadv,
        ],
        true => [
            libc::SYS_write,
            libc::SYS_writev,
            libc::SYS_pwrite64,
            libc::SYS_pwritev,
        ],
    };
    let waits = |thread: i32| -> Option<bool> {
        let path = process.path(&format!("task/{thread}/syscall"));
        let line = proc_file::read(path, SHORT).ok()?.bytes;
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut words = line.split_ascii_whitespace();
        let call: i64 = words.next()?.parse().ok()?;
        let first = hexadecimal(words.next()?)?;
        Some(calls.contains(&call) && numbers.contains(&(first as i32)))
    };
    let threads = process.first_threads(MOST_THREADS).unwrap_or_default();
    threads
        .into_iter()
        .any(|thread| waits(thread).unwrap_or(false))
}
