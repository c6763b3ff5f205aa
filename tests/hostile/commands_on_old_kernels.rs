//! The commands on kernels that lack system calls: they answer as on others, as fast, and leave nobody behind.

use std::path::Path;
use std::time::{Duration, Instant};
use tests::case;
use tests::confined::{Confined, LAST_CALLS, is_left};
use tests::everyone::looked_at;
use tests::interpreters::Interpreter;
use tests::process::{Program, run, wait_until};
use tests::procfs::settle;
use tests::product::product;

/// `PTRACE_SEIZE` (include/uapi/linux/ptrace.h) is a request that Linux 2.6.32 does not know.
const SEIZE: u32 = libc::PTRACE_SEIZE;

/// The ways to ask. `PID` stands for the program's.
const QUESTIONS: [&[&str]; 8] = [
    &["--via", "wake", "PID"],
    &["--via", "wake", "--format", "full", "PID"],
    &["--via", "wake", "--format", "json", "PID"],
    &["--via", "wake", "--greenlets", "--locals", "PID"],
    &["--via", "gdb", "PID"],
    &["--via", "gdb", "--format", "full", "PID"],
    &["--via", "gdb", "--format", "json", "PID"],
    &["--via", "gdb", "--greenlets", "--locals", "PID"],
];

/// A text in which all numbers are the same: times and addresses differ from answer to answer.
fn without_numbers(text: &str) -> String {
    let parts = text.split(|one: char| one.is_ascii_digit() || one == '.');
    parts
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("0")
}

struct Kernel {
    confined: Confined,
    options: Vec<String>,
}

impl Kernel {
    /// What a command prints for a program, which takes this long. Nobody is left then.
    #[track_caller]
    fn output(&self, command: &Path, arguments: &[&str], program: &Program) -> (String, Duration) {
        let pid = program.pid().to_string();
        let (mut command, mark) = self.confined.command(&self.options, command);
        command.args(arguments.iter().map(|one| match *one {
            "PID" => &pid,
            other => other,
        }));
        let begun = Instant::now();
        let ended = run(&mut command);
        let took = begun.elapsed();
        let how = format!("{:?}, {arguments:?}", self.options);
        assert_eq!(ended.err(), "", "{how}");
        assert_eq!(ended.status.code(), Some(0), "{how}: {ended:?}");
        wait_until("nobody is left", || !is_left(&mark));
        (ended.out(), took)
    }
}

/// The same kernel with these options, and with none.
fn kernels(options: &[String]) -> [Kernel; 2] {
    [Vec::new(), options.to_vec()].map(|options| Kernel {
        confined: Confined::build(),
        options,
    })
}

#[track_caller]
fn answers_as_others(program: &Program, options: &[String]) {
    settle(program.pid());
    let [usual, old] = kernels(options);
    for question in QUESTIONS {
        let output = |kernel: &Kernel| kernel.output(&product().activate, question, program).0;
        let [expected, got] = [&usual, &old].map(|kernel| without_numbers(&output(kernel)));
        assert!(expected.contains("sleeping"), "{question:?}: {expected}");
        assert_eq!(got, expected, "{options:?}, {question:?}");
    }
    for format in ["text", "json"] {
        let arguments = ["--format", format];
        let _looked = looked_at();
        let (out, _) = old.output(&product().list, &arguments, program);
        assert!(out.contains(&program.pid().to_string()), "{out}");
    }
    let (out, _) = old.output(&product().sa_run, &["/bin/echo", "hello"], program);
    assert_eq!(out, "hello\n");
}

case!(without_later_calls, OnlyOne);
fn without_later_calls(python: &Interpreter) {
    let program = tests::ask::woken_target(python, "single.py", &["sleeping"]);
    for last in LAST_CALLS {
        let options = ["--above".to_owned(), format!("{last}:{}", libc::ENOSYS)];
        answers_as_others(&program, &options);
    }
    program.handles_sigterm();
}

case!(without_seize, OnlyOne);
/// What the kernels of CentOS 6 and others answer to a request to ptrace that they do not know.
fn without_seize(python: &Interpreter) {
    let program = tests::ask::woken_target(python, "single.py", &["sleeping"]);
    for error in [libc::ESRCH, libc::EIO] {
        let options = ["--ptrace".to_owned(), format!("{SEIZE}:{error}")];
        answers_as_others(&program, &options);
    }
    program.handles_sigterm();
}

case!(as_fast, OnlyOne);
/// The shortest of several times counts, as the machine may be loaded.
fn as_fast(python: &Interpreter) {
    let program = tests::ask::woken_target(python, "single.py", &["sleeping"]);
    let options = [
        "--above".to_owned(),
        format!("{}:{}", LAST_CALLS[0], libc::ENOSYS),
    ];
    let kernels = kernels(&options);
    for (question, rounds) in [(QUESTIONS[1], 30), (QUESTIONS[5], 10)] {
        let mut shortest = [Duration::MAX; 2];
        for _ in 0..rounds {
            for (kernel, shortest) in kernels.iter().zip(&mut shortest) {
                let (_, took) = kernel.output(&product().activate, question, &program);
                *shortest = (*shortest).min(took);
            }
        }
        let [usual, old] = shortest;
        println!("{question:?}: {usual:?}, on an old kernel {old:?}");
        assert!(
            old < usual * 5 / 4 + Duration::from_millis(3),
            "{question:?}: {usual:?}, on an old kernel {old:?}"
        );
    }
    program.handles_sigterm();
}
