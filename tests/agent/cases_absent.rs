//! Processes that no way in can ask: both ways say the same, and it is true.

use crate::Need::{ForAnyone, KernelThread, Nothing};
use crate::cases_activator::NOBODY;
use crate::{Case, PlainCase};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use tests::ask::{activate, preloaded};
use tests::interpreters::Interpreter;
use tests::process::{Ended, Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;
use tests::scratch::{Scratch, copied};

pub const CASES: &[Case] = &[
    ("closed_memory", ForAnyone, closed_memory),
    ("not_started", Nothing, not_started),
];

pub const PLAIN_CASES: &[PlainCase] = &[
    ("no_agent", Nothing, no_agent),
    ("not_python", Nothing, not_python),
    ("kernel_thread", KernelThread, kernel_thread),
];

/// The usual way, and each of the two alone.
const WAYS: [&[&str]; 3] = [&[], &["--via", "gdb"], &["--via", "wake"]];

/// Asks by every way: the reason is this one, in one line, and nothing is printed beside it.
#[track_caller]
fn told(pid: i32, reason: &str, ask: impl Fn(Vec<&str>) -> Ended) {
    let pid = pid.to_string();
    for way in WAYS {
        let ended = ask([way, &[&pid]].concat());
        ended.expect_code(1);
        assert_eq!(ended.out(), "");
        let line = format!("sleeper_agent_activate: PID {pid}: {reason}\n");
        assert_eq!(ended.err(), line, "{way:?}");
    }
}

const START_IT: &str = "start it with `sa-run COMMAND`, or let it `import sleeper_agent`";

/// A program that sleeps, once it has become that program.
fn sleeping(mut sleep: std::process::Command) -> Program {
    let program = Program::start(sleep.arg("100"));
    wait_until("it sleeps", || {
        procfs::read(program.pid(), "comm").trim() == "sleep"
    });
    procfs::settle(program.pid());
    program
}

fn no_agent() {
    let program = sleeping(command("sleep"));
    let reason = format!("there is no sleeper agent in it (sleep); {START_IT}");
    told(program.pid(), &reason, |arguments: Vec<&str>| {
        activate(arguments)
    });
}

fn not_python() {
    let program = sleeping(preloaded("sleep"));
    told(
        program.pid(),
        "not a Python process",
        |arguments: Vec<&str>| activate(arguments),
    );
}

fn kernel_thread() {
    let reason = "it is a kernel thread (kthreadd), and runs no program; give the PID of a Python \
                  program, as `sa-list` shows it";
    told(2, reason, |arguments: Vec<&str>| activate(arguments));
}

/// The kernel would not let us attach; but if it did, no agent would be found.
fn closed_memory(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = copied(&product().activate, &folder);
    let mut command = python.command();
    command.arg(product().target("own_signal.py"));
    command.args(["guarded", "58"]);
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    let program = Program::start(&mut command).ready();
    let pid = program.pid();
    let name = procfs::read(pid, "comm").trim().to_owned();
    let reason =
        format!("there is no sleeper agent in it ({name}), as far as its threads show; {START_IT}");
    told(pid, &reason, |arguments: Vec<&str>| {
        let mut activator = tests::process::command(&copy);
        activator.args(arguments).current_dir("/");
        run(activator.uid(NOBODY).gid(NOBODY))
    });
}

/// The library is in the program and keeps still: what a debugger gets to hear a signal cannot.
fn not_started(python: &Interpreter) {
    let mut sa_run = command(&product().sa_run);
    let code = "\"$0\" \"$1\" sleeping & echo $!; wait";
    sa_run.args(["--no-children", "sh", "-c", code]);
    python.equip(&mut sa_run);
    let script = product().target("single.py");
    let words: [&OsStr; 2] = [python.path.as_ref(), script.as_ref()];
    let parent = Program::start(sa_run.args(words)).ready();
    let out = parent.out();
    let child = out.lines().find_map(|line| line.parse().ok());
    let child: i32 = child.expect("the PID of the child");
    let pid = child.to_string();
    let by_gdb = activate(["--via", "gdb", &pid]);
    let by_wake = activate(["--via", "wake", &pid]);
    // SAFETY: a plain system call; the child is our own parent's, which waits for it.
    unsafe { libc::kill(child, libc::SIGTERM) };
    by_gdb.expect_code(1);
    assert!(
        by_gdb.err().contains("the agent stays dormant"),
        "{by_gdb:?}"
    );
    by_wake.expect_code(1);
    let said = by_wake.err();
    let reason =
        format!("PID {pid}: its agent has not started, and only a started agent can be woken;");
    assert!(
        said.contains(&reason) && said.contains("--via gdb"),
        "{said}"
    );
}
