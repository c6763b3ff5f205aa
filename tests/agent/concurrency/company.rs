//! Other commands, manual debuggers and job control interfere while a program is asked.

use protocol::names::{PARKED_THREAD, THREAD_HEADING};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{WALK_HEADING, activate, activator, answer_by_wake, state, woken_target};
use tests::case;
use tests::document::only_document;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::mortal::{Mortal, is_whole};
use tests::outcomes::{Outcomes, expect_outcome};
use tests::process::{PATIENCE, Program, command, wait_until};
use tests::procfs::thread_named;
use tests::rounds::{spread, times};

/// `sleeper_agent_activate PID`, under way.
fn asking(pid: i32) -> Program {
    Program::start(&mut activator([pid]))
}

/// Checks that a command gets the whole answer.
#[track_caller]
fn is_answered(asking: Program) {
    let ended = asking.end();
    ended.expect_code(0);
    assert!(is_whole(&ended.out()), "{}", ended.out());
    assert_eq!(ended.err(), "");
}

case!(many_at_once);
fn many_at_once(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    for count in [2, 10] {
        for _ in 0..times(1) {
            let all: Vec<Program> = (0..count).map(|_| asking(mortal.pid)).collect();
            all.into_iter().for_each(is_answered);
            mortal.goes_on("many questions at once");
        }
    }
    mortal.ends_intact();
}

case!(many_wishes);
/// Each command gets what it asked for, even if the next one rings before the agent answers.
fn many_wishes(python: &Interpreter) {
    const WISHES: [&[&str]; 5] = [
        &["--format", "json"],
        &["--format", "json", "--locals"],
        &["--format", "json", "--locals", "--value-length", "5"],
        &["--format", "json", "--greenlets"],
        &[],
    ];
    let program = woken_target(python, "reluctant.py", &[]);
    for _ in 0..4 {
        let all = WISHES.map(|wish| Program::start(activator(wish).arg(program.pid().to_string())));
        let told = all.map(|one| {
            let ended = one.end();
            ended.expect_code(0);
            assert_eq!(ended.err(), "");
            ended.out()
        });
        let locals = |text: &str| {
            let document = only_document(text);
            let threads = document["threads"].as_array().unwrap().iter();
            let frames = threads.flat_map(|one| one["frames"].as_array().unwrap());
            let mut frames = frames.filter(|one| one["function"] == "keep");
            frames.next().unwrap()["locals"].to_string()
        };
        let found = |value| format!(r#"[{{"name":"mine","value":"{value}"}}]"#);
        assert_eq!(locals(&told[0]), "null");
        assert_eq!(locals(&told[1]), found("'found here'"));
        assert_eq!(locals(&told[2]), found("'found'... (10 in all)"));
        assert_eq!(locals(&told[3]), "null");
        assert!(told[4].starts_with(THREAD_HEADING), "{}", told[4]);
    }
    program.ends();
}

/// A manual gdb, as somebody has it open at a terminal.
fn debugger(pid: i32) -> Program {
    let mut gdb = command("gdb");
    gdb.args([
        "-nx",
        "-q",
        "-ex",
        "set confirm off",
        "-p",
        &pid.to_string(),
    ]);
    Program::start(&mut gdb)
}

case!(beside_a_debugger);
fn beside_a_debugger(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let mut gdb = debugger(mortal.pid);
    gdb.say("printf \"attached\\n\"");
    wait_until("gdb has attached", || gdb.out().contains("attached\n"));
    let refused = activate([mortal.pid]);
    refused.expect_refusal(1, &[&format!("traced by PID {} (gdb)", gdb.pid())]);
    assert_eq!(mortal.tracer(), gdb.pid(), "it lost its debugger");
    gdb.say("printf \"%s\", sleeper_agent_state()");
    gdb.say("printf \"asked\\n\"");
    wait_until("gdb has asked", || gdb.out().contains("asked\n"));
    assert_eq!(
        gdb.out().matches(THREAD_HEADING).count(),
        6,
        "{}",
        gdb.out()
    );
    gdb.say("quit");
    gdb.end().expect_code(0);
    mortal.goes_on("a session of gdb");
    mortal.answers();
    mortal.ends_intact();
}

case!(both_ways_at_once);
/// The agent has one thread that sleeps, and hears both ways: each of many questions by each is answered.
fn both_ways_at_once(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    for _ in 0..times(2) {
        let all: Vec<Program> = (0..12)
            .map(|number| {
                let via = ["gdb", "wake"][number % 2];
                Program::start(&mut activator(["--via", via, &mortal.pid.to_string()]))
            })
            .collect();
        all.into_iter().for_each(is_answered);
        mortal.goes_on("questions by both ways");
    }
    mortal.ends_intact();
}

case!(while_a_debugger_holds_the_agent, OnlyOne);
/// A thread that a debugger holds hears no signal: the command says so, and soon.
fn while_a_debugger_holds_the_agent(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid();
    let mut gdb = debugger(thread_named(pid, PARKED_THREAD).expect("an agent"));
    gdb.say("printf \"attached\\n\"");
    wait_until("gdb has attached", || gdb.out().contains("attached\n"));
    let begun = Instant::now();
    let refused = activate(["--via", "wake", &*pid.to_string()]);
    refused.expect_refusal(1, &["a debugger holds its agent"]);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    gdb.say("quit");
    gdb.end().expect_code(0);
    for text in [answer_by_wake(pid), state(pid)] {
        assert!(text.contains(", in sleeping\n"), "{text}");
    }
    program.handles_sigterm();
}

case!(beside_a_call_by_hand, OnlyOne);
/// The documented gdb command line and the activator at once: each gets an answer or a refusal,
/// and neither harms the other.
fn beside_a_call_by_hand(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let pid = mortal.pid.to_string();
    let mut outcomes = Outcomes::default();
    for round in 0..times(4) {
        let line = "printf \"%s\", sleeper_agent_state()";
        let mut gdb = command("gdb");
        let by_hand = Program::start(gdb.args(["-nx", "-p", &pid, "-batch", "-ex", line]));
        let begun = Instant::now();
        // The activator is quicker than the manual call: several runs make sure that they overlap.
        while !by_hand.has_ended() {
            assert!(begun.elapsed() < PATIENCE, "gdb does not end");
            sleep(mortal.life.mul_f64(spread(round) / 2.0));
            let outcome = expect_outcome(&asking(mortal.pid).end(), "beside gdb");
            assert!(
                outcome == "answered" || outcome.contains("traced"),
                "{outcome}"
            );
            outcomes.take(outcome);
        }
        let out = by_hand.end().out();
        let told = out.matches(THREAD_HEADING).count();
        assert!(told == 6 || out.contains(WALK_HEADING), "{out}");
        mortal.goes_on("a call by hand");
        mortal.answers();
    }
    outcomes.say(&format!("{} beside calls by hand", python.label));
    mortal.ends_intact();
}

/// An activator that was started a while before its program was stopped, a different while each round.
fn asking_and_stopped(mortal: &Mortal, round: usize) -> Program {
    let asking = asking(mortal.pid);
    sleep(mortal.life.mul_f64(spread(round)));
    mortal.program.signal(libc::SIGSTOP);
    asking
}

/// The outcome of asking a program that is stopped meanwhile.
#[track_caller]
fn expect_answered_or_stopped(ended: &Ended, what: &str) -> String {
    let outcome = expect_outcome(ended, what);
    assert!(
        outcome == "answered" || outcome.contains("it is stopped"),
        "{outcome}"
    );
    outcome
}

case!(stopped_meanwhile);
fn stopped_meanwhile(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let mut outcomes = Outcomes::default();
    for round in 0..times(8) {
        let asking = asking_and_stopped(&mortal, round);
        let begun = Instant::now();
        let ended = asking.end();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(6), "stopped: it took {took:?}");
        outcomes.take(expect_answered_or_stopped(&ended, "stopped"));
        wait_until("it is stopped", || mortal.is_stopped());
        sleep(Duration::from_millis(50));
        assert!(mortal.is_stopped(), "somebody else's stop was undone");
        mortal.program.signal(libc::SIGCONT);
        mortal.goes_on("a stop");
        mortal.answers();
    }
    outcomes.say(&format!("{} stopped meanwhile", python.label));
    mortal.ends_intact();
}

case!(continued_meanwhile, OnlyOne);
/// The program is stopped and continued while it is asked, as by a shell's `fg`.
fn continued_meanwhile(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let mut outcomes = Outcomes::default();
    for round in 0..times(8) {
        let asking = asking_and_stopped(&mortal, round);
        sleep(mortal.life.mul_f64(spread(round + 3) / 2.0));
        mortal.program.signal(libc::SIGCONT);
        outcomes.take(expect_answered_or_stopped(&asking.end(), "continued"));
        mortal.goes_on("a stop and its end");
        mortal.answers();
    }
    outcomes.say(&format!("{} continued meanwhile", python.label));
    mortal.ends_intact();
}
