//! What people are used to: `-p`, lists of PIDs, patterns of command lines, the PID of a shell; and an output that
//! nobody reads to its end.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use tests::ask::{activate, activator, preloaded, preloaded_python, woken, woken_target};
use tests::case;
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::{Program, command, run, wait_until};
use tests::product::product;

/// The PIDs of the headings, in order.
fn headings(ended: &Ended) -> Vec<i32> {
    let out = ended.out();
    let lines = out.lines().filter_map(|line| line.strip_prefix("=== PID "));
    let pids = lines.map(|rest| rest.split(':').next().unwrap().parse().unwrap());
    let mut pids: Vec<i32> = pids.collect();
    pids.sort_unstable();
    pids
}

case!(lists_of_pids);
fn lists_of_pids(python: &Interpreter) {
    let programs = [(); 3].map(|()| woken_target(python, "single.py", &["sleeping"]));
    let mut pids = programs.each_ref().map(Program::pid);
    let [a, b, c] = pids.map(|pid| pid.to_string());
    pids.sort_unstable();
    for chosen in [
        vec![format!("{a},{b} {c}")],
        vec![
            "-p".to_owned(),
            a.clone(),
            "--pid".to_owned(),
            format!("{b}, {c}"),
        ],
        vec![format!("-p{a}"), b.clone(), format!("--pid={c},{a}")],
    ] {
        let ended = activate(
            ["--via", "wake"]
                .map(str::to_owned)
                .into_iter()
                .chain(chosen),
        );
        ended.expect_code(0);
        assert_eq!(headings(&ended), pids, "each once: {}", ended.out());
    }
    // One alone has no heading, however it is named.
    for options in [vec!["-p", &*a], vec![&*a, ","]] {
        let ended = activate(["--via", "wake"].into_iter().chain(options.iter().copied()));
        let expected = usize::from(options.contains(&","));
        assert_eq!(headings(&ended).len(), expected, "{}", ended.out());
    }
    let ended = activate(["-p", &format!("{a},x")]);
    ended.expect_code(1);
    let words = "PID x: this is not a process number";
    assert!(ended.err().contains(words), "{}", ended.err());
    assert_eq!(headings(&ended).len(), 1, "{}", ended.out());
}

case!(by_command_line);
fn by_command_line(python: &Interpreter) {
    let start = |mark: &str| {
        let code = "import sys, time; print('ready'); sys.stdout.flush(); time.sleep(60)";
        woken(preloaded_python(python).args(["-c", code, mark]))
    };
    static MARK: AtomicU32 = AtomicU32::new(0);
    let number = MARK.fetch_add(1, Ordering::Relaxed);
    let mark = format!("mark-of-{}-{number}", std::process::id());
    let programs = ["-web-1", "-web-2", "-db"].map(|which| start(&format!("{mark}{which}")));
    let named = |pattern: &str| activate(["--via", "wake", "--name", pattern]);
    let ended = named(&format!("{mark}-web-[0-9]$"));
    ended.expect_code(0);
    let mut expected = [programs[0].pid(), programs[1].pid()];
    expected.sort_unstable();
    assert_eq!(headings(&ended), expected);
    named(&format!("{mark}-none")).expect_refusal(1, &["has such a command line"]);
    named("(").expect_refusal(1, &["--name (: this is no regular expression"]);
}

case!(of_a_shell);
/// Whoever gives the PID of the shell that has started the program reads which PID is meant.
fn of_a_shell(python: &Interpreter) {
    let mut shell = preloaded("sh");
    python.equip(&mut shell);
    shell.args(["-c", "\"$@\"; true", "sh"]).arg(&python.path);
    shell.arg(product().target("single.py")).arg("sleeping");
    let shell = Program::start(&mut shell).ready();
    let pid = shell.pid().to_string();
    let below = || activate(["--via", "wake", "--children", &pid]);
    wait_until("it has its agent", || headings(&below()).len() == 1);
    let child = headings(&below())[0];
    for via in ["gdb", "wake"] {
        let words = [
            format!("PID {child} ("),
            format!("run `sleeper_agent_activate --children {pid}`"),
        ];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        activate(["--via", via, &pid]).expect_refusal(1, &words);
    }
}

case!(nobody_reads_to_the_end);
/// Whoever reads the output may have enough of it, as `head` has: nothing is said of that.
fn nobody_reads_to_the_end(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let pid = program.pid().to_string();
    let quiet = |line: &str, program: &std::path::Path, arguments: &[&str]| {
        let mut shell = command("bash");
        shell.args(["-c", line]).arg(program).args(arguments);
        let ended = run(&mut shell);
        assert_eq!(ended.err(), "1\n", "{arguments:?}: {}", ended.out());
    };
    // The reader has ended before anything is written.
    let line = "{ sleep 0.3; \"$0\" \"$@\"; echo $? >&2; } | true";
    for format in ["plain", "full", "json"] {
        quiet(
            line,
            &product().activate,
            &["--via", "wake", "--format", format, &pid],
        );
    }
    quiet(line, &product().list, &["--json"]);
    quiet(line, &product().list, &["--help"]);
}

case!(ends_meanwhile);
/// A process that ends while it is asked is never passed over without a word, if no other answers.
fn ends_meanwhile(python: &Interpreter) {
    let code = "import time; time.sleep(0.25)";
    for _ in 0..20 {
        let mut start = preloaded_python(python);
        start.args(["-c", code]).stdout(Stdio::null());
        let program = Program::start_without_input(&mut start);
        let ended = run(&mut activator(["--children", &program.pid().to_string()]));
        let told = format!("{}{}", ended.out(), ended.err());
        assert!(!told.is_empty(), "{:?}", ended.status);
        assert_eq!(
            ended.out().is_empty(),
            ended.status.code() == Some(1),
            "{told}"
        );
        assert!(!told.contains("its main thread has ended"), "{told}");
        drop(program);
    }
}

case!(the_list_has_a_short_option);
fn the_list_has_a_short_option(python: &Interpreter) {
    let program = woken_target(python, "single.py", &["sleeping"]);
    let listed = |options: &[&str]| {
        let ended = run(command(&product().list).args(options));
        ended.expect_code(0);
        let document: serde_json::Value = serde_json::from_str(&ended.out()).expect("JSON");
        let processes = document["processes"].as_array().expect("a list").clone();
        processes.iter().any(|one| one["pid"] == program.pid())
    };
    assert!(listed(&["--json"]) && listed(&["--format", "json"]));
}
