//! Waits of the commands: each has an end, and Ctrl-C ends them all.

use protocol::names::PARKED_THREAD;
use std::thread::sleep;
use std::time::Duration;
use tests::ask::{WAYS, activator, woken_target};
use tests::bounded::{bounded, ends_at_once};
use tests::compile::compile_hostile;
use tests::fakes::fakes;
use tests::gil::keeps_the_gil;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, wait_until};
use tests::procfs;
use tests::scratch::Scratch;
use tests::users::as_user;
use tests::{case, plain_case};

/// The user whose processes are stopped by `stops_visitors.c`: nobody else's may be.
const VISITED: u32 = 2001;

/// How much longer than its `--timeout` a command may take.
const MORE: Duration = Duration::from_secs(1);

/// Asks a process with a limit of so many seconds, and checks that the command keeps to it and gives no
/// answer. Returns what it says.
#[track_caller]
fn gives_up(pid: i32, via: &str, seconds: u64) -> String {
    let (time, pid) = (seconds.to_string(), pid.to_string());
    let mut asking = activator(["--via", via, "--timeout", &time, &pid]);
    let asked = bounded(&mut asking, Duration::from_secs(20));
    let limit = Duration::from_secs(seconds) + MORE;
    assert!(asked.took < limit, "via {via}: it took {:?}", asked.took);
    asked.ended.expect_code(1);
    asked.ended.err()
}

/// Checks that a process is neither traced nor stopped.
#[track_caller]
fn is_left_as_it_was(pid: i32) {
    let parked = procfs::thread_named(pid, PARKED_THREAD).unwrap_or(pid);
    for task in [pid, parked] {
        wait_until("nobody traces it", || {
            procfs::status(task, "TracerPid") == "0"
        });
    }
    sleep(Duration::from_millis(50));
    assert_ne!(procfs::state(pid), 'T', "it was left stopped");
}

case!(a_long_deadline_of_the_process, OnlyOne);
/// A process chooses the deadline of its agent. That does not lengthen the time that the user has set.
fn a_long_deadline_of_the_process(python: &Interpreter) {
    let program = keeps_the_gil(python, "60");
    for via in WAYS {
        let said = gives_up(program.pid(), via, 2);
        assert!(said.contains("gave no answer"), "{said}");
        is_left_as_it_was(program.pid());
    }
}

plain_case!(agents_that_never_answer, RootAndCompiler);
fn agents_that_never_answer() {
    for (kind, via, words) in [
        ("deaf", "gdb", "gave no answer within 2 s"),
        ("deaf", "wake", "did not hear the signal"),
        ("trickle", "wake", "gave no answer in time"),
        ("vfork", "gdb", "gdb could not attach within 2 s"),
        ("exec", "gdb", "about to replace its program (exec)"),
    ] {
        let fake = fakes(kind, 1);
        // The exec takes a moment to get stuck.
        sleep(Duration::from_millis(200));
        let said = gives_up(fake.pid(), via, 2);
        assert!(said.contains(words), "{kind} via {via}: {said}");
        is_left_as_it_was(fake.pid());
    }
}

plain_case!(a_helper_that_is_stopped, RootAndCompiler);
/// The child that opens a socket in namespaces of a hostile user is stopped there.
fn a_helper_that_is_stopped() {
    let folder = Scratch::new();
    let program = compile_hostile("stops_visitors.c", &folder, &[]);
    let owner = Program::start(as_user(&mut command(program), VISITED)).ready();
    for _ in 0..12 {
        let said = gives_up(owner.pid(), "wake", 1);
        let words = ["did not hear the signal", "cannot listen for its answer"];
        assert!(words.iter().any(|one| said.contains(one)), "{said}");
        assert_eq!(procfs::children(owner.pid()).len(), 1, "only its hunter");
    }
}

case!(ctrl_c_while_it_waits, OnlyOne);
/// For an answer, for its turn, for a gdb that never gets ready, and to write what nobody reads.
fn ctrl_c_while_it_waits(python: &Interpreter) {
    let stuck = keeps_the_gil(python, "60");
    for via in WAYS {
        let mut asking = activator(["--via", via, &stuck.pid().to_string()]);
        ends_at_once(&mut asking, &format!("an answer via {via}"));
        is_left_as_it_was(stuck.pid());
    }
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid().to_string();
    let mut holder = python.command();
    holder.arg(tests::product::product().hostile("holds_locks.py"));
    let holder = Program::start(holder.arg(&pid)).ready();
    ends_at_once(&mut activator(["--via", "gdb", &pid]), "its turn");
    is_left_as_it_was(program.pid());
    drop(holder);
    let folder = Scratch::new();
    let gdb = folder.program("gdb", "#!/bin/sh\nexec sleep 60\n");
    let gdb = gdb.display().to_string();
    ends_at_once(&mut activator(["--gdb", &gdb, &pid]), "gdb");
    let many = ["--watch", "0.1", "--via", "wake", &pid];
    ends_at_once(&mut activator(many), "the next round");
}

plain_case!(ctrl_c_beside_hostile_ones, RootAndCompiler);
fn ctrl_c_beside_hostile_ones() {
    for (kind, via) in [
        ("deaf", "wake"),
        ("trickle", "wake"),
        ("vfork", "gdb"),
        ("exec", "gdb"),
    ] {
        let fake = fakes(kind, 1);
        let mut asking = activator(["--via", via, &fake.pid().to_string()]);
        ends_at_once(&mut asking, &format!("{kind} via {via}"));
        is_left_as_it_was(fake.pid());
    }
}
