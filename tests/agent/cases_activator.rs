//! `sleeper_agent_activate`: what it prints, what it refuses, and that it harms nothing.

use crate::Need::{Compiler, Nothing, OnlyOne, Root};
use crate::{Case, PlainCase};
use std::os::unix::process::CommandExt;
use std::thread::sleep;
use std::time::Duration;
use tests::ask::{activate, preloaded, state, threads_told, woken_target};
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::{Ended, Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;
use tests::scratch::{Scratch, copied};

pub const CASES: &[Case] = &[
    (
        "only_the_state_on_stdout",
        Nothing,
        only_the_state_on_stdout,
    ),
    ("many_pids", Nothing, many_pids),
    ("no_agent", Nothing, no_agent),
    ("stopped", Nothing, stopped),
    ("traced", Compiler, traced),
    ("no_gdb", OnlyOne, no_gdb),
    ("order_of_checks", Compiler, order_of_checks),
    ("another_users_process", Root, another_users_process),
    ("rights_given_up", Root, rights_given_up),
    ("huge_state", Nothing, huge_state),
];

pub const PLAIN_CASES: &[PlainCase] = &[
    ("not_a_number", Nothing, not_a_number),
    ("no_such_process", Nothing, no_such_process),
    ("zombie", Nothing, zombie),
    ("not_python", Nothing, not_python),
    ("help", Nothing, help),
];

/// It failed with status 1, printed no state, and one line that says these words.
#[track_caller]
fn refused(ended: &Ended, words: &[&str]) {
    ended.expect_code(1);
    let said = ended.err();
    assert_eq!(ended.out(), "", "stdout; stderr was {said}");
    assert_eq!(said.lines().count(), 1, "one line: {said}");
    for word in words {
        assert!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "no {word:?} in: {said}"
        );
    }
}

fn not_a_number() {
    refused(&activate(["abc"]), &["abc", "number"]);
    refused(&activate(["12x"]), &["12x", "number"]);
    refused(&activate(["0"]), &["0"]);
    refused(
        &activate(["99999999999999999999"]),
        &["99999999999999999999"],
    );
}

fn no_such_process() {
    let ended = Program::start(&mut command("true"));
    let pid = ended.pid();
    ended.end().expect_code(0);
    refused(&activate([pid]), &["no such process", &pid.to_string()]);
}

fn zombie() {
    let program = Program::start(&mut command("true"));
    wait_until("it has ended", || program.has_ended());
    refused(&activate([program.pid()]), &["zombie"]);
}

fn not_python() {
    let program = Program::start(preloaded("sleep").arg("60"));
    wait_until("it sleeps", || {
        procfs::read(program.pid(), "comm").trim() == "sleep"
    });
    procfs::settle(program.pid());
    refused(&activate([program.pid()]), &["not a Python process"]);
    assert_eq!(procfs::state(program.pid()), 'S');
    assert_eq!(procfs::thread_names(program.pid()), ["sleep"]);
}

fn help() {
    let ended = activate(["--help"]);
    ended.expect_code(0);
    for word in ["--gdb", "--timeout", "-v", "PID"] {
        assert!(ended.out().contains(word), "{}", ended.out());
    }
}

fn only_the_state_on_stdout(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["2", "2"]);
    procfs::settle(program.pid());
    let quiet = activate([program.pid()]);
    quiet.expect_code(0);
    assert_eq!(quiet.err(), "");
    assert!(quiet.out().starts_with("### Thread "));
    let verbose = activate(["-v".to_owned(), program.pid().to_string()]);
    verbose.expect_code(0);
    assert_eq!(verbose.out(), quiet.out());
    assert_ne!(verbose.err(), "", "-v says nothing");
}

fn many_pids(python: &Interpreter) {
    let one = woken_target(python, "single.py", &["sleeping"]);
    let other = woken_target(python, "single.py", &["busy"]);
    let gone = {
        let gone = Program::start(&mut command("true"));
        let pid = gone.pid();
        gone.end();
        pid
    };
    let both = activate([one.pid(), other.pid()]);
    both.expect_code(0);
    assert_eq!(threads_told(&both.out()), 2, "{}", both.out());
    let with_gone = activate([one.pid(), gone, other.pid()]);
    with_gone.expect_code(1);
    let out = with_gone.out();
    assert!(
        out.contains(", in sleeping\n") && out.contains(", in busy\n"),
        "{out}"
    );
    let said = with_gone.err();
    assert!(said.contains(&gone.to_string()), "{said}");
    let with_word = activate([one.pid().to_string(), "abc".to_owned()]);
    with_word.expect_code(1);
    assert!(with_word.err().contains("abc"));
}

fn no_agent(python: &Interpreter) {
    let mut plain = python.command();
    plain.arg(product().target("single.py")).arg("sleeping");
    let program = Program::start(&mut plain).ready();
    refused(&activate([program.pid()]), &["no sleeper agent", "sa-run"]);
    program.signal(libc::SIGTERM);
    program.end().expect_code(7);
}

fn stopped(python: &Interpreter) {
    let mut program = woken_target(python, "threads.py", &["2", "2"]);
    let pid = program.pid();
    program.signal(libc::SIGSTOP);
    wait_until("it is stopped", || procfs::state(pid) == 'T');
    refused(&activate([pid]), &["stopped", "CONT"]);
    sleep(Duration::from_millis(100));
    assert_eq!(procfs::state(pid), 'T', "it must still be stopped");
    program.signal(libc::SIGCONT);
    wait_until("it runs again", || procfs::state(pid) == 'S');
    assert_eq!(threads_told(&state(pid)), 3);
    program.say("");
    program.end().expect_code(7);
}

/// A real tracer, as a debugger that somebody left attached.
fn trace(pid: i32, folder: &Scratch) -> Program {
    let tracer = compile("tracer.c", folder, &[]);
    Program::start(command(tracer).arg(pid.to_string())).ready()
}

fn traced(python: &Interpreter) {
    let folder = Scratch::new();
    let mut program = woken_target(python, "threads.py", &["2", "2"]);
    let tracer = trace(program.pid(), &folder);
    let pid = tracer.pid().to_string();
    refused(&activate([program.pid()]), &["traced", "tracer", &pid]);
    assert_eq!(procfs::status(program.pid(), "TracerPid"), pid);
    drop(tracer);
    assert_eq!(threads_told(&state(program.pid())), 3);
    program.say("");
    program.end().expect_code(7);
}

fn no_gdb(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid().to_string();
    refused(
        &activate(["--gdb", "/nonexistent/gdb", &pid]),
        &["gdb", "/nonexistent/gdb"],
    );
    let mut command = command(&product().activate);
    let ended = run(command
        .args(["--via", "gdb", &pid])
        .env("PATH", "/nonexistent"));
    refused(&ended, &["gdb"]);
    // A gdb that is none.
    let ended = activate(["--gdb", "/bin/true", &pid]);
    ended.expect_code(1);
    assert_ne!(ended.err(), "");
    program.signal(libc::SIGTERM);
    program.end().expect_code(7);
}

/// Of several things wrong, the first in the documented order is named.
fn order_of_checks(python: &Interpreter) {
    let folder = Scratch::new();
    let mut plain = python.command();
    plain.arg(product().target("single.py")).arg("sleeping");
    let program = Program::start(&mut plain).ready();
    let pid = program.pid();
    let gdb = "--gdb=/nonexistent/gdb";
    program.signal(libc::SIGSTOP);
    wait_until("it is stopped", || procfs::state(pid) == 'T');
    refused(&activate([gdb, &pid.to_string()]), &["no sleeper agent"]);
    drop(program);

    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid();
    let tracer = trace(pid, &folder);
    refused(&activate([gdb, &pid.to_string()]), &["traced"]);
    drop(tracer);
    program.signal(libc::SIGSTOP);
    wait_until("it is stopped", || procfs::state(pid) == 'T');
    refused(&activate([gdb, &pid.to_string()]), &["stopped"]);
}

/// User and group `nobody`, who owns nothing.
pub const NOBODY: u32 = 65534;

fn another_users_process(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = copied(&product().activate, &folder);
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid().to_string();
    let mut activator = command(&copy);
    let ended = run(activator.arg(&pid).current_dir("/").uid(NOBODY).gid(NOBODY));
    refused(&ended, &["belongs to root"]);
    program.signal(libc::SIGTERM);
    program.end().expect_code(7);
}

/// A server that began as root and gave its rights up, as servers do: root may ask it, and
/// whoever may not look into it is told so.
fn rights_given_up(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = copied(&product().activate, &folder);
    let code = format!(
        "import os, signal, sys, time\ncode = open({:?}).read()\n\
         os.setgid({NOBODY}); os.setuid({NOBODY})\nexec code",
        product().target("single.py").display().to_string()
    );
    let mut command = preloaded(&python.path);
    python.equip(&mut command);
    let program = Program::start(command.args(["-c", &code, "sleeping"])).ready();
    procfs::wait_agent(program.pid());
    let pid = program.pid().to_string();
    for _ in 0..3 {
        assert!(state(program.pid()).contains(", in sleeping\n"));
    }
    let mut activator = tests::process::command(&copy);
    activator.arg(&pid).current_dir("/").uid(NOBODY).gid(NOBODY);
    let ended = run(&mut activator);
    ended.expect_code(1);
    assert_eq!(ended.err().lines().count(), 1, "{}", ended.err());
    program.signal(libc::SIGTERM);
    program.end().expect_code(7);
}

/// More text than any buffer along the way holds, complete to the last byte.
fn huge_state(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["200", "150"]);
    procfs::settle(program.pid());
    let text = state(program.pid());
    assert_eq!(threads_told(&text), 201);
    assert_eq!(text.matches(", in deep_down\n").count(), 200 * 150);
    assert!(text.len() > 2_000_000, "{}", text.len());
    assert_eq!(state(program.pid()), text);
}
