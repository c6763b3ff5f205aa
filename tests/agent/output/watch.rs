//! `--watch`: the full format again and again, with marks where threads have moved.

use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{activate, activator, woken_code};
use tests::case;
use tests::document::valid_document;
use tests::interpreters::Interpreter;
use tests::moving::{first_line, looks_at, marks, step, steps};
use tests::process::{Program, wait_until};

fn watch(arguments: &[&str]) -> Program {
    Program::start(activator(["--via", "wake", "--watch"]).args(arguments))
}

/// Waits until the command has printed this.
#[track_caller]
fn wait_told(watch: &Program, what: &str) {
    wait_until(&format!("{what:?} is told"), || watch.out().contains(what));
}

case!(what_has_moved);
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
    program.ends_well();
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
    let stuck = looks_at(&out, "stuck");
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
    let moves = looks_at(&out, "moves");
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
    // Then the count starts again.
    let last = first_line(moves.last().unwrap());
    assert!(last.contains(", has not moved for "), "{last}");
    let fresh = looks_at(&out, "fresh");
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

case!(ran_in_place);
fn ran_in_place(python: &Interpreter) {
    let hog = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush()\nwhile True: pass";
    let program = woken_code(python, hog, &[]);
    let watch = watch(&["0.5", &program.pid().to_string()]);
    wait_told(
        &watch,
        ", ran in place\n= File \"<string>\", line 2, in <module>\n",
    );
    wait_told(&watch, " s later: 1 ran in place\n");
}

case!(until_interrupted);
/// An interrupt ends the command at once, however long its interval.
fn until_interrupted(python: &Interpreter) {
    let program = steps(python);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut watch = watch(&["3600", &program.pid().to_string()]);
        wait_told(&watch, "\"stuck\"");
        sleep(Duration::from_millis(200));
        let begun = Instant::now();
        watch.signal(signal);
        let ended = watch.end_within(Duration::from_secs(20));
        ended.expect_code(128 + signal);
        assert_eq!(ended.err(), "", "after {:?}", begun.elapsed());
        assert_eq!(ended.out().matches("=== PID ").count(), 1);
    }
    let mut program = program;
    step(&mut program);
    program.ends_well();
}

case!(until_all_have_ended);
fn until_all_have_ended(python: &Interpreter) {
    let mut programs = [steps(python), steps(python)];
    let pids = programs.each_ref().map(Program::pid);
    let watch = watch(&["0.3", &pids[0].to_string(), &pids[1].to_string()]);
    let looks = |pid: i32| watch.out().matches(&format!("=== PID {pid}: ")).count();
    wait_until("both are looked at", || {
        pids.iter().all(|&pid| looks(pid) > 1)
    });
    programs.iter_mut().for_each(step);
    let [first, second] = programs;
    first.ends_well();
    let count = looks(pids[1]);
    wait_until("the other one is looked at", || looks(pids[1]) > count + 1);
    second.ends_well();
    let ended = watch.end();
    // The programs have answered for as long as they ran.
    ended.expect_code(0);
    let told = pids.map(|pid| format!("sleeper_agent_activate: PID {pid}: it has ended\n"));
    assert_eq!(ended.err(), told.concat());
    let never = activate(["--watch", "3600", &pids[0].to_string()]);
    never.expect_code(1);
}

case!(documents);
fn documents(python: &Interpreter) {
    let program = steps(python);
    let pid = program.pid().to_string();
    let mut watch = watch(&["0.3", "--format", "json", &pid]);
    wait_until("three documents", || watch.out().lines().count() >= 4);
    watch.signal(libc::SIGINT);
    let ended = watch.end_within(Duration::from_secs(20));
    ended.expect_code(130);
    let out = ended.out();
    let times = out
        .lines()
        .map(|line| valid_document(line)["time"].as_f64().expect("a time"));
    let times: Vec<f64> = times.collect();
    for pair in times.windows(2) {
        let between = pair[1] - pair[0];
        assert!((0.2..20.0).contains(&between), "{times:?}");
    }
    // The plain format has no place for marks.
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
