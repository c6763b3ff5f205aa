//! Parts of the program that an agent could disturb, and must not.

use protocol::names::{PARKED_THREAD, THREAD_HEADING};
use std::time::Duration;
use tests::ask::{
    WAYS, activate, full_answer, manual_state, place_shim, preloaded_python, state, target,
    woken_code, woken_target,
};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::{run_within, wait_until};
use tests::procfs::{settle, status, thread_named};
use tests::scratch::Scratch;

case!(own_switches);
/// The agent does not call the program's replacements of gc.enable and gc.disable. Where the collector
/// runs and would have to be stopped, the agent reads from memory instead.
fn own_switches(python: &Interpreter) {
    for (arguments, runs) in [(&[][..], "True"), (&["off"][..], "False")] {
        let program = woken_target(python, "own_switches.py", arguments);
        let pid = program.pid().to_string();
        for via in WAYS {
            activate(["--via", via, &pid]).expect_code(0);
            let out = full_answer(program.pid(), via);
            let why = "Read from memory, without the GIL: the garbage collector cannot be stopped";
            assert_eq!(out.contains(why), runs == "True", "{out}");
        }
        let ended = program.ends_well();
        assert_eq!(ended.out(), format!("ready\nran [], runs {runs}\n"));
    }
}

/// Runs this case of `unharmed.py`, which checks itself.
#[track_caller]
fn unharmed(python: &Interpreter, what: &str) {
    let folder = Scratch::new();
    place_shim(python, &folder);
    let mut command = target(python, "unharmed.py");
    let ended = run_within(
        command.arg(what).arg(folder.as_os_str()),
        Duration::from_secs(120),
    );
    assert_eq!(ended.err(), "");
    assert_eq!(ended.out(), "unharmed\n");
    ended.expect_code(0);
}

case!(finished_threads_are_let_go);
fn finished_threads_are_let_go(python: &Interpreter) {
    unharmed(python, "finished");
}

case!(exceptions_stay);
fn exceptions_stay(python: &Interpreter) {
    unharmed(python, "exceptions");
}

case!(a_crowd_is_answered);
fn a_crowd_is_answered(python: &Interpreter) {
    unharmed(python, "crowd");
}

case!(a_crowd_is_answered_by_walks);
fn a_crowd_is_answered_by_walks(python: &Interpreter) {
    unharmed(python, "walks");
}

case!(forks_and_signals);
fn forks_and_signals(python: &Interpreter) {
    unharmed(python, "forks");
}

case!(threads_left_behind_by_fork);
fn threads_left_behind_by_fork(python: &Interpreter) {
    unharmed(python, "left_behind");
}

case!(fork_in_a_signal_handler);
fn fork_in_a_signal_handler(python: &Interpreter) {
    unharmed(python, "handler");
}

case!(threading_after_fork);
fn threading_after_fork(python: &Interpreter) {
    unharmed(python, "threading_after_fork");
}

case!(another_thread_imports);
fn another_thread_imports(python: &Interpreter) {
    unharmed(python, "importing");
}

case!(signal_handlers_stay);
/// gdb's call faults on the agent's thread, which must not cost the program its handler.
fn signal_handlers_stay(python: &Interpreter) {
    let program = woken_target(python, "faults.py", &[]);
    let pid = program.pid();
    let before = status(pid, "SigCgt");
    let caught = u64::from_str_radix(&before, 16).expect("a mask");
    assert_ne!(
        caught & 1 << (11 - 1),
        0,
        "SIGSEGV is not handled: {before}"
    );
    for _ in 0..3 {
        state(pid);
        assert_eq!(status(pid, "SigCgt"), before);
    }
}

case!(signal_handlers_stay_by_hand);
/// A debugger's call on the agent's own thread ends in a fault. Asleep, the thread blocks the signals of faults: it must
/// not block them then, and must block them again once the debugger has gone.
fn signal_handlers_stay_by_hand(python: &Interpreter) {
    let program = woken_target(python, "faults.py", &[]);
    let pid = program.pid();
    let caught = status(pid, "SigCgt");
    let thread = thread_named(pid, PARKED_THREAD).expect("an agent");
    settle(pid);
    let blocked = status(thread, "SigBlk");
    for _ in 0..3 {
        let text = manual_state(thread);
        assert!(text.starts_with(THREAD_HEADING), "{text}");
        assert_eq!(status(pid, "SigCgt"), caught);
        wait_until("the thread sleeps as before", || {
            status(thread, "SigBlk") == blocked
        });
        state(pid);
    }
}

case!(awaited_faults_stay);
/// A program may block the signals of faults in all its threads, and wait for them: the agent's thread takes none, as
/// the kernel would end the program for it.
fn awaited_faults_stay(python: &Interpreter) {
    // Each signal stays open for a moment. A forked child does the same, and so does a program that has been asked.
    let code = "import ctypes, os, sys, time
libc = ctypes.CDLL(None)
def await_all():
    for number in (4, 5, 7, 8, 11):
        mask = (ctypes.c_ulong * 16)(1 << (number - 1))
        libc.pthread_sigmask(0, mask, None)
        os.kill(os.getpid(), number)
        time.sleep(.1)
        if libc.sigtimedwait(mask, None, (ctypes.c_long * 2)(1, 0)) != number:
            os._exit(1)
def say(line):
    sys.stdout.write(line + chr(10))
    sys.stdout.flush()
say('ready')
await_all()
say('awaited')
sys.stdin.readline()
await_all()
child = os.fork()
if not child:
    await_all()
    os._exit(0)
if os.waitpid(child, 0)[1]:
    os._exit(2)
os._exit(7)";
    let mut program = woken_code(python, code, &[]);
    program.wait_line("awaited");
    for via in WAYS {
        activate(["--via", via, &program.pid().to_string()]).expect_code(0);
    }
    settle(program.pid());
    program.say("");
    let ended = program.end();
    assert_eq!(ended.err(), "");
    ended.expect_code(7);
}

case!(ends_while_first_asked);
/// At the first question the agent compiles its Python text, and then lets others run. The interpreter may end
/// then, and the agent must leave it alone.
fn ends_while_first_asked(python: &Interpreter) {
    for _ in 0..8 {
        let program = woken_target(python, "ends_asked.py", &[]);
        // Whether an answer still comes is a matter of luck.
        activate([
            "--via",
            "wake",
            "--format",
            "full",
            &program.pid().to_string(),
        ]);
        let ended = program.end();
        assert_eq!(ended.err(), "");
        ended.expect_code(7);
    }
}

case!(nothing_stays_imported);
/// Nothing stays, even in a program that has imported next to nothing.
fn nothing_stays_imported(python: &Interpreter) {
    let mut command = preloaded_python(python);
    let ask = "import sys, ctypes; before = set(sys.modules); \
               ctypes.CDLL(None).sleeper_agent_state(); print(sorted(set(sys.modules) - before))";
    let ended = run_within(command.args(["-S", "-c", ask]), Duration::from_secs(60));
    assert_eq!(ended.err(), "");
    assert_eq!(ended.out(), "[]\n");
}
