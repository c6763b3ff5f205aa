//! Which processes carry an agent, as `/proc` shows it. This wakes no agent.

use std::collections::HashMap;
use std::time::Duration;

use crate::find::agent;
use crate::find::python_version::{Versions, may_be_python};
use crate::find::target::Alive;
use crate::system::bounded_file::Budget;
use crate::system::maps::{self, MappedFile};
use crate::system::process::{self, Process, Status};
use crate::trouble::Trouble;
use protocol::names::AGENT_THREADS;

/// A process with an agent in it.
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
    pub command: Vec<String>,
}

/// Our threads are among so many first ones where our library has another name: they start before the
/// program's own, unless the program embeds Python.
const FIRST_THREADS: usize = 256;

/// Our threads are looked for among so many where our library is mapped.
const MOST_THREADS: usize = 4096;

/// Looks at processes, and never long at those of one user.
#[derive(Default)]
struct Looks {
    versions: Versions,
    allowances: HashMap<u32, Allowance>,
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
    /// The process as a carrier, if it is one. A process that is closed to us, or ends, counts as none.
    fn look(&mut self, process: Process, status: &Status) -> Option<Carrier> {
        const OWN: Allowance = Allowance::OF_PROCESS;
        let [_, user, _] = status.users;
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
        if agents == 0 && !is_mapped {
            return None;
        }
        let budget = Budget::new(OWN.files + allowance.files);
        let python = self.versions.of(process, &files, &budget);
        allowance.files = allowance.files.min(budget.left());
        // Every program that inherits LD_PRELOAD has the library; without a Python it is no agent.
        if agents == 0 && python.is_none() {
            return None;
        }
        let (command, length) = process.command_line_within(OWN.commands + allowance.commands);
        allowance.commands -= length.saturating_sub(OWN.commands).min(allowance.commands);
        Some(Carrier {
            alive: Alive {
                process,
                started: stat.started,
            },
            user,
            python,
            threads: stat.threads.saturating_sub(agents),
            uptime: process::uptime().saturating_sub(process::ticks(stat.started)),
            command,
        })
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
    let with_status = all
        .into_iter()
        .filter_map(|one| Some((one, one.status().ok()?)));
    Ok(with_status
        .filter(|(_, status)| !status.has_ended())
        .collect())
}

/// The user's processes that carry an agent, by PID; for root, everyone's.
pub fn all() -> Result<Vec<Carrier>, Trouble> {
    let us = rustix::process::geteuid().as_raw();
    let mut looks = Looks::default();
    let ours = |status: &Status| us == 0 || status.users.iter().all(|user| *user == us);
    let ours = everyone()?.into_iter().filter(|(_, status)| ours(status));
    Ok(ours
        .filter_map(|(process, status)| looks.look(process, &status))
        .collect())
}

/// The processes that carry an agent among a process and its descendants, by PID, whoever owns them.
pub fn tree(root: Process) -> Result<Vec<Carrier>, Trouble> {
    Alive::exists(root)?;
    let everyone = everyone()?;
    let parents: HashMap<i32, i32> = everyone
        .iter()
        .map(|(one, status)| (one.pid, status.parent))
        .collect();
    let mut looks = Looks::default();
    let found: Vec<Carrier> = everyone
        .iter()
        .filter(|(one, _)| is_below(one.pid, root.pid, &parents))
        .filter_map(|(one, status)| looks.look(*one, status))
        .collect();
    if found.is_empty() {
        return Err(Trouble::new(
            "there is no sleeper agent in it, nor in any process below it",
            "start it with `sa-run COMMAND`, or let it `import sleeper_agent`",
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
        let all = all().expect("procfs");
        assert!(all.iter().all(|one| one.alive.process.pid != us));
        let trouble = tree(Process { pid: us }).expect_err("no agent");
        assert!(trouble.to_string().contains("nor in any process below it"));
    }
}
