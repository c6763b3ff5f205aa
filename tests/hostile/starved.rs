//! The commands where the system starts no thread and no process, or grants few descriptors: they answer by a signal
//! nevertheless, or say in one line why not.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::answers::{Answer, fake_agents};
use tests::ask::activator;
use tests::bounded::bounded;
use tests::confined::Confined;
use tests::ended::Ended;
use tests::everyone::looked_at;
use tests::fakes::fakes;
use tests::interpreters::Interpreter;
use tests::process::{Program, run};
use tests::procfs::{self, settle};
use tests::product::product;
use tests::users::{HONEST, as_user};
use tests::{ask, case, plain_case};

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
        let _looked = looked_at();
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

/// Lets a command have so many descriptors, and no more.
fn with_descriptors(command: &mut Command, count: u64) -> &mut Command {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: count,
    };
    // SAFETY: a plain system call, which a forked child may make.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    }
}

plain_case!(few_descriptors_among_many, RootAndCompiler);
/// Thirty-two that never answer, of a hostile user, keep no descriptor from twenty-four honest ones.
fn few_descriptors_among_many() {
    const DEAF: usize = 32;
    const ANSWERING: usize = 24;
    let deaf = fakes("deaf", DEAF);
    let (_honest, honest) = fake_agents(&Answer::default().bytes(), 1, ANSWERING);
    let mut pids = vec![deaf.pid()];
    pids.extend(procfs::children(deaf.pid()));
    assert_eq!(pids.len(), DEAF);
    pids.extend(honest);
    for via in [&[][..], &["--via", "wake"]] {
        let mut asking = activator(["--timeout", "2", "--format", "full"]);
        asking.env_remove("SLEEPER_AGENT_VIA");
        asking.args(via).args(pids.iter().map(i32::to_string));
        let asked = bounded(with_descriptors(&mut asking, 40), Duration::from_secs(60));
        asked.ended.expect_code(1);
        let answered = asked.ended.out().matches("=== PID ").count();
        let said = asked.ended.err();
        assert_eq!(answered, ANSWERING, "{via:?}, in {:?}: {said}", asked.took);
        assert_eq!(said.lines().count(), DEAF, "{via:?}: {said}");
        let is_true = |line: &str| line.contains("did not hear the signal");
        assert!(said.lines().all(is_true), "{via:?}: {said}");
    }
}

case!(few_descriptors, OnlyOne);
/// Too few for gdb, and enough for a signal.
fn few_descriptors(python: &Interpreter) {
    let program = ask::woken_target(python, "single.py", &["sleeping"]);
    settle(program.pid());
    for count in 5..=9 {
        let mut asking = activator([program.pid()]);
        asking.env_remove("SLEEPER_AGENT_VIA");
        let ended = run(with_descriptors(&mut asking, count));
        ended.expect_code(0);
        assert!(ended.out().contains(", in sleeping"), "{count}: {ended:?}");
        assert!(ended.err().lines().count() <= 1, "{count}: {ended:?}");
    }
    program.handles_sigterm();
}
