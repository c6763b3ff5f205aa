//! `--watch`: the full format again and again, with marks of what has moved.

use crate::Case;
use crate::Need::Nothing;
use crate::cases_full::validate;
use serde_json::Value;
use std::time::{Duration, Instant};
use tests::ask::{activate, preloaded};
use tests::interpreters::Interpreter;
use tests::process::{Program, command, wait_until};
use tests::procfs::{settle, wait_agent};
use tests::product::product;

pub const CASES: &[Case] = &[
    ("what_has_moved", Nothing, what_has_moved),
    ("ran_in_place", Nothing, ran_in_place),
    ("until_interrupted", Nothing, until_interrupted),
    ("until_all_have_ended", Nothing, until_all_have_ended),
    ("documents", Nothing, documents),
];

/// A program whose threads go on when it is told to: one comes, one goes, one moves, one does not.
const STEPS: &str = "import sys, threading, time
locks = [threading.Lock() for _ in range(5)]
[one.acquire() for one in locks]
first, second, third, never, later = locks
begun = []
def inner():
    begun.append(1); first.acquire()
    begun.append(1); second.acquire()
def moves():
    inner()
def ends():
    begun.append(1); third.acquire()
def stuck():
    begun.append(1); never.acquire()
def fresh():
    begun.append(1); later.acquire()
def start(work):
    one = threading.Thread(target=work, name=work.__name__)
    one.setDaemon(True)
    one.start()
    return one
def say(what, count):
    while len(begun) < count:
        time.sleep(0.01)
    time.sleep(0.1)
    sys.stdout.write(what + '\\n'); sys.stdout.flush()
last = [start(work) for work in (moves, ends, stuck)][1]
say('ready', 3)
sys.stdin.readline()
first.release(); third.release()
last.join()
start(fresh)
say('stepped', 5)
sys.stdin.readline()
sys.exit(7)
";

pub fn steps(python: &Interpreter) -> Program {
    let mut start = preloaded(&python.path);
    python.equip(&mut start);
    let program = Program::start(start.args(["-c", STEPS])).ready();
    wait_agent(program.pid());
    settle(program.pid());
    program
}

#[track_caller]
pub fn step(program: &mut Program) {
    program.say("");
    program.wait_line("stepped");
    settle(program.pid());
}

#[track_caller]
pub fn ends_well(mut program: Program) {
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.err(), "");
}

fn watch(arguments: &[&str]) -> Program {
    let mut activate = command(&product().activate);
    Program::start(activate.args(["--via", "wake", "--watch"]).args(arguments))
}

/// Waits until it has been told this.
#[track_caller]
fn wait_told(watch: &Program, what: &str) {
    wait_until(&format!("{what:?} is told"), || watch.out().contains(what));
}

/// What is told of the thread of this name, in each look in which it is.
pub fn told_of(text: &str, name: &str) -> Vec<String> {
    let threads = text.split("\n\n");
    let name = format!(" \"{name}\"");
    let of_it = threads.filter(|one| {
        let heading = one.lines().next().unwrap_or_default();
        heading.starts_with("### Thread ") && heading.contains(&name)
    });
    of_it.map(str::to_owned).collect()
}

pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Which frames are marked how: the mark, and the function.
pub fn marks(thread: &str) -> Vec<(char, String)> {
    let frames = thread
        .lines()
        .filter(|line| line[1..].starts_with(" File "));
    let frame = |line: &str| {
        let function = line.rsplit_once(", in ").unwrap().1.to_owned();
        (line.chars().next().unwrap(), function)
    };
    frames.map(frame).collect()
}

fn what_has_moved(python: &Interpreter) {
    let mut program = steps(python);
    let watch = watch(&["0.4", &program.pid().to_string()]);
    wait_told(&watch, ", has not moved for 2 looks (");
    step(&mut program);
    wait_told(&watch, ", new\n");
    let count = watch.out().matches("=== PID ").count() + 2;
    wait_until("it looks again", || {
        watch.out().matches("=== PID ").count() > count
    });
    ends_well(program);
    let ended = watch.end();
    ended.expect_code(0);
    let out = ended.out();
    let (first, rest) = out[1..].split_once("\n=== PID ").expect("two looks");
    assert!(
        !first.contains("moved") && !first.contains(" later: "),
        "{first}"
    );
    assert!(!first.contains("\n=") && !first.contains("\n>"), "{first}");
    assert!(rest.contains(" s later: 4 did not move\n"), "{rest}");
    let stuck = told_of(&out, "stuck");
    let all = stuck.len();
    for (index, told) in stuck.iter().enumerate().skip(1) {
        let looks = match index {
            1 => ", has not moved for 0.".to_owned(),
            _ => format!(", has not moved for {index} looks ("),
        };
        assert!(
            first_line(told).contains(&looks),
            "look {index} of {all}: {told}"
        );
        assert!(told.contains("\n= - waits for lock 0x"), "{told}");
        assert!(marks(told).iter().all(|(mark, _)| *mark == '='), "{told}");
    }
    let moves = told_of(&out, "moves");
    let moved = moves
        .iter()
        .find(|told| first_line(told).ends_with(", moved"));
    let moved = moved.unwrap_or_else(|| panic!("it did not move: {out}"));
    for line in [
        "\n< - no longer waits for lock 0x",
        "\n> - waits for lock 0x",
    ] {
        assert!(moved.contains(line), "{moved}");
    }
    let marks = marks(moved);
    let (last, before) = marks.split_last().unwrap();
    assert_eq!(last, &('>', "inner".to_owned()), "{moved}");
    assert!(before.iter().all(|(mark, _)| *mark == '='), "{moved}");
    // Then it counts anew.
    let last = first_line(moves.last().unwrap());
    assert!(last.contains(", has not moved for "), "{last}");
    let fresh = told_of(&out, "fresh");
    assert!(first_line(&fresh[0]).ends_with(", new"), "{}", fresh[0]);
    assert!(
        !fresh[0].contains("\n=") && !fresh[0].contains("\n>"),
        "{}",
        fresh[0]
    );
    let gone = out.lines().filter(|line| line.starts_with("< thread "));
    let gone: Vec<&str> = gone.collect();
    assert_eq!(gone.len(), 1, "{out}");
    assert!(gone[0].ends_with(" \"ends\" is gone"), "{out}");
}

fn ran_in_place(python: &Interpreter) {
    let hog = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush()\nwhile True: pass";
    let mut start = preloaded(&python.path);
    python.equip(&mut start);
    let program = Program::start(start.args(["-c", hog])).ready();
    wait_agent(program.pid());
    let watch = watch(&["0.5", &program.pid().to_string()]);
    wait_told(
        &watch,
        ", ran in place\n= File \"<string>\", line 2, in <module>\n",
    );
    wait_told(&watch, " s later: 1 ran in place\n");
}

/// However long it would sleep.
fn until_interrupted(python: &Interpreter) {
    let program = steps(python);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut watch = watch(&["3600", &program.pid().to_string()]);
        wait_told(&watch, "\"stuck\"");
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        watch.signal(signal);
        let ended = watch.end_within(Duration::from_secs(20));
        ended.expect_code(128 + signal);
        assert_eq!(ended.err(), "", "after {:?}", begun.elapsed());
        assert_eq!(ended.out().matches("=== PID ").count(), 1);
    }
    let mut program = program;
    step(&mut program);
    ends_well(program);
}

fn until_all_have_ended(python: &Interpreter) {
    let mut programs = [steps(python), steps(python)];
    let pids = programs.each_ref().map(Program::pid);
    let watch = watch(&["0.3", &pids[0].to_string(), &pids[1].to_string()]);
    let looks_at = |pid: i32| watch.out().matches(&format!("=== PID {pid}: ")).count();
    wait_until("both are looked at", || {
        pids.iter().all(|&pid| looks_at(pid) > 1)
    });
    programs.iter_mut().for_each(step);
    let [first, second] = programs;
    ends_well(first);
    let count = looks_at(pids[1]);
    wait_until("the other one is looked at", || {
        looks_at(pids[1]) > count + 1
    });
    ends_well(second);
    let ended = watch.end();
    // They have answered for as long as they were there.
    ended.expect_code(0);
    let told = pids.map(|pid| format!("sleeper_agent_activate: PID {pid}: it has ended\n"));
    assert_eq!(ended.err(), told.concat());
    let never = activate(["--watch", "3600", &pids[0].to_string()]);
    never.expect_code(1);
}

fn documents(python: &Interpreter) {
    let program = steps(python);
    let pid = program.pid().to_string();
    let mut watch = watch(&["0.3", "--format", "json", &pid]);
    wait_until("three documents", || watch.out().lines().count() >= 4);
    watch.signal(libc::SIGINT);
    let ended = watch.end_within(Duration::from_secs(20));
    ended.expect_code(130);
    let out = ended.out();
    let times = out.lines().map(|line| {
        let document: Value = serde_json::from_str(line).expect("JSON");
        validate(&document);
        document["time"].as_f64().expect("a time")
    });
    let times: Vec<f64> = times.collect();
    for pair in times.windows(2) {
        let between = pair[1] - pair[0];
        assert!((0.2..20.0).contains(&between), "{times:?}");
    }
    // It marks, for which the plain text has no place.
    let refused = activate(["--watch", "1", "--format", "plain", &pid]);
    refused.expect_code(2);
    assert!(
        refused.err().contains("leave --format out, or say"),
        "{}",
        refused.err()
    );
    for (time, told) in [("0.05", "at least 0.1"), ("soon", "at least 0.1")] {
        let refused = activate(["--watch", time, &pid]);
        refused.expect_code(2);
        assert!(refused.err().contains(told), "{}", refused.err());
    }
}
