//! Which processes carry an agent, as `/proc` shows it. This wakes no agent.
//!
//! A process can keep whoever looks at its memory or its files waiting, as can a file server that is down. So a thread
//! looks, and if it gets stuck another goes on, which looks at processes of that user from a distance only.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::gettid;

use crate::find::agent;
use crate::find::python_version::{Versions, may_be_python};
use crate::find::target::{self, Alive};
use crate::system::bounded_file::Budget;
use crate::system::interrupt;
use crate::system::maps::{self, MappedFile};
use crate::system::process::{self, CommandLine, Process, Stat, Status};
use crate::system::supervisor;
use crate::trouble::Trouble;
use protocol::names::AGENT_THREADS;

/// Which processes are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Those that carry an agent.
    Carriers,
    /// Also those that run Python 2.6 or 2.7 without one.
    Pythons,
}

/// A process with an agent in it, or one that may get one.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// The process.
    pub alive: Alive,
    /// Its effective user.
    pub user: u32,
    /// The version of its Python, if we may read its files.
    pub python: Option<String>,
    /// The number of its threads, without the agent's.
    pub threads: usize,
    /// The time since it was started.
    pub uptime: Duration,
    /// Its command line, which a process may overwrite.
    pub command: CommandLine,
}

/// Our threads are among so many first ones where our library has another name: they start before the
/// program's own, unless the program embeds Python.
const FIRST_THREADS: usize = 256;

/// Our threads are looked for among so many where our library is mapped.
const MOST_THREADS: usize = 4096;

/// The longest time that a look at a process takes, on a loaded machine.
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// The longest time that all looks at the processes of one user may keep a thread of ours asleep.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// A shorter look is not suspected of having slept.
const SHORT_LOOK: Duration = Duration::from_millis(3);

/// The longest time that all looks take where the system grants no thread for them.
const LONGEST_ALONE: Duration = Duration::from_secs(30);

/// The users whose processes have kept us waiting.
static SLOW_USERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn slow_users() -> MutexGuard<'static, Vec<u32>> {
    SLOW_USERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a process has kept us waiting.
pub fn have_kept_us_waiting() -> bool {
    !slow_users().is_empty()
}

/// From now on this user's processes are looked at from a distance. Returns whether they were not before.
fn note_slow(user: u32) -> bool {
    supervisor::note_stuck();
    let mut slow_users = slow_users();
    let is_new = !slow_users.contains(&user);
    if is_new {
        slow_users.push(user);
    }
    is_new
}

/// Looks at processes, and never long at those of one user.
struct Looks {
    whom: Whom,
    versions: Versions,
    allowances: HashMap<u32, Allowance>,
    /// How long looks at each user's processes have slept.
    slept: HashMap<u32, Duration>,
}

/// What may still be read of a user's processes, in bytes. Ordinary processes take nothing of it, as each may be
/// read to a limit of its own: so many processes whose files and maps are huge cannot hold us up, and another
/// user's processes are still looked at in full.
struct Allowance {
    /// Text of maps.
    maps: usize,
    /// Mapped files.
    files: u64,
    /// Command lines.
    commands: usize,
}

impl Allowance {
    /// What may be read of each process. (A large program has 50 KB of maps; the tables and texts of an
    /// interpreter have 800 KB.)
    const OF_PROCESS: Allowance = Allowance {
        maps: 256 << 10,
        files: 1 << 20,
        commands: 2 << 10,
    };

    /// What may be read of all processes of a user, over and above that. (65,530 mappings of libraries have 8 MB
    /// of maps, which take the kernel 0.1 s.)
    const OF_USER: Allowance = Allowance {
        maps: 8 << 20,
        files: 32 << 20,
        commands: 1 << 20,
    };
}

impl Looks {
    fn new(whom: Whom) -> Looks {
        Looks {
            whom,
            versions: Versions::default(),
            allowances: HashMap::new(),
            slept: HashMap::new(),
        }
    }

    /// Notes that looks at this user's processes have slept so long more. From some time on they are slow.
    fn note_sleep(&mut self, user: u32, time: Duration) {
        let slept = self.slept.entry(user).or_default();
        *slept += time;
        if *slept > LONGEST_SLEEP {
            note_slow(user);
        }
    }

    /// The process as a carrier, if it is one. A process that is closed to us, or ends, counts as none.
    fn look(&mut self, process: Process, status: &Status) -> Option<Carrier> {
        let [_, user, _] = status.users;
        // The lock is let go here: the look may never return.
        let is_slow = slow_users().contains(&user);
        match is_slow {
            true => look_from_afar(process, status),
            false => self.look_closely(process, user),
        }
    }

    fn look_closely(&mut self, process: Process, user: u32) -> Option<Carrier> {
        const OWN: Allowance = Allowance::OF_PROCESS;
        let allowance = self.allowances.entry(user).or_insert(Allowance::OF_USER);
        let stat = process.stat().ok()?;
        let matters = |file: &MappedFile| agent::is_named_as_ours(file) || may_be_python(file);
        let maps = maps::of(process, OWN.maps + allowance.maps, matters);
        let (files, length) = maps.unwrap_or_default();
        allowance.maps -= length.saturating_sub(OWN.maps).min(allowance.maps);
        // Our threads may come after the library: in a program that embeds Python they start with the first
        // question.
        let is_mapped = files.iter().any(agent::is_named_as_ours);
        let among = if is_mapped {
            MOST_THREADS
        } else {
            FIRST_THREADS
        };
        let agents = process.threads_named(&AGENT_THREADS, among).ok()?;
        if agents == 0 && !is_mapped && self.whom == Whom::Carriers {
            return None;
        }
        let budget = Budget::new(OWN.files + allowance.files);
        let python = self.versions.of(process, &files, &budget);
        allowance.files = allowance.files.min(budget.left());
        // Every program that inherits LD_PRELOAD has the library; without a Python it is no agent.
        if agents == 0 && python.is_none() {
            return None;
        }
        let command = process.command_line_within(OWN.commands + allowance.commands);
        let more = command.length().saturating_sub(OWN.commands);
        allowance.commands -= more.min(allowance.commands);
        Some(carrier(process, user, &stat, agents, python, command))
    }
}

/// The same without a look at the process's memory or files: it is a carrier if one of its threads has the name of an
/// agent's.
fn look_from_afar(process: Process, status: &Status) -> Option<Carrier> {
    let [_, user, _] = status.users;
    let stat = process.stat().ok()?;
    let agents = process.threads_named(&AGENT_THREADS, MOST_THREADS).ok()?;
    let command = CommandLine::of_name(&status.name);
    (agents > 0).then(|| carrier(process, user, &stat, agents, None, command))
}

fn carrier(
    process: Process,
    user: u32,
    stat: &Stat,
    agents: usize,
    python: Option<String>,
    command: CommandLine,
) -> Carrier {
    Carrier {
        alive: Alive {
            process,
            started: stat.started,
        },
        user,
        python,
        threads: stat.threads.saturating_sub(agents),
        uptime: process::uptime().saturating_sub(process::ticks(stat.started)),
        command,
    }
}

/// Those of these processes that are carriers. It ends soon when a signal asks us to stop.
fn carriers_among(processes: Vec<(Process, Status)>, whom: Whom) -> Vec<Carrier> {
    let processes = Arc::new(processes);
    let mut found = Vec::new();
    let mut next = 0;
    while next < processes.len() && interrupt::asked_to_stop().is_none() {
        let (sender, looks) = mpsc::channel();
        let thread = {
            let (processes, sender) = (processes.clone(), sender.clone());
            thread::Builder::new().spawn(move || look_at_all(&processes[next..], whom, &sender))
        };
        if thread.is_err() {
            // The system grants no thread.
            interrupt::end_after(Some(LONGEST_ALONE));
            look_at_all(&processes[next..], whom, &sender);
            interrupt::end_after(None);
        }
        drop(sender);
        loop {
            match looks.recv_timeout(LONGEST_LOOK) {
                Ok(look) => {
                    found.extend(look);
                    next += 1;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let [_, user, _] = processes[next].1.users;
                    if !note_slow(user) {
                        next += 1;
                    }
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    // All have been looked at, or this one was too much for the thread.
                    next += 1;
                    break;
                }
            }
        }
    }
    found
}

/// Looks at one process after the other, until nobody wants to know any more.
fn look_at_all(processes: &[(Process, Status)], whom: Whom, sender: &Sender<Option<Carrier>>) {
    let mut looks = Looks::new(whom);
    let mut since = Awake::now();
    for (process, status) in processes {
        let begun = Instant::now();
        let look = looks.look(*process, status);
        if begun.elapsed() > SHORT_LOOK {
            let now = Awake::now();
            let [_, user, _] = status.users;
            looks.note_sleep(user, now.slept_since(&since));
            since = now;
        }
        if sender.send(look).is_err() {
            return;
        }
    }
}

/// For how long the calling thread has been awake, up to a moment.
struct Awake {
    at: Instant,
    time: Duration,
}

impl Awake {
    fn now() -> Awake {
        // Fields 1 and 2 are the times for which the thread has had a processor, and has waited for one
        // (Documentation/scheduler/sched-stats.rst, Linux 2.6.24): on a loaded machine the second one is long.
        let path = format!("/proc/self/task/{}/schedstat", gettid().as_raw_pid());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let fields = text.split_ascii_whitespace().take(2);
        let times = fields.filter_map(|field| field.parse::<u64>().ok());
        Awake {
            at: Instant::now(),
            time: Duration::from_nanos(times.sum()),
        }
    }

    fn slept_since(&self, before: &Awake) -> Duration {
        let awake = self.time.saturating_sub(before.time);
        (self.at - before.at).saturating_sub(awake)
    }
}

/// All processes that have not ended, with their status, by PID.
fn everyone() -> Result<Vec<(Process, Status)>, Trouble> {
    let all = Process::all().map_err(|error| {
        Trouble::new(
            format!("/proc cannot be read ({error})"),
            "run `mount -t proc proc /proc` as root",
        )
    })?;
    // We are one ourselves.
    if all.is_empty() {
        return Err(target::no_proc());
    }
    let with_status = all
        .into_iter()
        .filter_map(|one| Some((one, one.status().ok()?)));
    Ok(with_status
        .filter(|(_, status)| !status.has_ended())
        .collect())
}

/// The user's processes that carry an agent, by PID; for root, everyone's.
pub fn all(whom: Whom) -> Result<Vec<Carrier>, Trouble> {
    let us = rustix::process::geteuid().as_raw();
    let mut everyone = everyone()?;
    everyone.retain(|(_, status)| us == 0 || status.users.iter().all(|user| *user == us));
    Ok(carriers_among(everyone, whom))
}

/// The processes that carry an agent among a process and its descendants, by PID, whoever owns them.
pub fn tree(root: Process, whom: Whom) -> Result<Vec<Carrier>, Trouble> {
    Alive::exists(root)?;
    let mut everyone = everyone()?;
    let parents: HashMap<i32, i32> = everyone
        .iter()
        .map(|(one, status)| (one.pid, status.parent))
        .collect();
    everyone.retain(|(one, _)| is_below(one.pid, root.pid, &parents));
    let found = carriers_among(everyone, whom);
    if found.is_empty() {
        return Err(Trouble::new(
            "there is no sleeper agent in it, nor in any process below it",
            "bring it into the Python programs among them with --load, or start it with `sa-run COMMAND`",
        ));
    }
    Ok(found)
}

/// Whether a process is this one, or descends from it.
fn is_below(mut pid: i32, root: i32, parents: &HashMap<i32, i32>) -> bool {
    // Processes come and go while we read, so the parents may form a circle.
    for _ in 0..=parents.len() {
        if pid == root {
            return true;
        }
        match parents.get(&pid) {
            Some(parent) => pid = *parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn follows_parents() {
        let parents = HashMap::from([(1, 0), (5, 1), (7, 5), (9, 1), (20, 21), (21, 20)]);
        let below = |pid, root| is_below(pid, root, &parents);
        assert!(below(7, 5) && below(7, 1) && below(5, 5) && below(1, 1));
        assert!(!below(9, 5) && !below(5, 7) && !below(99, 1) && !below(20, 1));
    }

    #[test]
    fn this_process_carries_none() {
        let us = std::process::id() as i32;
        let all = all(Whom::Carriers).expect("procfs");
        assert!(all.iter().all(|one| one.alive.process.pid != us));
        let trouble = tree(Process { pid: us }, Whom::Carriers).expect_err("no agent");
        assert!(trouble.to_string().contains("nor in any process below it"));
    }
}
