//! Many processes asked at once: by PID, by process tree, or all of them.

use std::sync::atomic::{AtomicU32, Ordering};
use tests::ask::{WAYS, activate, preloaded, sa_run, target, threads_told, woken, woken_target};
use tests::ended::Ended;
use tests::gil::keeps_the_gil;
use tests::interpreters::Interpreter;
use tests::process::{Program, wait_until};
use tests::product::product;
use tests::users::{activate_as, as_user};
use tests::{case, plain_case};

/// The PIDs of the headings, in order.
fn headings(ended: &Ended) -> Vec<i32> {
    let out = ended.out();
    let lines = out.lines().filter_map(|line| line.strip_prefix("=== PID "));
    lines
        .map(|rest| rest.split(':').next().unwrap().parse().unwrap())
        .collect()
}

case!(under_headings);
fn under_headings(python: &Interpreter) {
    let sleeping = woken_target(python, "single.py", &["sleeping"]);
    let busy = woken_target(python, "single.py", &["busy"]);
    for via in WAYS {
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
    // A single process has no heading, unless --children or --all found it.
    let alone = activate([sleeping.pid()]);
    assert_eq!(headings(&alone), [0; 0]);
    let found = activate(["--children", &sleeping.pid().to_string()]);
    found.expect_code(0);
    assert_eq!(headings(&found), [sleeping.pid()]);
}

case!(the_stuck_one_comes_last);
fn the_stuck_one_comes_last(python: &Interpreter) {
    let stuck = keeps_the_gil(python, "2");
    let others: Vec<Program> = (0..3)
        .map(|_| woken_target(python, "single.py", &["sleeping"]))
        .collect();
    let mut pids = vec![stuck.pid()];
    pids.extend(others.iter().map(Program::pid));
    for via in WAYS {
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

case!(more_than_at_a_time);
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

case!(a_tree);
/// A tree below a shell, with a process without an agent in between.
fn a_tree(python: &Interpreter) {
    let mut shell = preloaded("sh");
    python.equip(&mut shell);
    let code = "\"$@\" & sh -c '\"$@\"; true' sh \"$@\" & wait";
    shell.args(["-c", code, "sh"]).arg(&python.path);
    shell.arg(product().target("single.py")).arg("sleeping");
    let program = Program::start(&mut shell);
    program.wait_lines("ready", 2);
    let root = program.pid().to_string();
    let ask = || activate(["--via", "wake", "--children", &root]);
    // Both Pythons have agents, the shells have none.
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

plain_case!(nothing_below);
fn nothing_below() {
    let cat = Program::start(sa_run().arg("cat"));
    let pid = cat.pid().to_string();
    let refused = |pid: &str, words| {
        activate(["--children", pid]).expect_refusal(1, &[words]);
    };
    refused(
        &pid,
        "nor in any process below it; bring it into the Python",
    );
    refused("abc", "PID abc: this is not a process number");
    drop(cat);
    refused(&pid, "no such process");
    // Answers from other processes do not make up for it.
    let ended = activate(["--children", &pid, "x"]);
    ended.expect_code(1);
    assert_eq!(ended.err().lines().count(), 2, "{}", ended.err());
    // A usage error.
    activate::<[&str; 0]>([]).expect_code(2);
}

case!(all_of_a_user, ForAnyone);
/// `--all` asks all programs of this user, and nobody else's.
fn all_of_a_user(python: &Interpreter) {
    static USER: AtomicU32 = AtomicU32::new(61_000);
    let user = USER.fetch_add(1, Ordering::Relaxed);
    let all = |via| activate_as(user, ["--all", "--via", via]);
    all("wake").expect_refusal(1, &["--all: no program of yours carries a sleeper agent"]);
    let programs: Vec<Program> = (0..3)
        .map(|_| {
            let mut start = target(python, "single.py");
            woken(as_user(start.arg("sleeping"), user))
        })
        .collect();
    for via in WAYS {
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
