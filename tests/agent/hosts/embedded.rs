//! Programs that embed an interpreter: linked with libpython, or loading it late.

use std::path::PathBuf;
use std::process::Command;
use tests::ask::{
    WALK_HEADING, WAYS, activate, answer, loader, manual_gdb, preloaded, state, threads_told,
};
use tests::case;
use tests::compile::compile;
use tests::document::document;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run, wait_until};
use tests::procfs::{agents, settle, wait_agent};
use tests::scratch::Scratch;

/// Waits in Python for a line, with the GIL released.
const WAIT: &str = "run:import sys\n\
    def waiting():\n    sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()\n\
    waiting()";

/// Creates the interpreter's GIL, as every program does that starts a thread.
const THREADS: &str = "run:import thread; thread.start_new_thread(lambda: None, ())";

/// The reason given for a program that embeds the interpreter and has created no GIL: the agent must
/// not create it, as the program would never release it.
const NO_GIL: &str = "has not called PyEval_InitThreads";

/// Defines a function with which the next steps ask from Python, with the GIL released.
const ASK_FROM_PYTHON: &str = "run:import ctypes, sys\n\
    def asking():\n    f = ctypes.CDLL(None).sleeper_agent_state; f.restype = ctypes.c_char_p; \
    sys.stdout.write('[' + f() + ']\\n'); sys.stdout.flush()\n\
    asking()";

struct Embedder {
    folder: Scratch,
    program: PathBuf,
}

impl Embedder {
    fn linked(python: &Interpreter) -> Embedder {
        let folder = Scratch::new();
        let library = python.embeddable.as_ref().unwrap();
        let place = library.parent().unwrap().display();
        let rpath = format!("-Wl,--no-as-needed,-rpath,{place}");
        let library = library.display().to_string();
        let program = compile("embedder.c", &folder, &["-DLINKED", &rpath, &library]);
        Embedder { folder, program }
    }

    fn late() -> Embedder {
        let folder = Scratch::new();
        let program = compile("embedder.c", &folder, &[]);
        Embedder { folder, program }
    }

    fn start(&self, python: &Interpreter, steps: &[&str]) -> Program {
        self.start_as(preloaded(&self.program), python, steps)
    }

    /// Starts it without the library.
    fn start_bare(&self, python: &Interpreter, steps: &[&str]) -> Program {
        self.start_as(command(&self.program), python, steps)
    }

    fn start_as(&self, mut command: Command, python: &Interpreter, steps: &[&str]) -> Program {
        python.equip(&mut command);
        command
            .env("LIBPYTHON", python.embeddable.as_ref().unwrap())
            .env("PYTHONHOME", &python.prefix)
            .current_dir(&*self.folder);
        Program::start(command.args(steps))
    }

    /// Runs the steps to the end and returns the answers.
    #[track_caller]
    fn answers(&self, python: &Interpreter, steps: &[&str]) -> Vec<String> {
        let ended = self.start(python, steps).end();
        ends_well(&ended);
        let out = ended.out();
        let mut answers = Vec::new();
        let mut rest = out.as_str();
        while let Some(start) = rest.find('[') {
            let end = rest.find("]\n").expect("an answer's end");
            answers.push(rest[start + 1..end].to_owned());
            rest = &rest[end + 2..];
        }
        answers
    }
}

#[track_caller]
fn ends_well(ended: &Ended) {
    ended.expect_code(7);
    assert!(ended.out().ends_with("done\n"), "{ended:?}");
    assert_eq!(ended.err(), "");
}

/// Checks that an answer is one line with these words, not a state.
#[track_caller]
fn line(answer: &str, words: &str) {
    assert!(answer.contains(words), "no {words:?} in {answer:?}");
    assert!(!answer.contains("### "), "{answer:?}");
    assert_eq!(answer.matches('\n').count(), 1, "{answer:?}");
    assert!(answer.ends_with('\n'), "{answer:?}");
}

case!(linked, SharedLibrary);
fn linked(python: &Interpreter) {
    let embedder = Embedder::linked(python);
    let steps = ["init", THREADS, WAIT];
    let program = embedder.start(python, &steps).ready();
    for _ in 0..3 {
        let text = state(program.pid());
        assert_eq!(threads_told(&text), 1, "{text}");
        assert!(text.contains(", in waiting\n"), "{text}");
    }
    ends_well(&program.end());
}

case!(linked_with_other_threads, SharedLibrary);
/// A program whose main thread continues in C, with or without having created the GIL, is not locked
/// out of its interpreter by a GIL that the agent created.
fn linked_with_other_threads(python: &Interpreter) {
    let embedder = Embedder::linked(python);
    let code = "thread:import sys; sys.stdout.write('called back\\n'); sys.stdout.flush()";
    for before in [&["init", "run:x = 1", "let-go"][..], &["init", "run:x = 1"]] {
        // In 2.6 PyGILState_Ensure creates no GIL, and the program crashes, agent or not.
        if python.version == (2, 6) && !before.contains(&"let-go") {
            continue;
        }
        let steps: Vec<&str> = before.iter().copied().chain([code]).collect();
        let ended = embedder.start(python, &steps).end();
        ends_well(&ended);
        assert_eq!(ended.out(), "called back\ndone\n");
    }
}

case!(linked_single_threaded, SharedLibrary);
/// The agent reads a single-threaded program from memory, however often it is asked, and leaves
/// it without a GIL.
fn linked_single_threaded(python: &Interpreter) {
    let embedder = Embedder::linked(python);
    let steps = ["init", WAIT, "ask", WAIT];
    let mut program = embedder.start(python, &steps).ready();
    for _ in 0..2 {
        for _ in 0..3 {
            let ended = activate([program.pid()]);
            ended.expect_code(0);
            let text = ended.out();
            let first = text.lines().next().unwrap();
            assert!(
                first.starts_with(WALK_HEADING) && first.contains(NO_GIL),
                "{text}"
            );
            assert_eq!(threads_told(&text), 1, "{text}");
            assert!(text.contains(", in waiting\n"), "{text}");
        }
        program.say("");
        program.wait_lines("ready", 2);
    }
    ends_well(&program.end());
}

case!(linked_asked_before_and_after, SharedLibrary);
fn linked_asked_before_and_after(python: &Interpreter) {
    let answers = Embedder::linked(python).answers(
        python,
        &[
            "ask",
            "ask-thread",
            "init",
            "ask",
            ASK_FROM_PYTHON,
            "finalize",
            "ask",
            "ask-thread",
        ],
    );
    assert_eq!(answers.len(), 6, "{answers:?}");
    line(&answers[0], "the interpreter is not initialised yet");
    line(&answers[1], "the interpreter is not initialised yet");
    // The main thread holds the GIL and has no frame: the answer says so and does not guess.
    assert_ne!(answers[2].trim(), "");
    assert!(answers[3].starts_with("### Thread "), "{}", answers[3]);
    assert!(answers[3].contains(", in asking\n"), "{}", answers[3]);
    for answer in &answers[4..] {
        assert!(
            answer.contains("shut down") || answer.contains("shutting down"),
            "{answer:?}"
        );
        assert!(!answer.contains("### "));
    }
}

case!(linked_initialized_again, SharedLibrary);
fn linked_initialized_again(python: &Interpreter) {
    let again = ["init", ASK_FROM_PYTHON, "finalize", "ask"].repeat(3);
    let answers = Embedder::linked(python).answers(python, &again);
    assert_eq!(answers.len(), 6, "{answers:?}");
    for turn in 0..3 {
        let text = &answers[2 * turn];
        assert!(text.starts_with("### Thread "), "turn {turn}: {text}");
        assert!(text.contains(", in asking\n"), "turn {turn}: {text}");
        assert!(!answers[2 * turn + 1].contains("### "));
    }
    // From outside too, after the second Py_Initialize.
    let steps = [
        "init", "run:pass", "finalize", "init", THREADS, WAIT, "finalize",
    ];
    let embedder = Embedder::linked(python);
    let program = embedder.start(python, &steps).ready();
    wait_agent(program.pid());
    assert!(state(program.pid()).contains(", in waiting\n"));
    assert_eq!(agents(program.pid()), 1);
    ends_well(&program.end());
}

fn loaded_late(python: &Interpreter, how: &str) {
    let embedder = Embedder::late();
    let steps = ["ask", how, "ask", "init", "ask", "run:pass", THREADS, WAIT];
    let program = embedder.start(python, &steps).ready();
    let out = program.out();
    let answers: Vec<&str> = out.split("]\n").collect();
    line(&answers[0][1..], "not a Python process");
    line(&answers[1][1..], "the interpreter is not initialised yet");
    // The first question that finds the interpreter running arms the boot.
    assert_ne!(answers[2], "[");
    // The next questions are answered as usual.
    wait_agent(program.pid());
    let text = state(program.pid());
    assert_eq!(threads_told(&text), 1, "{text}");
    assert!(text.contains(", in waiting\n"), "{text}");
    assert_eq!(agents(program.pid()), 1);
    ends_well(&program.end());
}

case!(loaded_late_global, SharedLibrary);
fn loaded_late_global(python: &Interpreter) {
    loaded_late(python, "load-global");
}

case!(loaded_late_local, SharedLibrary);
fn loaded_late_local(python: &Interpreter) {
    loaded_late(python, "load-local");
}

case!(loaded_late_asked_by_gdb, SharedLibrary);
/// Nobody in the program asks: the first question comes by gdb, in the middle of Python code.
fn loaded_late_asked_by_gdb(python: &Interpreter) {
    let steps = [
        "load-local",
        "init",
        "run:import sys, time\n\
         def turning():\n    end = time.time() + 60\n    \
         while time.time() < end and not asked(): pass\n\
         def asked():\n    import os\n    \
         return 'sleeper-agent\\n' in [open('/proc/self/task/%s/comm' % t).read() for t in os.listdir('/proc/self/task')]\n\
         sys.stdout.write('ready\\n'); sys.stdout.flush()\n\
         turning()",
        THREADS,
        WAIT,
    ];
    let embedder = Embedder::late();
    let program = embedder.start(python, &steps).ready();
    let first = manual_gdb(program.pid());
    assert!(
        first.contains(WALK_HEADING) && first.contains(", in turning\n"),
        "{first}"
    );
    // That question armed the boot; the interpreter's next bytecodes have run it.
    wait_agent(program.pid());
    program.wait_lines("ready", 2);
    let text = state(program.pid());
    assert!(text.contains(", in waiting\n"), "{text}");
    ends_well(&program.end());
}

case!(loaded_late_many_questions, SharedLibrary);
fn loaded_late_many_questions(python: &Interpreter) {
    // A hundred questions before a single bytecode has run arm the boot once, and do no harm.
    let mut steps = vec!["load-global", "init-bare"];
    steps.extend(["ask"; 100]);
    steps.extend(["run:pass", ASK_FROM_PYTHON]);
    let embedder = Embedder::late();
    let answers = embedder.answers(python, &steps);
    assert_eq!(answers.len(), 101);
    let last = &answers[100];
    assert!(last.starts_with("### Thread "), "{last}");
    assert!(last.contains(", in asking\n"), "{last}");
    // A program without an interpreter stays unchanged.
    let ended = run(preloaded(&embedder.program).arg("ask"));
    ended.expect_code(7);
}

/// Lets go of the GIL and stays in C.
const IDLE: [&str; 2] = ["let-go", "pause"];

/// The same as [`WAIT`], on another thread.
fn wait_beside() -> String {
    WAIT.replace("run:", "thread:")
}

case!(idle, SharedLibrary);
/// No thread runs Python code: the threads are shown as the kernel sees them, by both ways in.
fn idle(python: &Interpreter) {
    let embedder = Embedder::linked(python);
    let mut program = embedder.start(python, &["init", IDLE[0], IDLE[1]]).ready();
    wait_agent(program.pid());
    is_shown_idle(program.pid());
    program.say("");
    ends_well(&program.end());
}

#[track_caller]
fn is_shown_idle(pid: i32) {
    for options in [&[][..], &["--format", "full"], &["--via", "wake"]] {
        let text = answer(pid, options);
        assert!(
            text.contains("\nNo stacks: no thread is running Python code at the moment\n"),
            "{text}"
        );
        let heading = format!("\n### TID {pid} \"embedder\": in read");
        assert!(text.contains(&heading), "{text}");
        assert_eq!(text.matches("### ").count(), 1, "{text}");
    }
    let document = document(pid, "gdb");
    assert_eq!(document["threads"].as_array().map(Vec::len), Some(0));
    let others = document["other_threads"].as_array().expect("a list");
    assert_eq!(others.len(), 1, "{others:?}");
    assert_eq!(others[0]["tid"], pid);
    assert_eq!(others[0]["system_call"], "read");
}

#[track_caller]
fn load(pid: i32) -> Ended {
    let ended = run(&mut loader([pid]));
    ended.expect_code(0);
    // The thread that has loaded it may still be there.
    settle(pid);
    ended
}

/// The agent answers in full by both ways in, and there is one.
#[track_caller]
fn answers_in_full(pid: i32) {
    for via in WAYS {
        let text = answer(pid, &["--format", "full", "--via", via]);
        assert!(text.contains(", in waiting\n"), "{via}: {text}");
        assert!(!text.contains("Read from memory"), "{via}: {text}");
    }
    // A new thread of the agent's has the name of the one that has started it, at first.
    wait_until("it has one agent", || agents(pid) == 1);
}

case!(idle_and_loaded, SharedLibrary);
/// The same in programs that were started without the library.
fn idle_and_loaded(python: &Interpreter) {
    for (embedder, first) in [
        (Embedder::linked(python), "init"),
        (Embedder::late(), "load-global"),
        (Embedder::late(), "load-local"),
    ] {
        let wait = wait_beside();
        let steps = [first, "init", IDLE[0], IDLE[1], &wait];
        let steps = &steps[usize::from(first == "init")..];
        let mut program = embedder.start_bare(python, steps).ready();
        assert_eq!(load(program.pid()).err(), "");
        is_shown_idle(program.pid());
        program.say("");
        program.wait_lines("ready", 2);
        answers_in_full(program.pid());
        ends_well(&program.end());
    }
}

case!(borrowed_and_loaded, SharedLibrary);
/// A thread state that belongs to no thread by its identifier is not taken for a dead thread's.
fn borrowed_and_loaded(python: &Interpreter) {
    let embedder = Embedder::linked(python);
    let wait = WAIT.replace("run:", "borrowed:");
    let mut program = embedder
        .start_bare(python, &["init", "let-go", &wait])
        .ready();
    assert_eq!(load(program.pid()).err(), "");
    for via in WAYS {
        let text = answer(program.pid(), &["--via", via]);
        assert!(text.contains(", in waiting\n"), "{via}: {text}");
    }
    program.say("");
    ends_well(&program.end());
}

case!(loaded_too_late, SharedLibrary);
/// The library was there before libpython, and nobody has asked before there were threads: `sa-load` has the agent begin.
fn loaded_too_late(python: &Interpreter) {
    for first in ["load-global", "load-local"] {
        let embedder = Embedder::late();
        let program = embedder
            .start(python, &[first, "init", THREADS, WAIT])
            .ready();
        let text = activate([program.pid()]).out();
        let why = "the agent came too late into this process";
        assert!(
            text.starts_with(WALK_HEADING) && text.contains(why),
            "{text}"
        );
        assert_eq!(load(program.pid()).err(), "");
        answers_in_full(program.pid());
        ends_well(&program.end());
    }
}

case!(without_a_gil_and_loaded, SharedLibrary);
/// An embedder without a GIL gets none, as it would never let go of it: its answers are read from memory.
fn without_a_gil_and_loaded(python: &Interpreter) {
    for first in ["load-global", "load-local"] {
        let embedder = Embedder::late();
        let program = embedder.start_bare(python, &[first, "init", WAIT]).ready();
        let said = load(program.pid()).err();
        assert!(said.contains("read from memory"), "{said}");
        let ended = activate([program.pid()]);
        ended.expect_code(0);
        let text = ended.out();
        assert!(
            text.starts_with(WALK_HEADING) && text.contains(", in waiting\n"),
            "{text}"
        );
        ends_well(&program.end());
    }
}
