//! Programs that were started without the library: `sa-load`, and `--load`, bring it in. The programs carry on
//! undisturbed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tests::ask::{activate, answer, answer_by_wake, bare_target, loader, woken_target};
use tests::case;
use tests::interpreters::Interpreter;
use tests::plain_case;
use tests::process::{PATIENCE, Program, command, run, wait_until};
use tests::procfs::{self, agents, wait_agent};
use tests::product::product;
use tests::rounds::{spread, times};

/// What `waiting.py` does without threads, and so without a GIL.
const ALONE: [&str; 13] = [
    "sleep",
    "select",
    "poll",
    "epoll",
    "endless_epoll",
    "pipe",
    "connection",
    "child",
    "computing",
    "allocating",
    "alarm",
    "pause",
    "mapped_twice",
];

/// With threads, and a GIL.
const WITH_THREADS: [&str; 3] = ["lock", "allocating_threads", "changing_user"];

fn waiting(python: &Interpreter, kind: &str) -> Program {
    let program = Program::start(bare_target(python, "waiting.py").arg(kind)).ready();
    // At any moment of its life.
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let round = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    sleep(Duration::from_millis(60).mul_f64(spread(round)));
    program
}

#[track_caller]
fn load(pid: i32) {
    let ended = run(&mut loader([pid]));
    ended.expect_code(0);
    assert_eq!(ended.out(), "");
    assert_eq!(ended.err(), "");
}

#[track_caller]
fn ends_well(mut program: Program, kind: &str) {
    program.say("end");
    let ended = program.end_within(PATIENCE);
    assert_eq!(ended.out(), "ready\n", "{kind}");
    assert_eq!(ended.err(), "", "{kind}");
    ended.expect_code(7);
}

/// By both ways in, as often as there are ways, and in full.
#[track_caller]
fn answers(pid: i32) {
    for via in ["wake", "gdb", "wake"] {
        let text = answer(pid, &["--format", "full", "--via", via]);
        assert!(text.contains("waiting.py\", line "), "{via}: {text}");
        assert!(!text.contains("Read from memory"), "{via}: {text}");
    }
    // A new thread of the agent's has the name of the one that has started it, at first.
    wait_until("it has one agent", || agents(pid) == 1);
}

/// Each kind is brought an agent, answers, and goes on as before.
fn each_answers(python: &Interpreter, kinds: &[&str]) {
    for kind in kinds {
        let program = waiting(python, kind);
        load(program.pid());
        answers(program.pid());
        ends_well(program, kind);
    }
}

case!(alone);
fn alone(python: &Interpreter) {
    each_answers(python, &ALONE);
}

case!(with_threads);
fn with_threads(python: &Interpreter) {
    each_answers(python, &WITH_THREADS);
}

case!(signals_handled_before);
/// What the kernel puts on a stack for a handler stays there, in the arrays of `select`, which are mostly not written to:
/// the thread is not taken for one that is in a handler.
fn signals_handled_before(python: &Interpreter) {
    let code = "
import os, select, signal, sys, time
hits = []
signal.signal(signal.SIGUSR1, lambda *_: hits.append(1))
def deep(left):
    if left:
        return deep(left - 1)
    end = time.time() + 0.02
    while time.time() < end:
        os.kill(os.getpid(), signal.SIGUSR1)
for depth in range(0, 120, 3):
    deep(depth)
def main():
    sys.stdout.write('ready\\n')
    sys.stdout.flush()
    select.select([0], [], [], 1000)
main()
sys.exit(7)
";
    let mut program = Program::start(python.command().args(["-c", code])).ready();
    load(program.pid());
    assert!(answer_by_wake(program.pid()).contains(", in main\n"));
    program.say("end");
    program.end_within(PATIENCE).expect_code(7);
}

case!(loader_is_killed);
/// At any moment, also while it holds a thread: the program goes on, and the next command loads.
///
/// A stop ends `epoll_wait` with EINTR. The command mends that some microseconds later, if it has not been killed just
/// then; so the two kinds that use it are left out.
fn loader_is_killed(python: &Interpreter) {
    let kinds = ALONE.iter().chain(&WITH_THREADS);
    let kinds = kinds.filter(|kind| !kind.contains("epoll"));
    for (round, kind) in kinds.enumerate() {
        let program = waiting(python, kind);
        for kill in 0..times(4) {
            let mut loader = Program::start(&mut loader([program.pid()]));
            let moment = Duration::from_millis(12).mul_f64(spread(17 * round + kill));
            sleep(moment);
            loader.signal(libc::SIGKILL);
            loader.end_within(PATIENCE);
        }
        wait_until("nobody traces it", || {
            procfs::status(program.pid(), "TracerPid") == "0"
        });
        assert!(
            !program.has_ended(),
            "{kind}: {}{}",
            program.out(),
            program.err()
        );
        load(program.pid());
        answers(program.pid());
        ends_well(program, kind);
    }
}

case!(two_at_once);
fn two_at_once(python: &Interpreter) {
    for kind in ["sleep", "allocating", "lock"] {
        let program = waiting(python, kind);
        let loaders = [(); 3].map(|()| Program::start(&mut loader([program.pid()])));
        for mut loader in loaders {
            loader.end_within(PATIENCE).expect_code(0);
        }
        answers(program.pid());
        load(program.pid());
        assert_eq!(agents(program.pid()), 1);
        ends_well(program, kind);
    }
}

case!(into_its_own_agent);
/// Where there is an agent, nothing is loaded.
fn into_its_own_agent(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["2", "2"]);
    load(program.pid());
    assert_eq!(agents(program.pid()), 1);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).expect("maps");
    let files = maps.lines().filter(|line| line.contains("libsleeper"));
    let inodes: std::collections::BTreeSet<_> = files
        .filter_map(|line| line.split_ascii_whitespace().nth(4))
        .collect();
    assert_eq!(inodes.len(), 1, "{maps}");
    program.ends_well();
}

case!(children);
/// The children that a program forks after that have agents of their own.
fn children(python: &Interpreter) {
    let code = "
import os, sys, time
sys.stdout.write('ready\\n')
sys.stdout.flush()
sys.stdin.readline()
child = os.fork()
if child == 0:
    time.sleep(1000)
sys.stdout.write('child %d\\n' % child)
sys.stdout.flush()
sys.stdin.readline()
os.kill(child, 9)
sys.exit(7)
";
    let mut program = Program::start(python.command().args(["-c", code])).ready();
    load(program.pid());
    program.say("fork");
    let child = program.wait_number("child");
    wait_agent(child);
    assert!(answer_by_wake(child).contains("line 8, in <module>"));
    program.say("end");
    program.end_within(PATIENCE).expect_code(7);
}

case!(by_the_question);
/// `sleeper_agent_activate` says what `--load` would do, and does it.
fn by_the_question(python: &Interpreter) {
    let program = waiting(python, "sleep");
    let hint = format!("run `sleeper_agent_activate --load {}`", program.pid());
    activate([program.pid()]).expect_refusal(1, &["there is no sleeper agent in it", &hint]);
    assert_eq!(
        agents(program.pid()),
        0,
        "nothing is loaded without being asked for"
    );
    for _ in 0..2 {
        let text = answer(program.pid(), &["--load"]);
        assert!(text.contains("### Thread "), "{text}");
    }
    let text = answer(program.pid(), &["--load", "--via", "wake"]);
    assert!(
        text.contains("in sleep\n") || text.contains("time.sleep"),
        "{text}"
    );
    ends_well(program, "sleep");
}

case!(a_whole_tree);
/// `--children` with `--load` brings the library into all that run Python.
fn a_whole_tree(python: &Interpreter) {
    let program = Program::start(bare_target(python, "forking.py").arg("pool")).ready();
    let children = program.wait_lines("child ", 2);
    let pid = program.pid().to_string();
    activate(["--children", &pid]).expect_refusal(1, &["nor in any process below it"]);
    let text = answer(
        program.pid(),
        &["--load", "--each", "--format", "full", "--children"],
    );
    for child in children.iter().chain([&pid]) {
        assert!(
            text.contains(&format!("=== PID {child}: ")),
            "{child}: {text}"
        );
    }
    assert!(!text.contains("Read from memory"), "{text}");
    program.ends_well();
}

case!(while_it_is_stopped);
fn while_it_is_stopped(python: &Interpreter) {
    let program = waiting(python, "sleep");
    program.signal(libc::SIGSTOP);
    wait_until("it is stopped", || procfs::state(program.pid()) == 'T');
    run(&mut loader([program.pid()])).expect_refusal(1, &["it is stopped"]);
    program.signal(libc::SIGCONT);
    load(program.pid());
    answers(program.pid());
}

plain_case!(no_python);
/// Nothing is loaded into other programs.
fn no_python() {
    let program = Program::start(command("sleep").arg("1000"));
    let begun = Instant::now();
    let ended = run(&mut loader([program.pid()]));
    ended.expect_refusal(1, &["there is no Python 2.6 or 2.7 in it"]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).expect("maps");
    assert!(!maps.contains("sleeper"), "{maps}");
    run(&mut loader(["none"])).expect_refusal(1, &["not a process number"]);
    run(&mut loader([i32::MAX])).expect_refusal(1, &["no such process"]);
}

case!(in_another_mount_namespace, Root);
/// As in a container, the program does not see the library: it comes in a file in memory, and nothing is left behind.
fn in_another_mount_namespace(python: &Interpreter) {
    let hidden = product().library.parent().expect("a folder").display();
    let script = format!("mount -t tmpfs none '{hidden}' && exec \"$@\"");
    let code = "
import os, sys, time
def numbers():
    return sorted(map(int, os.listdir('/proc/self/fd')))
before = numbers()
sys.stdout.write('ready\\n')
sys.stdout.flush()
sys.stdin.readline()
if numbers() != before:
    sys.stdout.write('%r, before %r\\n' % (numbers(), before))
sys.exit(7)
";
    let mut unshare = command("unshare");
    python.equip(&mut unshare);
    unshare.args(["--mount", "sh", "-c", &script, "sh"]);
    unshare.arg(&python.path).args(["-c", code]);
    let mut program = Program::start(&mut unshare).ready();
    for _ in 0..2 {
        load(program.pid());
    }
    let text = answer(program.pid(), &["--format", "full", "--via", "wake"]);
    assert!(text.contains("line 8, in <module>"), "{text}");
    let text = answer(program.pid(), &["--via", "gdb"]);
    assert!(text.contains("line 8, in <module>"), "{text}");
    program.say("end");
    let ended = program.end_within(PATIENCE);
    assert_eq!(ended.out(), "ready\n");
    ended.expect_code(7);
}
