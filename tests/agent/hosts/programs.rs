//! Programs of every kind carry on and end as they would without the agent, and their children answer
//! too.

use tests::ask::{
    WALK_HEADING, bare_target, manual_gdb, manual_state, preloaded_python, state, target,
    threads_told, woken_target,
};
use tests::case;
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::{Program, run, wait_until};
use tests::procfs::{agents, descriptors, settle, status, thread_names, wait_agent};
use tests::scratch::Scratch;

case!(fifty_threads);
fn fifty_threads(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["50", "20"]);
    for text in [state(program.pid()), manual_state(program.pid())] {
        assert_eq!(threads_told(&text), 51, "{text}");
        assert_eq!(text.matches(", in deep_down\n").count(), 50 * 20);
        assert_eq!(text.matches("    gate.acquire()\n").count(), 50);
        let idents: Vec<u64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("### Thread ")?.strip_suffix(':'))
            .map(|ident| ident.parse().unwrap())
            .collect();
        assert!(idents.is_sorted(), "{idents:?}");
    }
    let ended = program.ends_well();
    assert_eq!(ended.out(), "ready\n50 threads joined\n");
}

/// Activates a single-threaded program repeatedly, then ends it with a signal that only its main
/// thread handles.
fn single(python: &Interpreter, what: &str, times: usize) {
    let program = woken_target(python, "single.py", &[what]);
    for _ in 0..times {
        let text = state(program.pid());
        assert_eq!(threads_told(&text), 1, "{text}");
        assert!(text.contains(&format!(", in {what}\n")), "{text}");
    }
    program.handles_sigterm();
}

case!(single_sleeping);
fn single_sleeping(python: &Interpreter) {
    single(python, "sleeping", 5);
}

case!(single_busy);
fn single_busy(python: &Interpreter) {
    single(python, "busy", 10);
}

case!(single_allocating);
fn single_allocating(python: &Interpreter) {
    single(python, "allocating", 50);
}

case!(single_raising);
fn single_raising(python: &Interpreter) {
    single(python, "raising", 20);
}

case!(busy_threads);
fn busy_threads(python: &Interpreter) {
    let program = woken_target(python, "busy_threads.py", &[]);
    for _ in 0..5 {
        let text = state(program.pid());
        assert_eq!(threads_told(&text), 4, "{text}");
        assert_eq!(text.matches(", in count_up\n").count(), 3, "{text}");
    }
    let ended = program.ends_well();
    assert_eq!(ended.out(), "ready\nall stopped\n");
}

case!(busy_by_manual_gdb);
/// A manual gdb stops the program anywhere, mostly where the very thread that gdb calls on holds the
/// GIL. The answer comes all the same, and says how it was obtained.
fn busy_by_manual_gdb(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["allocating"]);
    let mut walks = 0;
    for _ in 0..10 {
        let text = manual_gdb(program.pid());
        assert!(text.contains(", in allocating\n"), "{text}");
        if let Some(start) = text.find(WALK_HEADING) {
            walks += 1;
            let line = text[start..].lines().next().unwrap();
            // If it stops between giving up its thread state and releasing the GIL, the thread
            // cannot be recognised as the holder: then the deadline passes.
            assert!(
                line.contains("holds the GIL") || line.contains("the GIL was not released"),
                "{text}"
            );
            assert!(text.contains("single.py\", line "), "{text}");
        }
    }
    assert!(walks > 0, "the GIL was never held: the case tests nothing");
    program.handles_sigterm();
}

case!(signals_reach_the_main_thread);
fn signals_reach_the_main_thread(python: &Interpreter) {
    for what in ["sleeping", "busy"] {
        for _ in 0..3 {
            let program = woken_target(python, "single.py", &[what]);
            state(program.pid());
            program.handles_sigterm();
        }
    }
}

case!(asleep_holds_nothing);
/// The same program with and without the agent differs in one thread and nothing else.
fn asleep_holds_nothing(python: &Interpreter) {
    let mut plain = bare_target(python, "threads.py");
    let plain = Program::start(plain.args(["1", "1"])).ready();
    let agent = woken_target(python, "threads.py", &["1", "1"]);
    settle(plain.pid());
    state(agent.pid());
    settle(agent.pid());
    let numbers = |pid: i32| -> Vec<String> {
        let list = descriptors(pid).into_iter();
        list.map(|one| one.split(" -> ").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(numbers(agent.pid()), numbers(plain.pid()));
    assert_eq!(
        thread_names(agent.pid()).len(),
        thread_names(plain.pid()).len() + 1
    );
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        let (one, other) = (agent.pid(), plain.pid());
        assert_eq!(status(one, set), status(other, set), "{set}");
    }
}

/// Starts a program with children and asks them, each more than once, and the parent as well.
fn children(python: &Interpreter, how: &str, count: usize) -> Program {
    let program = Program::start(target(python, "forking.py").arg(how)).ready();
    for line in program.wait_lines("child ", count) {
        let child: i32 = line.parse().unwrap();
        wait_agent(child);
        for _ in 0..2 {
            let text = state(child);
            assert!(text.contains(", in in_the_child\n"), "{text}");
            // Python 2 itself would still count the threads that only the parent has.
            assert_eq!(threads_told(&text), 1, "{text}");
            assert_eq!(agents(child), 1);
        }
        let text = manual_state(child);
        assert!(text.contains(", in in_the_child\n"), "{text}");
    }
    program
}

fn with_children(python: &Interpreter, how: &str, count: usize) {
    let program = children(python, how, count);
    let text = state(program.pid());
    assert!(text.contains(", in main\n"), "{text}");
    let ended = program.ends_well();
    assert!(ended.out().ends_with("the parent went on\n"), "{ended:?}");
}

case!(fork);
fn fork(python: &Interpreter) {
    with_children(python, "fork", 1);
}

case!(fork_from_a_thread);
fn fork_from_a_thread(python: &Interpreter) {
    with_children(python, "thread", 1);
}

case!(child_of_a_thread_ends_with_it);
/// In the child the forking thread is the program's only thread, and the child ends with it, unless
/// it has started another.
fn child_of_a_thread_ends_with_it(python: &Interpreter) {
    let folder = Scratch::new();
    let code = "
import os, sys, threading, time
def last():
    time.sleep(0.2)
    os.write(1, 'the last one\\n')
def forker():
    child = os.fork()
    if child:
        os._exit(os.waitpid(child, 0)[1] and 1 or 7)
    if len(sys.argv) > 1:
        threading.Thread(target=last).start()
threading.Thread(target=forker).start()
";
    let script = folder.write("forker.py", code);
    for (arguments, said) in [(&[][..], ""), (&["more"], "the last one\n")] {
        let ended = run(preloaded_python(python).arg(&script).args(arguments));
        ended.expect_code(7);
        assert_eq!((ended.out().as_str(), ended.err().as_str()), (said, ""));
    }
}

case!(child_asks_itself_at_once);
/// The agent's threads in a child are a moment old when the child asks: no nudge to them may be lost.
fn child_asks_itself_at_once(python: &Interpreter) {
    let folder = Scratch::new();
    let code = "
import ctypes, os, signal, sys
ask = ctypes.CDLL(None).sleeper_agent_state
ask.restype = ctypes.c_char_p
ends = {}
for _ in range(400):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit('in <module>' not in ask() or 7)
    end = os.waitpid(child, 0)[1]
    ends[end] = ends.get(end, 0) + 1
sys.stdout.write('%r\\n' % ends)
";
    let script = folder.write("asks.py", code);
    let ended = run(preloaded_python(python).arg(&script));
    ended.expect_code(0);
    assert_eq!(ended.out(), "{1792: 400}\n");
}

case!(multiprocessing);
fn multiprocessing(python: &Interpreter) {
    with_children(python, "pool", 2);
}

case!(daemon);
fn daemon(python: &Interpreter) {
    let program = Program::start(target(python, "forking.py").arg("daemon")).ready();
    // The listing itself has one descriptor open, the report another; the first three are standard.
    let open = &program.wait_lines("descriptors ", 1)[0];
    assert_eq!(open.split(' ').count(), 5, "descriptors: {open}");
    drop(program);
    with_children(python, "daemon", 1);
}

case!(subprocess);
fn subprocess(python: &Interpreter) {
    with_children(python, "spawn", 1);
}

case!(shell_command);
fn shell_command(python: &Interpreter) {
    with_children(python, "command", 1);
}

case!(exec);
/// After exec, the new program has a fresh agent under the same PID.
fn exec(python: &Interpreter) {
    let program = Program::start(target(python, "forking.py").arg("exec"));
    let pid = program.wait_number("child");
    assert_eq!(pid, program.pid());
    wait_agent(pid);
    let text = state(pid);
    assert!(text.contains(", in in_the_child\n"), "{text}");
    wait_until("one agent", || agents(pid) == 1);
}

case!(short_lived);
/// Two hundred programs that end before the agent has quite started.
fn short_lived(python: &Interpreter) {
    for turn in 0..200 {
        let mut command = preloaded_python(python);
        let code = [
            "pass",
            "print 'hello'",
            "import threading; threading.Thread().start()",
        ];
        let ended = run(command.args(["-c", code[turn % 3]]));
        ended.expect_code(0);
        let expected = if turn % 3 == 1 { "hello\n" } else { "" };
        assert_eq!(ended.out(), expected, "turn {turn}");
        assert_eq!(ended.err(), "", "turn {turn}");
    }
    for _ in 0..20 {
        let ended = run(target(python, "asking.py").arg("short"));
        ended.expect_code(0);
        assert_eq!(ended.out(), "1\n");
        assert_eq!(ended.err(), "");
    }
}

case!(exit_while_asked, Compiler);
/// Threads ask endlessly while the main thread exits.
fn exit_while_asked(python: &Interpreter) {
    let folder = Scratch::new();
    let library = compile("foreign.c", &folder, &["-shared", "-fPIC"]);
    for _ in 0..50 {
        let ended = run(target(python, "asking.py").arg("exit").arg(&library));
        ended.expect_code(7);
        assert_eq!(ended.out(), "leaving\n");
        assert_eq!(ended.err(), "");
    }
}
