//! Faults inside the agent: the system refuses it what it needs, its worker ends, its snippet
//! raises. Each question ends in an answer or in one clear line, and the next one is answered.

use protocol::names::{DEADLINE_VARIABLE, THREAD_HEADING};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tests::ask::{
    WALK_HEADING, activate, activator, answer_by_wake, preloaded, preloaded_python, state, target,
    woken,
};
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::{PATIENCE, Program, run, wait_until};
use tests::procfs::{self, agents, thread_names};
use tests::product::product;
use tests::scratch::Scratch;
use tests::{case, plain_case};

/// `faulty.py KIND`, with the resources that are refused from the start.
fn faulty(python: &Interpreter, folder: &Scratch, kind: &[&str], refused: &str) -> Command {
    let refuse = compile("refuse.c", folder, &["-shared", "-fPIC"]);
    let both = [&refuse, &product().library].map(|path| path.display().to_string());
    let mut command = target(python, "faulty.py");
    command
        .args(kind)
        .env("LD_PRELOAD", both.join(":"))
        .env("REFUSE", refused);
    command
}

/// The target checks its answers itself and ends as usual.
#[track_caller]
fn goes_on(program: Program) {
    let ended = program.ends_well();
    assert!(ended.out().ends_with("ready\nwent on\n"), "{ended:?}");
}

/// The target does so; a last question from outside is answered as usual.
#[track_caller]
fn recovers(mut command: Command, kind: &str) {
    command.arg(kind).env(DEADLINE_VARIABLE, "0.5");
    let program = Program::start(&mut command).ready();
    let text = state(program.pid());
    assert!(text.starts_with(THREAD_HEADING), "{text:.1000}");
    assert!(
        text.contains(", in <module>\n    sys.stdin.readline()\n"),
        "{text:.1000}"
    );
    goes_on(program);
}

#[track_caller]
fn recovers_from_refusal(python: &Interpreter, kind: &str) {
    let folder = Scratch::new();
    recovers(faulty(python, &folder, &[], ""), kind);
}

/// Checks that a text was read from memory, for this reason.
#[track_caller]
fn is_walk(text: &str, why: &str) {
    let first = text.lines().next().unwrap_or_default();
    assert!(first.starts_with(WALK_HEADING), "{text}");
    assert!(first.contains(why), "{text}");
    assert!(text.contains(", in <module>\n"), "{text}");
}

case!(no_thread, Compiler);
/// The thread that sleeps is refused at every stack size.
fn no_thread(python: &Interpreter) {
    let folder = Scratch::new();
    let mut command = faulty(python, &folder, &["no_thread"], "thread:0:2");
    let program = Program::start(&mut command).ready();
    for _ in 0..2 {
        let ended = activate([program.pid()]);
        ended.expect_code(0);
        is_walk(
            &ended.out(),
            "the agent could not start its thread (EAGAIN: ",
        );
    }
    assert_eq!(agents(program.pid()), 0);
    goes_on(program);
}

case!(no_thread_at_first, Compiler);
/// A thread with a large stack is refused, one with a smaller stack is not.
fn no_thread_at_first(python: &Interpreter) {
    let folder = Scratch::new();
    // The first thread is the one that sleeps. Then come the worker, and the reader: without it the worker reads
    // files itself. Then, asked by gdb, the bell's answerer: without it the sleeping thread asks.
    for refused in [
        "thread:0:1",
        "thread:1:2",
        "thread:2:1",
        "thread:2:2",
        "thread:3:1",
        "thread:3:2",
    ] {
        recovers(faulty(python, &folder, &[], refused), "no_thread_at_first");
    }
}

case!(asked_while_it_starts, Compiler);
/// The sleeping thread runs before the one that starts it goes on.
fn asked_while_it_starts(python: &Interpreter) {
    let folder = Scratch::new();
    let mut command = faulty(python, &folder, &["asked_from_outside"], "late:0:1");
    let program = Program::start(&mut command);
    procfs::wait_agent(program.pid());
    activate(["--via", "gdb", &*program.pid().to_string()]).expect_code(0);
    goes_on(program.ready());
}

case!(no_worker, Compiler);
/// The worker is refused at every stack size: the first answer says so, the next one comes as usual.
fn no_worker(python: &Interpreter) {
    let folder = Scratch::new();
    recovers(faulty(python, &folder, &[], "thread:1:3"), "no_worker");
}

case!(only_the_sleeping_thread, Compiler);
/// No thread can be started when the agent is asked: the one that sleeps answers itself, by both ways.
fn only_the_sleeping_thread(python: &Interpreter) {
    let folder = Scratch::new();
    let mut command = faulty(python, &folder, &["asked_from_outside"], "thread:1:-1");
    let program = Program::start(&mut command).ready();
    let before = procfs::descriptors(program.pid());
    for via in ["gdb", "wake", "gdb", "wake"] {
        let ended = activate(["--via", via, &*program.pid().to_string()]);
        ended.expect_code(0);
        is_walk(
            &ended.out(),
            "the agent could not start its worker (EAGAIN: ",
        );
        // The command may have the answer before the agent has closed its socket.
        wait_until("nothing of the question is left", || {
            let pid = program.pid();
            thread_names(pid).len() == 2 && procfs::descriptors(pid) == before
        });
    }
    goes_on(program);
}

case!(no_thread_in_child, Compiler);
fn no_thread_in_child(python: &Interpreter) {
    recovers_from_refusal(python, "no_thread_in_child");
}

/// A user without any processes.
const SOMEBODY: &str = "54321";

case!(too_many_processes, Root);
fn too_many_processes(python: &Interpreter) {
    let mut command = target(python, "faulty.py");
    let program = Program::start(command.args(["no_thread_for_real", SOMEBODY])).ready();
    goes_on(program);
}

case!(memory_taken_meanwhile, Compiler);
/// A thread of the program's takes the memory that there was when the answer was begun. The agent's small allocations
/// come from its reserve: where one fails, Rust's standard library ends the process.
fn memory_taken_meanwhile(python: &Interpreter) {
    let folder = Scratch::new();
    let hog = compile("hog.c", &folder, &["-shared", "-fPIC", "-pthread"]);
    let mut command = target(python, "single.py");
    let both = format!("{}:{}", product().library.display(), hog.display());
    command
        .arg("sleeping")
        .env("LD_PRELOAD", both)
        .env("HOG_MEGABYTES", "12");
    // One heap for all threads.
    command.env("MALLOC_ARENA_MAX", "1");
    let program = woken(&mut command);
    let (mut answered, mut asked) = (0, 0);
    while !program.out().contains("sated\n") {
        assert!(
            !program.has_ended(),
            "after {asked} questions: {}",
            program.err()
        );
        let mut activator = activator(["--via", "wake", "--format", "json", "--timeout", "3"]);
        answered += usize::from(
            run(activator.arg(program.pid().to_string()))
                .status
                .success(),
        );
        asked += 1;
    }
    assert!(asked > 20, "{asked}");
    // Many of them from memory, for that reason. But each has been sent.
    assert_eq!(answered, asked);
    let text = answer_by_wake(program.pid());
    assert!(text.contains(", in sleeping\n"), "{text}");
    program.signal(libc::SIGTERM);
    let mut program = program;
    program.end_within(PATIENCE).expect_code(7);
}

case!(little_address_space, OnlyOne);
/// From the smallest limit at which the program starts up to one where all is as usual: the agent
/// says what it lacks, and the program has what it needs.
fn little_address_space(python: &Interpreter) {
    let start = |kilobytes: u64| {
        let mut command = preloaded_python(python);
        let code = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); \
                    sys.stdin.readline(); sys.stdout.write('went on\\n'); sys.exit(7)";
        command.args(["-S", "-c", code]);
        let limit = libc::rlimit {
            rlim_cur: kilobytes << 10,
            rlim_max: kilobytes << 10,
        };
        // SAFETY: a plain system call, which a forked child may make.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        Program::start(&mut command)
    };
    let runs = |kilobytes: u64| {
        let mut program = start(kilobytes);
        program.end_within(PATIENCE).out().starts_with("ready\n")
    };
    let (mut too_little, mut enough) = (0, 1 << 20);
    while enough - too_little > 64 {
        let middle = (too_little + enough) / 2;
        if runs(middle) {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    let mut short_of_memory = 0;
    let mut as_usual = 0;
    while as_usual < 2 {
        let mut program = start(enough);
        wait_until("it is ready or has ended", || {
            program.out() == "ready\n" || program.has_ended()
        });
        if program.has_ended() {
            // The program lacked memory that the agent had taken, and says so: no crash.
            program.end_within(PATIENCE).expect_code(1);
        } else {
            let ended = activate([program.pid()]);
            ended.expect_code(0);
            let text = ended.out();
            assert!(text.contains(", in <module>\n"), "{enough} kB: {text}");
            if text.starts_with(WALK_HEADING) {
                short_of_memory += 1;
            } else {
                as_usual += 1;
            }
            let ended = program.ends();
            // The program itself says what it lacks.
            let said = ended.err();
            assert!(
                said.is_empty() || said.contains("MemoryError"),
                "{enough} kB: {said}"
            );
        }
        enough += 256;
    }
    assert!(short_of_memory > 0, "the agent always had all it wanted");
}

case!(little_memory);
fn little_memory(python: &Interpreter) {
    recovers(target(python, "faulty.py"), "little_memory");
}

case!(no_page, Compiler);
fn no_page(python: &Interpreter) {
    let folder = Scratch::new();
    goes_on(Program::start(&mut faulty(python, &folder, &["no_page"], "")).ready());
}

case!(no_copy, Compiler);
fn no_copy(python: &Interpreter) {
    recovers_from_refusal(python, "no_copy");
}

case!(no_readv, Compiler);
/// A system call filter may refuse process_vm_readv; the walk then reads /proc/self/mem.
fn no_readv(python: &Interpreter) {
    recovers_from_refusal(python, "no_readv");
}

case!(broken_before);
fn broken_before(python: &Interpreter) {
    recovers(target(python, "faulty.py"), "broken_before");
}

case!(broken_between);
fn broken_between(python: &Interpreter) {
    recovers(target(python, "faulty.py"), "broken_between");
}

case!(nonsense_module);
fn nonsense_module(python: &Interpreter) {
    recovers(target(python, "faulty.py"), "nonsense_module");
}

case!(worker_exits);
fn worker_exits(python: &Interpreter) {
    recovers(target(python, "faulty.py"), "worker_exits");
}

/// A program that claims this version of Python but is not a supported interpreter.
#[track_caller]
fn stays_dormant(version: &str, why: &str) {
    let folder = Scratch::new();
    let version = format!("-DVERSION=\"{version}\"");
    let likeness = compile("likeness.c", &folder, &["-rdynamic", &version]);
    let program = Program::start(&mut preloaded(likeness)).ready();
    let line = format!("the agent stays dormant: {why}\n");
    assert_eq!(program.out(), format!("{line}{line}ready\n"));
    assert_eq!(thread_names(program.pid()).len(), 1);
    let ended = activate([program.pid()]);
    ended.expect_refusal(1, &[&line]);
    program.ends_well();
}

plain_case!(likeness_of_2_7, Compiler);
fn likeness_of_2_7() {
    stays_dormant("2.7.99", "this Python does not export Py_AddPendingCall");
}

plain_case!(likeness_of_3_8, Compiler);
fn likeness_of_3_8() {
    stays_dormant(
        "3.8.1",
        "only CPython 2.6 and 2.7 are supported, and this is another",
    );
}

case!(worker_exits_unrevived, Compiler);
/// The next worker is refused at first.
fn worker_exits_unrevived(python: &Interpreter) {
    recovers_from_refusal(python, "worker_exits_unrevived");
}

case!(worker_ends_itself, NoDebug);
/// The worker ends by `pthread_exit`, which unwinds the thread through our frames.
fn worker_ends_itself(python: &Interpreter) {
    recovers(target(python, "faulty.py"), "worker_ends_itself");
}

case!(panics, NoDebug);
fn panics(python: &Interpreter) {
    let mut command = target(python, "faulty.py");
    // It panics where the environment says so.
    command.env("LD_PRELOAD", product().library_with("panics"));
    recovers(command, "panics");
}

/// The same command on a system without libgcc_s: something that is no library stands where the loader looks first.
fn without_unwinder(mut command: Command, folder: &Scratch) -> Command {
    folder.write("libgcc_s.so.1", "no library");
    let before = command.get_envs().find(|one| one.0 == "LD_LIBRARY_PATH");
    let before = before.and_then(|one| one.1).unwrap_or_default();
    let folders = [folder.as_os_str(), before].join(OsStr::new(":"));
    command.env("LD_LIBRARY_PATH", folders);
    command
}

case!(without_an_unwinder);
/// The agent works as elsewhere.
fn without_an_unwinder(python: &Interpreter) {
    let folder = Scratch::new();
    let program = Program::start(&mut without_unwinder(target(python, "shop.py"), &folder));
    wait_until("the agent sleeps", || agents(program.pid()) == 1);
    for options in [
        &["--via", "gdb"][..],
        &["--via", "wake"],
        &[
            "--via",
            "wake",
            "--format",
            "full",
            "--locals",
            "--greenlets",
        ],
    ] {
        let pid = program.pid().to_string();
        let ended = activate(options.iter().copied().chain([&*pid]));
        ended.expect_code(0);
        let out = ended.out();
        assert!(
            out.contains(", in bookkeeper\n") && !out.contains(WALK_HEADING),
            "{out}"
        );
    }
    assert!(!procfs::read(program.pid(), "maps").contains("libgcc_s"));
}

case!(panics_without_an_unwinder);
fn panics_without_an_unwinder(python: &Interpreter) {
    let folder = Scratch::new();
    let mut command = without_unwinder(target(python, "faulty.py"), &folder);
    command.env("LD_PRELOAD", product().library_with("panics"));
    recovers(command, "panics");
}
