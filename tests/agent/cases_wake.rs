//! The way in without a debugger: a signal to the agent's waker, which answers over a socket.

use crate::Need::{Compiler, ForAnyone, Nothing, Root};
use crate::cases_activator::NOBODY;
use crate::cases_mortal::Mortal;
use crate::{Case, PlainCase};
use std::os::unix::process::CommandExt;
use std::thread::sleep;
use std::time::Duration;
use tests::ask::{activate, preloaded, state, target, threads_told, woken_target};
use tests::compile::compile;
use tests::interface::{SIGNAL, THREAD_HEADING, WAKER_THREAD};
use tests::interpreters::Interpreter;
use tests::process::{Ended, Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;
use tests::scratch::{Scratch, copied};

pub const CASES: &[Case] = &[
    ("same_answer", Nothing, same_answer),
    ("thousands", Nothing, thousands),
    ("a_script_that_moved", Nothing, a_script_that_moved),
    ("falls_back", Compiler, falls_back),
    ("off", Nothing, off),
    ("another_signal", Nothing, another_signal),
    ("signal_of_the_program", Nothing, signal_of_the_program),
    ("signal_waited_for", Nothing, signal_waited_for),
    ("guarded_memory", ForAnyone, guarded_memory),
    ("other_namespaces", Root, other_namespaces),
    (
        "unprivileged_namespaces",
        ForAnyone,
        unprivileged_namespaces,
    ),
];

pub const PLAIN_CASES: &[PlainCase] = &[("not_python", Nothing, not_python)];

#[track_caller]
fn wake(pid: i32) -> Ended {
    activate(["--via", "wake", &pid.to_string()])
}

/// The state, and not a word more.
#[track_caller]
pub fn woken(pid: i32) -> String {
    let ended = wake(pid);
    assert_eq!(ended.err(), "");
    ended.expect_code(0);
    ended.out()
}

/// Status 1, no state, and one line that says this.
#[track_caller]
pub fn refused(ended: &Ended, words: &str) {
    ended.expect_code(1);
    let said = ended.err();
    assert_eq!(ended.out(), "", "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(words), "no {words:?} in {said}");
}

/// Ends with status 7 once it has read a line.
#[track_caller]
pub fn goes_on(mut program: Program) {
    program.say("");
    let ended = program.end();
    assert_eq!(ended.err(), "");
    ended.expect_code(7);
}

fn same_answer(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["20", "10"]);
    procfs::settle(program.pid());
    let before = procfs::descriptors(program.pid());
    let text = state(program.pid());
    assert_eq!(threads_told(&text), 21);
    for _ in 0..5 {
        assert_eq!(woken(program.pid()), text);
    }
    assert_eq!(procfs::descriptors(program.pid()), before);
    // Larger than any buffer between the two.
    let large = woken_target(python, "threads.py", &["200", "150"]);
    procfs::settle(large.pid());
    assert_eq!(woken(large.pid()), state(large.pid()));
    goes_on(large);
    goes_on(program);
}

fn thousands(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let before = procfs::descriptors(mortal.pid).len();
    for _ in 0..1000 {
        let text = woken(mortal.pid);
        assert!(text.starts_with(THREAD_HEADING), "{text}");
    }
    mortal.goes_on("a thousand wakings");
    assert_eq!(procfs::descriptors(mortal.pid).len(), before);
    mortal.ends_intact();
}

/// The source of a script that has left the folder which its name counts from is found, and never by
/// way of the program's own descriptors.
fn a_script_that_moved(python: &Interpreter) {
    let mut start = preloaded(&python.path);
    python.equip(&mut start);
    start
        .arg("moved.py")
        .current_dir(product().root.join("tests/targets"));
    let program = Program::start(&mut start).ready();
    procfs::wait_agent(program.pid());
    for _ in 0..200 {
        let text = woken(program.pid());
        assert!(text.contains("File \"moved.py\", line "), "{text}");
        assert!(text.contains("\n    take(first)\n"), "{text}");
    }
    program.signal(libc::SIGTERM);
    let ended = program.end();
    assert_eq!(ended.out(), "ready\n0 times it was taken\n");
    ended.expect_code(7);
}

/// Where gdb can't be used it is done without, and said; unless gdb was asked for.
fn falls_back(python: &Interpreter) {
    let folder = Scratch::new();
    let program = woken_target(python, "threads.py", &["2", "2"]);
    let pid = program.pid().to_string();
    let ask = |arguments: &[&str], path: Option<&str>| {
        let mut activator = command(&product().activate);
        activator.args(arguments).arg(&pid);
        if let Some(path) = path {
            activator.env("PATH", path);
        }
        run(&mut activator)
    };
    let told = |ended: &Ended, why: &str| {
        ended.expect_code(0);
        assert_eq!(threads_told(&ended.out()), 3);
        let said = ended.err();
        assert_eq!(said.lines().count(), 1, "{said}");
        let words = format!("PID {pid}: asked without a debugger, as {why}");
        assert!(said.contains(&words), "{said}");
    };
    let nowhere = Some("/nonexistent");
    told(&ask(&[], nowhere), "there is no gdb on $PATH");
    refused(&ask(&["--via", "gdb"], nowhere), "there is no gdb on $PATH");
    let tracer = compile("tracer.c", &folder, &[]);
    let tracer = Program::start(command(tracer).arg(&pid)).ready();
    told(&ask(&[], None), "it is being traced by PID");
    refused(&ask(&["--via", "gdb"], None), "it is being traced by PID");
    drop(tracer);
    let usual = ask(&[], None);
    assert_eq!(usual.err(), "");
    usual.expect_code(0);
    goes_on(program);
}

fn off(python: &Interpreter) {
    for (variable, value) in [("SLEEPER_AGENT_WAKE", "off"), ("SLEEPER_AGENT_SIGNAL", "9")] {
        let mut command = target(python, "threads.py");
        command.args(["2", "2"]).env(variable, value);
        let program = Program::start(&mut command).ready();
        procfs::wait_agent(program.pid());
        refused(
            &wake(program.pid()),
            "no thread that waits for a wake-up signal",
        );
        assert_eq!(threads_told(&state(program.pid())), 3);
        goes_on(program);
    }
}

fn not_python() {
    let mut command = tests::ask::preloaded("sleep");
    let program = Program::start(command.arg("100"));
    refused(&wake(program.pid()), "not a Python process");
}

/// The signal that the waker waits for, of `/proc/PID/task/TID/status`.
fn awaited(pid: i32) -> u64 {
    let waker = waker(pid);
    let status = procfs::read(pid, &format!("task/{waker}/status"));
    let mask = status.lines().find_map(|one| one.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    !mask.expect("a mask") >> 33 << 33
}

pub fn waker(pid: i32) -> i32 {
    let mut tasks = procfs::tasks(pid).into_iter();
    tasks
        .find(|task| procfs::read(pid, &format!("task/{task}/comm")).trim() == WAKER_THREAD)
        .expect("a waker")
}

fn another_signal(python: &Interpreter) {
    let mut command = target(python, "threads.py");
    command.args(["2", "2"]).env("SLEEPER_AGENT_SIGNAL", "41");
    let program = Program::start(&mut command).ready();
    procfs::wait_agent(program.pid());
    assert_eq!(threads_told(&woken(program.pid())), 3);
    wait_until("it waits again", || awaited(program.pid()) == 1 << 40);
    goes_on(program);
}

/// A handler of the program's for the very signal gets what is the program's, each of them, and
/// nothing of ours.
fn signal_of_the_program(python: &Interpreter) {
    let mut command = target(python, "own_signal.py");
    command.args(["handler", &SIGNAL.to_string()]);
    let mut program = Program::start(&mut command).ready();
    procfs::wait_agent(program.pid());
    for round in 1..=50 {
        woken(program.pid());
        program.signal(SIGNAL);
        wait_until("the handler has run", || {
            program
                .out()
                .lines()
                .filter(|line| *line == "signal")
                .count()
                >= round
        });
    }
    woken(program.pid());
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    let out = ended.out();
    assert_eq!(out.matches("signal\n").count(), 50, "{out}");
    assert_eq!(ended.err(), "");
}

/// A program that blocks the signal everywhere and waits for it as we do gets each of them, too;
/// the agent then leaves the signal to it, and says so.
fn signal_waited_for(python: &Interpreter) {
    let mut command = target(python, "own_signal.py");
    command.args(["waits", &SIGNAL.to_string()]);
    let mut program = Program::start(&mut command).ready();
    procfs::wait_agent(program.pid());
    woken(program.pid());
    for _ in 0..200 {
        program.signal(SIGNAL);
    }
    wait_until("all have come", || {
        program.out().matches("signal\n").count() >= 200
    });
    // It depends on the kernel whether ours was ever chosen to take one.
    if procfs::thread_names(program.pid()).contains(&WAKER_THREAD.to_owned()) {
        woken(program.pid());
    } else {
        refused(
            &wake(program.pid()),
            "no thread that waits for a wake-up signal",
        );
    }
    state(program.pid());
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.out().matches("signal\n").count(), 200);
    assert_eq!(ended.err(), "");
}

/// A process whose memory nobody may look at answers root alone.
fn guarded_memory(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = copied(&product().activate, &folder);
    for guarded in [false, true] {
        let mut command = target(python, "own_signal.py");
        command.args([
            if guarded { "guarded" } else { "open" },
            &SIGNAL.to_string(),
        ]);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        let program = Program::start(&mut command).ready();
        wait_until("it has a waker", || {
            procfs::thread_names(program.pid()).contains(&WAKER_THREAD.to_owned())
        });
        let mut activator = tests::process::command(&copy);
        activator.args(["--via", "wake", &program.pid().to_string()]);
        let ended = run(activator.current_dir("/").uid(NOBODY).gid(NOBODY));
        if guarded {
            refused(&ended, "only root if it guards its memory");
        } else {
            assert_eq!(ended.err(), "");
            ended.expect_code(0);
        }
        assert!(woken(program.pid()).starts_with(THREAD_HEADING));
        goes_on(program);
    }
}

/// Started by `unshare` with these arguments, as this user. The namespaces' own first process is a
/// child of what is started.
fn unshared(python: &Interpreter, arguments: &[&str], user: u32) -> Program {
    let library = product().library.display();
    let mut command = command("unshare");
    command
        .args(arguments)
        .arg("env")
        .arg(format!("LD_PRELOAD={library}"))
        .arg(&python.path)
        .arg(product().target("own_signal.py"))
        .args(["open", "58"])
        .current_dir("/")
        .uid(user)
        .gid(user);
    python.equip(&mut command);
    Program::start(&mut command).ready()
}

/// The process that has the waker: the one started, or a descendant of it.
fn inner(program: &Program) -> i32 {
    let mut found = program.pid();
    wait_until("there is a waker", || {
        let children = procfs::read(program.pid(), &format!("task/{}/children", program.pid()));
        let pids = children
            .split_whitespace()
            .filter_map(|one| one.parse().ok());
        std::iter::once(program.pid())
            .chain(pids)
            .any(|pid| procfs::thread_names(pid).contains(&WAKER_THREAD.to_owned()))
    });
    let children = procfs::read(program.pid(), &format!("task/{found}/children"));
    if let Some(child) = children.split_whitespace().next() {
        found = child.parse().unwrap();
    }
    found
}

/// Root wakes what runs in other namespaces, whoever it is there.
fn other_namespaces(python: &Interpreter) {
    for arguments in [
        &["--net"][..],
        &["--net", "--pid", "--mount", "--fork", "--mount-proc"],
        &[
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
        ],
    ] {
        let program = unshared(python, arguments, 0);
        let pid = inner(&program);
        for _ in 0..3 {
            let text = woken(pid);
            assert!(text.contains(", in wait_here\n"), "{arguments:?}: {text}");
        }
        goes_on(program);
    }
}

/// A user wakes a program of theirs that runs in namespaces of theirs.
fn unprivileged_namespaces(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = copied(&product().activate, &folder);
    let arguments = ["--user", "--map-root-user", "--net"];
    let program = unshared(python, &arguments, NOBODY);
    let pid = inner(&program);
    for user in [NOBODY, 0] {
        let mut activator = tests::process::command(&copy);
        activator.args(["--via", "wake", &pid.to_string()]);
        let ended = run(activator.current_dir("/").uid(user).gid(user));
        assert_eq!(ended.err(), "", "as user {user}");
        ended.expect_code(0);
        assert!(ended.out().contains(", in wait_here\n"), "{}", ended.out());
        sleep(Duration::from_millis(5));
    }
    goes_on(program);
}
