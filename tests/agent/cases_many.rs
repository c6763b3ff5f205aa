//! Many processes asked at once: by their numbers, by their tree, or all that there are.

use crate::Need::{ForAnyone, Nothing};
use crate::cases_wake::refused;
use crate::{Case, PlainCase};
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicU32, Ordering};
use tests::ask::{activate, preloaded, target, threads_told, woken_target};
use tests::interface::DEADLINE_VARIABLE;
use tests::interpreters::Interpreter;
use tests::process::{Ended, Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;
use tests::scratch::{Scratch, copied};

pub const CASES: &[Case] = &[
    ("under_headings", Nothing, under_headings),
    (
        "the_stuck_one_comes_last",
        Nothing,
        the_stuck_one_comes_last,
    ),
    ("more_than_at_a_time", Nothing, more_than_at_a_time),
    ("a_tree", Nothing, a_tree),
    ("all_of_a_user", ForAnyone, all_of_a_user),
];

pub const PLAIN_CASES: &[PlainCase] = &[("nothing_below", Nothing, nothing_below)];

/// The PIDs of the headings, in order.
fn headings(ended: &Ended) -> Vec<i32> {
    let out = ended.out();
    let lines = out.lines().filter_map(|line| line.strip_prefix("=== PID "));
    lines
        .map(|rest| rest.split(':').next().unwrap().parse().unwrap())
        .collect()
}

fn under_headings(python: &Interpreter) {
    let sleeping = woken_target(python, "single.py", &["sleeping"]);
    let busy = woken_target(python, "single.py", &["busy"]);
    for via in ["gdb", "wake"] {
        let pids = [&busy, &sleeping].map(|one| one.pid().to_string());
        let ended = activate(["--via", via, &pids[0], &pids[1], &pids[0]]);
        ended.expect_code(0);
        assert_eq!(ended.err(), "");
        let mut found = headings(&ended);
        found.sort_unstable();
        let mut expected = vec![busy.pid(), sleeping.pid()];
        expected.sort_unstable();
        assert_eq!(found, expected, "each once");
        for (program, what) in [(&busy, "busy"), (&sleeping, "sleeping")] {
            let (path, target) = (python.path.display(), product().target("single.py"));
            let heading = format!(
                "=== PID {}: {path} {} {what}\n",
                program.pid(),
                target.display()
            );
            let out = ended.out();
            let (_, state) = out.split_once(&heading).expect("its heading");
            let state = state.split("\n\n").next().unwrap();
            assert!(
                state.ends_with("()") || state.contains(&format!(", in {what}\n")),
                "{out}"
            );
            assert_eq!(threads_told(state), 1, "{out}");
        }
    }
    // One alone has none, unless it was not named.
    let alone = activate([sleeping.pid()]);
    assert_eq!(headings(&alone), [0; 0]);
    let found = activate(["--children", &sleeping.pid().to_string()]);
    found.expect_code(0);
    assert_eq!(headings(&found), [sleeping.pid()]);
}

/// Keeps the GIL for longer than its agent's deadline.
pub const STUCK: &str = "import ctypes, sys; sys.stdout.write('ready\\n'); sys.stdout.flush()\n\
    ctypes.PyDLL(None).sleep(60)";

fn the_stuck_one_comes_last(python: &Interpreter) {
    let mut start = preloaded(&python.path);
    python.equip(&mut start);
    start.args(["-c", STUCK]).env(DEADLINE_VARIABLE, "2");
    let stuck = Program::start(&mut start).ready();
    procfs::wait_agent(stuck.pid());
    let others: Vec<Program> = (0..3)
        .map(|_| woken_target(python, "single.py", &["sleeping"]))
        .collect();
    let mut pids = vec![stuck.pid()];
    pids.extend(others.iter().map(Program::pid));
    for via in ["gdb", "wake"] {
        let arguments = pids.iter().map(ToString::to_string);
        let ended = activate(
            ["--via".to_owned(), via.to_owned()]
                .into_iter()
                .chain(arguments),
        );
        ended.expect_code(0);
        let found = headings(&ended);
        assert_eq!(found.len(), 4, "{}", ended.out());
        assert_eq!(found[3], stuck.pid(), "{}", ended.out());
        assert!(
            ended.out().contains("### Read from memory"),
            "{}",
            ended.out()
        );
    }
}

fn more_than_at_a_time(python: &Interpreter) {
    let programs: Vec<Program> = (0..12)
        .map(|_| woken_target(python, "single.py", &["sleeping"]))
        .collect();
    let mut pids: Vec<i32> = programs.iter().map(Program::pid).collect();
    let ended = activate(&pids);
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    let mut found = headings(&ended);
    found.sort_unstable();
    pids.sort_unstable();
    assert_eq!(found, pids);
}

/// What is started by a shell, with one that has no agent between.
fn a_tree(python: &Interpreter) {
    let mut shell = preloaded("sh");
    python.equip(&mut shell);
    let (path, target) = (python.path.display(), product().target("single.py"));
    let single = format!("{path} {} sleeping", target.display());
    shell.args(["-c", &format!("{single} & sh -c '{single}; true' & wait")]);
    let program = Program::start(&mut shell);
    program.wait_lines("ready", 2);
    let root = program.pid().to_string();
    let ask = || activate(["--via", "wake", "--children", &root]);
    // Both have their agents, and the shells have none.
    wait_until("both are found", || headings(&ask()).len() == 2);
    let ended = ask();
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    assert_eq!(
        ended.out().matches(", in sleeping\n").count(),
        2,
        "{}",
        ended.out()
    );
    assert!(!headings(&ended).contains(&program.pid()));
}

fn nothing_below() {
    let cat = Program::start(command(&product().sa_run).arg("cat"));
    let pid = cat.pid().to_string();
    refused(
        &activate(["--children", &pid]),
        "nor in any process below it; start it with `sa-run",
    );
    refused(
        &activate(["--children", "abc"]),
        "PID abc: this is not a process number",
    );
    drop(cat);
    refused(&activate(["--children", &pid]), "no such process");
    // That others are asked does not make up for it.
    let ended = activate(["--children", &pid, "x"]);
    ended.expect_code(1);
    assert_eq!(ended.err().lines().count(), 2, "{}", ended.err());
    // A usage error.
    activate::<[&str; 0]>([]).expect_code(2);
}

/// All programs of a user that has no others, and none of somebody else's.
fn all_of_a_user(python: &Interpreter) {
    static USER: AtomicU32 = AtomicU32::new(61_000);
    let user = USER.fetch_add(1, Ordering::Relaxed);
    let folder = Scratch::new();
    let copy = copied(&product().activate, &folder);
    let all = |via| {
        let mut activator = command(&copy);
        activator.args(["--all", "--via", via]);
        run(activator.current_dir("/").uid(user).gid(user))
    };
    refused(
        &all("wake"),
        "--all: no program of yours carries a sleeper agent",
    );
    let programs: Vec<Program> = (0..3)
        .map(|_| {
            let mut start = target(python, "single.py");
            start.arg("sleeping").uid(user).gid(user).current_dir("/");
            let program = Program::start(&mut start).ready();
            procfs::wait_agent(program.pid());
            program
        })
        .collect();
    for via in ["gdb", "wake"] {
        let ended = all(via);
        ended.expect_code(0);
        assert_eq!(ended.err(), "");
        let mut found = headings(&ended);
        found.sort_unstable();
        let mut pids: Vec<i32> = programs.iter().map(Program::pid).collect();
        pids.sort_unstable();
        assert_eq!(found, pids);
    }
}
