//! The commands where the system starts no thread and no process: they answer by a signal nevertheless, or say in
//! one line why not.

use std::path::Path;
use tests::confined::Confined;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::{Program, run};
use tests::procfs::settle;
use tests::product::product;
use tests::users::{HONEST, as_user};
use tests::{ask, case};

/// The system calls that start a thread or a process.
const STARTING: [i64; 4] = [
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_fork,
    libc::SYS_vfork,
];

/// What a command should do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It answers, and complains of nothing.
    Answers,
    /// It answers, and says in one line why it did without gdb.
    AnswersOtherwise,
    /// It says in one line that the system starts no process.
    Refuses,
}
use Outcome::{Answers, AnswersOtherwise, Refuses};

/// The ways to ask. `PID` stands for the program's.
const QUESTIONS: [(&[&str], Outcome); 9] = [
    (&["--via", "wake", "PID"], Answers),
    (&["--via", "wake", "--format", "full", "PID"], Answers),
    (&["--via", "wake", "--format", "json", "PID"], Answers),
    (
        &["--via", "wake", "--greenlets", "--locals", "PID"],
        Answers,
    ),
    (&["--via", "wake", "--timeout", "20", "PID", "PID"], Answers),
    (&["--via", "wake", "--children", "PID"], Answers),
    (&["--via", "gdb", "PID"], Refuses),
    (&["--via", "gdb", "--format", "json", "PID"], Refuses),
    (&["PID"], AnswersOtherwise),
];

/// Neither a panic nor a signal, and the outcome.
#[track_caller]
fn check(ended: &Ended, outcome: Outcome, how: &str) {
    let said = ended.err();
    assert!(!said.contains("panicked"), "{how}: {said}");
    let (code, lines) = match outcome {
        Answers => (0, 0),
        AnswersOtherwise => (0, 1),
        Refuses => (1, 1),
    };
    assert_eq!(ended.status.code(), Some(code), "{how}: {ended:?}");
    assert_eq!(said.lines().count(), lines, "{how}: {said}");
    if outcome != Answers {
        assert!(
            said.contains("the system starts no process"),
            "{how}: {said}"
        );
    }
    assert_eq!(
        ended.out().is_empty(),
        outcome == Refuses,
        "{how}: {ended:?}"
    );
}

/// Asks a program in every way under these options of `confined`, and lists it.
#[track_caller]
fn asks_in_every_way(
    program: &Program,
    confined: &Confined,
    options: &[String],
    user: Option<u32>,
) {
    settle(program.pid());
    let pid = program.pid().to_string();
    let run_confined = |command: &Path, arguments: &[&str]| {
        let (mut command, _) = confined.command(options, command);
        command.args(arguments.iter().map(|one| match *one {
            "PID" => &pid,
            other => other,
        }));
        if let Some(user) = user {
            as_user(&mut command, user);
        }
        run(&mut command)
    };
    for (arguments, outcome) in QUESTIONS {
        let ended = run_confined(&product().activate, arguments);
        let how = format!("{options:?}, {arguments:?}");
        check(&ended, outcome, &how);
        if outcome != Refuses {
            assert!(ended.out().contains("sleeping"), "{how}: {ended:?}");
        }
    }
    for format in ["text", "json"] {
        let ended = run_confined(&product().list, &["--format", format]);
        check(&ended, Answers, &format!("{options:?}, sa-list"));
        assert!(ended.out().contains(&pid), "{ended:?}");
    }
    let ended = run_confined(&product().sa_run, &["/bin/echo", "hello"]);
    check(&ended, Answers, &format!("{options:?}, sa-run"));
    assert_eq!(ended.out(), "hello\n");
}

case!(under_a_filter, OnlyOne);
fn under_a_filter(python: &Interpreter) {
    let confined = Confined::build();
    let program = ask::woken_target(python, "single.py", &["sleeping"]);
    for error in [libc::EPERM, libc::EAGAIN, libc::ENOSYS] {
        let refused = |number: &i64| ["--refuse".to_owned(), format!("{number}:{error}")];
        let options: Vec<String> = STARTING.iter().flat_map(refused).collect();
        asks_in_every_way(&program, &confined, &options, None);
    }
    program.handles_sigterm();
}

case!(without_threads, OnlyOne);
/// As an old Docker answers: clone3 alone is refused, so there is no thread, and processes start.
fn without_threads(python: &Interpreter) {
    let confined = Confined::build();
    let program = ask::woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid().to_string();
    let options = [
        "--refuse".to_owned(),
        format!("{}:{}", libc::SYS_clone3, libc::EPERM),
    ];
    for (arguments, _) in QUESTIONS {
        let (mut command, _) = confined.command(&options, &product().activate);
        command.args(arguments.iter().map(|one| match *one {
            "PID" => &pid,
            other => other,
        }));
        let ended = run(&mut command);
        check(&ended, Answers, &format!("{arguments:?}"));
        assert!(ended.out().contains("sleeping"), "{ended:?}");
    }
    program.handles_sigterm();
}

case!(under_a_limit, ForAnyone);
/// A user who may have no further process or thread.
fn under_a_limit(python: &Interpreter) {
    let confined = Confined::build();
    let mut target = ask::target(python, "single.py");
    let program = ask::woken(as_user(target.arg("sleeping"), HONEST));
    let options = ["--processes", "1"].map(str::to_owned);
    asks_in_every_way(&program, &confined, &options, Some(HONEST));
    program.handles_sigterm();
}
