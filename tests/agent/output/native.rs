//! C functions on the threads' stacks, and what threads wait for in C.

use serde_json::Value;
use tests::ask::{WAYS, activate, answer, woken_target};
use tests::case;
use tests::document::{document_with, thread};
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::settle;
use tests::said::Said;

/// `native_waits.py`, once all its threads wait, and what it says of them.
fn target(python: &Interpreter, arguments: &[&str]) -> (Program, Said) {
    let program = woken_target(python, "native_waits.py", arguments);
    settle(program.pid());
    let said = Said::by(&program);
    (program, said)
}

/// The C functions of a thread with how many Python frames are further inside, outermost first.
fn native(one: &Value) -> Vec<(&str, u64)> {
    let frames = one["native_frames"].as_array().expect("native frames");
    let frames = frames.iter().map(|frame| {
        let function = frame["function"].as_str().unwrap_or("?");
        (function, frame["inside"].as_u64().expect("a number"))
    });
    frames.collect()
}

/// Whether one of the names by which glibc calls a function is in it.
fn is_in(one: &Value, function: &str) -> bool {
    native(one).iter().any(|(name, _)| name.contains(function))
}

case!(waits_in_c);
fn waits_in_c(python: &Interpreter) {
    let (program, said) = target(python, &[]);
    for via in WAYS {
        let document = document_with(program.pid(), &["--via", via]);
        let of = |what: &str| thread(&document, said.ident(what));
        let holder = &of("holder")["tid"];
        for (what, kind, function) in [
            ("in_mutex", "mutex", "pthread_mutex_lock"),
            ("in_read_write", "rwlock", "pthread_rwlock_rdlock"),
        ] {
            let (one, wait) = (of(what), &of(what)["waits_for"]);
            assert_eq!(wait["kind"], kind, "{one}");
            assert_eq!(&wait["owner_tid"], holder, "{one}");
            assert_eq!(wait["owner_lives"], true, "{one}");
            assert_eq!(
                wait["holders"],
                Value::from(vec![said.ident("holder")]),
                "{one}"
            );
            assert!(is_in(one, function), "{one}");
        }
        let condition = of("in_condition");
        assert_eq!(condition["waits_for"]["kind"], "c_condition", "{condition}");
        let semaphore = of("in_semaphore");
        assert_eq!(semaphore["waits_for"]["kind"], "c_semaphore", "{semaphore}");
        assert_eq!(semaphore["waits_for"]["value"], 0, "{semaphore}");
        let join = of("in_join");
        assert_eq!(join["waits_for"]["kind"], "thread", "{join}");
        // The thread that it waits for runs no Python.
        let others = document["other_threads"].as_array().expect("a list");
        let [other] = &others[..] else {
            panic!("{others:?}");
        };
        assert_eq!(other["tid"], join["waits_for"]["owner_tid"]);
        assert!(
            is_in(other, "nanosleep") && is_in(other, "sleep"),
            "{other}"
        );
        // Python's own waits are as ever, and have no native frames, as nobody has asked.
        assert_eq!(of("holder")["waits_for"]["kind"], "sleep");
        assert_eq!(native(of("holder")), []);
    }
    let full = answer(program.pid(), &["--format", "full", "--via", "wake"]);
    let line = format!(", held by thread {} \"holder\"\n", said.ident("holder"));
    assert!(
        full.contains("  - waits for C mutex 0x") && full.contains(&line),
        "{full}"
    );
    assert!(
        full.contains("  C \"libc.so.6\", in pthread_cond_wait\n"),
        "{full}"
    );
    program.ends();
}

case!(mutex_that_a_fork_has_left_locked);
fn mutex_that_a_fork_has_left_locked(python: &Interpreter) {
    let (program, said) = target(python, &["forks"]);
    let child = said.number("child process") as i32;
    let parent = document_with(program.pid(), &["--via", "wake"]);
    let holder = &thread(&parent, said.ident("holder"))["tid"];
    let full = answer(child, &["--format", "full", "--via", "wake"]);
    let line = format!(", owner TID {holder}, which is no thread of this process\n");
    assert!(
        full.contains("  - waits for C mutex 0x") && full.contains(&line),
        "{full}"
    );
    program.ends();
}

case!(python_and_c_frames_are_joined);
fn python_and_c_frames_are_joined(python: &Interpreter) {
    let (program, said) = target(python, &[]);
    let options = ["--native", "--via", "wake"];
    let document = document_with(program.pid(), &options);
    let below_map = thread(&document, said.ident("below_map"));
    let frames = below_map["frames"].as_array().expect("frames").len() as u64;
    let native = native(below_map);
    let at = |function: &str| {
        let found = native.iter().find(|(name, _)| name.contains(function));
        found
            .unwrap_or_else(|| panic!("no {function}: {native:?}"))
            .1
    };
    assert_eq!(at("select"), 0, "{native:?}");
    assert_eq!(at("start_thread"), frames, "{native:?}");
    // Between the frames of `run` and of `__bootstrap_inner`.
    let calls = native
        .iter()
        .filter(|(_, inside)| (1..frames).contains(inside));
    assert!(calls.count() > 0, "{native:?}");
    program.ends();
}

case!(native_frames_of_a_thread_that_runs);
fn native_frames_of_a_thread_that_runs(python: &Interpreter) {
    let program = woken_target(python, "native_waits.py", &["runs"]);
    let said = Said::by(&program);
    let document = document_with(program.pid(), &["--native"]);
    let runs = thread(&document, said.ident("runs"));
    assert!(is_in(runs, "start_thread"), "{runs}");
    // Without a debugger's rights nothing is stopped.
    let document = document_with(program.pid(), &["--native", "--via", "wake"]);
    let runs = thread(&document, said.ident("runs"));
    let note = runs["native_note"].as_str().unwrap_or_default();
    assert!(
        note.starts_with("it runs: ") && native(runs).is_empty(),
        "{runs}"
    );
    let full = answer(program.pid(), &["--native"]);
    assert!(full.contains("  C \"libc.so.6\", in "), "{full}");
    let refused = activate(["--native", "--format", "plain", "1"]);
    assert_eq!(refused.status.code(), Some(2));
    program.ends();
}

case!(deadlock_of_a_mutex_and_the_gil);
fn deadlock_of_a_mutex_and_the_gil(python: &Interpreter) {
    let program = woken_target(python, "native_waits.py", &["gil"]);
    settle(program.pid());
    // Until the mutex's holder wants the GIL.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let said = Said::by(&program);
    let (keeps, wants) = (said.ident("main"), said.ident("wants_gil"));
    for via in WAYS {
        let document = document_with(program.pid(), &["--via", via]);
        let mut circle = vec![keeps, wants];
        circle.sort_unstable();
        assert_eq!(
            document["deadlocks"],
            Value::from(vec![circle]),
            "{document}"
        );
        let of = |ident: u64| &thread(&document, ident)["waits_for"];
        assert_eq!(of(keeps)["kind"], "mutex", "{document}");
        assert_eq!(of(keeps)["owner_tid"], thread(&document, wants)["tid"]);
        assert_eq!(of(wants)["kind"], "gil", "{document}");
        assert_eq!(of(wants)["within"], "PyEval_RestoreThread", "{document}");
        assert!(
            is_in(thread(&document, keeps), "pthread_mutex_lock"),
            "{document}"
        );
    }
}
