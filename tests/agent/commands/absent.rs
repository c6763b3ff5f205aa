//! Processes that neither gdb nor the signal can ask: both ways in give the same, true reason.

use std::ffi::OsStr;
use std::fs;
use tests::ask::{activate, bare_target, preloaded, sa_run};
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::{Program, command};
use tests::procfs;
use tests::product::product;
use tests::users::{NOBODY, activate_as, as_user};
use tests::{case, plain_case};

/// The default choice of a way in, and each way alone.
const CHOICES: [&[&str]; 3] = [&[], &["--via", "gdb"], &["--via", "wake"]];

/// What is said of a process that has no interpreter either.
const NO_PYTHON: &str = "and no Python either; give the PID of a Python program";

/// What to do about a process without an agent.
fn start_it(pid: i32) -> String {
    format!(
        "run `sleeper_agent_activate --load {pid}`, which brings the agent in (it takes the right to trace the \
         program), or start it with `sa-run COMMAND`"
    )
}

/// Asks by every choice: each refuses with this reason, in one line, and prints nothing else.
#[track_caller]
fn refused(pid: i32, reason: &str, ask: impl Fn(Vec<&str>) -> Ended) {
    let pid = pid.to_string();
    for choice in CHOICES {
        let ended = ask([choice, &[&pid]].concat());
        ended.expect_code(1);
        assert_eq!(ended.out(), "");
        let line = format!("sleeper_agent_activate: PID {pid}: {reason}\n");
        assert_eq!(ended.err(), line, "{choice:?}");
    }
}

fn as_we_are(arguments: Vec<&str>) -> Ended {
    activate(arguments)
}

/// The kernel's name for the program in a process.
fn name_of(pid: i32) -> String {
    procfs::read(pid, "comm").trim().to_owned()
}

/// Starts a sleeping program and waits until the child has executed it.
fn sleeping(mut sleep: std::process::Command) -> Program {
    let program = Program::start(sleep.arg("100"));
    procfs::wait_command(program.pid(), "sleep");
    procfs::settle(program.pid());
    program
}

plain_case!(no_agent);
fn no_agent() {
    let program = sleeping(command("sleep"));
    let reason = format!("there is no sleeper agent in it (sleep), {NO_PYTHON}");
    refused(program.pid(), &reason, as_we_are);
}

plain_case!(first_process, Root);
/// Some containers do not let even root look into its memory.
fn first_process() {
    let name = name_of(1);
    let open = fs::read("/proc/1/maps").is_ok_and(|maps| !maps.is_empty());
    let reason = match open {
        true => format!("there is no sleeper agent in it ({name}), {NO_PYTHON}"),
        false => {
            format!(
                "there is no sleeper agent in it ({name}), as far as its threads show; {}",
                start_it(1)
            )
        }
    };
    refused(1, &reason, as_we_are);
}

plain_case!(not_python);
fn not_python() {
    let program = sleeping(preloaded("sleep"));
    refused(
        program.pid(),
        "not a Python process; give the PID of a Python program",
        as_we_are,
    );
}

plain_case!(kernel_thread, KernelThread);
fn kernel_thread() {
    let reason = "it is a kernel thread (kthreadd), and runs no program; give the PID of a Python \
                  program, as `sa-list` shows it";
    refused(2, reason, as_we_are);
}

case!(closed_memory, ForAnyone);
/// The kernel does not let us read the process's memory, but its threads show that it has no agent.
fn closed_memory(python: &Interpreter) {
    let mut command = bare_target(python, "own_signal.py");
    command.args(["guarded", "58"]);
    let program = Program::start(as_user(&mut command, NOBODY)).ready();
    let name = name_of(program.pid());
    let reason = format!(
        "there is no sleeper agent in it ({name}), as far as its threads show; {}",
        start_it(program.pid())
    );
    refused(program.pid(), &reason, |arguments| {
        activate_as(NOBODY, arguments)
    });
}

case!(not_started);
/// The library is loaded but dormant: gdb can ask it why, a signal cannot.
fn not_started(python: &Interpreter) {
    let mut command = sa_run();
    let code = "\"$0\" \"$1\" sleeping & echo \"child $!\"; wait";
    command.args(["--no-children", "sh", "-c", code]);
    python.equip(&mut command);
    let script = product().target("single.py");
    let words: [&OsStr; 2] = [python.path.as_ref(), script.as_ref()];
    let parent = Program::start(command.args(words));
    let child = parent.wait_number("child");
    let parent = parent.ready();
    let pid = child.to_string();
    let by_gdb = activate(["--via", "gdb", &pid]);
    let by_wake = activate(["--via", "wake", &pid]);
    // SAFETY: a plain system call; the child belongs to `parent`, which reaps it.
    unsafe { libc::kill(child, libc::SIGTERM) };
    drop(parent);
    by_gdb.expect_refusal(1, &["the agent stays dormant"]);
    let reason =
        format!("PID {pid}: its agent has not started, and only a started agent can be woken;");
    by_wake.expect_refusal(1, &[&reason, "--via gdb"]);
}
