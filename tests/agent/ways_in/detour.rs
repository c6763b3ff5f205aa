//! Programs in which the agent has no thread: gdb diverts a thread of the program through the agent.
//! The thread carries on undisturbed, whatever happens to gdb.

use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{WALK_HEADING, activate, activator, preloaded, target};
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::{PATIENCE, Program, wait_until};
use tests::procfs;
use tests::rounds::{spread, times};
use tests::scratch::Scratch;
use tests::{case, plain_case};

/// The program is not Python, so the agent has no thread in it.
const ANSWER: &str = "not a Python process; ";

fn restless(folder: &Scratch, kind: &str) -> Program {
    let program = compile("restless.c", folder, &["-mno-red-zone"]);
    Program::start(preloaded(program).arg(kind)).ready()
}

#[track_caller]
fn answers(program: &Program) {
    activate([program.pid()]).expect_refusal(1, &[ANSWER]);
}

#[track_caller]
fn ends_intact(mut program: Program) {
    program.signal(libc::SIGTERM);
    let ended = program.end_within(PATIENCE);
    assert_eq!(ended.out(), "ready\nintact\n");
    ended.expect_code(7);
}

#[track_caller]
fn goes_round(kind: &str) {
    let folder = Scratch::new();
    let program = restless(&folder, kind);
    for _ in 0..times(20) {
        answers(&program);
    }
    ends_intact(program);
}

plain_case!(registers, Compiler);
fn registers() {
    goes_round("registers");
    goes_round("registers, in a storm of signals");
}

plain_case!(calls, Compiler);
fn calls() {
    goes_round("calls");
    goes_round("calls, in a storm of signals");
}

plain_case!(unrepeated_calls, Compiler);
/// `epoll_wait` and others, on the first thread and on another: gdb stops both.
fn unrepeated_calls() {
    goes_round("unrepeated");
    goes_round("unrepeated, in a storm of signals");
}

plain_case!(suspended, Compiler);
fn suspended() {
    goes_round("suspended");
}

plain_case!(killed, Compiler);
/// gdb and the command that drives it are killed while gdb holds the program. How long gdb holds it
/// depends on the machine, so the test repeats until enough kills have hit.
fn killed() {
    let folder = Scratch::new();
    for kind in ["registers", "calls", "suspended"] {
        let program = restless(&folder, kind);
        let tracer = || {
            procfs::status(program.pid(), "TracerPid")
                .parse()
                .unwrap_or(0)
        };
        let (wanted, mut held, mut kills) = (times(3), 0, 0);
        while held < wanted {
            assert!(kills < 40 * wanted, "{kind}: held: {held} of {kills}");
            let mut activator = Program::start(&mut activator([program.pid()]));
            // The activator itself checks whether it may trace.
            let strangers = [0, activator.pid()];
            let begun = Instant::now();
            let gdb = loop {
                let tracer = tracer();
                if !strangers.contains(&tracer) || activator.has_ended() {
                    break tracer;
                }
                assert!(begun.elapsed() < PATIENCE, "it is never held");
            };
            sleep(Duration::from_millis(6).mul_f64(spread(kills)));
            held += usize::from(tracer() == gdb && gdb != 0);
            let victims = [gdb, activator.pid()];
            for &victim in victims.iter().take(1 + kills % 2) {
                // The number may belong to a thread of our own by now.
                if victim == 0 || procfs::status(victim, "Tgid") != victim.to_string() {
                    continue;
                }
                // SAFETY: a plain system call; the number was that of a tracer a moment ago.
                unsafe { libc::kill(victim, libc::SIGKILL) };
            }
            kills += 1;
            activator.end_within(PATIENCE);
            wait_until("it is let go", || {
                tracer() == 0 && procfs::state(program.pid()) != 'T'
            });
            answers(&program);
        }
        ends_intact(program);
    }
}

case!(threads_of_the_parent);
/// A child made by the bare system call has the agent's memory and none of its threads.
fn threads_of_the_parent(python: &Interpreter) {
    let program = Program::start(target(python, "forking.py").arg("bare")).ready();
    let child = program.wait_number("child");
    let begun = Instant::now();
    let ended = activate([child]);
    let took = begun.elapsed();
    ended.expect_code(0);
    let text = ended.out();
    let why = "the agent came too late into this process to start a thread of its own";
    assert!(text.starts_with(WALK_HEADING), "{text}");
    assert!(text.lines().next().unwrap().contains(why), "{text}");
    assert!(text.contains(", in in_the_child\n"), "{text}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    program.ends_well();
}
