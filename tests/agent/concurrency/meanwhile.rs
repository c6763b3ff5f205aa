//! What happens to the program or to the asking command during a question harms neither.

use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{activate, preloaded_python, state, threads_told, woken_target};
use tests::case;
use tests::gil::keeps_the_gil_for_six_seconds;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run};
use tests::procfs;
use tests::product::product;
use tests::scratch::Scratch;

case!(program_ends_meanwhile);
fn program_ends_meanwhile(python: &Interpreter) {
    for turn in 0..15u64 {
        let mut program = woken_target(python, "threads.py", &["3", "3"]);
        let pid = program.pid().to_string();
        let asked = Program::start(command(&product().activate).arg(&pid));
        sleep(Duration::from_millis(turn * 4));
        program.say("");
        let asked = asked.end();
        match asked.status.code() {
            // In its last moment no thread runs Python code.
            Some(0) => {
                let shown = ["### Thread ", "\nNo stacks: "];
                assert!(
                    shown.iter().any(|one| asked.out().contains(one)),
                    "{asked:?}"
                );
            }
            Some(1) => assert_ne!(asked.err(), ""),
            _ => panic!("{asked:?}"),
        }
        let ended = program.end();
        ended.expect_code(7);
        assert_eq!(ended.err(), "");
    }
}

case!(program_becomes_another_meanwhile);
fn program_becomes_another_meanwhile(python: &Interpreter) {
    // Executes itself forty times, then waits.
    let code = "
import os, sys
left = int(sys.argv[1])
if left:
    os.execv(sys.executable, [sys.executable, sys.argv[2], str(left - 1), sys.argv[2]])
sys.stdout.write('ready\\n')
sys.stdout.flush()
sys.stdin.readline()
sys.exit(7)
";
    let folder = Scratch::new();
    let script = folder.write("again.py", code);
    let mut command = preloaded_python(python);
    let program = Program::start(command.arg(&script).arg("40").arg(&script));
    let until = Instant::now() + Duration::from_secs(60);
    while !program.out().contains("ready") && Instant::now() < until {
        let asked = activate([program.pid()]);
        assert!(matches!(asked.status.code(), Some(0 | 1)), "{asked:?}");
    }
    program.wait_line("ready");
    procfs::wait_agent(program.pid());
    assert!(state(program.pid()).contains("again.py"));
    program.end().expect_code(7);
}

case!(two_at_once);
fn two_at_once(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["3", "3"]);
    let pid = program.pid().to_string();
    for _ in 0..5 {
        let one = Program::start(command(&product().activate).arg(&pid));
        let other = Program::start(command(&product().activate).arg(&pid));
        let (one, other) = (one.end(), other.end());
        let answered = [&one, &other]
            .iter()
            .filter(|ended| ended.out().contains("### Thread "))
            .count();
        assert!(answered > 0, "{one:?}\n{other:?}");
    }
    assert_eq!(threads_told(&state(program.pid())), 4);
    program.ends_well();
}

/// A program that holds its GIL for six seconds, with an agent that would wait fifteen.
fn held(python: &Interpreter) -> Program {
    keeps_the_gil_for_six_seconds(python, "holding_and_moving", "15")
}

fn unharmed(program: Program) {
    sleep(Duration::from_millis(200));
    assert_eq!(procfs::status(program.pid(), "TracerPid"), "0");
    assert!(procfs::state(program.pid()) != 'T', "left stopped");
    let ended = program.ends_well();
    assert_eq!(ended.out(), "ready\nwent on\n");
}

case!(time_limit);
/// The command gives up on a gdb that never gets ready, and the program does not notice.
fn time_limit(python: &Interpreter) {
    let folder = Scratch::new();
    let gdb = folder.program("gdb", "#!/bin/sh\nexec sleep 60\n");
    let gdb = gdb.display().to_string();
    let program = woken_target(python, "threads.py", &["2", "2"]);
    let pid = program.pid().to_string();
    let begun = Instant::now();
    let ended = activate(["--timeout", "1", "--gdb", &gdb, &pid]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    ended.expect_code(1);
    assert!(ended.err().contains("1 s"), "{}", ended.err());
    program.ends_well();
}

case!(time_limit_in_the_call, OnlyOne);
/// However short the limit, a call that has begun runs to its end.
fn time_limit_in_the_call(python: &Interpreter) {
    let program = held(python);
    let pid = program.pid().to_string();
    let ended = activate(["--timeout", "1", &pid]);
    assert!(matches!(ended.status.code(), Some(0 | 1)), "{ended:?}");
    unharmed(program);
}

case!(interrupted, OnlyOne);
/// The user interrupts the command.
fn interrupted(python: &Interpreter) {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let program = held(python);
        let asked = Program::start(command(&product().activate).arg(program.pid().to_string()));
        sleep(Duration::from_millis(1500));
        // As the terminal does: to the whole foreground process group.
        // SAFETY: the group belongs to our child, which is not reaped yet.
        unsafe { libc::kill(-asked.pid(), signal) };
        let asked = asked.end();
        assert!(!asked.status.success(), "{asked:?}");
        unharmed(program);
    }
}

case!(files_in_the_working_directory);
/// gdb must not execute files that it finds in its working directory.
fn files_in_the_working_directory(python: &Interpreter) {
    let folder = Scratch::new();
    let trap = folder.join("sprung");
    let line = format!("shell touch {}\n", trap.display());
    folder.write(".gdbinit", &line);
    folder.write("python2.7-gdb.gdb", &line);
    let program = woken_target(python, "single.py", &["sleeping"]);
    let mut command = command(&product().activate);
    command
        .current_dir(&*folder)
        .env("HOME", folder.as_os_str());
    run(command.arg(program.pid().to_string())).expect_code(0);
    assert!(!trap.exists(), "gdb ran .gdbinit");
}
