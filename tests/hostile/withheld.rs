//! Processes that keep a thread of a command's in the kernel, where no signal ends it: the command ends all the same,
//! and asks and lists the others.
//!
//! Such a process keeps others waiting too, who look at all processes. So these trials run one at a time, and beside none
//! that does that (`tests::everyone`).

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::answers::{self, Answer};
use protocol::state::document;
use tests::ask::{activator, preloaded_python, woken_target};
use tests::bounded::{STOPPING, ends_at_once_by};
use tests::case;
use tests::compile::compile_hostile;
use tests::everyone::kept_waiting;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run, wait_until};
use tests::procfs::{self, wait_agent};
use tests::product::product;
use tests::scratch::Scratch;

/// How much longer than its `--timeout` a command may take: a second, and some of it on a loaded machine.
const MORE: Duration = Duration::from_millis(1300);

/// The longest that `sa-list` may take: at most two looks at each user get stuck.
const LIST: Duration = Duration::from_millis(1500);

/// The program `withholds.c`, compiled, and a folder to mount on.
struct Withholds {
    program: PathBuf,
    mount: PathBuf,
    _folder: Scratch,
}

impl Withholds {
    #[track_caller]
    fn build() -> Withholds {
        let folder = Scratch::new();
        let mount = folder.join("mount");
        std::fs::create_dir(&mount).unwrap();
        Withholds {
            program: compile_hostile("withholds.c", &folder, &[]),
            mount,
            _folder: folder,
        }
    }

    /// Starts it; its header says what kinds there are.
    #[track_caller]
    fn start(&self, kind: &str, more: &[&str]) -> Program {
        let mut start = command(&self.program);
        start.arg(kind).arg(&self.mount).arg(&product().library);
        Program::start(start.args(more)).ready()
    }
}

/// What a user runs. `PID` stands for the process that withholds, and `OTHER` for an honest one beside it.
const QUESTIONS: [&[&str]; 3] = [
    &["--via", "gdb", "PID", "OTHER"],
    &["--via", "wake", "--format", "full", "PID", "OTHER"],
    &["--children", "PID", "--children", "OTHER"],
];

/// A question about a process, and about another one if there is one.
fn question(words: &[&str], pid: i32, other: Option<&Program>) -> Command {
    let mut asking = activator::<[&str; 0]>([]);
    let mut words = words.to_vec();
    if other.is_none() {
        words.retain(|word| *word != "OTHER");
        if words[words.len() - 1] == "--children" {
            words.pop();
        }
    }
    asking.args(words.iter().map(|word| match *word {
        "PID" => pid.to_string(),
        "OTHER" => other.map_or(0, Program::pid).to_string(),
        word => word.to_owned(),
    }));
    asking
}

/// Asks the process with a limit of so many seconds, and checks that the command keeps to it, says one line of that
/// process, and has the answer of the other one.
#[track_caller]
fn keeps_to_its_time(asking: &mut Command, pid: i32, seconds: u64) {
    let what = format!("{asking:?}");
    asking.args(["--timeout", &seconds.to_string()]);
    let begun = std::time::Instant::now();
    let mut asking = Program::start(asking);
    let ended = asking.end_within(Duration::from_secs(10));
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(seconds) + MORE,
        "{what}: it took {took:?}: {}",
        ended.err()
    );
    assert!(asking.has_closed_its_output(), "{what}: its output is open");
    ended.expect_code(1);
    let said = ended.err();
    let lines: Vec<&str> = said.lines().filter(|line| !is_note(line)).collect();
    assert_eq!(lines.len(), 1, "{what}: {said}");
    let start = format!("sleeper_agent_activate: PID {pid}: ");
    assert!(lines[0].starts_with(&start), "{what}: {said}");
    assert!(ended.out().contains(", in sleeping"), "{what}: {ended:?}");
}

/// Whether a line says only which way was taken.
fn is_note(line: &str) -> bool {
    line.contains(": asked without a debugger, as ")
}

/// Whether the list has this process.
fn is_listed(list: &str, pid: i32) -> bool {
    let mut lines = list.lines().map(str::trim_start);
    lines.any(|line| line.starts_with(&format!("{pid} ")))
}

/// Runs `sa-list`, and checks that it ends soon and lists both.
#[track_caller]
fn is_listed_soon(pid: i32, other: &Program) {
    let begun = std::time::Instant::now();
    let mut listing = Program::start(&mut command(&product().list));
    let ended = listing.end_within(Duration::from_secs(10));
    let took = begun.elapsed();
    assert!(took < LIST, "it took {took:?}: {ended:?}");
    assert!(listing.has_closed_its_output(), "its output is open");
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    for pid in [pid, other.pid()] {
        assert!(is_listed(&ended.out(), pid), "{pid}: {}", ended.out());
    }
}

/// All of it, for one kind of process. Each question is stopped by one signal, the next one by the next.
#[track_caller]
fn holds_nobody_up(kind: &str, python: &Interpreter) {
    let withholds = Withholds::build();
    let other = woken_target(python, "single.py", &["sleeping"]);
    for (number, words) in QUESTIONS.iter().enumerate() {
        let one = withholds.start(kind, &[]);
        let mut asking = question(words, one.pid(), Some(&other));
        keeps_to_its_time(&mut asking, one.pid(), 2);
        let one = withholds.start(kind, &[]);
        let mut asking = question(words, one.pid(), None);
        let (signal, what) = (STOPPING[number], format!("{kind}, {words:?}"));
        ends_at_once_by(signal, Duration::from_millis(700), &mut asking, &what);
    }
    let one = withholds.start(kind, &[]);
    is_listed_soon(one.pid(), &other);
    other.handles_sigterm();
}

case!(hold_nobody_up, Fuse);
/// One trial for all, as each would wait for the others: files that cannot be opened, memory that is locked, or locked by
/// the question itself, and an epoll.
fn hold_nobody_up(python: &Interpreter) {
    let _alone = kept_waiting();
    for kind in ["open", "jam", "bell"] {
        holds_nobody_up(kind, python);
    }
    many_a_little(python);
    a_list_that_is_stopped();
    an_epoll_that_is_locked(python);
    an_exec_that_hangs(python);
}

/// Each look at one of these is short enough, but not all of them together.
#[track_caller]
fn many_a_little(python: &Interpreter) {
    let all: Vec<Withholds> = (0..12).map(|_| Withholds::build()).collect();
    let all: Vec<Program> = all.iter().map(|one| one.start("late", &[])).collect();
    let other = woken_target(python, "single.py", &["sleeping"]);
    is_listed_soon(all[11].pid(), &other);
    other.handles_sigterm();
}

/// `sa-list` ends at once when it is told to.
#[track_caller]
fn a_list_that_is_stopped() {
    let withholds = Withholds::build();
    let _one = withholds.start("open", &[]);
    for signal in STOPPING {
        let mut list = command(&product().list);
        ends_at_once_by(signal, Duration::from_millis(250), &mut list, "sa-list");
    }
}

/// What an epoll watches is looked up behind the answer, which comes without that.
#[track_caller]
fn an_epoll_that_is_locked(python: &Interpreter) {
    let withholds = Withholds::build();
    // Thread 7 waits in epoll_wait (232), for descriptor 50.
    let tasks = b"7 70 232 0x32 0x1000 0x10 0xffffffff\t50 e anon_inode:[eventpoll]\n";
    let answer = Answer::default().with(document::TASKS, answers::value(|out| out.text(tasks)));
    let folder = Scratch::new();
    let file = folder.write("answer", answer.bytes());
    let program = compile_hostile("fake_answers.c", &folder, &[]);
    let start = || {
        let more = [program.to_str().unwrap(), file.to_str().unwrap()];
        let one = withholds.start("epoll", &more);
        let pid = one.wait_number("pid");
        (one, pid)
    };
    let other = woken_target(python, "single.py", &["sleeping"]);
    let words = QUESTIONS[1];
    let (_one, pid) = start();
    let begun = std::time::Instant::now();
    let mut asking = Program::start(&mut question(words, pid, Some(&other)));
    let ended = asking.end_within(Duration::from_secs(10));
    let took = begun.elapsed();
    assert!(took < LIST, "it took {took:?}");
    assert!(asking.has_closed_its_output(), "its output is open");
    ended.expect_code(0);
    assert!(ended.out().contains("epoll_wait"), "{ended:?}");
    assert!(ended.out().contains(", in sleeping"), "{ended:?}");
    other.handles_sigterm();
}

/// The kernel refuses new threads to a program that is being replaced. It says so, and which line does that.
#[track_caller]
fn an_exec_that_hangs(python: &Interpreter) {
    let withholds = Withholds::build();
    let text = format!(
        "import os\nos.write(1, 'pid %d\\nready\\n' % os.getpid())\nos.execv('{}/python2.7', ['x'])\n",
        withholds.mount.display()
    );
    let folder = Scratch::new();
    let script = folder.write("replaced.py", text);
    let mut words = vec!["/usr/bin/env".to_owned()];
    let mut start = preloaded_python(python);
    for (name, value) in start.arg(script).get_envs() {
        let value = value.map(|value| value.to_string_lossy());
        words.extend(value.map(|value| format!("{}={value}", name.to_string_lossy())));
    }
    let program = [start.get_program()].into_iter().chain(start.get_args());
    words.extend(program.map(|word| word.to_string_lossy().into_owned()));
    let one = withholds.start(
        "exec",
        &words.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let pid = one.wait_number("pid");
    wait_agent(pid);
    wait_until("it waits", || procfs::state(pid) != 'R');
    let ended = run(activator(["--via", "wake"]).arg(pid.to_string()));
    ended.expect_code(0);
    let why = "could not start its worker (EAGAIN: no more threads, no memory for one, or the program is just being \
               replaced (exec))";
    assert!(ended.out().contains(why), "{ended:?}");
    assert!(ended.out().contains("replaced.py"), "{ended:?}");
}
