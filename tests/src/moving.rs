//! A program whose threads move on command, and how to read from an answer which threads have moved.

use crate::ask::woken_code;
use crate::interpreters::Interpreter;
use crate::process::Program;
use crate::procfs::settle;

/// The program: at each step one thread starts, one ends, one moves and one stays.
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

/// The program, once all its threads wait.
#[track_caller]
pub fn steps(python: &Interpreter) -> Program {
    let program = woken_code(python, STEPS, &[]);
    settle(program.pid());
    program
}

/// Makes the program take its step.
#[track_caller]
pub fn step(program: &mut Program) {
    program.say("");
    program.wait_line("stepped");
    settle(program.pid());
}

/// The parts of an output that describe the thread of this name, one for each answer.
pub fn looks_at(text: &str, name: &str) -> Vec<String> {
    let threads = text.split("\n\n");
    let name = format!(" \"{name}\"");
    let of_it = threads.filter(|one| {
        let heading = one.lines().next().unwrap_or_default();
        heading.starts_with("### Thread ") && heading.contains(&name)
    });
    of_it.map(str::to_owned).collect()
}

/// The first line of a text.
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The marks of a thread's frames, each with its function.
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
