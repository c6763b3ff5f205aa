//! `sleeper_agent_activate`: what it prints, what it refuses, and that it does no harm.

use std::thread::sleep;
use std::time::Duration;
use tests::ask::{
    activate, answer, bare_target, preloaded, preloaded_python, state, threads_told, woken,
    woken_target,
};
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;
use tests::scratch::Scratch;
use tests::users::{NOBODY, activate_as};
use tests::{case, plain_case};

plain_case!(not_a_number);
fn not_a_number() {
    activate(["abc"]).expect_refusal(1, &["abc", "number"]);
    activate(["12x"]).expect_refusal(1, &["12x", "number"]);
    activate(["0"]).expect_refusal(1, &["0"]);
    activate(["99999999999999999999"]).expect_refusal(1, &["99999999999999999999"]);
}

/// The number of a process that has ended.
fn gone() -> i32 {
    let program = Program::start(&mut command("true"));
    let pid = program.pid();
    program.end().expect_code(0);
    pid
}

plain_case!(no_such_process);
fn no_such_process() {
    let pid = gone();
    activate([pid]).expect_refusal(1, &["no such process", &pid.to_string()]);
}

plain_case!(zombie);
fn zombie() {
    let program = Program::start(&mut command("true"));
    wait_until("it has ended", || program.has_ended());
    activate([program.pid()]).expect_refusal(1, &["zombie"]);
}

plain_case!(not_python);
fn not_python() {
    let program = Program::start(preloaded("sleep").arg("60"));
    wait_until("it sleeps", || {
        procfs::read(program.pid(), "comm").trim() == "sleep"
    });
    procfs::settle(program.pid());
    activate([program.pid()]).expect_refusal(1, &["not a Python process"]);
    assert_eq!(procfs::state(program.pid()), 'S');
    assert_eq!(procfs::thread_names(program.pid()), ["sleep"]);
}

plain_case!(help);
fn help() {
    let ended = activate(["--help"]);
    ended.expect_code(0);
    for word in ["--gdb", "--timeout", "-v", "PID"] {
        assert!(ended.out().contains(word), "{}", ended.out());
    }
}

case!(only_the_state_on_stdout);
fn only_the_state_on_stdout(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["2", "2"]);
    procfs::settle(program.pid());
    let quiet = answer(program.pid(), &[]);
    assert!(quiet.starts_with("### Thread "));
    let verbose = activate(["-v".to_owned(), program.pid().to_string()]);
    verbose.expect_code(0);
    assert_eq!(verbose.out(), quiet);
    assert_ne!(verbose.err(), "", "-v says nothing");
}

case!(many_pids);
fn many_pids(python: &Interpreter) {
    let one = woken_target(python, "single.py", &["sleeping"]);
    let other = woken_target(python, "single.py", &["busy"]);
    let gone = gone();
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

case!(no_agent);
fn no_agent(python: &Interpreter) {
    let program = Program::start(bare_target(python, "single.py").arg("sleeping")).ready();
    activate([program.pid()]).expect_refusal(1, &["no sleeper agent", "sa-run"]);
    program.handles_sigterm();
}

case!(stopped);
fn stopped(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["2", "2"]);
    let pid = program.pid();
    program.signal(libc::SIGSTOP);
    wait_until("it is stopped", || procfs::state(pid) == 'T');
    activate([pid]).expect_refusal(1, &["stopped", "CONT"]);
    sleep(Duration::from_millis(100));
    assert_eq!(procfs::state(pid), 'T', "it must still be stopped");
    program.signal(libc::SIGCONT);
    wait_until("it runs again", || procfs::state(pid) == 'S');
    assert_eq!(threads_told(&state(pid)), 3);
    program.ends_well();
}

/// A real tracer, like a debugger that somebody left attached.
fn trace(pid: i32, folder: &Scratch) -> Program {
    let tracer = compile("tracer.c", folder, &[]);
    Program::start(command(tracer).arg(pid.to_string())).ready()
}

case!(traced, Compiler);
fn traced(python: &Interpreter) {
    let folder = Scratch::new();
    let program = woken_target(python, "threads.py", &["2", "2"]);
    let tracer = trace(program.pid(), &folder);
    let pid = tracer.pid().to_string();
    activate([program.pid()]).expect_refusal(1, &["traced", "tracer", &pid]);
    assert_eq!(procfs::status(program.pid(), "TracerPid"), pid);
    drop(tracer);
    assert_eq!(threads_told(&state(program.pid())), 3);
    program.ends_well();
}

case!(no_gdb, OnlyOne);
fn no_gdb(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid().to_string();
    activate(["--gdb", "/nonexistent/gdb", &pid]).expect_refusal(1, &["gdb", "/nonexistent/gdb"]);
    let mut command = command(&product().activate);
    let ended = run(command
        .args(["--via", "gdb", &pid])
        .env("PATH", "/nonexistent"));
    ended.expect_refusal(1, &["gdb"]);
    // A program that is not gdb.
    let ended = activate(["--gdb", "/bin/true", &pid]);
    ended.expect_code(1);
    assert_ne!(ended.err(), "");
    program.handles_sigterm();
}

case!(order_of_checks, Compiler);
/// Where several things are wrong, the command names the first in the documented order.
fn order_of_checks(python: &Interpreter) {
    let folder = Scratch::new();
    let program = Program::start(bare_target(python, "single.py").arg("sleeping")).ready();
    let pid = program.pid();
    let gdb = "--gdb=/nonexistent/gdb";
    program.signal(libc::SIGSTOP);
    wait_until("it is stopped", || procfs::state(pid) == 'T');
    activate([gdb, &pid.to_string()]).expect_refusal(1, &["no sleeper agent"]);
    drop(program);

    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid();
    let tracer = trace(pid, &folder);
    activate([gdb, &pid.to_string()]).expect_refusal(1, &["traced"]);
    drop(tracer);
    program.signal(libc::SIGSTOP);
    wait_until("it is stopped", || procfs::state(pid) == 'T');
    activate([gdb, &pid.to_string()]).expect_refusal(1, &["stopped"]);
}

case!(another_users_process, Root);
fn another_users_process(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let ended = activate_as(NOBODY, [program.pid()]);
    ended.expect_refusal(1, &["belongs to root"]);
    program.handles_sigterm();
}

case!(rights_given_up, Root);
/// A server that started as root and dropped its privileges: root may ask it, and a user who may
/// not trace it gets that reason.
fn rights_given_up(python: &Interpreter) {
    let code = format!(
        "import os, signal, sys, time\ncode = open(sys.argv.pop(1)).read()\n\
         os.setgid({NOBODY}); os.setuid({NOBODY})\nexec code"
    );
    let mut command = preloaded_python(python);
    command
        .args(["-c", &code])
        .arg(product().target("single.py"));
    let program = woken(command.arg("sleeping"));
    for _ in 0..3 {
        assert!(state(program.pid()).contains(", in sleeping\n"));
    }
    activate_as(NOBODY, [program.pid()]).expect_refusal(1, &[]);
    program.handles_sigterm();
}

case!(huge_state);
/// A state larger than any buffer on its way arrives complete, to the last byte.
fn huge_state(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["200", "150"]);
    procfs::settle(program.pid());
    let text = state(program.pid());
    assert_eq!(threads_told(&text), 201);
    assert_eq!(text.matches(", in deep_down\n").count(), 200 * 150);
    assert!(text.len() > 2_000_000, "{}", text.len());
    assert_eq!(state(program.pid()), text);
}
