//! What the kernel says about a process.

use crate::process::wait_until;
use protocol::names::PARKED_THREAD;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// A file of /proc/PID as text; empty when the process is gone.
pub fn read(pid: i32, file: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One value of /proc/PID/status.
pub fn status(pid: i32, key: &str) -> String {
    let text = read(pid, "status");
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The state letter: `S`, `R`, `T`, `t`, `Z`; a space when the process is gone.
pub fn state(pid: i32) -> char {
    status(pid, "State").chars().next().unwrap_or(' ')
}

/// All its threads.
pub fn tasks(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// Its child processes.
pub fn children(pid: i32) -> Vec<i32> {
    let of_task = |task: i32| {
        let text = read(pid, &format!("task/{task}/children"));
        let pids = text.split_whitespace().filter_map(|one| one.parse().ok());
        pids.collect::<Vec<i32>>()
    };
    tasks(pid).into_iter().flat_map(of_task).collect()
}

/// The process that does the work of one of our commands: the child that runs the same program. It is the process itself
/// where the command is not two.
pub fn worker(command: i32) -> i32 {
    let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = program(command);
    let mut children = children(command).into_iter();
    let worker = children.find(|child| own.is_some() && program(*child) == own);
    worker.unwrap_or(command)
}

/// Names of all its threads.
pub fn thread_names(pid: i32) -> Vec<String> {
    let names = tasks(pid).into_iter();
    names
        .map(|task| read(pid, &format!("task/{task}/comm")).trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Its first thread of this name, by its TID.
pub fn thread_named(pid: i32, name: &str) -> Option<i32> {
    let mut tasks = tasks(pid).into_iter();
    tasks.find(|task| read(pid, &format!("task/{task}/comm")).trim() == name)
}

/// The number of parked agents in the process.
pub fn agents(pid: i32) -> usize {
    let names = thread_names(pid);
    names.iter().filter(|name| *name == PARKED_THREAD).count()
}

/// Waits until the agent has booted and parked.
#[track_caller]
pub fn wait_agent(pid: i32) {
    wait_until(
        &format!("process {pid} has a thread {PARKED_THREAD}"),
        || agents(pid) > 0,
    );
}

/// Waits until a process has executed this command, and sleeps.
#[track_caller]
pub fn wait_command(pid: i32, name: &str) {
    wait_until(&format!("process {pid} is {name}, and sleeps"), || {
        read(pid, "comm").trim() == name && state(pid) == 'S'
    });
}

/// Waits until every thread has been asleep for a while, and so has done everything it does before
/// it blocks.
#[track_caller]
pub fn settle(pid: i32) {
    let until = Instant::now() + crate::process::PATIENCE;
    let mut asleep = 0;
    while asleep < 10 {
        let all = tasks(pid).iter().all(|task| {
            let stat = read(pid, &format!("task/{task}/stat"));
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            rest.starts_with('S')
        });
        asleep = if all { asleep + 1 } else { 0 };
        assert!(Instant::now() < until, "process {pid} does not settle");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Its open descriptors as `NUMBER -> TARGET`, sorted.
pub fn descriptors(pid: i32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let mut list: Vec<String> = entries
        .flatten()
        .map(|entry| {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            format!("{:?} -> {}", entry.file_name(), target.display())
        })
        .collect();
    list.sort();
    list
}

/// Each of its threads as `NAME (STATE)`, where the state is the kernel's letter.
pub fn threads_with_states(pid: i32) -> Vec<String> {
    let tell = |task: i32| {
        let stat = read(pid, &format!("task/{task}/stat"));
        let (_, tail) = stat.split_once('(')?;
        let (name, rest) = tail.rsplit_once(") ")?;
        Some(format!("{name} ({})", rest.chars().next()?))
    };
    tasks(pid).into_iter().filter_map(tell).collect()
}

/// The context switches of each of its threads, as `NAME VOLUNTARY INVOLUNTARY`: a thread that stays
/// asleep has none.
pub fn switches(pid: i32) -> Vec<String> {
    let keys = [
        "Name",
        "voluntary_ctxt_switches",
        "nonvoluntary_ctxt_switches",
    ];
    // /proc/TID/status works like /proc/PID/status.
    let tell = |task: i32| keys.map(|key| status(task, key)).join(" ");
    tasks(pid).into_iter().map(tell).collect()
}
