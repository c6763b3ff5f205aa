//! Processes that keep others from asking: locks, floods, agents that never answer.

use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{activator, preloaded_python, target, threads_told, woken};
use tests::bounded::{bounded, peak_of};
use tests::case;
use tests::compile::compile_hostile;
use tests::fakes::fakes;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run};
use tests::procfs;
use tests::product::product;
use tests::scratch::Scratch;
use tests::users::{HONEST, HOSTILE, activate_as, as_user};

/// An honest user's program that sleeps.
fn honest(python: &Interpreter) -> Program {
    let mut start = target(python, "single.py");
    woken(as_user(start.arg("sleeping"), HONEST))
}

case!(locks, ForAnyone);
/// A stranger takes what locks there are on a process, and delays nobody. Its own user can: for half of the
/// time, and then the question goes without its turn.
fn locks(python: &Interpreter) {
    let program = honest(python);
    let pid = program.pid().to_string();
    for (user, longest) in [(HOSTILE, 2), (HONEST, 5)] {
        let mut holder = python.command();
        holder.arg(product().hostile("holds_locks.py")).arg(&pid);
        let holder = Program::start(as_user(&mut holder, user)).ready();
        assert!(!holder.out().contains("held 0\n"), "{}", holder.out());
        let mut asking = activator(["--via", "gdb", "--timeout", "4", &pid]);
        let asked = bounded(&mut asking, Duration::from_secs(20));
        asked.ended.expect_code(0);
        assert_eq!(asked.ended.err(), "", "held by user {user}");
        let took = asked.took;
        assert!(
            took < Duration::from_secs(longest),
            "held by user {user}: it took {took:?}"
        );
    }
    program.handles_sigterm();
}

case!(a_flood, ForAnyone);
/// Strangers connect to the command's socket as fast as they can.
fn a_flood(python: &Interpreter) {
    if !tests::compile::have_compiler() {
        return;
    }
    let program = honest(python);
    let folder = Scratch::new();
    let flood = compile_hostile("flood.c", &folder, &[]);
    let _flood = Program::start(as_user(command(flood).arg("3"), HOSTILE)).ready();
    for _ in 0..40 {
        let mut asking = activator(["--via", "wake", "--timeout", "5"]);
        let asked = bounded(
            asking.arg(program.pid().to_string()),
            Duration::from_secs(20),
        );
        asked.ended.expect_code(0);
        assert_eq!(threads_told(&asked.ended.out()), 1);
    }
    program.handles_sigterm();
}

case!(two_hundred_fakes, ForAnyone);
/// Two hundred processes that never answer delay no honest one, and all of them together take no longer
/// than one of them.
fn two_hundred_fakes(python: &Interpreter) {
    if !tests::compile::have_compiler() {
        return;
    }
    let fakes = fakes("deaf", 200);
    let honest = [honest(python), honest(python)];
    // The worst order.
    let mut pids = vec![fakes.pid()];
    pids.extend(procfs::children(fakes.pid()));
    assert_eq!(pids.len(), 200);
    pids.extend(honest.iter().map(Program::pid));
    let mut asking = activator(["--timeout", "6"]);
    asking.args(pids.iter().map(ToString::to_string));
    asking.env_remove("SLEEPER_AGENT_VIA");
    let begun = Instant::now();
    let asking = Program::start(&mut asking);
    let answered = |out: &str| out.matches("=== PID ").count();
    while answered(&asking.out()) < 2 {
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "no answer after {took:?}");
        sleep(Duration::from_millis(5));
    }
    let mut peak = 0;
    while !asking.has_ended() && begun.elapsed() < Duration::from_secs(20) {
        peak = peak.max(peak_of(asking.pid()));
        sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "all: it took {took:?}");
    let ended = asking.end();
    ended.expect_code(1);
    assert_eq!(ended.err().lines().count(), 200, "{}", ended.err());
    assert!(peak > 0 && peak < 200 << 20, "it took {} kB", peak >> 10);
    for one in honest {
        one.handles_sigterm();
    }
}

/// A program that was root's and has become the honest user's.
const BECOMES_A_USER: &str = "import os, sys\n\
    os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n\
    sys.stdout.write('ready\\n'); sys.stdout.flush()\n\
    sys.stdin.readline(); os._exit(7)\n";

case!(strangers_are_refused, ForAnyone);
/// Neither another user nor the new user of a program that was root's may ask; root may.
fn strangers_are_refused(python: &Interpreter) {
    let program = honest(python);
    let mut start = preloaded_python(python);
    start.args(["-c", BECOMES_A_USER, &HONEST.to_string()]);
    let changed = woken(&mut start);
    for via in tests::ask::WAYS {
        let ask = |user, of: &Program| activate_as(user, ["--via", via, &*of.pid().to_string()]);
        ask(HOSTILE, &program).expect_refusal(1, &["it belongs to"]);
        let words = match via {
            "gdb" => "it has changed its user",
            _ => "only root if it guards its memory",
        };
        let refused = ask(HONEST, &changed);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(refused.err().contains(words), "{}", refused.err());
        for one in [&program, &changed] {
            let ended = run(&mut activator(["--via", via, &*one.pid().to_string()]));
            ended.expect_code(0);
        }
    }
    changed.ends();
    program.handles_sigterm();
}
