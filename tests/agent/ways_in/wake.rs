//! The way in without a debugger: a signal to the agent's sleeping thread, and an answer over a socket.

use protocol::names::{PARKED_THREAD, SIGNAL, THREAD_HEADING};
use std::thread::sleep;
use std::time::Duration;
use tests::ask::{
    activate, answer_by_wake, preloaded, preloaded_python, state, target, threads_told, woken,
    woken_target,
};
use tests::compile::compile;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::mortal::Mortal;
use tests::process::{Program, command, run, wait_until};
use tests::procfs::{self, thread_named};
use tests::product::product;
use tests::scratch::Scratch;
use tests::users::{NOBODY, activate_as, as_user};
use tests::{case, plain_case};

#[track_caller]
fn wake(pid: i32) -> Ended {
    activate(["--via", "wake", &pid.to_string()])
}

case!(same_answer);
fn same_answer(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["20", "10"]);
    procfs::settle(program.pid());
    let before = procfs::descriptors(program.pid());
    let text = state(program.pid());
    assert_eq!(threads_told(&text), 21);
    for _ in 0..5 {
        assert_eq!(answer_by_wake(program.pid()), text);
    }
    assert_eq!(procfs::descriptors(program.pid()), before);
    // Larger than any buffer between command and agent.
    let large = woken_target(python, "threads.py", &["200", "150"]);
    procfs::settle(large.pid());
    assert_eq!(answer_by_wake(large.pid()), state(large.pid()));
    large.ends_well();
    program.ends_well();
}

case!(thousands);
fn thousands(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let before = procfs::descriptors(mortal.pid).len();
    for _ in 0..1000 {
        let text = answer_by_wake(mortal.pid);
        assert!(text.starts_with(THREAD_HEADING), "{text}");
    }
    mortal.goes_on("a thousand wakings");
    assert_eq!(procfs::descriptors(mortal.pid).len(), before);
    mortal.ends_intact();
}

case!(a_script_that_moved, OnlyOne);
/// The agent finds the source of a script that has left the folder of its relative name, and never
/// through the program's own descriptors.
fn a_script_that_moved(python: &Interpreter) {
    let mut start = preloaded_python(python);
    let program = woken(start.arg("moved.py").current_dir(&product().targets));
    for _ in 0..200 {
        let text = answer_by_wake(program.pid());
        assert!(text.contains("File \"moved.py\", line "), "{text}");
        assert!(text.contains("\n    take(first)\n"), "{text}");
    }
    program.signal(libc::SIGTERM);
    let ended = program.end();
    assert_eq!(ended.out(), "ready\n0 times it was taken\n");
    ended.expect_code(7);
}

case!(falls_back, Compiler);
/// Where gdb cannot be used, the command works without it and says so, unless gdb was requested.
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
    ask(&["--via", "gdb"], nowhere).expect_refusal(1, &["there is no gdb on $PATH"]);
    let tracer = compile("tracer.c", &folder, &[]);
    let tracer = Program::start(command(tracer).arg(&pid)).ready();
    told(&ask(&[], None), "it is being traced by PID");
    ask(&["--via", "gdb"], None).expect_refusal(1, &["it is being traced by PID"]);
    drop(tracer);
    let usual = ask(&[], None);
    assert_eq!(usual.err(), "");
    usual.expect_code(0);
    program.ends_well();
}

case!(off);
fn off(python: &Interpreter) {
    for (variable, value) in [("SLEEPER_AGENT_WAKE", "off"), ("SLEEPER_AGENT_SIGNAL", "9")] {
        let mut command = target(python, "threads.py");
        command.args(["2", "2"]).env(variable, value);
        let program = woken(&mut command);
        wake(program.pid()).expect_refusal(1, &["no thread that waits for a wake-up signal"]);
        assert_eq!(threads_told(&state(program.pid())), 3);
        program.ends_well();
    }
}

plain_case!(not_python);
fn not_python() {
    let mut command = preloaded("sleep");
    let program = Program::start(command.arg("100"));
    wake(program.pid()).expect_refusal(1, &["not a Python process"]);
}

/// The signal that the agent waits for, of `/proc/PID/task/TID/status`.
fn awaited(pid: i32) -> u64 {
    let sleeper = thread_named(pid, PARKED_THREAD).expect("an agent");
    let status = procfs::read(pid, &format!("task/{sleeper}/status"));
    let mask = status.lines().find_map(|one| one.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    !mask.expect("a mask") >> 33 << 33
}

case!(another_signal);
fn another_signal(python: &Interpreter) {
    let mut command = target(python, "threads.py");
    command.args(["2", "2"]).env("SLEEPER_AGENT_SIGNAL", "41");
    let program = woken(&mut command);
    assert_eq!(threads_told(&answer_by_wake(program.pid())), 3);
    wait_until("it waits again", || awaited(program.pid()) == 1 << 40);
    program.ends_well();
}

case!(signal_of_the_program);
/// The program's own handler for the same signal gets every signal meant for the program, and none
/// meant for the agent.
fn signal_of_the_program(python: &Interpreter) {
    let mut command = target(python, "own_signal.py");
    command.args(["handler", &SIGNAL.to_string()]);
    let program = woken(&mut command);
    for round in 1..=50 {
        answer_by_wake(program.pid());
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
    answer_by_wake(program.pid());
    let ended = program.ends_well();
    let out = ended.out();
    assert_eq!(out.matches("signal\n").count(), 50, "{out}");
}

case!(signal_waited_for);
/// A program that blocks the signal in every thread and waits for it, as the agent does, gets every
/// one of its signals too; the agent then leaves the signal to it, and says so.
fn signal_waited_for(python: &Interpreter) {
    let mut command = target(python, "own_signal.py");
    command.args(["waits", &SIGNAL.to_string()]);
    let program = woken(&mut command);
    answer_by_wake(program.pid());
    for _ in 0..200 {
        program.signal(SIGNAL);
    }
    wait_until("all have come", || {
        program.out().matches("signal\n").count() >= 200
    });
    // Whether the agent ever got one of the signals depends on the kernel.
    procfs::settle(program.pid());
    if awaited(program.pid()) != 0 {
        answer_by_wake(program.pid());
    } else {
        wake(program.pid()).expect_refusal(1, &["no thread that waits for a wake-up signal"]);
    }
    state(program.pid());
    let ended = program.ends_well();
    assert_eq!(ended.out().matches("signal\n").count(), 200);
}

case!(guarded_memory, ForAnyone);
/// A process that is not dumpable answers root alone.
fn guarded_memory(python: &Interpreter) {
    for guarded in [false, true] {
        let mut command = target(python, "own_signal.py");
        let kind = if guarded { "guarded" } else { "open" };
        command.args([kind, &SIGNAL.to_string()]);
        let program = Program::start(as_user(&mut command, NOBODY)).ready();
        procfs::wait_agent(program.pid());
        let ended = activate_as(NOBODY, ["--via", "wake", &*program.pid().to_string()]);
        if guarded {
            ended.expect_refusal(1, &["only root if it guards its memory"]);
        } else {
            assert_eq!(ended.err(), "");
            ended.expect_code(0);
        }
        assert!(answer_by_wake(program.pid()).starts_with(THREAD_HEADING));
        program.ends_well();
    }
}

/// A program started by `unshare` with these arguments, as this user. The first process of the
/// namespaces is a child of the started process.
fn unshared(python: &Interpreter, arguments: &[&str], user: u32) -> Program {
    let library = product().library.display();
    let mut command = command("unshare");
    command
        .args(arguments)
        .arg("env")
        .arg(format!("LD_PRELOAD={library}"))
        .arg(&python.path)
        .arg(product().target("own_signal.py"))
        .args(["open", "58"]);
    python.equip(&mut command);
    Program::start(as_user(&mut command, user)).ready()
}

/// The process that has the agent: the started process, or a descendant of it.
fn inner(program: &Program) -> i32 {
    wait_until("there is an agent", || {
        let children = procfs::children(program.pid()).into_iter();
        children
            .chain([program.pid()])
            .any(|pid| thread_named(pid, PARKED_THREAD).is_some())
    });
    let children = procfs::children(program.pid());
    children.first().copied().unwrap_or(program.pid())
}

case!(other_namespaces, Root);
/// Root wakes programs in other namespaces, whatever user they are there.
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
            let text = answer_by_wake(pid);
            assert!(text.contains(", in wait_here\n"), "{arguments:?}: {text}");
        }
        program.ends_well();
    }
}

case!(unprivileged_namespaces, ForAnyone);
/// A user wakes their own program in their own namespaces.
fn unprivileged_namespaces(python: &Interpreter) {
    let arguments = ["--user", "--map-root-user", "--net"];
    let program = unshared(python, &arguments, NOBODY);
    let pid = inner(&program);
    for user in [NOBODY, 0] {
        let ended = activate_as(user, ["--via", "wake", &*pid.to_string()]);
        assert_eq!(ended.err(), "", "as user {user}");
        ended.expect_code(0);
        assert!(ended.out().contains(", in wait_here\n"), "{}", ended.out());
        sleep(Duration::from_millis(5));
    }
    program.ends_well();
}
