//! The agent over time: asleep it does nothing, and ten thousand activations leave the program
//! unchanged.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;
use tests::ask::{answer_by_wake, state, target, threads_told, woken_target};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::run_within;
use tests::procfs::{settle, status, switches, thread_names};

case!(asleep_it_does_nothing);
/// Neither before the first question nor after it, within two seconds: it looks every 20 s whether the first thread
/// has ended. (`make bench` watches for a whole minute.)
fn asleep_it_does_nothing(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid();
    for _ in 0..2 {
        settle(pid);
        let before = switches(pid);
        assert_eq!(before.len(), 2, "{before:?}");
        sleep(Duration::from_secs(2));
        assert_eq!(switches(pid), before);
        state(pid);
        answer_by_wake(pid);
    }
}

case!(ten_thousand_in_process);
fn ten_thousand_in_process(python: &Interpreter) {
    let mut command = target(python, "asking.py");
    let ended = run_within(
        command.args(["endurance", "10000"]),
        Duration::from_secs(300),
    );
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    let out = ended.out();
    let grown: HashMap<&str, &str> = out.lines().filter_map(|l| l.split_once(' ')).collect();
    assert_eq!(grown["told"], "10000", "{out}");
    assert_eq!(grown["threads"], "0", "{out}");
    assert_eq!(grown["descriptors"], "0", "{out}");
    assert_eq!(grown["modules"], "0", "{out}");
    assert_eq!(grown["exception"], "(None, None, None)", "{out}");
    let number = |name: &str| grown[name].parse::<i64>().unwrap();
    // Measuring itself leaves a handful of objects; a leak would leave thousands.
    assert!(number("objects").abs() < 20, "{out}");
    assert!(number("references").abs() < 100, "{out}");
    assert!(number("pages") < 256, "grown by over a megabyte: {out}");
    assert!(!out.contains("new modules"), "{out}");
}

case!(a_hundred_through_gdb);
fn a_hundred_through_gdb(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["10", "30"]);
    let pid = program.pid();
    for _ in 0..10 {
        state(pid);
    }
    settle(pid);
    let threads = thread_names(pid).len();
    let resident = || -> i64 {
        let text = status(pid, "VmRSS");
        text.trim_end_matches(" kB").parse().unwrap()
    };
    let before = resident();
    for _ in 0..100 {
        assert_eq!(threads_told(&state(pid)), 11);
    }
    settle(pid);
    assert_eq!(thread_names(pid).len(), threads);
    // Keeping every answer would take more.
    assert!(
        resident() - before < 2048,
        "{} kB more",
        resident() - before
    );
    program.ends_well();
}
