//! Programs into which nothing can be loaded: with `--load`, the command reads their stacks from outside.

use std::process::Command;

use tests::ask::{WALK_HEADING, activate, answer, bare_target, loader, threads_told};
use tests::case;
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::{PATIENCE, Program, command, run};
use tests::procfs;
use tests::rounds::times;
use tests::scratch::Scratch;

/// All that these need is built into every interpreter.
const BEGIN: &str = "
import posix, signal, sys, thread
def ready():
    posix.write(1, 'ready\\n')
";

const THREADS: &str = "
def worker(depth):
    lock = thread.allocate_lock()
    lock.acquire()
    def deep(left):
        if left:
            return deep(left - 1)
        posix.write(1, 'started\\n')
        lock.acquire()
    deep(depth)
for depth in (0, 1, 2):
    thread.start_new_thread(worker, (depth,))
";

const PAUSE: &str = "
def main():
    ready()
    signal.pause()
main()
";

/// The interpreter as a static program, with which neither a loader nor a symbol is left.
fn static_python(python: &Interpreter, folder: &Scratch, code: &str) -> Program {
    let archive = python.archive.as_ref().expect("it is needed");
    let archive = archive.display().to_string();
    // Its makers' own zlib and the like may not be here: nothing calls them.
    let rest = ["-lm", "-lutil", "-Wl,--unresolved-symbols=ignore-all"];
    let flags = ["-static", "-s", "-w", &archive, rest[0], rest[1], rest[2]];
    let program = compile("interpreter.c", folder, &flags);
    let mut start: Command = command(&program);
    start.env("PYTHONHOME", &python.prefix);
    start.args(["-S", "-c", &format!("{BEGIN}{code}")]);
    Program::start(&mut start)
}

/// What is read of it, without a complaint.
#[track_caller]
fn read(pid: i32, options: &[&str]) -> String {
    let text = answer(pid, &[&["--load"], options].concat());
    assert!(text.contains("from outside"), "{text}");
    text
}

case!(static_program, StaticLibrary);
fn static_program(python: &Interpreter) {
    let folder = Scratch::new();
    let program = static_python(python, &folder, &[THREADS, PAUSE].concat()).ready();
    program.wait_lines("started", 3);
    let pid = program.pid();
    let hint = format!("`sleeper_agent_activate --load {pid}`");
    activate([pid]).expect_refusal(
        1,
        &[
            "it is a static program",
            "reads its stacks from outside",
            &hint,
        ],
    );
    run(&mut loader([pid])).expect_refusal(1, &["it is a static program", &hint]);
    let text = read(pid, &[]);
    assert!(text.starts_with(WALK_HEADING), "{text}");
    assert_eq!(threads_told(&text), 4, "{text}");
    let deep = "  File \"<string>\", line 11, in deep\n";
    let deepest = "  File \"<string>\", line 13, in deep\n";
    for expected in [
        &deep.repeat(2),
        deepest,
        ", in main\n",
        "line 14, in worker\n",
    ] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
    assert_eq!(text.matches(deepest).count(), 3, "{text}");
    let full = read(pid, &["--format", "full"]);
    assert!(full.contains("\n4 threads\n"), "{full}");
    assert!(!program.has_ended());
}

case!(static_and_busy, StaticLibrary);
/// A stack that changes all the time is of one moment all the same, and the program goes on.
fn static_and_busy(python: &Interpreter) {
    let folder = Scratch::new();
    let code = "
def down(left):
    return left and down(left - 1)
def main():
    ready()
    while not asked:
        down(30)
asked = []
signal.signal(15, lambda *_: asked.append(1))
main()
posix._exit(7)
";
    let mut program = static_python(python, &folder, code).ready();
    for _ in 0..times(20) {
        let text = read(program.pid(), &[]);
        let frames: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("  File "))
            .collect();
        assert!((2..=33).contains(&frames.len()), "{text}");
        assert!(!text.contains("..."), "{text}");
        assert!(
            frames[0].ends_with("in <module>") && frames[1].ends_with("in main"),
            "{text}"
        );
        assert!(
            frames[2..].iter().all(|line| line.ends_with(", in down")),
            "{text}"
        );
    }
    program.signal(libc::SIGTERM);
    program.end_within(PATIENCE).expect_code(7);
}

case!(static_and_forked, StaticLibrary);
/// The parent's threads are not in the child, though its interpreter still lists them.
fn static_and_forked(python: &Interpreter) {
    let folder = Scratch::new();
    let code = "
def in_the_child():
    ready()
    signal.pause()
child = posix.fork()
if child == 0:
    # It gets the identifier of one that was the parent's.
    thread.start_new_thread(worker, (7,))
    in_the_child()
posix.write(1, 'child %d\\n' % child)
signal.pause()
";
    let code = [THREADS, code].concat();
    let program = static_python(python, &folder, &code);
    let child = program.wait_number("child");
    program.wait_lines("started", 4);
    let text = read(child, &[]);
    assert_eq!(threads_told(&text), 2, "{text}");
    assert_eq!(text.matches(", in deep\n").count(), 8, "{text}");
    assert!(text.contains(", in in_the_child\n"), "{text}");
    // SAFETY: a plain system call; the child has not been waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
}

case!(static_and_deep, StaticLibrary);
fn static_and_deep(python: &Interpreter) {
    let folder = Scratch::new();
    let code = "
sys.setrecursionlimit(5000)
def down(left):
    if left:
        return down(left - 1)
    ready()
    signal.pause()
down(2000)
";
    let program = static_python(python, &folder, code).ready();
    let text = read(program.pid(), &[]);
    // 2,001 of the function's and the module's.
    assert!(text.contains("  ... 1234 frames left out ...\n"), "{text}");
    assert_eq!(text.matches("  File ").count(), 768, "{text}");
}

case!(no_thread_is_granted);
/// The loader is there, and the program may start no thread: that is said, and its stacks are read.
fn no_thread_is_granted(python: &Interpreter) {
    let program = Program::start(bare_target(python, "waiting.py").arg("without_memory")).ready();
    run(&mut loader([program.pid()])).expect_refusal(1, &["no thread could be started in it"]);
    let text = read(program.pid(), &[]);
    assert!(text.contains("no thread could be started in it"), "{text}");
    assert!(text.contains("waiting.py\", line "), "{text}");
    assert_eq!(procfs::status(program.pid(), "TracerPid"), "0");
    program.ends_well();
}
