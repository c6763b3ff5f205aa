//! One start of a torture program, from its folder to the proof that it ended as it should.

use crate::cores::Core;
use crate::header::{Ends, Need, Prints, Tortured, signal_name};
use protocol::names::DEADLINE_VARIABLE;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use tests::ask::preloaded_python;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run};
use tests::procfs;
use tests::product::product;
use tests::scratch::Scratch;

/// Environment variable from which a program knows its folder, and the runner the program's processes.
const FOLDER: &str = "TORTURE_FOLDER";

/// Environment variable from which a program knows that it was started without the agent, which may come later.
const BARE: &str = "TORTURE_BARE";

/// How long a program of this build may take to end.
pub fn limit_of(python: &Interpreter) -> Duration {
    Duration::from_secs(if python.debug { 60 } else { 15 })
}

/// How a program was lost: a line for the table, and all details.
#[derive(Debug)]
pub struct Lost {
    /// In a few words.
    pub what: String,
    /// The rest.
    pub details: String,
}

/// A running program in a folder of its own.
pub struct Start<'a> {
    // Before the folder, so that it is dropped while the folder still exists.
    program: Program,
    folder: Scratch,
    tortured: &'a Tortured,
    /// The interpreter, as `/proc/PID/exe` shows it.
    python: PathBuf,
    begun: Instant,
}

/// The native library, compiled once for all trials.
fn native() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let library = product().library.with_file_name("torture-native.so");
        let sources = fs::read_dir(product().root.join("tests/torture/native")).unwrap();
        let sources = sources.flatten().map(|entry| entry.path());
        let sources = sources.filter(|path| path.extension().is_some_and(|end| end == "c"));
        let mut cc = command("cc");
        cc.args([
            "-shared", "-fPIC", "-pthread", "-O1", "-g", "-Wall", "-Werror",
        ]);
        cc.arg("-o").arg(&library).args(sources).arg("-ldl");
        run(&mut cc).expect_code(0);
        library
    })
}

impl Start<'_> {
    /// Starts it, with or without the agent, with this environment variable, and on one core where that matters.
    pub fn new<'a>(
        tortured: &'a Tortured,
        python: &Interpreter,
        agent: bool,
        variable: Option<(&str, String)>,
        core: Option<Core>,
    ) -> Start<'a> {
        let folder = Scratch::new();
        fs::set_permissions(&*folder, fs::Permissions::from_mode(0o777)).unwrap();
        if tortured.needs.contains(&Need::Compiler) {
            fs::copy(native(), folder.join("native.so")).unwrap();
        }
        let mut command = match agent {
            true => preloaded_python(python),
            false => python.command(),
        };
        command
            .arg(format!("{}.py", tortured.name))
            .args(&tortured.variant)
            .current_dir(&tortured.folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env(FOLDER, folder.as_os_str());
        if let Some(deadline) = tortured.deadline {
            command.env(DEADLINE_VARIABLE, deadline.as_secs_f64().to_string());
        }
        if !agent {
            command.env(BARE, "1");
        }
        command.envs(variable);
        if let Some(core) = core {
            core.hold(&mut command);
        }
        Start {
            begun: Instant::now(),
            program: Program::start_without_input(&mut command),
            folder,
            tortured,
            python: fs::canonicalize(&python.path).unwrap(),
        }
    }

    /// The process that was started.
    pub fn pid(&self) -> i32 {
        self.program.pid()
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How long its first thread has run on a core.
    pub fn ran(&self) -> Duration {
        let told = procfs::read(self.pid(), "schedstat");
        let nanoseconds = told
            .split_whitespace()
            .next()
            .and_then(|one| one.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or(0))
    }

    /// Whether the process that was started has ended.
    pub fn has_ended(&self) -> bool {
        self.program.has_ended()
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        self.program.signal(number);
    }

    /// Waits until it says that it is ready.
    pub fn ready(&self) -> Result<(), Lost> {
        let until = Instant::now() + tests::process::PATIENCE;
        while !self.program.out().lines().any(|line| line == "ready") {
            if self.has_ended() || Instant::now() > until {
                return Err(self.lost("it did not get ready"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// All other processes whose environment contains the folder's name.
    fn others(&self) -> Vec<i32> {
        let mark = [FOLDER.as_bytes(), b"=", self.folder.as_os_str().as_bytes()].concat();
        let names = fs::read_dir("/proc").unwrap().flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|&pid| pid != self.pid())
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|&byte| byte == 0).any(|one| one == mark)
            })
            .collect()
    }

    /// Its descendants; those that carry an agent, or that run its interpreter.
    pub fn descendants(&self, carry: bool) -> Vec<i32> {
        let library = product().library.to_string_lossy();
        let mut pids = self.others();
        pids.retain(|&pid| match carry {
            true => procfs::read(pid, "maps").contains(&*library),
            false => fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.python),
        });
        pids
    }

    /// The path of a file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Tells a steady program to stop.
    pub fn stop(&self) {
        self.folder.write("stop", "");
    }

    /// Waits until it and all its descendants have ended, and checks whether all was well. Returns
    /// how long it lived.
    pub fn finish(mut self, limit: Duration) -> Result<Duration, Lost> {
        let until = Instant::now() + limit;
        while !self.has_ended() || !self.others().is_empty() {
            if Instant::now() > until {
                let left = self.others();
                let what = match self.has_ended() {
                    true => format!("it ended and left {} processes behind", left.len()),
                    false => format!("it hangs: not ended within {limit:?}"),
                };
                return Err(self.lost(&what));
            }
            thread::sleep(Duration::from_millis(1));
        }
        let lived = self.age();
        let ended = self.program.end_within(limit);
        let file = fs::read_to_string(self.folder.join("intact")).ok();
        match wrong(self.tortured, &ended, file.as_deref()) {
            None => Ok(lived),
            Some(what) => Err(Lost {
                what,
                details: shown(&ended.out(), &ended.err()),
            }),
        }
    }

    /// The loss, with the program's present state.
    pub fn lost(&self, what: &str) -> Lost {
        // A program that dies of an activation may take a moment to die.
        let until = Instant::now() + Duration::from_millis(200);
        while !self.has_ended() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let (what, more) = what.split_once('\n').unwrap_or((what, ""));
        let mut details = format!("{more}\n");
        for pid in [vec![self.pid()], self.others()].concat() {
            let parent = procfs::status(pid, "PPid");
            let threads = procfs::threads_with_states(pid).join(", ");
            details += &format!("process {pid}, child of {parent}: {threads}\n");
        }
        details += &shown(&self.program.out(), &self.program.err());
        let mut what = what.to_owned();
        if let Some(status) = self.program.status() {
            what += &format!("; the program: {}", how(status));
        }
        Lost { what, details }
    }
}

fn shown(out: &str, err: &str) -> String {
    format!("--- stdout\n{out}\n--- stderr\n{err}")
}

/// How it ended, in words.
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (_, signal) => format!("killed by {}", signal_name(signal.unwrap_or(0))),
    }
}

/// What is wrong with how it ended.
fn wrong(tortured: &Tortured, ended: &Ended, file: Option<&str>) -> Option<String> {
    let err = ended.err();
    if let Some(last) = err.lines().next_back() {
        return Some(format!("{}, saying: {last}", how(ended.status)));
    }
    let expected = match tortured.ends {
        Ends::Status(code) => ended.status.code() == Some(code),
        Ends::Signal(number) => ended.status.signal() == Some(number),
    };
    if !expected {
        return Some(how(ended.status));
    }
    let out = ended.out();
    let intact = match tortured.prints {
        Prints::Intact => out.lines().next_back() == Some("intact"),
        Prints::File => file.is_some_and(|text| text.trim() == "intact"),
        Prints::Nothing => file.is_none_or(|text| text.trim() == "intact"),
    };
    (!intact).then(|| format!("{} without saying that it is intact", how(ended.status)))
}
