//! The ways to ask a program for its state.

use crate::interface::THREAD_HEADING;
use crate::interpreters::Interpreter;
use crate::process::{Ended, Program, command, run};
use crate::product::product;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// First words of an answer that was read without the GIL.
pub const WALK_HEADING: &str = "### Read from memory";

/// A command with the library preloaded, as by hand.
pub fn preloaded(program: impl AsRef<OsStr>) -> Command {
    let mut command = command(program);
    command.env("LD_PRELOAD", &product().library);
    command
}

/// `python TARGET` with the library preloaded, not started yet.
pub fn target(python: &Interpreter, name: &str) -> Command {
    let mut command = preloaded(&python.path);
    python.equip(&mut command);
    command.arg(product().target(name));
    command
}

/// Runs `sleeper_agent_activate` with these arguments; through gdb, unless they say otherwise.
#[track_caller]
pub fn activate<I: IntoIterator<Item: ToString>>(arguments: I) -> Ended {
    let mut command = command(&product().activate);
    command.env("SLEEPER_AGENT_VIA", "gdb");
    run(command.args(arguments.into_iter().map(|one| one.to_string())))
}

/// The state that `sleeper_agent_activate PID` prints; panics if it doesn't succeed.
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

/// What gdb prints when asked by hand, chatter included.
#[track_caller]
pub fn manual_gdb(pid: i32) -> String {
    let pid = pid.to_string();
    let line = "printf \"%s\", sleeper_agent_state()";
    let mut gdb = command("gdb");
    let ended = run(gdb.args(["-nx", "-p", &pid, "-batch", "-ex", line]));
    let out = ended.out();
    // gdb ends with 0 even where its command failed; then there is an error to show.
    assert!(
        out.contains("###") || out.contains("not ") || out.contains("is "),
        "gdb printed no answer:\n{out}\n--- stderr\n{}",
        ended.err()
    );
    out
}

/// The state by hand in gdb: from its first heading on.
#[track_caller]
pub fn manual_state(pid: i32) -> String {
    let out = manual_gdb(pid);
    let start = out
        .find("### ")
        .unwrap_or_else(|| panic!("no heading in:\n{out}"));
    // gdb -batch may say that it detaches behind the text.
    let text = &out[start..];
    match text.find("[Inferior 1 (process") {
        Some(end) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

/// How many threads an answer tells of.
pub fn threads_told(text: &str) -> usize {
    text.lines()
        .filter(|line| line.starts_with(THREAD_HEADING))
        .count()
}

/// Starts a target with the library preloaded and waits until it is ready and has its agent.
#[track_caller]
pub fn woken_target(python: &Interpreter, name: &str, arguments: &[&str]) -> Program {
    let program = Program::start(target(python, name).args(arguments)).ready();
    crate::procfs::wait_agent(program.pid());
    program
}

/// A copy of the optional import in a folder that can go on `PYTHONPATH`.
pub fn place_shim(python: &Interpreter, folder: &Path) {
    let source = product().shim().join("sleeper_agent.py");
    let module = format!("_sleeper_agent_activation{}", python.extension_suffix);
    std::fs::copy(&source, folder.join("sleeper_agent.py"))
        .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    std::fs::copy(&product().library, folder.join(module)).unwrap();
}

/// `python`, with the library preloaded or not, where the import that [`place_shim`] has put into
/// `folder` is found.
pub fn importing(python: &Interpreter, preload: bool, folder: &Path) -> Command {
    let mut command = if preload {
        preloaded(&python.path)
    } else {
        python.command()
    };
    python.equip(&mut command);
    command.env("PYTHONPATH", folder);
    command
}
