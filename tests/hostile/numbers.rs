//! A process that has got the number of the one that was to be asked is left alone.

use std::fs;
use std::time::{Duration, Instant};

use tests::compile::compile_hostile;
use tests::plain_case;
use tests::process::{Program, command};
use tests::procfs;
use tests::product::product;
use tests::scratch::Scratch;

/// How long the child that opens the socket is held up, in microseconds. It is given up after a second.
const HOLD: u32 = 700_000;

/// How often it is tried: on a loaded machine the number may change hands too late.
const TRIALS: usize = 10;

plain_case!(a_number_that_changes_hands, RootAndStrace);
/// A child opens the socket in the process's network namespace. Meanwhile that process ends, and another one gets its
/// number. To that one the wake-up signal would be the end.
fn a_number_that_changes_hands() {
    let folder = Scratch::new();
    let program = compile_hostile("successor.c", &folder, &[]);
    let changed = (0..TRIALS).any(|number| {
        let trace = folder.join(format!("trace{number}"));
        let mut first = Program::start(&mut command(&program)).ready();
        let pid = first.pid().to_string();
        let mut asking = command("strace");
        asking.args(["-f", "-e", "trace=setns,rt_tgsigqueueinfo", "-o"]);
        asking.arg(&trace);
        asking.args(["-e", &format!("inject=setns:delay_exit={HOLD}")]);
        asking.arg(&product().activate);
        let mut asking = Program::start(asking.args(["--via", "wake", "--timeout", "3", &pid]));
        let traced = || fs::read_to_string(&trace).unwrap_or_default();
        let begun = Instant::now();
        while !traced().contains("setns(") && !asking.has_ended() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", traced());
            std::thread::sleep(Duration::from_millis(2));
        }
        first.signal(libc::SIGKILL);
        first.end_within(Duration::from_secs(10));
        let next = Program::start(command(&program).arg(&pid)).ready();
        let in_time = !asking.has_ended();
        let ended = asking.end_within(Duration::from_secs(20));
        ended.expect_code(1);
        let next = next.end();
        assert!(next.out().ends_with("ended by 0\n"), "{next:?}, {ended:?}");
        assert!(!traced().contains("rt_tgsigqueueinfo"), "{}", traced());
        in_time && !ended.err().contains("cannot listen")
    });
    assert!(changed, "the number never changed hands in time");
}

plain_case!(a_number_that_changes_hands_before_gdb, Root);
/// Somebody else has the turn, so the command waits. Meanwhile the process ends, and another one gets its number: gdb
/// would stop that one.
fn a_number_that_changes_hands_before_gdb() {
    let folder = Scratch::new();
    let program = compile_hostile("successor.c", &folder, &[]);
    let changed = (0..TRIALS).any(|_| {
        let mut first = Program::start(command(&program).arg(&product().library)).ready();
        let pid = first.pid();
        let memory = format!("/proc/{pid}/mem");
        let mut holder = command("flock");
        holder.args([
            "-x",
            "--no-fork",
            &memory,
            "sh",
            "-c",
            "echo ready; exec sleep 20",
        ]);
        let _holder = Program::start(&mut holder).ready();
        let mut asking = command(&product().activate);
        asking.args(["--via", "gdb", "--timeout", "4", &pid.to_string()]);
        let mut asking = Program::start(&mut asking);
        // It waits for the turn for 2 s.
        std::thread::sleep(Duration::from_millis(700));
        first.signal(libc::SIGKILL);
        first.end_within(Duration::from_secs(10));
        let next = Program::start(command(&program).arg(pid.to_string())).ready();
        let in_time = !asking.has_ended();
        while !asking.has_ended() && !next.has_ended() {
            let tracer = procfs::status(pid, "TracerPid");
            assert!(["0", ""].contains(&&*tracer), "it is traced by {tracer}");
            std::thread::sleep(Duration::from_micros(200));
        }
        let ended = asking.end_within(Duration::from_secs(20));
        ended.expect_refusal(1, &["it exited while it was being asked"]);
        let next = next.end();
        assert!(next.out().ends_with("ended by 0\n"), "{next:?}, {ended:?}");
        in_time
    });
    assert!(changed, "the number never changed hands in time");
}
