//! Deadlocks between processes.

use std::time::Duration;

use tests::ask::{activate, target};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::{settle, wait_agent};
use tests::said::Said;
use tests::scratch::Scratch;

/// A pair of processes. Their end is the end of both.
struct Pair {
    program: Program,
    child: i32,
    _folder: Scratch,
}

impl Pair {
    #[track_caller]
    fn start(python: &Interpreter, what: &str) -> Pair {
        let folder = Scratch::new();
        let path = folder.display().to_string();
        let mut command = target(python, "processes.py");
        let program = Program::start(command.args([what, &path])).ready();
        wait_agent(program.pid());
        let child = Said::by(&program).number("child is") as i32;
        wait_agent(child);
        Pair {
            program,
            child,
            _folder: folder,
        }
    }

    /// What the command says of both.
    #[track_caller]
    fn answer(&self, via: &str) -> String {
        let pid = self.program.pid().to_string();
        let ended = activate(["--format", "full", "--via", via, "--children", &pid]);
        ended.expect_code(0);
        ended.out()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for pid in [self.child, self.program.pid()] {
            // SAFETY: takes no pointer. Both are of this test, and the first is a child of the second.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

case!(processes_wait_for_each_other);
fn processes_wait_for_each_other(python: &Interpreter) {
    for (what, parent_waits, child_waits, place) in [
        (
            "queue",
            "waits for the end of child process ",
            "waits for room to write to pipe ",
            "in join_before_get\n    child.join()\n",
        ),
        (
            "pipes",
            "waits for data on pipe ",
            "waits for data on pipe ",
            "in read_each_other\n    os.read(other[0], 1)\n",
        ),
        (
            "locks",
            "waits for a lock on file ",
            "waits for a lock on file ",
            "in lock_each_other\n    fcntl.flock(second, fcntl.LOCK_EX)\n",
        ),
        (
            "semaphores",
            "waits for multiprocessing lock ",
            "waits for multiprocessing lock ",
            "in enter_each_other\n    second.acquire()\n",
        ),
    ] {
        let pair = Pair::start(python, what);
        let (parent, child) = (pair.program.pid(), pair.child);
        settle(parent);
        settle(child);
        // The kernel's times are not exact.
        std::thread::sleep(Duration::from_millis(1500));
        for via in ["wake", "gdb"] {
            let out = pair.answer(via);
            let (_, deadlock) = out
                .split_once("\nDeadlock: 2 processes wait for each other:\n")
                .unwrap_or_else(|| panic!("{what}: no deadlock by {via}: {out}"));
            let line_of = |pid: i32, waits: &str| {
                let start = format!("  PID {pid}: thread ");
                let mut lines = deadlock.lines();
                let found = lines.any(|line| line.starts_with(&start) && line.contains(waits));
                assert!(found, "{what} by {via}: {pid} {waits}: {deadlock}");
            };
            line_of(parent, parent_waits);
            line_of(child, child_waits);
            assert!(deadlock.contains(place), "{what} by {via}: {deadlock}");
        }
    }
}

case!(another_process_holds_the_lock);
fn another_process_holds_the_lock(python: &Interpreter) {
    let pair = Pair::start(python, "held");
    let (parent, child) = (pair.program.pid(), pair.child);
    settle(parent);
    settle(child);
    std::thread::sleep(Duration::from_millis(600));
    let out = pair.answer("wake");
    let (_, held) = out
        .split_once("\nAnother process holds what they wait for:\n")
        .unwrap_or_else(|| panic!("{out}"));
    let line = held.lines().next().unwrap();
    let start = format!("  PID {parent}: thread ");
    let end = format!(", value 0, held by PID {child}, thread ");
    assert!(line.starts_with(&start) && line.contains(&end), "{held}");
    assert!(!out.contains("Deadlock"), "{out}");
}

case!(processes_that_talk_are_in_no_deadlock);
fn processes_that_talk_are_in_no_deadlock(python: &Interpreter) {
    let pair = Pair::start(python, "talk");
    for _ in 0..30 {
        let out = pair.answer("wake");
        assert!(!out.contains("Deadlock"), "{out}");
    }
}
