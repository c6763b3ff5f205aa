//! The ways to ask a program for its state.

use crate::ended::Ended;
use crate::interpreters::Interpreter;
use crate::process::{Program, command, run};
use crate::procfs::wait_agent;
use crate::product::product;
use protocol::names::THREAD_HEADING;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// First words of an answer that was read without the GIL.
pub const WALK_HEADING: &str = "### Read from memory";

/// The ways in, as `--via` names them.
pub const WAYS: [&str; 2] = ["gdb", "wake"];

/// `sa-run`, still without arguments.
pub fn sa_run() -> Command {
    command(&product().sa_run)
}

/// A command with the library preloaded through LD_PRELOAD, without `sa-run`.
pub fn preloaded(program: impl AsRef<OsStr>) -> Command {
    let mut command = command(program);
    command.env("LD_PRELOAD", &product().library);
    command
}

/// `python` with the library preloaded, still without arguments.
pub fn preloaded_python(python: &Interpreter) -> Command {
    let mut command = preloaded(&python.path);
    python.equip(&mut command);
    command
}

/// `python TARGET` with the library preloaded, not started yet.
pub fn target(python: &Interpreter, name: &str) -> Command {
    let mut command = preloaded_python(python);
    command.arg(product().target(name));
    command
}

/// `python TARGET` without the library, not started yet.
pub fn bare_target(python: &Interpreter, name: &str) -> Command {
    let mut command = python.command();
    command.arg(product().target(name));
    command
}

/// Starts a program and waits until it is ready and has its agent.
#[track_caller]
pub fn woken(command: &mut Command) -> Program {
    let program = Program::start(command).ready();
    wait_agent(program.pid());
    program
}

/// `sa-load` with these arguments.
pub fn loader<I: IntoIterator<Item: ToString>>(arguments: I) -> Command {
    let mut command = command(&product().load);
    command.args(arguments.into_iter().map(|one| one.to_string()));
    command
}

/// Starts a target with the library preloaded and waits until it is ready and has its agent.
#[track_caller]
pub fn woken_target(python: &Interpreter, name: &str, arguments: &[&str]) -> Program {
    woken(target(python, name).args(arguments))
}

/// Starts `python -c CODE` with the library preloaded and waits until it is ready and has its agent.
#[track_caller]
pub fn woken_code(python: &Interpreter, code: &str, arguments: &[&str]) -> Program {
    woken(preloaded_python(python).args(["-c", code]).args(arguments))
}

/// `sleeper_agent_activate` with these arguments, not started yet; through gdb, unless they say
/// otherwise.
pub fn activator<I: IntoIterator<Item: ToString>>(arguments: I) -> Command {
    let mut command = command(&product().activate);
    command.env("SLEEPER_AGENT_VIA", "gdb");
    command.args(arguments.into_iter().map(|one| one.to_string()));
    command
}

/// Runs `sleeper_agent_activate` with these arguments; through gdb, unless they say otherwise.
#[track_caller]
pub fn activate<I: IntoIterator<Item: ToString>>(arguments: I) -> Ended {
    run(&mut activator(arguments))
}

/// The output of `sleeper_agent_activate OPTIONS PID`; panics unless it succeeds without a complaint.
#[track_caller]
pub fn answer(pid: i32, options: &[&str]) -> String {
    let ended = activate([options, &[&*pid.to_string()]].concat());
    ended.expect_code(0);
    assert_eq!(ended.err(), "", "stdout was {}", ended.out());
    ended.out()
}

/// The answer in the full format.
#[track_caller]
pub fn full_answer(pid: i32, via: &str) -> String {
    answer(pid, &["--format", "full", "--via", via])
}

/// The answer in the full format, with greenlets and generators. It is given more time than by default, so that
/// nothing is cut on a loaded machine.
#[track_caller]
pub fn full_answer_with_greenlets(pid: i32, via: &str) -> String {
    answer(pid, &["--greenlets", "--hold", "2000", "--via", via])
}

/// The answer in the plain format, without a debugger.
#[track_caller]
pub fn answer_by_wake(pid: i32) -> String {
    answer(pid, &["--via", "wake"])
}

/// The state that `sleeper_agent_activate PID` prints; panics if the command fails.
#[track_caller]
pub fn state(pid: i32) -> String {
    let ended = activate([pid]);
    ended.expect_code(0);
    let text = ended.out();
    assert!(
        text.starts_with(THREAD_HEADING),
        "no state of a thread:\n{text}\n--- stderr\n{}",
        ended.err()
    );
    text
}

/// The whole output of a manual gdb call, chatter included.
#[track_caller]
pub fn manual_gdb(pid: i32) -> String {
    let pid = pid.to_string();
    let line = "printf \"%s\", sleeper_agent_state()";
    let mut gdb = command("gdb");
    let ended = run(gdb.args(["-nx", "-p", &pid, "-batch", "-ex", line]));
    let out = ended.out();
    // gdb exits with 0 even if its command fails; then it has printed an error.
    assert!(
        out.contains("###") || out.contains("not ") || out.contains("is "),
        "gdb printed no answer:\n{out}\n--- stderr\n{}",
        ended.err()
    );
    out
}

/// The state printed by a manual gdb call, from its first heading on.
#[track_caller]
pub fn manual_state(pid: i32) -> String {
    let out = manual_gdb(pid);
    let start = out
        .find("### ")
        .unwrap_or_else(|| panic!("no heading in:\n{out}"));
    // gdb -batch may print that it detaches after the text.
    let text = &out[start..];
    match text.find("[Inferior 1 (process") {
        Some(end) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

/// The number of threads in an answer.
pub fn threads_told(text: &str) -> usize {
    text.lines()
        .filter(|line| line.starts_with(THREAD_HEADING))
        .count()
}

/// A copy of the optional import in a folder that can go on `PYTHONPATH`.
pub fn place_shim(python: &Interpreter, folder: &Path) {
    let source = product().shim().join("sleeper_agent.py");
    let module = format!("_sleeper_agent_activation{}", python.extension_suffix);
    std::fs::copy(&source, folder.join("sleeper_agent.py"))
        .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    std::fs::copy(&product().library, folder.join(module)).unwrap();
}

/// `python`, with or without the library preloaded, which finds the optional import that
/// [`place_shim`] has put into `folder`.
pub fn importing(python: &Interpreter, preload: bool, folder: &Path) -> Command {
    let mut command = if preload {
        preloaded_python(python)
    } else {
        python.command()
    };
    command.env("PYTHONPATH", folder);
    command
}
