//! The full format on a terminal: its colours are the only escape sequences in it.

use tests::ask::{activator, woken_code, woken_target};
use tests::case;
use tests::document::document;
use tests::interpreters::Interpreter;
use tests::process::{command, run};
use tests::procfs::settle;
use tests::product::product;
use tests::scratch::Scratch;
use tests::terminal::run_on_terminal;

/// The command's output on a terminal, in this format.
#[track_caller]
fn on_terminal(pid: i32, format: &str, environment: &[(&str, &str)]) -> String {
    let mut activate = activator(["--via", "wake", "--format", format, &*pid.to_string()]);
    activate.env_remove("NO_COLOR").env("TERM", "xterm");
    activate.envs(environment.iter().copied());
    let (ended, told) = run_on_terminal(&mut activate);
    ended.expect_code(0);
    assert_eq!(ended.err(), "");
    assert_eq!(ended.out(), "");
    assert!(told.contains("MainThread") || format == "plain", "{told}");
    told
}

/// The text without our own escape sequences.
fn bare(told: &str) -> String {
    ["0", "1", "2", "31", "32", "33"]
        .iter()
        .fold(told.to_owned(), |told, code| {
            told.replace(&format!("\x1b[{code}m"), "")
        })
}

case!(as_wished);
fn as_wished(python: &Interpreter) {
    let program = woken_target(python, "waits.py", &[]);
    settle(program.pid());
    let told = on_terminal(program.pid(), "full", &[]);
    for (start, what) in [
        ("\x1b[1m", "=== PID "),
        (
            "\x1b[31m",
            "Deadlock: 3 threads wait for each other:\x1b[0m",
        ),
        ("\x1b[31m", "  thread "),
        ("\x1b[1m", "### Thread "),
        ("\x1b[33m", " - waits for room in Queue "),
        ("\x1b[2m", " File \""),
        (", in \x1b[0m", "run\n"),
    ] {
        let wanted = format!("{start}{what}");
        assert!(told.contains(&wanted), "{wanted:?} not in {told:?}");
    }
    assert!(!bare(&told).contains('\x1b'), "{told:?}");
    for (format, environment) in [
        ("full", &[("NO_COLOR", "1")]),
        ("full", &[("TERM", "dumb")]),
        // The plain format stays as it is, byte by byte.
        ("plain", &[("NO_COLOR", "")]),
        ("json", &[("NO_COLOR", "")]),
    ] {
        let told = on_terminal(program.pid(), format, environment);
        assert!(!told.contains('\x1b'), "{format} {environment:?}: {told:?}");
    }
    // An empty NO_COLOR counts as unset.
    let told = on_terminal(program.pid(), "full", &[("NO_COLOR", "")]);
    assert!(told.contains("\x1b[1m### Thread "), "{told:?}");
    // A pipe gets no colours, whatever the environment says.
    let pid = program.pid().to_string();
    let mut piped = activator(["--via", "wake", "--format", "full", &*pid]);
    piped.envs([("CLICOLOR_FORCE", "1"), ("TERM", "xterm")]);
    let ended = run(&mut piped);
    ended.expect_code(0);
    assert!(!ended.out().contains('\x1b'), "{}", ended.out());
}

/// A program whose thread, file and function names contain escape sequences.
const DRIVES: &str = "import sys, threading, time
red, clear = '\\x1b[31m', '\\x1b[2J'
def named(file, name):
    source = 'def work(ready):\\n ready.append(1)\\n time.sleep(1000)\\n'
    names = {'time': time}
    exec(compile(source, file, 'exec'), names)
    ready = []
    thread = threading.Thread(target=names['work'], args=(ready,), name=name)
    thread.setDaemon(True)
    thread.start()
    while not ready:
        time.sleep(0.01)
named(red + 'red.py', 'a ' + red + 'name')
named('a\\n' + clear + '.py', clear + '\\n### Thread 7')
sys.stdout.write('ready\\n'); sys.stdout.flush()
sys.stdin.readline()
";

case!(are_ours_alone);
fn are_ours_alone(python: &Interpreter) {
    let program = woken_code(python, DRIVES, &[]);
    settle(program.pid());
    let told = on_terminal(program.pid(), "full", &[]);
    for name in [
        r#"\u{1b}[31mname""#,
        r#" "\u{1b}[2J\n### Thread 7""#,
        r#"File "\u{1b}[31mred.py", line 3, in "#,
        r#"File "a\n\u{1b}[2J.py", line 3, in "#,
    ] {
        assert!(told.contains(name), "{name:?} not in {told:?}");
    }
    // Sequences of the program that look like ours are escaped too.
    assert!(told.contains("\x1b[1m### Thread "), "{told:?}");
    assert!(!told.contains("\x1b[31m"), "{told:?}");
    assert!(!bare(&told).contains('\x1b'), "{told:?}");
    assert!(!told.contains(|one: char| one.is_control() && one != '\n' && one != '\x1b'));
    // Names from a file are escaped too.
    let folder = Scratch::new();
    let document = document(program.pid(), "wake").to_string();
    let file = folder.write("a.json", &document);
    let mut diff = command(&product().activate);
    diff.arg("--diff").args([&file, &file]).env("TERM", "xterm");
    let (ended, told) = run_on_terminal(diff.env_remove("NO_COLOR"));
    ended.expect_code(0);
    assert!(
        told.contains(r#"File "\u{1b}[31mred.py", line 3"#),
        "{told:?}"
    );
    assert!(!bare(&told).contains('\x1b'), "{told:?}");
}
