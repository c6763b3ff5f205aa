//! Two installations that meet: the wheel in a virtualenv, and the tarball beside it.

use crate::tarball::unpack;
use crate::wheel::{Environment, LAST_PIP};
use tests::ask::woken;
use tests::process::run;
use tests::procfs::{agents, settle};
use tests::product::product;
use tests::scratch::Scratch;

/// A program that has both libraries in `LD_PRELOAD`, and then imports the module, has one agent. The commands of
/// both installations reach it, and it says no more than one line.
pub fn in_one_program() {
    let environment = Environment::of_2(LAST_PIP);
    environment.install();
    let scratch = Scratch::new();
    let tarball = unpack(&scratch);
    let installation = environment.installation("both");
    let mut sa_run = installation.command("sa-run");
    sa_run.env("LD_PRELOAD", tarball.join("lib/libsleeper.so"));
    let code = "import sys; sys.argv[:1] = []; import sleeper_agent; execfile(sys.argv[0])";
    sa_run.arg(&installation.python).args(["-c", code]);
    let program = woken(sa_run.arg(product().target("one_of_each.py")));
    settle(program.pid());
    let bins = [environment.join("bin"), tarball.join("bin")];
    for via in ["wake", "gdb"] {
        for bin in &bins {
            let mut activate = installation.program(bin.join("sleeper_agent_activate"));
            activate.args(["--via", via]).arg(program.pid().to_string());
            let ended = run(&mut activate);
            ended.expect_code(0);
            assert_eq!(ended.err(), "");
            let told = ended.out().matches(", in waits_for_lock\n").count();
            assert_eq!(told, 1, "{ended:?}");
        }
    }
    assert_eq!(agents(program.pid()), 1);
    let ended = program.ends();
    assert!(ended.err().lines().count() <= 1, "{}", ended.err());
}
