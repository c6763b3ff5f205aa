//! `make install` and `make shim` put things where they work.

use std::process::Command;
use std::time::Duration;
use tests::ask::{state, woken};
use tests::ended::Ended;
use tests::interpreters;
use tests::plain_case;
use tests::process::{Program, command, run_within};
use tests::product::product;
use tests::scratch::Scratch;

fn make(arguments: &[String]) -> Ended {
    let mut make: Command = command("make");
    make.current_dir(&product().root)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env("CARGO_TARGET_DIR", &product().target)
        .args(arguments);
    run_within(&mut make, Duration::from_secs(600))
}

plain_case!(install);
fn install() {
    let folder = Scratch::new();
    let place = format!("DESTDIR={}", folder.display());
    make(&["install".into(), place, "PREFIX=/opt/agent".into()]).expect_code(0);
    let root = folder.join("opt/agent");
    for file in [
        "bin/sa-list",
        "bin/sa-run",
        "bin/sleeper_agent_activate",
        "lib/libsleeper.so",
    ] {
        assert!(root.join(file).is_file(), "{file} is not installed");
    }
    let python = interpreters::any();
    let mut sa_run = command(root.join("bin/sa-run"));
    python.equip(&mut sa_run).arg(&python.path);
    sa_run.arg(product().target("single.py")).arg("sleeping");
    let program = woken(&mut sa_run);
    let mut activate = command(root.join("bin/sleeper_agent_activate"));
    let ended = Program::start(activate.arg(program.pid().to_string())).end();
    ended.expect_code(0);
    assert!(ended.out().contains(", in sleeping\n"), "{ended:?}");
}

plain_case!(shim);
fn shim() {
    for python in interpreters::find().interpreters {
        let folder = Scratch::new();
        let place = format!("DESTDIR={}", folder.display());
        let which = format!("PYTHON={}", python.path.display());
        make(&["shim".into(), which, place]).expect_code(0);
        // Where it was put, below DESTDIR, is a folder this interpreter imports from.
        let code = "
import sys
sys.path[:0] = [sys.argv[1] + place for place in sys.path if place.startswith('/')]
import sleeper_agent
assert sleeper_agent.__file__.startswith(sys.argv[1]), sleeper_agent.__file__
assert sleeper_agent._sleeper_agent_activation.__file__.startswith(sys.argv[1])
def waiting_here():
    sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.readline()
waiting_here()
";
        let mut command = python.command();
        let program = woken(command.args(["-c", code]).arg(&*folder));
        assert!(state(program.pid()).contains(", in waiting_here\n"));
        program.end().expect_code(0);
    }
}

plain_case!(shim_for_the_wrong_python);
fn shim_for_the_wrong_python() {
    let folder = Scratch::new();
    let place = format!("DESTDIR={}", folder.display());
    for wrong in ["/nonexistent/python", "/bin/true", "python3"] {
        let ended = make(&["shim".into(), format!("PYTHON={wrong}"), place.clone()]);
        assert!(!ended.status.success(), "{wrong}: {ended:?}");
        assert!(ended.err().contains(wrong), "{}", ended.err());
    }
    let ended = make(&["shim".into(), place]);
    assert!(!ended.status.success());
    assert!(ended.err().contains("PYTHON="), "{}", ended.err());
}
