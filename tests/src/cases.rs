//! The cases of the runners `agent` and `hostile`. One line above its function, `case!` or `plain_case!`, registers a
//! case; the runner makes one trial for each interpreter of a `case!`, and one of a `plain_case!`.
//!
//! A function without such a line is dead code, which the compiler reports.

use crate::compile::have_compiler;
use crate::interpreters::{self, Found, Interpreter};
use crate::packages;
use crate::procfs;
use crate::trials;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::OnceLock;

#[doc(hidden)]
pub use inventory;

/// One case.
pub struct Case {
    /// Its module, such as `agent::output::waits`.
    pub module: &'static str,
    /// Its line in the module's file.
    pub line: u32,
    /// The name of its function.
    pub name: &'static str,
    /// What it needs.
    pub need: Need,
    /// Its function.
    pub work: Work,
}

/// A case's function.
#[derive(Clone, Copy)]
pub enum Work {
    /// Runs with each interpreter.
    OnEach(fn(&Interpreter)),
    /// Runs once, with no particular interpreter.
    Plain(fn()),
}

/// What a case needs.
#[derive(Clone, Copy, PartialEq)]
pub enum Need {
    /// Nothing but the interpreter.
    Nothing,
    /// The right to become another user.
    Root,
    /// The right to become another user, and an interpreter that every user may run.
    ForAnyone,
    /// A C compiler.
    Compiler,
    /// A C compiler, and an interpreter with a shared libpython.
    SharedLibrary,
    /// A C compiler, and an interpreter whose libpython can be linked statically.
    StaticLibrary,
    /// An interpreter that is not a debug build.
    NoDebug,
    /// greenlet, gevent, eventlet, Tornado and Twisted (tests/interpreters/packages.sh).
    Packages,
    /// A visible kernel thread; containers show none.
    KernelThread,
    /// The tool strace.
    Strace,
    /// The rights of root, a C compiler, and strace.
    RootAndStrace,
    /// The right to become another user, and a C compiler.
    RootAndCompiler,
    /// One interpreter of a case that runs on no other.
    OnlyOne,
    /// The right to mount a file system that a program serves (FUSE), a C compiler, and one interpreter.
    Fuse,
}

inventory::collect!(Case);

/// Registers the case `fn NAME(python: &Interpreter)`, for each interpreter: `case!(NAME)`, or
/// `case!(NAME, NEED)` with one of [`Need`].
#[macro_export]
macro_rules! case {
    ($name:ident) => {
        $crate::case!($name, Nothing);
    };
    ($name:ident, $need:ident) => {
        $crate::register_case!($name, $need, OnEach);
    };
}

/// Registers the case `fn NAME()`, which takes no particular interpreter: `plain_case!(NAME)`, or
/// `plain_case!(NAME, NEED)` with one of [`Need`].
#[macro_export]
macro_rules! plain_case {
    ($name:ident) => {
        $crate::plain_case!($name, Nothing);
    };
    ($name:ident, $need:ident) => {
        $crate::register_case!($name, $need, Plain);
    };
}

/// The common part of [`case!`] and [`plain_case!`].
#[doc(hidden)]
#[macro_export]
macro_rules! register_case {
    ($name:ident, $need:ident, $work:ident) => {
        $crate::cases::inventory::submit! {
            $crate::cases::Case {
                module: module_path!(),
                line: line!(),
                name: stringify!($name),
                need: $crate::cases::Need::$need,
                work: $crate::cases::Work::$work($name),
            }
        }
    };
}

impl Case {
    /// `output::waits::what_is_waited_for`.
    fn path(&self) -> String {
        let (_runner, place) = self.module.split_once("::").expect("it stands in a module");
        format!("{place}::{}", self.name)
    }
}

/// The reason why a case cannot run here, if there is one.
fn lacking(need: Need, python: Option<&Interpreter>) -> Option<&'static str> {
    // SAFETY: geteuid has no conditions.
    let root = unsafe { libc::geteuid() } == 0;
    match need {
        Need::Root | Need::ForAnyone | Need::RootAndCompiler if !root => Some("not root"),
        Need::ForAnyone if python.is_some_and(|one| !one.is_for_anyone()) => {
            Some("other users may not run it")
        }
        Need::Compiler | Need::SharedLibrary | Need::StaticLibrary | Need::RootAndCompiler
            if !have_compiler() =>
        {
            Some("no C compiler cc")
        }
        Need::StaticLibrary if python.is_some_and(|one| one.archive.is_none()) => {
            Some("no libpython.a")
        }
        Need::SharedLibrary if python.is_some_and(|one| one.embeddable.is_none()) => {
            Some("no shared libpython")
        }
        Need::Fuse => lacking(Need::RootAndCompiler, python).or_else(|| {
            let mounts = *MOUNTS_FUSE.get_or_init(can_mount_fuse);
            (!mounts).then_some("no FUSE file system can be mounted")
        }),
        Need::RootAndStrace => {
            lacking(Need::RootAndCompiler, python).or_else(|| lacking(Need::Strace, python))
        }
        Need::Strace if !have_strace() => Some("no strace"),
        Need::Packages => python.and_then(packages::lacking),
        Need::KernelThread if procfs::read(2, "comm").trim() != "kthreadd" => {
            Some("no kernel thread is to be seen")
        }
        Need::NoDebug if python.is_some_and(|one| one.debug) => {
            Some("a debug build does not bear pthread_exit there")
        }
        _ => None,
    }
}

static MOUNTS_FUSE: OnceLock<bool> = OnceLock::new();

/// Whether a FUSE file system can be mounted. It tries that in a mount namespace, of which nothing is left.
fn can_mount_fuse() -> bool {
    let script = "exec 3<>/dev/fuse && exec mount -i -t fuse \
                  -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other tried /mnt";
    let tried = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

/// Whether there is a strace.
fn have_strace() -> bool {
    let found = std::process::Command::new("strace").arg("-V").output();
    found.is_ok_and(|output| output.status.success())
}

fn trial(name: String, lacking: Option<&str>, work: impl FnOnce() + Send + 'static) -> Trial {
    match lacking {
        Some(why) => trials::ignored(trials::skipped(&name, why)),
        None => Trial::test(name, || {
            trials::catch(|| {
                work();
                Ok(())
            })
        }),
    }
}

/// The whole of a runner of cases.
pub fn run() -> ExitCode {
    let arguments = Arguments::from_args();
    let found = trials::begin().and_then(|()| {
        let found = interpreters::find();
        found.announce();
        found.trouble().map_or(Ok(found), Err)
    });
    match found {
        Ok(found) => libtest_mimic::run(&arguments, trials(&found)).exit_code(),
        Err(why) => {
            eprintln!("cannot test: {why}");
            ExitCode::FAILURE
        }
    }
}

/// A trial of each plain case, a trial of each other case on each interpreter, and an ignored trial for
/// each missing kind of interpreter.
fn trials(found: &Found) -> Vec<Trial> {
    let mut cases: Vec<&Case> = inventory::iter::<Case>.into_iter().collect();
    cases.sort_by_key(|case| (case.module, case.line));
    let mut trials = Vec::new();
    for case in &cases {
        if let Work::Plain(work) = case.work {
            trials.push(trial(case.path(), lacking(case.need, None), work));
        }
    }
    for (index, python) in found.interpreters.iter().enumerate() {
        for case in &cases {
            let Work::OnEach(work) = case.work else {
                continue;
            };
            if matches!(case.need, Need::OnlyOne | Need::Fuse) && index > 0 {
                continue;
            }
            let name = format!("{}::{}", python.label, case.path());
            let why = lacking(case.need, Some(python));
            let python = python.clone();
            trials.push(trial(name, why, move || work(&python)));
        }
    }
    trials.extend(found.missing.iter().cloned().map(crate::trials::ignored));
    trials
}
