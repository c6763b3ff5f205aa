//! `make install` and `make shim` put things where they work.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::ask::{state, woken};
use tests::ended::Ended;
use tests::interpreters;
use tests::plain_case;
use tests::process::{Program, command, run, run_within};
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
        "bin/sa-load",
        "bin/sa-run",
        "bin/sleeper_agent_activate",
        "lib/libsleeper.so",
        "share/sleeper-agent/sleeper_agent.py",
    ] {
        assert!(root.join(file).is_file(), "{file} is not installed");
    }
    for name in ["sa-list", "sa-load", "sa-run", "sleeper_agent_activate"] {
        has_pages(&root.join("share"), name);
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

/// The man page and the completions of a command, generated from its `--help`.
#[track_caller]
fn has_pages(share: &Path, name: &str) {
    let read = |file: String| {
        let text = fs::read_to_string(share.join(&file));
        text.unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    let help = run(command(product().activate.with_file_name(name)).arg("--help"));
    help.expect_code(0);
    // A line that begins with an option is about it; the examples below begin with a command.
    let help = help.out();
    let lines = help.lines().filter(|line| line.trim().starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',']));
    let options: Vec<&str> = words.filter_map(|word| word.strip_prefix("--")).collect();
    assert!(options.contains(&"help"), "{options:?}");
    let page = read(format!("man/man1/{name}.1"));
    for section in [
        "NAME",
        "SYNOPSIS",
        "OPTIONS",
        "EXAMPLES",
        "EXIT STATUS",
        "SEE ALSO",
    ] {
        let quoted = format!(".SH \"{section}\"");
        assert!(
            page.contains(&quoted) || page.contains(&format!(".SH {section}\n")),
            "{section} is not in {page}"
        );
    }
    let bash = read(format!("bash-completion/completions/{name}"));
    let zsh = read(format!("zsh/site-functions/_{name}"));
    let fish = read(format!("fish/vendor_completions.d/{name}.fish"));
    assert!(zsh.starts_with(&format!("#compdef {name}\n")), "{zsh}");
    for option in &options {
        let escaped = option.replace('-', "\\-");
        assert!(page.contains(&escaped), "--{option} is not in {page}");
        for text in [&bash, &zsh] {
            assert!(text.contains(&format!("--{option}")), "--{option}: {text}");
        }
        assert!(fish.contains(&format!("-l {option}")), "--{option}: {fish}");
    }
}

plain_case!(shim);
fn shim() {
    for python in interpreters::find().interpreters {
        let folder = Scratch::new();
        let place = format!("DESTDIR={}", folder.display());
        let which = format!("PYTHON={}", python.path.display());
        make(&["shim".into(), which, place]).expect_code(0);
        // Its folder, with DESTDIR removed, is on this interpreter's import path.
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
