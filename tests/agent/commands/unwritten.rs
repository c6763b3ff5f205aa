//! Standard output that takes nothing: no command calls that a success.

use std::path::Path;
use tests::ask::woken_code;
use tests::interpreters::Interpreter;
use tests::process::{command, run};
use tests::product::product;
use tests::{case, plain_case};

/// Standard output that is closed, open for reading alone, or full.
const UNWRITABLE: [&str; 3] = [">&-", "1</dev/null", ">/dev/full"];

/// Runs a command whose standard output takes nothing: it says so, and ends with this status.
#[track_caller]
fn fails(program: &Path, arguments: &[&str], status: i32) {
    for output in UNWRITABLE {
        let mut shell = command("sh");
        let line = format!("exec \"$0\" \"$@\" {output}");
        shell.args(["-c", &line]).arg(program).args(arguments);
        let ended = run(&mut shell);
        ended.expect_refusal(status, &["could not be written ("]);
    }
}

plain_case!(lists_and_help);
fn lists_and_help() {
    fails(&product().list, &[], 1);
    fails(&product().list, &["--format", "json"], 1);
    for word in ["--help", "--version"] {
        fails(&product().list, &[word], 1);
        fails(&product().activate, &[word], 1);
        fails(&product().sa_run, &[word], 125);
    }
}

case!(states);
fn states(python: &Interpreter) {
    let code = "import sys, time; print('ready'); sys.stdout.flush(); time.sleep(60)";
    let program = woken_code(python, code, &[]);
    let pid = program.pid().to_string();
    for format in ["plain", "full", "json"] {
        let arguments = ["--via", "wake", "--format", format, &pid];
        fails(&product().activate, &arguments, 1);
    }
}
