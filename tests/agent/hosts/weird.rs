//! Stacks that are hard to read, and programs that are hard to serve.

use protocol::names::DEADLINE_VARIABLE;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{
    WALK_HEADING, activate, manual_gdb, state, target, threads_told, woken, woken_target,
};
use tests::case;
use tests::compile::compile;
use tests::gil::keeps_the_gil_for_six_seconds;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run};
use tests::procfs::{settle, tasks, thread_names};
use tests::scratch::Scratch;

fn goes_on(program: Program) {
    let ended = program.ends_well();
    assert!(ended.out().ends_with("went on\n"), "{ended:?}");
}

case!(recursion_just_told_whole);
fn recursion_just_told_whole(python: &Interpreter) {
    let program = woken_target(python, "weird.py", &["recursion", "9000"]);
    settle(program.pid());
    let text = state(program.pid());
    assert_eq!(text.matches(", in descend\n").count(), 9000);
    assert!(!text.contains("left out"), "nothing is to be cut");
    goes_on(program);
}

case!(recursion_cut_in_the_middle);
fn recursion_cut_in_the_middle(python: &Interpreter) {
    let program = woken_target(python, "weird.py", &["recursion", "15000"]);
    settle(program.pid());
    let text = state(program.pid());
    let frames = text.matches(", in descend\n").count();
    assert!((9_900..=10_000).contains(&frames), "{frames} frames told");
    let cut = text
        .lines()
        .find(|line| line.contains("frames left out"))
        .expect("a line that says what is left out");
    let left_out: usize = cut
        .split(|c: char| !c.is_ascii_digit())
        .find(|word| !word.is_empty())
        .unwrap()
        .parse()
        .unwrap();
    // Three more frames are threading's own.
    assert_eq!(left_out + frames, 15000 + 3 - 3, "{cut}");
    // Both ends are shown: where the thread began, and where it waits.
    assert!(text.contains(", in run\n") && text.contains("    gate.acquire()\n"));
    let manual = manual_gdb(program.pid());
    assert!(manual.contains("frames left out"));
    goes_on(program);
}

case!(odd_names);
fn odd_names(python: &Interpreter) {
    let program = woken_target(python, "weird.py", &["names"]);
    settle(program.pid());
    let ended = activate([program.pid()]);
    ended.expect_code(0);
    let bytes = ended.stdout.clone();
    let text = ended.out();
    assert_eq!(threads_told(&text), 10, "{text}");
    assert!(
        text.contains("File \"new\\x0aline.py\", line 2, in odd_0\n"),
        "{text}"
    );
    assert!(
        text.contains("File \"bell\\x07 and \\x1b[31mred.py\""),
        "{text}"
    );
    assert!(text.contains("File \"caf\u{e9}.py\""), "{text}");
    assert!(text.contains("File \"quo\"te.py\""), "{text}");
    assert!(text.contains("File \"\", line 2, in odd_5"), "{text}");
    assert!(
        text.contains("File \"nul\\x00file.py\", line 7, in nul\\x00name\n"),
        "{text}"
    );
    // No byte that is not UTF-8 gets through either.
    assert!(text.contains("undecodable \\xff\\xfe.py"), "{text}");
    let control = |byte: &u8| (*byte < 32 && *byte != b'\n' && *byte != b'\t') || *byte == 127;
    assert!(!bytes.iter().any(control), "control characters get through");
    assert!(manual_gdb(program.pid()).contains("nul\\x00name"));
    goes_on(program);
}

case!(source_in_a_zip);
fn source_in_a_zip(python: &Interpreter) {
    let folder = Scratch::new();
    let source = "def in_the_zip(gate):\n    gate.acquire()  # zipped line\n";
    let module = folder.write("zipped_module.py", source);
    let zip = folder.join("modules.zip");
    let code = "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').write(sys.argv[2], 'zipped_module.py')";
    run(python.command().args(["-c", code]).arg(&zip).arg(&module)).expect_code(0);
    fs::remove_file(module).unwrap();
    let program = woken_target(python, "weird.py", &["zipped", zip.to_str().unwrap()]);
    settle(program.pid());
    let text = state(program.pid());
    assert!(
        text.contains("modules.zip/zipped_module.py\", line 2, in in_the_zip\n    gate.acquire()  # zipped line\n"),
        "{text}"
    );
    goes_on(program);
}

case!(source_changed);
fn source_changed(python: &Interpreter) {
    let folder = Scratch::new();
    let name = "changing_module.py";
    folder.write(
        name,
        "def wait_here(gate):\n    gate.acquire()  # as it was\n",
    );
    let place = folder.to_str().unwrap().to_owned();
    let program = woken_target(python, "weird.py", &["changed", &place]);
    settle(program.pid());
    assert!(state(program.pid()).contains("    gate.acquire()  # as it was\n"));
    folder.write(
        name,
        "def wait_here(gate):\n    gate.acquire()  # as it is by now\n",
    );
    let text = state(program.pid());
    assert!(
        text.contains("    gate.acquire()  # as it is by now\n"),
        "{text}"
    );
    fs::remove_file(folder.join(name)).unwrap();
    let text = state(program.pid());
    assert!(
        text.contains("changing_module.py\", line 2, in wait_here\n"),
        "{text}"
    );
    assert!(!text.contains("# as it"), "{text}");
    goes_on(program);
}

case!(source_is_a_pipe);
/// A pipe stands in place of the source file: nobody writes to it, and the agent must not wait on it.
fn source_is_a_pipe(python: &Interpreter) {
    let folder = Scratch::new();
    let name = "changing_module.py";
    let path = folder.write(name, "def wait_here(gate):\n    gate.acquire()\n");
    let place = folder.to_str().unwrap().to_owned();
    let program = woken_target(python, "weird.py", &["changed", &place]);
    settle(program.pid());
    fs::remove_file(&path).unwrap();
    run(command("mkfifo").arg(&path)).expect_code(0);
    let begun = Instant::now();
    let text = state(program.pid());
    assert!(begun.elapsed() < Duration::from_secs(2), "{text}");
    assert!(!text.contains(WALK_HEADING), "{text}");
    let told = text
        .split("changing_module.py\", line 2, in wait_here\n")
        .nth(1);
    // The next line belongs to the next thread, or there is none.
    assert!(told.is_some_and(|rest| !rest.starts_with("    ")), "{text}");
    goes_on(program);
}

case!(descriptors_apart);
/// Asleep, the agent shares the program's descriptor table, and has nothing in it.
fn descriptors_apart(python: &Interpreter) {
    let program = woken_target(python, "weird.py", &["recursion", "3"]);
    settle(program.pid());
    state(program.pid());
    let tasks = tasks(program.pid());
    let of = |task: i32| {
        let folder = format!("/proc/{}/task/{task}/fd", program.pid());
        fs::read_dir(folder).unwrap().count()
    };
    let shared = of(program.pid());
    assert!(shared >= 3);
    assert!(
        tasks
            .iter()
            .map(|&task| of(task))
            .all(|count| count == shared)
    );
    goes_on(program);
}

case!(threads_started_by_c, Compiler);
fn threads_started_by_c(python: &Interpreter) {
    let folder = Scratch::new();
    let library = compile("foreign.c", &folder, &["-shared", "-fPIC"]);
    let library = library.to_str().unwrap();
    let program = woken_target(python, "weird.py", &["foreign", library]);
    settle(program.pid());
    let text = state(program.pid());
    assert!(text.contains(", in wait\n"), "{text}");
    assert_eq!(threads_told(&text), 1, "{text}");
    goes_on(program);
}

/// While the program's GIL is held, the answer comes before the deadline, read from memory.
fn held(python: &Interpreter, kind: &str, function: &str) {
    let program = keeps_the_gil_for_six_seconds(python, kind, "1");
    let begun = Instant::now();
    let ended = activate([program.pid()]);
    let text = ended.out();
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    ended.expect_code(0);
    let first = text.lines().next().unwrap_or_default();
    assert!(first.starts_with(WALK_HEADING), "{text}");
    assert!(
        first.contains("keeps the GIL and sleeps in C code"),
        "{text}"
    );
    assert!(text.contains(&format!(", in {function}\n")), "{text}");
    assert!(text.contains("weird.py\", line "), "{text}");
    // The late request is withdrawn, and the next is answered as usual.
    settle(program.pid());
    sleep(Duration::from_secs(6));
    let text = state(program.pid());
    assert!(!text.contains(WALK_HEADING), "{text}");
    // The program's thread, and the agent's.
    assert_eq!(thread_names(program.pid()).len(), 2);
    goes_on(program);
}

case!(gil_held_by_another);
fn gil_held_by_another(python: &Interpreter) {
    held(python, "holding", "hold_the_gil");
}

case!(gil_held_by_the_main_thread);
fn gil_held_by_the_main_thread(python: &Interpreter) {
    held(python, "holding_main", "holding_main");
}

case!(asked_while_holding_the_gil);
fn asked_while_holding_the_gil(python: &Interpreter) {
    let begun = Instant::now();
    let ended = run(target(python, "asking.py").arg("held"));
    ended.expect_code(0);
    let text = ended.out();
    assert!(text.starts_with(WALK_HEADING), "{text}");
    assert!(
        text.lines()
            .next()
            .unwrap()
            .contains("the calling thread holds the GIL"),
        "{text}"
    );
    assert!(text.contains("asking.py\", line "), "{text}");
    assert!(text.contains(", in held\n"), "{text}");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "it must not wait for itself"
    );
}

case!(poor_program);
fn poor_program(python: &Interpreter) {
    let program = woken_target(python, "weird.py", &["poor"]);
    settle(program.pid());
    let ended = activate([program.pid()]);
    let said = ended.out() + &ended.err();
    assert!(
        said.contains(", in poor\n") || ended.status.code() == Some(1),
        "{said}"
    );
    assert_ne!(said.trim(), "");
    goes_on(program);
}

case!(traced_program);
fn traced_program(python: &Interpreter) {
    let program = woken_target(python, "weird.py", &["traced"]);
    for _ in 0..3 {
        assert!(state(program.pid()).contains(", in traced\n"));
    }
    let ended = program.ends_well();
    assert!(ended.out().ends_with("traced []\n"), "{}", ended.out());
}

case!(deadline_that_is_no_number);
fn deadline_that_is_no_number(python: &Interpreter) {
    for value in ["", "abc", "-1", "1e999", "nan", "100000"] {
        let mut command = target(python, "single.py");
        command.arg("sleeping").env(DEADLINE_VARIABLE, value);
        let program = woken(&mut command);
        assert!(state(program.pid()).contains(", in sleeping\n"), "{value}");
        program.signal(libc::SIGTERM);
        let ended = program.end();
        ended.expect_code(7);
    }
}
