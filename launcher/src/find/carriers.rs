//! Which processes carry an agent, as `/proc` shows it. This wakes no agent.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::find::agent;
use crate::find::python_version::Versions;
use crate::find::target::Alive;
use crate::system::maps;
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

/// The process as a carrier, if it is one. A process that is closed to us, or ends, counts as none.
fn look(process: Process, status: &Status, versions: &mut Versions) -> Option<Carrier> {
    let started = process.started().ok()?;
    let names = process.thread_names().ok()?;
    let own = |name: &&String| AGENT_THREADS.contains(&name.as_str());
    let agents = names.iter().filter(own).count();
    if agents == 0 && !is_about_to(process) {
        return None;
    }
    let python = versions.of(process);
    // Every program that inherits LD_PRELOAD has the library; without a Python it is no agent.
    if agents == 0 && python.is_none() {
        return None;
    }
    let [_, user, _] = status.users;
    Some(Carrier {
        alive: Alive { process, started },
        user,
        python,
        threads: names.len() - agents,
        uptime: process::uptime().saturating_sub(process::ticks(started)),
        command: process.command_line(),
    })
}

/// Whether our library is mapped. Its threads may come later: in a program that embeds Python they start
/// with the first question.
fn is_about_to(process: Process) -> bool {
    fs::read(process.path("maps")).is_ok_and(|text| {
        maps::mapped_files(&text)
            .iter()
            .any(agent::is_named_as_ours)
    })
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
    let mut versions = Versions::default();
    let ours = |status: &Status| us == 0 || status.users.iter().all(|user| *user == us);
    let ours = everyone()?.into_iter().filter(|(_, status)| ours(status));
    Ok(ours
        .filter_map(|(process, status)| look(process, &status, &mut versions))
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
    let mut versions = Versions::default();
    let found: Vec<Carrier> = everyone
        .iter()
        .filter(|(one, _)| is_below(one.pid, root.pid, &parents))
        .filter_map(|(one, status)| look(*one, status, &mut versions))
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
