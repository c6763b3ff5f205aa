//! The asking commands are two processes: a supervisor, which the user has started, and its child, the worker. They start,
//! stop and end like one.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::ask::{WAYS, activator, woken_target};
use tests::case;
use tests::gil::keeps_the_gil;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;

/// Starts a command that asks, and waits until it is two processes. Returns the worker too.
#[track_caller]
fn asking(command: &mut Command) -> (Program, i32) {
    let asking = Program::start(command);
    let is_two = || procfs::worker(asking.pid()) != asking.pid();
    wait_until("the command is two processes", is_two);
    let worker = procfs::worker(asking.pid());
    // It blocks signals as soon as it runs.
    wait_until("the worker waits", || procfs::state(worker) == 'S');
    (asking, worker)
}

/// Whether a process has ended.
fn is_gone(pid: i32) -> bool {
    [' ', 'Z', 'X'].contains(&procfs::state(pid))
}

case!(the_worker_ends_with_the_command, OnlyOne);
fn the_worker_ends_with_the_command(python: &Interpreter) {
    let stuck = keeps_the_gil(python, "60");
    for via in WAYS {
        let (mut asking, worker) = asking(&mut activator(["--via", via, &stuck.pid().to_string()]));
        std::thread::sleep(Duration::from_millis(300));
        asking.signal(libc::SIGKILL);
        let begun = Instant::now();
        asking
            .end_within(Duration::from_secs(5))
            .expect_signal(libc::SIGKILL);
        wait_until("the worker has ended", || is_gone(worker));
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
        wait_until("nobody traces it", || {
            procfs::status(stuck.pid(), "TracerPid") == "0"
        });
        assert_ne!(procfs::state(stuck.pid()), 'T');
    }
}

case!(the_command_ends_as_the_worker_does, OnlyOne);
fn the_command_ends_as_the_worker_does(python: &Interpreter) {
    let stuck = keeps_the_gil(python, "60");
    for signal in [libc::SIGKILL, libc::SIGUSR1, libc::SIGALRM] {
        for via in WAYS {
            let (mut asking, worker) =
                asking(&mut activator(["--via", via, &stuck.pid().to_string()]));
            std::thread::sleep(Duration::from_millis(300));
            // SAFETY: a plain system call; the worker is waited for by nobody else than the command, which runs.
            unsafe { libc::kill(worker, signal) };
            asking
                .end_within(Duration::from_secs(5))
                .expect_signal(signal);
        }
    }
}

/// Lets a command be started with this signal ignored, as by `nohup`.
fn ignoring(command: &mut Command, signal: i32) -> &mut Command {
    // SAFETY: a plain system call, which a forked child may make.
    unsafe {
        command.pre_exec(move || {
            libc::signal(signal, libc::SIG_IGN);
            Ok(())
        })
    }
}

case!(started_with_signals_ignored, OnlyOne);
fn started_with_signals_ignored(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGCHLD, libc::SIGALRM] {
        for via in WAYS {
            let mut command = activator(["--via", via, &program.pid().to_string()]);
            let ended = run(ignoring(&mut command, signal));
            ended.expect_code(0);
            assert!(ended.out().contains(", in sleeping"), "{ended:?}");
        }
        let ended = run(ignoring(&mut command(&product().list), signal));
        ended.expect_code(0);
        assert!(ended.out().contains(&program.pid().to_string()));
    }
    program.handles_sigterm();
    let stuck = keeps_the_gil(python, "60");
    let mut command = activator([stuck.pid()]);
    let (mut asking, _) = asking(ignoring(&mut command, libc::SIGINT));
    asking.signal(libc::SIGINT);
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        !asking.has_ended(),
        "it is deaf to what it was started to ignore"
    );
    asking.signal(libc::SIGTERM);
    let ended = asking.end_within(Duration::from_secs(2));
    ended.expect_code(128 + libc::SIGTERM);
}

case!(stopped_and_continued, OnlyOne);
/// Ctrl-Z and `fg`: a shell stops and continues the group.
fn stopped_and_continued(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let watch = [
        "--via",
        "wake",
        "--watch",
        "0.2",
        &program.pid().to_string(),
    ];
    let (mut asking, worker) = asking(&mut activator(watch));
    let group = |signal| {
        // SAFETY: the group is that of our child, which is not reaped.
        unsafe { libc::kill(-asking.pid(), signal) };
    };
    let answers = || asking.out().matches("=== PID ").count();
    wait_until("it has answered", || answers() > 1);
    group(libc::SIGTSTP);
    for one in [asking.pid(), worker] {
        wait_until("it is stopped", || procfs::state(one) == 'T');
    }
    std::thread::sleep(Duration::from_millis(100));
    let before = answers();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(answers(), before, "it is stopped");
    group(libc::SIGCONT);
    wait_until("it goes on", || answers() > before + 1);
    asking.signal(libc::SIGINT);
    asking.end_within(Duration::from_secs(2)).expect_code(130);
    program.handles_sigterm();
}

/// Runs a line of bash, in which `$0` is the command and `$1` a PID.
#[track_caller]
fn in_bash(line: &str, pid: i32) -> String {
    let mut bash = command("bash");
    bash.args(["-c", line]).arg(&product().activate);
    let ended = run(bash.arg(pid.to_string()));
    ended.out()
}

case!(in_a_shell, OnlyOne);
/// What a shell and `timeout` see of it.
fn in_a_shell(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid();
    let timed_out = "timeout -s INT 2 \"$0\" --via wake --watch 0.5 $1 >/dev/null; echo $?";
    assert_eq!(in_bash(timed_out, pid), "124\n");
    let timed_out =
        "timeout --preserve-status -s INT 2 \"$0\" --via wake --watch 0.5 $1 >/dev/null; echo $?";
    assert_eq!(in_bash(timed_out, pid), "130\n");
    // Nobody reads the second answer.
    let closed = "\"$0\" --via wake --watch 0.2 $1 2>/dev/null | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}";
    assert_eq!(in_bash(closed, pid), "1\n");
    program.handles_sigterm();
}
