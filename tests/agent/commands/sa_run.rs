//! `sa-run` becomes the command, and the command has the agent.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tests::ask::{activate, sa_run, state, woken};
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run};
use tests::procfs::{self, agents, settle, wait_agent};
use tests::product::product;
use tests::scratch::Scratch;
use tests::{case, plain_case};

/// `sa-run sh -c LINE`, not started yet.
fn shell(line: &str) -> Command {
    let mut command = sa_run();
    command.args(["sh", "-c", line]);
    command
}

plain_case!(same_process);
fn same_process() {
    let program = Program::start(&mut shell("echo $$"));
    let pid = program.pid().to_string();
    let ended = program.end();
    ended.expect_code(0);
    assert_eq!(ended.out().trim(), pid);
}

plain_case!(exit_status);
fn exit_status() {
    let folder = Scratch::new();
    for status in [0, 1, 7, 255] {
        run(&mut shell(&format!("exit {status}"))).expect_code(status);
    }
    run(&mut shell("kill -KILL $$")).expect_signal(libc::SIGKILL);
    run(&mut shell("kill -TERM $$")).expect_signal(libc::SIGTERM);
    for missing in ["/no/such/command", "no-such-command-anywhere"] {
        run(sa_run().arg(missing)).expect_refusal(127, &[missing]);
    }
    let plain = folder.write("plain", "not a program\n");
    run(sa_run().arg(&plain)).expect_refusal(126, &["plain"]);
    run(sa_run().arg(&*folder)).expect_refusal(126, &[]);
    assert_eq!(run(&mut sa_run()).status.code(), Some(125), "no command");
    assert_eq!(
        run(sa_run().arg("--no-such-option")).status.code(),
        Some(125)
    );
    run(sa_run().arg("--help")).expect_code(0);
}

plain_case!(arguments);
fn arguments() {
    let odd = OsStr::from_bytes(b"\xff\xfe odd");
    for dashes in [true, false] {
        let mut command = sa_run();
        if dashes {
            command.arg("--");
        }
        command.args(["printf", "%s|", "-v", "--no-children", "--", "a b", ""]);
        let ended = run(command.arg(odd));
        ended.expect_code(0);
        assert_eq!(ended.stdout, b"-v|--no-children|--|a b||\xff\xfe odd|");
    }
}

plain_case!(prepends);
fn prepends() {
    let library = product().library.display().to_string();
    let alone = run(&mut shell("echo \"$LD_PRELOAD\""));
    assert_eq!(alone.out().trim(), library);
    let more = run(shell("echo \"$LD_PRELOAD\"").env("LD_PRELOAD", "libm.so.6"));
    let out = more.out();
    assert!(
        out.trim() == format!("{library}:libm.so.6")
            || out.trim() == format!("{library} libm.so.6"),
        "{out}"
    );
}

/// What a command prints when started directly, and when started by sa-run.
fn both_ways(program: &str, arguments: &[&str], prepare: fn()) -> [String; 2] {
    [true, false].map(|direct| {
        let mut command = if direct { command(program) } else { sa_run() };
        if !direct {
            command.arg(program);
        }
        command.args(arguments);
        // SAFETY: `prepare` makes plain system calls only.
        unsafe {
            command.pre_exec(move || {
                prepare();
                Ok(())
            });
        }
        let ended = run(&mut command);
        ended.expect_code(0);
        ended.out()
    })
}

plain_case!(signals);
fn signals() {
    // Without SigQ, the number of queued signals: it counts all processes of this user.
    let masks = "^(SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt)";
    let question = ["-E", masks, "/proc/self/status"];
    let [direct, by_us] = both_ways("grep", &question, || ());
    assert_eq!(by_us, direct);
    let plain = direct;
    // nohup ignores a signal; other parents block some.
    let [direct, by_us] = both_ways("grep", &question, || {
        // SAFETY: between fork and exec; all three calls are allowed there.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        }
    });
    assert_eq!(by_us, direct);
    assert_ne!(direct, plain, "the case tests nothing");
}

plain_case!(descriptors);
fn descriptors() {
    let [direct, by_us] = both_ways("ls", &["/proc/self/fd"], || {
        // SAFETY: between fork and exec; dup2 is allowed there.
        unsafe { libc::dup2(0, 9) };
    });
    assert_eq!(by_us, direct);
    assert!(direct.lines().any(|line| line == "9"), "{direct}");
    // Even with none of the first three descriptors open.
    let [direct, by_us] = both_ways("sh", &["-c", "exec ls /proc/self/fd >&9"], || {
        // SAFETY: as above.
        unsafe {
            libc::dup2(1, 9);
            for number in 0..3 {
                libc::close(number);
            }
        }
    });
    assert_eq!(by_us, direct);
}

plain_case!(other_programs_unharmed);
fn other_programs_unharmed() {
    for (line, output) in [
        ("true", ""),
        ("echo hello | cat", "hello\n"),
        ("printf 'b\\na\\n' | sort", "a\nb\n"),
        ("sh -c 'echo inner; exit 0'", "inner\n"),
        ("trap 'echo caught' TERM; kill -TERM $$; :", "caught\n"),
    ] {
        let ended = run(&mut shell(line));
        ended.expect_code(0);
        assert_eq!(ended.out(), output);
        assert_eq!(ended.err(), "");
    }
}

/// `sa-run` with the environment that this interpreter needs.
fn by_sa_run(python: &Interpreter) -> Command {
    let mut command = sa_run();
    python.equip(&mut command);
    command
}

fn sleeps_and_ends(command: &mut Command) {
    let program = woken(command);
    assert!(state(program.pid()).contains(", in sleeping\n"));
    program.handles_sigterm();
}

case!(python);
fn python(python: &Interpreter) {
    let target = product().target("single.py");
    let mut command = by_sa_run(python);
    command.arg(&python.path).arg(&target).arg("sleeping");
    sleeps_and_ends(&mut command);
    // Found on the PATH.
    let name = python.path.file_name().unwrap();
    let mut command = by_sa_run(python);
    command.arg(name).arg(&target).arg("sleeping");
    command.env("PATH", python.path.parent().unwrap());
    let program = woken(&mut command);
    assert!(state(program.pid()).contains(", in sleeping\n"));
}

case!(env_python);
fn env_python(python: &Interpreter) {
    let target = product().target("single.py");
    let mut command = by_sa_run(python);
    command.args(["env", "A=B"]).arg(&python.path).arg(target);
    sleeps_and_ends(command.arg("sleeping"));
}

case!(script_with_interpreter_line);
fn script_with_interpreter_line(python: &Interpreter) {
    let folder = Scratch::new();
    let source = fs::read_to_string(product().target("single.py")).unwrap();
    // The kernel cuts a `#!` line at the first space, and at its maximum length.
    let link = folder.join("python");
    symlink(&python.path, &link).unwrap();
    let script = folder.program("script", format!("#!{}\n{source}", link.display()));
    sleeps_and_ends(by_sa_run(python).arg(script).arg("sleeping"));
}

case!(shell_wrapper);
fn shell_wrapper(python: &Interpreter) {
    let target = product().target("single.py");
    let mut command = by_sa_run(python);
    command.args(["sh", "-c", "exec \"$@\"", "sh"]);
    command.arg(&python.path).arg(target).arg("sleeping");
    sleeps_and_ends(&mut command);
}

case!(children_too);
fn children_too(python: &Interpreter) {
    for how in ["fork", "spawn", "command"] {
        let mut command = by_sa_run(python);
        command
            .arg(&python.path)
            .arg(product().target("forking.py"));
        let program = Program::start(command.arg(how)).ready();
        let child = program.wait_number("child");
        wait_agent(child);
        assert!(state(child).contains(", in in_the_child\n"));
    }
}

/// The command has the agent; its children do not, and see no trace of it.
fn alone(mut command: Command, how: &str) {
    let program = Program::start(command.arg(how)).ready();
    let child = program.wait_number("child");
    wait_agent(program.pid());
    assert!(state(program.pid()).contains(", in main\n"));
    settle(child);
    assert_eq!(agents(child), 0, "{how}: {:?}", procfs::thread_names(child));
    let ended = activate([child]);
    ended.expect_code(1);
    assert_eq!(ended.out(), "");
    // The environment that the child would pass on. (A forked child that does not call exec has its
    // parent's.)
    if how != "fork" {
        assert_eq!(program.wait_lines("given on ", 1), ["[]"], "{how}");
    }
}

case!(no_children);
fn no_children(python: &Interpreter) {
    for how in ["fork", "spawn", "command"] {
        let mut command = by_sa_run(python);
        command.arg("--no-children").arg(&python.path);
        command.arg(product().target("forking.py"));
        alone(command, how);
    }
    // The command may exec another program; libraries that others preloaded stay.
    let mut command = by_sa_run(python);
    command
        .arg("--no-children")
        .arg(&python.path)
        .env("LD_PRELOAD", "libm.so.6");
    command
        .arg("-c")
        .arg("import os; os.system('echo \"[$LD_PRELOAD]\"')");
    let ended = run(&mut command);
    ended.expect_code(0);
    assert_eq!(ended.out(), "[libm.so.6]\n");
}

case!(no_children_through_wrappers);
fn no_children_through_wrappers(python: &Interpreter) {
    let mut command = by_sa_run(python);
    command
        .args(["--no-children", "env", "A=B"])
        .arg(&python.path);
    command.arg(product().target("forking.py"));
    alone(command, "spawn");
    let mut command = by_sa_run(python);
    command.args(["--no-children", "sh", "-c", "true; exec \"$@\"", "sh"]);
    command
        .arg(&python.path)
        .arg(product().target("forking.py"));
    alone(command, "fork");
}
