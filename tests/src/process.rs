//! Processes that tests start. Each has one owner, and when the owner is dropped (at the end of
//! the trial, or when it panics) the process, its group and all its descendants are killed
//! and reaped. Should the runner itself be killed, the kernel kills its direct children.

use crate::ended::Ended;
use crate::stream::Stream;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The limit for anything that should take a moment: generous, because a loaded machine is not a
/// failure, and bounded, because no test may hang.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Environment variable that identifies all descendants of a program, even daemons.
const MARK: &str = "SLEEPER_TEST_MARK";

/// A command whose environment contains nothing that would disturb the test.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "LD_PRELOAD" || text.starts_with("PYTHON") || text.starts_with("SLEEPER_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Resets a terminal's signals to their defaults for the programs that tests start: a runner started in
/// the background may ignore them, and its children would inherit that.
pub fn signals_as_usual() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the default for a signal, in a process whose tests have not begun.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Leaves the programs that tests start only the first three descriptors: the runner may have inherited
/// others, such as a lock or a job server's pipe.
pub fn descriptors_as_usual() {
    let entries = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|&number| number > 2).collect::<Vec<i32>>() {
        // SAFETY: a plain system call, which does no harm where the descriptor is closed by now.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// A program under test, or a tool that asks one.
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: Arc<Stream>,
    errors: Arc<Stream>,
    mark: String,
    what: String,
    ended: Option<ExitStatus>,
}

impl Program {
    /// Starts the command in a process group of its own, with pipes to us as its three streams.
    pub fn start(command: &mut Command) -> Program {
        Program::start_reading(command, Stdio::piped())
    }

    /// Like [`Program::start`], with /dev/null as standard input.
    pub fn start_without_input(command: &mut Command) -> Program {
        Program::start_reading(command, Stdio::null())
    }

    fn start_reading(command: &mut Command, input: Stdio) -> Program {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let runner = std::process::id();
        let mark = format!("{runner}-{count}");
        let parent = runner as libc::pid_t;
        command
            .env(MARK, &mark)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // SAFETY: both are plain system calls, which a forked child may make.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() == parent {
                    Ok(())
                } else {
                    Err(std::io::Error::from_raw_os_error(libc::ESRCH))
                }
            });
        }
        let what = format!("{command:?}");
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let output = Stream::follow(child.stdout.take().unwrap());
        let errors = Stream::follow(child.stderr.take().unwrap());
        let input = child.stdin.take();
        let ended = None;
        Program {
            child,
            input,
            output,
            errors,
            mark,
            what,
            ended,
        }
    }

    /// Process ID.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// What it has written to standard output so far.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.so_far()).into_owned()
    }

    /// What it has written to standard error so far.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.errors.so_far()).into_owned()
    }

    #[track_caller]
    fn wait_output<T>(&self, wanted: &str, found: impl Fn(&[u8]) -> Option<T>) -> T {
        self.output.wait(PATIENCE, found).unwrap_or_else(|| {
            panic!(
                "waited for {wanted} from {}\n--- stdout\n{}\n--- stderr\n{}",
                self.what,
                self.out(),
                String::from_utf8_lossy(&self.errors.so_far())
            )
        })
    }

    /// Waits until it has printed this line.
    #[track_caller]
    pub fn wait_line(&self, line: &str) -> &Program {
        self.wait_output(&format!("the line {line:?}"), |text| {
            text.split_inclusive(|&byte| byte == b'\n')
                .any(|one| one.strip_suffix(b"\n") == Some(line.as_bytes()))
                .then_some(())
        });
        self
    }

    /// Waits until it has printed `count` whole lines with this prefix, and returns the rest of each.
    #[track_caller]
    pub fn wait_lines(&self, start: &str, count: usize) -> Vec<String> {
        self.wait_output(&format!("{count} lines {start:?}"), |text| {
            let rest: Vec<String> = text
                .split_inclusive(|&byte| byte == b'\n')
                .filter_map(|one| one.strip_suffix(b"\n"))
                .filter_map(|one| one.strip_prefix(start.as_bytes()))
                .map(|one| String::from_utf8_lossy(one).into_owned())
                .collect();
            (rest.len() >= count).then_some(rest)
        })
    }

    /// Waits for one line `name NUMBER`.
    #[track_caller]
    pub fn wait_number(&self, name: &str) -> i32 {
        self.wait_lines(&format!("{name} "), 1)[0].parse().unwrap()
    }

    /// Waits until it has said that it is ready.
    #[track_caller]
    pub fn ready(self) -> Program {
        self.wait_line("ready");
        self
    }

    /// Writes a line to its standard input.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(line.as_bytes()).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and not reaped, so the number is still its own.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Whether it has ended; it stays a zombie, not reaped.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some() || self.status().is_some()
    }

    /// How it has ended, if it has; it stays a zombie, not reaped.
    pub fn status(&self) -> Option<ExitStatus> {
        // SAFETY: an all-zero siginfo_t is valid, and waitid fills it; for every ended child it
        // sets the fields that are read afterwards.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            let id = self.child.id();
            if libc::waitid(libc::P_PID, id, &mut info, flags) != 0 || info.si_pid() == 0 {
                return None;
            }
            let number = info.si_status();
            Some(ExitStatus::from_raw(match info.si_code {
                libc::CLD_EXITED => number << 8,
                libc::CLD_DUMPED => number | 0x80,
                _ => number,
            }))
        }
    }

    /// Whether nobody has its standard output open any more: neither it, nor a child of it.
    pub fn has_closed_its_output(&self) -> bool {
        self.output.has_ended()
    }

    /// Closes its input and waits until it ends by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        self.end_within(PATIENCE)
    }

    /// Like [`Program::end`], with another limit.
    #[track_caller]
    pub fn end_within(&mut self, limit: Duration) -> Ended {
        self.input = None;
        let until = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                panic!(
                    "not ended within {limit:?}: {}\n--- stdout\n{}\n--- stderr\n{}",
                    self.what,
                    self.out(),
                    String::from_utf8_lossy(&self.errors.so_far())
                );
            }
            thread::sleep(Duration::from_millis(2));
        };
        self.ended = Some(status);
        // A surviving child may hold the streams open; the output up to now counts.
        self.output.wait_end(Duration::from_millis(500));
        self.errors.wait_end(Duration::from_millis(500));
        Ended {
            status,
            stdout: self.output.so_far(),
            stderr: self.errors.so_far(),
        }
    }
}

impl Program {
    /// Writes an empty line, for which most targets wait, and expects status 7, with which they end.
    /// Daemon threads of Python 2 may complain on standard error while the interpreter shuts down;
    /// see [`Program::ends_well`] for programs without daemon threads.
    #[track_caller]
    pub fn ends(mut self) -> Ended {
        self.say("");
        let ended = self.end();
        ended.expect_code(7);
        ended
    }

    /// Like [`Program::ends`], and expects nothing on standard error.
    #[track_caller]
    pub fn ends_well(self) -> Ended {
        let ended = self.ends();
        assert_eq!(ended.err(), "", "stdout was {}", ended.out());
        ended
    }

    /// Sends SIGTERM, and expects the program to end as the target `single.py` then does.
    #[track_caller]
    pub fn handles_sigterm(self) {
        self.signal(libc::SIGTERM);
        let ended = self.end();
        assert_eq!(ended.err(), "");
        ended.expect_code(7);
        assert_eq!(ended.out(), "ready\nhandled\n");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let group = -self.pid();
            // SAFETY: the child is not reaped yet, so its group's number is not reused.
            unsafe { libc::kill(group, libc::SIGKILL) };
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        kill_marked(&self.mark);
    }
}

/// Kills every process whose environment contains the mark.
fn kill_marked(mark: &str) {
    let mark = format!("{MARK}={mark}");
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A hostile program may show an environment of gigabytes.
        let mut environment = Vec::new();
        if let Ok(file) = fs::File::open(entry.path().join("environ")) {
            let _ = file.take(1 << 20).read_to_end(&mut environment);
        }
        if environment
            .split(|&byte| byte == 0)
            .any(|one| one == mark.as_bytes())
        {
            // SAFETY: a plain system call; the process was ours a moment ago.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

/// Runs a command to its end within the limit.
#[track_caller]
pub fn run_within(command: &mut Command, limit: Duration) -> Ended {
    Program::start(command).end_within(limit)
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    run_within(command, PATIENCE)
}

/// Waits until a condition holds.
#[track_caller]
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
