//! A process and its threads as `/proc` shows them.
//!
//! These few parsers are our own. The crate `procfs` parses every field of a file, opens the process's
//! folder for each, and fails on names that are not UTF-8: with it a question took twice as many
//! instructions, `sa-list` a quarter more.

use std::fmt;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::RawDir;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::time::{DynamicClockId, clock_gettime_dynamic};

use crate::system::proc_file::{self, SHORT};
use protocol::names::{DEADLINE_LONGEST_SECONDS, DEADLINE_SECONDS, DEADLINE_VARIABLE};

/// The most bytes of a command line that are shown.
const LONGEST_COMMAND_LINE: usize = 32 << 10;

/// The most arguments of a command line that are shown: each is a string of its own.
const MOST_ARGUMENTS: usize = 1000;

/// Stands in place of the rest of a command line that is cut.
const CUT: &str = "[... cut here]";

/// The most bytes of an environment that are searched. (The kernel gives a program a quarter of its stack
/// for arguments and environment, mostly 2 MB; few use a hundredth of it.)
const LONGEST_ENVIRONMENT: usize = 256 << 10;

/// The most threads of one process that are looked at. (A user may start about 95,000 on a machine of
/// 24 GB.)
pub const MOST_THREADS: usize = 100_000;

/// How often the threads of a process are listed at most, until none ends meanwhile. Some programs start a thread for each
/// thing that they do.
const LISTS: usize = 50;

/// The bytes for about 16 entries of a folder (getdents64(2)).
const A_FEW: usize = 512;

/// A process, by its PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its PID.
    pub pid: i32,
}

/// What we need of `/proc/PID/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The command's name, at most 15 bytes.
    pub name: String,
    /// A letter: R, S, D running or waiting, T stopped, t held by a debugger, Z ended.
    pub state: char,
    /// The process that this thread belongs to.
    pub process: i32,
    /// The parent's PID.
    pub parent: i32,
    /// The tracer's TID; 0 if there is none.
    pub tracer: i32,
    /// Real, effective and saved user.
    pub users: [u32; 3],
    /// Whether a filter of system calls (seccomp) binds it.
    pub is_filtered: bool,
    /// Its number in its own PID namespace; `None` before Linux 4.1.
    pub innermost: Option<i32>,
}

/// What we need of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// When the process started, in clock ticks since the machine booted.
    pub started: u64,
    /// Whether it is a thread of the kernel's own.
    pub is_kernel_thread: bool,
    /// How many threads it has.
    pub threads: usize,
}

impl Status {
    /// Whether job control has stopped it, as opposed to a debugger.
    pub fn is_stopped(&self) -> bool {
        self.state == 'T' && self.tracer == 0
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

impl Process {
    /// Sends it a signal, if it is there and that is allowed.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether we could send it a signal.
    ///
    /// # Errors
    /// ESRCH if it is not there, EPERM if it is another user's.
    pub fn may_signal(&self) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid).ok_or(Errno::SRCH)?;
        Ok(test_kill_process(pid)?)
    }

    /// The path of a file in the process's `/proc` folder.
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// Reads `/proc/PID/status`; a TID works too.
    pub fn status(&self) -> io::Result<Status> {
        // The groups, of which there may be 65,536, stand behind what we need.
        let text = proc_file::read(self.path("status"), SHORT)?;
        parse_status(&String::from_utf8_lossy(&text.bytes))
            .ok_or_else(|| io::Error::other("/proc/PID/status is not what Linux writes"))
    }

    /// The TIDs of its threads, at most [`MOST_THREADS`].
    pub fn threads(&self) -> io::Result<Vec<i32>> {
        let mut threads = self.first_threads(MOST_THREADS)?;
        threads.sort_unstable();
        Ok(threads)
    }

    /// The PIDs of the children of its first thread, as far as that is known: not before Linux 3.5, nor on every kernel.
    pub fn children(&self) -> Vec<i32> {
        let path = self.path(&format!("task/{}/children", self.pid));
        let text = proc_file::read(path, SHORT).map(|read| read.bytes);
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        // The last may have been cut.
        let whole = text.trim_end_matches(|last: char| last.is_ascii_digit());
        let words = whole.split_ascii_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// The TIDs of its first threads, in the order in which they were started, as far as they still run. The kernel
    /// lists them so. (TIDs are used again, so a later thread may have a lower one.)
    pub fn first_threads(&self, most: usize) -> io::Result<Vec<i32>> {
        let mut threads = Vec::new();
        for entry in std::fs::read_dir(self.path("task"))?.take(most) {
            if let Some(thread) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                threads.push(thread);
            }
        }
        Ok(threads)
    }

    /// The present name of a thread; `None` if it has ended meanwhile.
    pub fn name_of(&self, thread: i32) -> Option<String> {
        let read = |file| proc_file::read(self.path(&format!("task/{thread}/{file}")), SHORT);
        let name = match read("comm") {
            Ok(mut comm) => {
                comm.bytes.pop_if(|last| *last == b'\n');
                comm.bytes
            }
            // It has ended; or this is Linux before 2.6.33.
            Err(_) => name_in_stat(&read("stat").ok()?.bytes)?.to_vec(),
        };
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    /// The first thread with this name. It is looked for while the threads are listed, a few at a time: the agent's are
    /// among the first, and a program may have thousands.
    pub fn thread_named(&self, name: &str) -> io::Result<Option<i32>> {
        let folder = File::open(self.path("task"))?;
        let mut room = [MaybeUninit::uninit(); A_FEW];
        let mut entries = RawDir::new(folder, &mut room);
        let mut count = 0;
        while let Some(entry) = entries.next().filter(|_| count < MOST_THREADS) {
            count += 1;
            let entry = entry?;
            let thread = entry.file_name().to_str().ok();
            let thread = thread.and_then(|name| name.parse().ok());
            if let Some(thread) = thread
                && self.name_of(thread).is_some_and(|its| its == name)
            {
                return Ok(Some(thread));
            }
        }
        Ok(None)
    }

    /// Whether a thread of it other than `this` has one of these names.
    pub fn has_other_thread(&self, this: i32, names: &[&str]) -> io::Result<bool> {
        let bears_one = |thread: &i32| {
            let name = self.name_of(*thread);
            *thread != this && name.is_some_and(|name| names.contains(&&*name))
        };
        Ok(self.threads()?.iter().any(bears_one))
    }

    /// How many of its first `most` threads have one of these names.
    pub fn threads_named(&self, names: &[&str], most: usize) -> io::Result<usize> {
        count_named(
            || self.first_threads(most),
            |thread| self.name_of(thread),
            names,
        )
    }

    /// All processes, by PID.
    pub fn all() -> io::Result<Vec<Process>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            if let Some(pid) = entry?.file_name().to_str().and_then(|it| it.parse().ok()) {
                all.push(Process { pid });
            }
        }
        all.sort_unstable_by_key(|one| one.pid);
        Ok(all)
    }

    /// Its command line, as it was started with or has written over it; where there is none, its
    /// name in brackets, as `ps` shows it. A long one is cut, and its last argument then says so.
    pub fn command_line(&self) -> CommandLine {
        self.command_line_within(LONGEST_COMMAND_LINE)
    }

    /// The same, cut after so many bytes, or earlier.
    pub fn command_line_within(&self, limit: usize) -> CommandLine {
        let limit = limit.min(LONGEST_COMMAND_LINE);
        let mut text = proc_file::read(self.path("cmdline"), limit).unwrap_or_default();
        if !text.cut && text.bytes.iter().all(|byte| *byte == 0) {
            return CommandLine::of_name(&self.name_of(self.pid).unwrap_or_default());
        }
        text.bytes.shrink_to_fit();
        CommandLine::of(text.bytes, text.cut)
    }

    /// When it started, in clock ticks since boot: tells it from a later process of the same
    /// number, and is kept over `exec`.
    pub fn started(&self) -> io::Result<u64> {
        self.stat().map(|stat| stat.started)
    }

    /// Reads `/proc/PID/stat`.
    pub fn stat(&self) -> io::Result<Stat> {
        let text = proc_file::read(self.path("stat"), SHORT)?;
        parse_stat(&String::from_utf8_lossy(&text.bytes))
            .ok_or_else(|| io::Error::other("/proc/PID/stat is not what Linux writes"))
    }

    /// The agent's deadline: from the process's environment, or the longest there is if we may not read
    /// that. The process chooses it.
    pub fn agent_deadline(&self) -> Duration {
        let seconds = match proc_file::read(self.path("environ"), LONGEST_ENVIRONMENT) {
            Ok(environment) => parse_deadline(&environment.bytes),
            Err(_) => DEADLINE_LONGEST_SECONDS,
        };
        Duration::from_secs_f64(seconds)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PID {}", self.pid)
    }
}

/// Reads the text of `/proc/PID/status`.
pub fn parse_status(text: &str) -> Option<Status> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let mut users = field("Uid")?.split_whitespace().map(str::parse);
    Some(Status {
        name: field("Name")?.to_owned(),
        state: field("State")?.chars().next()?,
        process: field("Tgid")?.parse().ok()?,
        parent: field("PPid")?.parse().ok()?,
        tracer: field("TracerPid")?.parse().ok()?,
        is_filtered: field("Seccomp").is_some_and(|mode| mode != "0"),
        innermost: field("NSpid").and_then(|all| all.split_whitespace().next_back()?.parse().ok()),
        users: [
            users.next()?.ok()?,
            users.next()?.ok()?,
            users.next()?.ok()?,
        ],
    })
}

/// Reads the text of `/proc/PID/stat`. Its second field is the name in parentheses, which may hold
/// anything, also spaces and parentheses.
pub fn parse_stat(text: &str) -> Option<Stat> {
    /// include/linux/sched.h
    const PF_KTHREAD: u32 = 0x0020_0000;
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    // Field 9; the first here is the third.
    let flags: u32 = fields.nth(6)?.parse().ok()?;
    Some(Stat {
        is_kernel_thread: flags & PF_KTHREAD != 0,
        // Field 20.
        threads: fields.nth(10)?.parse().ok()?,
        // Field 22.
        started: fields.nth(1)?.parse().ok()?,
    })
}

/// The name in the text of `/proc/PID/stat`.
fn name_in_stat(text: &[u8]) -> Option<&[u8]> {
    let start = text.iter().position(|byte| *byte == b'(')? + 1;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    text.get(start..end)
}

/// A command line, as it is kept: a list of its arguments may take many times as much memory.
#[derive(Clone, Debug)]
pub struct CommandLine {
    text: Vec<u8>,
    /// Whether there is more of it.
    cut: bool,
}

impl CommandLine {
    /// That of this text of `/proc/PID/cmdline`, of which there may be more.
    pub fn of(text: Vec<u8>, cut: bool) -> CommandLine {
        CommandLine { text, cut }
    }

    /// That of a process without one, which has this name.
    pub fn of_name(name: &str) -> CommandLine {
        CommandLine::of(format!("[{name}]").into_bytes(), false)
    }

    /// The arguments.
    pub fn arguments(&self) -> Vec<String> {
        parse_command_line(&self.text, self.cut).unwrap_or_default()
    }

    /// How many bytes were read of it.
    pub fn length(&self) -> usize {
        self.text.len()
    }
}

/// The arguments in the text of `/proc/PID/cmdline`, of which this may be only the beginning; `None` if there
/// are none.
pub fn parse_command_line(text: &[u8], mut cut: bool) -> Option<Vec<String>> {
    // Each argument ends in NUL; a title that was written over them, in many.
    let end = text.iter().rposition(|byte| *byte != 0);
    let lossy = |one: &[u8]| String::from_utf8_lossy(one).into_owned();
    let mut arguments: Vec<String> = match end {
        Some(end) => text[..=end]
            .splitn(MOST_ARGUMENTS + 1, |byte| *byte == 0)
            .map(lossy)
            .collect(),
        None if cut => Vec::new(),
        None => return None,
    };
    if arguments.len() > MOST_ARGUMENTS {
        arguments.pop();
        cut = true;
    }
    if cut {
        arguments.push(CUT.to_owned());
    }
    Some(arguments)
}

/// The agent's deadline in `/proc/PID/environ`, in seconds; never below the default.
pub fn parse_deadline(environment: &[u8]) -> f64 {
    let value = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| {
            entry
                .strip_prefix(DEADLINE_VARIABLE.as_bytes())?
                .strip_prefix(b"=")
        })
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite());
    match value {
        Some(seconds) => seconds.clamp(DEADLINE_SECONDS, DEADLINE_LONGEST_SECONDS),
        None => DEADLINE_SECONDS,
    }
}

/// The time since the machine booted, by the clock of `/proc/PID/stat` (proc(5)).
pub fn uptime() -> Duration {
    let time = clock_gettime_dynamic(DynamicClockId::Boottime);
    time.ok()
        .and_then(|time| time.try_into().ok())
        // Linux before 2.6.39 has no such clock.
        .or_else(uptime_in_file)
        .unwrap_or_default()
}

/// The same by `/proc/uptime`, in hundredths of a second.
fn uptime_in_file() -> Option<Duration> {
    let text = proc_file::read("/proc/uptime", SHORT).ok()?;
    let text = String::from_utf8_lossy(&text.bytes);
    let seconds = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The duration of so many clock ticks, the unit of `/proc`.
pub fn ticks(count: u64) -> Duration {
    // (rustix looks for it in a file before Linux 6.4, and panics where that is closed to us.)
    // SAFETY: takes no pointer.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1);
    Duration::from_secs_f64(count as f64 / per_second as f64)
}

/// How many of the threads in this list have one of these names.
///
/// A thread may start another and end between the list and the look at its name. The other is not in the list then, so
/// there is none of them only where no thread has ended meanwhile.
fn count_named(
    list: impl Fn() -> io::Result<Vec<i32>>,
    name_of: impl Fn(i32) -> Option<String>,
    names: &[&str],
) -> io::Result<usize> {
    for _ in 0..LISTS {
        let mut has_ended = false;
        let bears_one = |thread: &i32| {
            let name = name_of(*thread);
            has_ended |= name.is_none();
            name.is_some_and(|name| names.contains(&&*name))
        };
        let threads = list()?.into_iter();
        let count = threads.filter(bears_one).take(names.len()).count();
        if count > 0 || !has_ended {
            return Ok(count);
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    const STATUS: &str = "Name:\tpy thon\\n)\nUmask:\t0022\nState:\tT (stopped)\nTgid:\t100\nNgid:\t0\nPid:\t101\nPPid:\t7\nTracerPid:\t0\nUid:\t33\t34\t35\t33\nGid:\t0\t0\t0\t0\n";

    #[test]
    fn reads_a_status() {
        let status = parse_status(STATUS).expect("a whole status");
        assert_eq!(
            status,
            Status {
                name: "py thon\\n)".into(),
                state: 'T',
                process: 100,
                parent: 7,
                tracer: 0,
                users: [33, 34, 35],
                is_filtered: false,
                innermost: None,
            }
        );
        assert_eq!(parse_status("Name:\tx\n"), None);
    }

    #[test]
    fn finds_the_start_behind_any_name() {
        let text = "1 (a) b (c)) S 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 777 21 22";
        let stat = |is_kernel_thread| Stat {
            started: 777,
            is_kernel_thread,
            threads: 18,
        };
        assert_eq!(parse_stat(text), Some(stat(false)));
        let kernel = text.replacen(" 7 ", " 2129984 ", 1);
        assert_eq!(parse_stat(&kernel), Some(stat(true)));
        assert_eq!(parse_stat("1 (a) S 2"), None);
        let name = |text: &'static str| name_in_stat(text.as_bytes());
        assert_eq!(name(text), Some(&b"a) b (c)"[..]));
        assert_eq!(
            (name("1 () S"), name(")("), name("1")),
            (Some(&b""[..]), None, None)
        );
    }

    #[test]
    fn a_long_command_line_is_cut() {
        let parsed = |text: &[u8], cut| parse_command_line(text, cut);
        assert_eq!(
            parsed(b"a\0\xff\0\0", false),
            Some(vec!["a".into(), "\u{fffd}".into()])
        );
        assert_eq!(
            parsed(b"a\0b", true),
            Some(vec!["a".into(), "b".into(), CUT.into()])
        );
        assert_eq!(parsed(b"\0\0", false), None);
        assert_eq!(parsed(b"\0\0", true), Some(vec![CUT.into()]));
        let many = parsed(&b"a\0".repeat(MOST_ARGUMENTS + 1), false).expect("arguments");
        assert_eq!(many.len(), MOST_ARGUMENTS + 1);
        assert_eq!(many.last().map(|last| &**last), Some(CUT));
        let all = parsed(&b"a\0".repeat(MOST_ARGUMENTS), false).expect("arguments");
        assert_eq!(all, vec!["a"; MOST_ARGUMENTS]);
    }

    #[test]
    fn no_deadline_is_below_the_default() {
        assert_eq!(parse_deadline(b"A=1\0B=2\0"), DEADLINE_SECONDS);
        assert_eq!(parse_deadline(b"SLEEPER_AGENT_DEADLINE=12.5\0"), 12.5);
        assert_eq!(
            parse_deadline(b"SLEEPER_AGENT_DEADLINE=0.1"),
            DEADLINE_SECONDS
        );
        assert_eq!(
            parse_deadline(b"X=\0SLEEPER_AGENT_DEADLINE=9e9\0"),
            DEADLINE_LONGEST_SECONDS
        );
        assert_eq!(
            parse_deadline(b"SLEEPER_AGENT_DEADLINE=soon\0"),
            DEADLINE_SECONDS
        );
    }

    #[test]
    fn finds_a_thread_among_many() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        std::thread::scope(|scope| {
            // The kernel keeps 15 characters.
            for number in 0..60 {
                let builder = std::thread::Builder::new().name(format!("number {number}"));
                let waits = || {
                    let wait = wait.lock().expect("no thread has failed");
                    let _ = wait.recv();
                };
                let started = builder.spawn_scoped(scope, waits);
                started.expect("a thread");
            }
            for name in ["number 0", "number 59"] {
                let until = std::time::Instant::now() + Duration::from_secs(20);
                let found = || us.thread_named(name).expect("procfs");
                // A thread gets its name when it has begun.
                while found().is_none() && std::time::Instant::now() < until {}
                let thread = found().expect("it is there");
                assert_eq!(us.name_of(thread).as_deref(), Some(name));
            }
            drop(done);
        });
    }

    /// A thread may start another and end, as the agent's do, between the list and the look at its name.
    #[test]
    fn threads_that_end_meanwhile_are_looked_for_once_more() {
        let count = |lists: &[&[(i32, Option<&str>)]]| {
            let turn = std::cell::Cell::new(0);
            let of_turn = || lists[(turn.get() - 1).min(lists.len() - 1)];
            let list = || {
                turn.set(turn.get() + 1);
                Ok(of_turn().iter().map(|(thread, _)| *thread).collect())
            };
            let name_of = |thread| {
                let mut all = of_turn().iter();
                let (_, name) = all.find(|(one, _)| *one == thread).expect("it is listed");
                name.map(str::to_owned)
            };
            let count = count_named(list, name_of, &["ours", "too"]).expect("lists");
            (count, turn.get())
        };
        let main = (1, Some("python"));
        let ended = (2, None);
        assert_eq!(count(&[&[main]]), (0, 1));
        assert_eq!(count(&[&[main, (2, Some("ours"))]]), (1, 1));
        assert_eq!(count(&[&[main, ended], &[main, (3, Some("too"))]]), (1, 2));
        assert_eq!(count(&[&[main, ended], &[main]]), (0, 2));
        assert_eq!(count(&[&[ended, (3, Some("ours"))], &[main]]), (1, 1));
        assert_eq!(count(&[&[main, ended]]), (0, LISTS));
    }

    #[test]
    fn sees_this_process() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let status = us.status().expect("procfs");
        assert_eq!(status.process, us.pid);
        assert!(us.threads().expect("procfs").contains(&us.pid));
        assert!(us.started().expect("procfs") > 0);
        assert_eq!(us.thread_named("no such thread").expect("procfs"), None);
        assert!(Process::all().expect("procfs").contains(&us));
        let started = ticks(us.started().expect("procfs"));
        assert!(started <= uptime());
        let by_file = uptime_in_file().expect("procfs");
        assert!(uptime().abs_diff(by_file) < Duration::from_secs(2));
        let stat = std::fs::read("/proc/self/stat").expect("procfs");
        let name = String::from_utf8_lossy(name_in_stat(&stat).expect("a name")).into_owned();
        assert_eq!(us.name_of(us.pid), Some(name));
        let first = std::env::args().next();
        assert_eq!(us.command_line().arguments().first(), first.as_ref());
    }
}
