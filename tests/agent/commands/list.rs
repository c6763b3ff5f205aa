//! `sa-list`: which programs carry an agent.

use serde_json::Value;
use tests::ask::{sa_run, target, woken, woken_code, woken_target};
use tests::interpreters::{self, Interpreter};
use tests::process::{Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;
use tests::scratch::Scratch;
use tests::users::{NOBODY, as_user};
use tests::{case, plain_case};

/// The whole output of `sa-list --format json`, as this user.
#[track_caller]
fn list(user: Option<u32>) -> Vec<Value> {
    let mut command = command(&product().list);
    command.args(["--format", "json"]);
    if let Some(user) = user {
        as_user(&mut command, user);
    }
    let ended = run(&mut command);
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    let document: Value = serde_json::from_str(&ended.out()).expect("JSON");
    assert_eq!(document["version"], 1);
    document["processes"].as_array().expect("a list").clone()
}

/// The entry for one process, if it is listed.
#[track_caller]
fn listed(pid: i32, user: Option<u32>) -> Option<Value> {
    list(user).into_iter().find(|one| one["pid"] == pid)
}

case!(tells_of_a_program);
fn tells_of_a_program(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["3", "2"]);
    let pid = program.pid();
    let one = listed(pid, None).expect("it is listed");
    let version = python.full_version.split(' ').next().unwrap();
    assert_eq!(one["python"], version, "{one}");
    assert_eq!(one["threads"], 4, "{one}");
    let uptime = one["uptime_seconds"].as_f64().unwrap();
    assert!((0.1..60.0).contains(&uptime), "{one}");
    // SAFETY: geteuid has no conditions.
    assert_eq!(one["uid"], unsafe { libc::geteuid() }, "{one}");
    let command_line = &one["command"];
    assert_eq!(command_line[0], python.path.display().to_string(), "{one}");
    assert_eq!(command_line[2], "3", "{one}");

    let ended = run(&mut command(&product().list));
    ended.expect_code(0);
    let out = ended.out();
    let head = out.lines().next().unwrap();
    let words: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(
        words,
        ["PID", "USER", "PYTHON", "THREADS", "UPTIME", "COMMAND"]
    );
    let first_word = |line: &&str| line.split_whitespace().next() == Some(&pid.to_string());
    let line = out.lines().find(first_word).expect("it has a line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[2], version);
    assert_eq!(words[3], "4");
    assert!(words[4].starts_with("00:"), "{words:?}");
    // The path may have spaces in it.
    let mut command = line.trim_start();
    for word in &words[..5] {
        command = command[word.len()..].trim_start();
    }
    let path = format!("{} ", python.path.display());
    assert!(command.starts_with(&path), "no {path:?} at {command:?}");
}

case!(wakes_nobody);
fn wakes_nobody(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    procfs::settle(program.pid());
    let before = procfs::switches(program.pid());
    for _ in 0..20 {
        assert!(listed(program.pid(), None).is_some());
    }
    assert_eq!(procfs::switches(program.pid()), before);
}

case!(not_booted);
/// A Python that has not reached the bytecode at which the agent starts its threads: it blocks on
/// reading its `site` module.
fn not_booted(python: &Interpreter) {
    let folder = Scratch::new();
    run(command("mkfifo").arg(folder.join("site.py"))).expect_code(0);
    let mut start = target(python, "single.py");
    start.arg("sleeping").env("PYTHONPATH", folder.as_os_str());
    let program = Program::start(&mut start);
    wait_until("it is listed", || listed(program.pid(), None).is_some());
    procfs::settle(program.pid());
    let one = listed(program.pid(), None).expect("it is listed");
    assert_eq!(one["threads"], 1, "{one}");
    assert_eq!(procfs::agents(program.pid()), 0);
}

case!(whose, ForAnyone);
/// A user sees their own programs; root sees everyone's.
fn whose(python: &Interpreter) {
    let ours = woken_target(python, "single.py", &["sleeping"]);
    let mut theirs = target(python, "single.py");
    let theirs = woken(as_user(theirs.arg("sleeping"), NOBODY));
    for (program, by_nobody, uid) in [(&ours, false, 0), (&theirs, true, NOBODY)] {
        let one = listed(program.pid(), None).expect("root sees it");
        assert_eq!(one["uid"], uid);
        let seen = listed(program.pid(), Some(NOBODY));
        assert_eq!(seen.is_some(), by_nobody, "{seen:?}");
        if let Some(seen) = seen {
            assert_eq!(seen["python"], one["python"]);
        }
    }
}

plain_case!(no_python_no_agent);
/// Every program that inherits the library loads it, but only Python gets an agent.
fn no_python_no_agent() {
    let cat = Program::start(sa_run().arg("cat"));
    procfs::wait_command(cat.pid(), "cat");
    assert_eq!(listed(cat.pid(), None), None);
}

plain_case!(no_procfs, Root);
fn no_procfs() {
    for (program, option) in [
        (&product().list, None),
        (&product().activate, Some("--all")),
    ] {
        let mut shell = command("unshare");
        let line = "mount -t tmpfs none /proc; exec \"$0\" \"$@\"";
        shell.args(["-m", "--propagation", "private", "sh", "-ec", line]);
        let ended = run(shell.arg(program).args(option));
        ended.expect_refusal(1, &["/proc is not there; run `mount "]);
    }
}

plain_case!(text_is_safe);
/// A command line may contain any bytes.
fn text_is_safe() {
    let code = "import sys, time; print('ready'); sys.stdout.flush(); time.sleep(60)";
    let program = woken_code(&interpreters::any(), code, &["a\x1b[2Jb\nc"]);
    let ended = run(&mut command(&product().list));
    let out = ended.out();
    assert!(!out.contains('\x1b'), "{out:?}");
    assert!(out.contains(r"a\u{1b}[2Jb\nc"), "{out:?}");
    let one = listed(program.pid(), None).expect("it is listed");
    assert_eq!(one["command"][3], "a\x1b[2Jb\nc");
}
