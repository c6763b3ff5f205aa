//! The verdict: the first lines of the full format, on all processes together.

use tests::ask::{WAYS, activate, answer, full_answer, woken_code};
use tests::case;
use tests::gil::keeps_the_gil;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;

/// What all of these programs begin with.
const START: &str = "
import sys, threading, time
def start(name, function, *arguments):
    thread = threading.Thread(target=function, name=name, args=arguments)
    thread.setDaemon(True)
    thread.start()
def ready():
    print('ready')
    sys.stdout.flush()
";

/// Two threads that wait for each other, and the main one, which waits for nobody.
const DEADLOCK: &str = "
one, other = threading.Lock(), threading.RLock()
def takes(first, second):
    with first:
        time.sleep(0.3)
        with second:
            pass
start('left', takes, one, other)
start('right', takes, other, one)
time.sleep(0.8)
ready()
time.sleep(60)
";

/// Two threads that keep others waiting: the second one does so by way of a thread that waits itself.
const KEEPERS: &str = "
one, other = threading.RLock(), threading.RLock()
def keeps(lock):
    with lock:
        time.sleep(60)
def waits(lock):
    with lock:
        pass
def between():
    with threading.RLock():
        thread = threading.Thread(target=keeps, name='far', args=(other,))
        thread.setDaemon(True)
        thread.start()
        thread.join()
start('near', keeps, one)
start('middle', between)
time.sleep(0.3)
start('first', waits, other)
time.sleep(0.5)
start('second', waits, one)
start('third', waits, one)
time.sleep(0.3)
ready()
time.sleep(60)
";

const BUSY: &str = "
def computes():
    while True:
        pass
start('computes', computes)
start('sleeps', time.sleep, 60)
ready()
time.sleep(60)
";

const IDLE: &str = "
start('sleeps', time.sleep, 60)
ready()
time.sleep(60)
";

fn start(python: &Interpreter, code: &str) -> Program {
    let program = woken_code(python, &format!("{START}{code}"), &[]);
    if code != BUSY {
        settle(program.pid());
    }
    program
}

/// The lines of a verdict; the states follow behind an empty line.
fn verdict(out: &str) -> Vec<&str> {
    let (verdict, states) = out.split_once("\n\n").expect("a verdict");
    assert!(states.starts_with("=== PID "), "{out}");
    assert!(!states.contains("Verdict: "), "{out}");
    let lines: Vec<&str> = verdict.lines().collect();
    assert!(lines.len() <= 10, "{out}");
    lines
}

case!(names_a_deadlock);
fn names_a_deadlock(python: &Interpreter) {
    let program = start(python, DEADLOCK);
    for via in WAYS {
        let out = full_answer(program.pid(), via);
        let lines = verdict(&out);
        assert_eq!(lines.len(), 3, "{out}");
        assert_eq!(
            lines[0],
            "Verdict: a deadlock: 2 threads wait for each other"
        );
        for (line, waits) in [
            ("\"left\" waits for RLock 0x", 1),
            ("\"right\" waits for lock 0x", 1),
        ] {
            let its: Vec<&&str> = lines.iter().filter(|one| one.contains(line)).collect();
            assert_eq!(its.len(), waits, "{out}");
            assert!(its[0].starts_with(&format!("  PID {}: thread ", program.pid())));
            assert!(its[0].ends_with(", in takes (<string>, line 15)"), "{out}");
        }
    }
}

case!(names_who_keeps_others_waiting);
/// Longest first, and who is at the end of a chain of waits.
fn names_who_keeps_others_waiting(python: &Interpreter) {
    let program = start(python, KEEPERS);
    let out = full_answer(program.pid(), "wake");
    let lines = verdict(&out);
    assert_eq!(lines[0], "Verdict: 2 threads keep others waiting");
    assert!(
        lines[1].contains(" \"far\" keeps 2 threads waiting, for "),
        "{out}"
    );
    assert!(
        lines[2].contains(" \"near\" keeps 2 threads waiting, for RLock 0x"),
        "{out}"
    );
    assert!(
        lines[2].contains("; it waits itself for time to pass"),
        "{out}"
    );
    assert!(
        lines[2].ends_with(", in keeps (<string>, line 14)"),
        "{out}"
    );
    assert_eq!(lines.len(), 3, "{out}");
}

case!(names_who_is_busy);
fn names_who_is_busy(python: &Interpreter) {
    let program = start(python, BUSY);
    let out = full_answer(program.pid(), "wake");
    let lines = verdict(&out);
    let head = "Verdict: a thread is busy, and none is known to wait for another";
    assert_eq!(lines[0], head, "{out}");
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[1].contains(" \"computes\" uses "), "{out}");
    assert!(
        lines[1].contains(" % of a CPU, in computes (<string>, line "),
        "{out}"
    );
}

case!(says_that_nothing_is_busy);
fn says_that_nothing_is_busy(python: &Interpreter) {
    let program = start(python, IDLE);
    let out = full_answer(program.pid(), "wake");
    let head = "Verdict: nothing is busy: all 2 threads wait, none known to wait for another";
    assert_eq!(verdict(&out), [head]);
}

case!(stands_once_above_several);
/// The worst of all processes, once at the top, however many are asked.
fn stands_once_above_several(python: &Interpreter) {
    let programs = [IDLE, DEADLOCK, BUSY].map(|code| start(python, code));
    let pids = programs.each_ref().map(|one| one.pid().to_string());
    let mut options = vec!["--via", "wake", "--format", "full"];
    options.extend(pids.iter().map(String::as_str));
    let ended = activate(options);
    ended.expect_code(0);
    let out = ended.out();
    let lines = verdict(&out);
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].starts_with("Verdict: a deadlock"), "{out}");
    assert!(
        lines[1].starts_with(&format!("  PID {}: ", pids[1])),
        "{out}"
    );
    assert_eq!(out.matches("\n=== PID ").count(), 3, "{out}");
    // Programs have no use for it.
    let plain = answer(programs[1].pid(), &["--via", "wake"]);
    assert!(!plain.contains("Verdict"), "{plain}");
}

case!(guesses_nothing);
/// Of an answer from memory it is not known what the threads do.
fn guesses_nothing(python: &Interpreter) {
    let program = keeps_the_gil(python, "0.5");
    let out = full_answer(program.pid(), "wake");
    assert!(!out.starts_with("Verdict: nothing is busy"), "{out}");
}
