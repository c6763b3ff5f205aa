//! `sa-load --unload` takes the agent out of a program, which goes on as before, and can have it again.

use tests::ask::{activate, answer, bare_target, loader, target, threads_told};
use tests::case;
use tests::interpreters::Interpreter;
use tests::plain_case;
use tests::process::{PATIENCE, Program, command, run, wait_until};
use tests::procfs::{self, agents, wait_agent};
use tests::product::product;
use tests::scratch::Scratch;

#[track_caller]
fn load(pid: i32) {
    run(&mut loader([pid])).expect_code(0);
    wait_agent(pid);
}

#[track_caller]
fn unload(pid: i32) {
    let ended = run(&mut loader(["--unload", &pid.to_string()]));
    ended.expect_code(0);
    assert_eq!(ended.out(), "");
    assert!(
        ended.err().contains("its library stays mapped"),
        "{}",
        ended.err()
    );
    let names = procfs::thread_names(pid);
    assert!(
        !names.iter().any(|name| name.starts_with("sleeper")),
        "{names:?}"
    );
}

/// A question is refused, and touches nothing.
#[track_caller]
fn has_left(pid: i32) {
    let hint = format!("run `sleeper_agent_activate --load {pid}`");
    for via in ["gdb", "wake"] {
        let asked = activate(["--via", via, &pid.to_string()]);
        asked.expect_refusal(1, &["its agent has left it", &hint]);
    }
    let again = run(&mut loader(["--unload", &pid.to_string()]));
    again.expect_code(0);
    assert!(
        again.err().contains("had left it before"),
        "{}",
        again.err()
    );
}

#[track_caller]
fn answers(pid: i32) {
    for via in ["gdb", "wake"] {
        let text = answer(pid, &["--format", "full", "--via", via]);
        assert!(text.contains("waiting.py\", line "), "{via}: {text}");
        assert!(!text.contains("Read from memory"), "{via}: {text}");
    }
}

case!(and_back);
/// In programs that were started with the agent, and in others, as often as one likes.
fn and_back(python: &Interpreter) {
    for kind in [
        "sleep",
        "endless_epoll",
        "computing",
        "alarm",
        "lock",
        "allocating_threads",
    ] {
        let bare = Program::start(bare_target(python, "waiting.py").arg(kind)).ready();
        let preloaded = Program::start(target(python, "waiting.py").arg(kind)).ready();
        wait_agent(preloaded.pid());
        load(bare.pid());
        for mut program in [bare, preloaded] {
            for _ in 0..3 {
                unload(program.pid());
                load(program.pid());
                answers(program.pid());
                wait_until("it has one agent", || agents(program.pid()) == 1);
            }
            unload(program.pid());
            has_left(program.pid());
            program.say("end");
            let ended = program.end_within(PATIENCE);
            assert_eq!(ended.out(), "ready\n", "{kind}");
            assert_eq!(ended.err(), "", "{kind}");
            ended.expect_code(7);
        }
    }
}

case!(and_its_file_is_gone);
/// The library that is mapped begins again, whatever has become of its file.
fn and_its_file_is_gone(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = folder.join("libsleeper.so");
    std::fs::copy(&product().library, &copy).expect("a copy");
    let program = Program::start(bare_target(python, "waiting.py").arg("sleep")).ready();
    run(loader([program.pid()]).env("SLEEPER_AGENT_LIB", &copy)).expect_code(0);
    wait_agent(program.pid());
    unload(program.pid());
    std::fs::remove_file(&copy).expect("the copy");
    let again = run(&mut loader([program.pid()]));
    // SAFETY: geteuid has no conditions.
    if unsafe { libc::geteuid() } == 0 {
        again.expect_code(0);
        let text = answer(program.pid(), &["--via", "wake"]);
        assert!(text.contains("waiting.py\", line "), "{text}");
    } else {
        again.expect_refusal(1, &["only root sees the one in use"]);
    }
}

case!(while_it_forks);
/// Children that are forked just then can be given an agent.
fn while_it_forks(python: &Interpreter) {
    let code = "
import os, sys, time
sys.stdout.write('ready\\n')
sys.stdout.flush()
children = []
sys.stdin.readline()
end = time.time() + 0.4
while time.time() < end and len(children) < 60:
    child = os.fork()
    if child == 0:
        time.sleep(1000)
    children.append(child)
sys.stdout.write('children %s.\\n' % ','.join(map(str, children)))
sys.stdout.flush()
sys.stdin.readline()
for child in children:
    os.kill(child, 9)
sys.exit(7)
";
    let mut program = Program::start(python.command().args(["-c", code])).ready();
    load(program.pid());
    program.say("fork");
    unload(program.pid());
    let children = program.wait_lines("children ", 1);
    let children = children[0].trim_end_matches('.').split(',');
    let children: Vec<i32> = children.map(|one| one.parse().expect("a PID")).collect();
    for &child in children.iter().rev().step_by(4) {
        load(child);
        for via in ["wake", "gdb"] {
            let text = answer(child, &["--via", via]);
            assert!(text.contains("line 11, in <module>"), "{via}: {text}");
            assert!(!text.contains("Read from memory"), "{via}: {text}");
        }
    }
    program.say("end");
    program.end_within(PATIENCE).expect_code(7);
}

case!(by_gdb);
/// Where no signal wakes the agent, a debugger tells it.
fn by_gdb(python: &Interpreter) {
    let mut start = target(python, "waiting.py");
    let program = Program::start(start.arg("sleep").env("SLEEPER_AGENT_WAKE", "off")).ready();
    wait_agent(program.pid());
    unload(program.pid());
    load(program.pid());
    let text = answer(program.pid(), &["--via", "gdb"]);
    assert!(text.contains("waiting.py\", line "), "{text}");
}

case!(children);
/// A program without its agent has children without one; they can be given one.
fn children(python: &Interpreter) {
    let code = "
import os, sys, time
def say(what):
    sys.stdout.write(what + '\\n')
    sys.stdout.flush()
say('ready')
sys.stdin.readline()
child = os.fork()
if child == 0:
    time.sleep(1000)
say('child %d' % child)
sys.stdin.readline()
os.kill(child, 9)
sys.exit(7)
";
    let mut program = Program::start(python.command().args(["-c", code])).ready();
    load(program.pid());
    unload(program.pid());
    program.say("fork");
    let child = program.wait_number("child");
    has_left(child);
    assert_eq!(procfs::thread_names(child).len(), 1);
    load(child);
    assert!(answer(child, &["--via", "wake"]).contains("line 10, in <module>"));
    program.say("end");
    program.end_within(PATIENCE).expect_code(7);
}

case!(forked_before);
/// A child that was forked before the agent came: its interpreter lists the parent's threads, which are not shown.
fn forked_before(python: &Interpreter) {
    let code = "
import os, sys, threading, time
def rest():
    while True:
        time.sleep(0.01)
def begin(count, work):
    for _ in range(count):
        one = threading.Thread(target=work)
        one.setDaemon(True)
        one.start()
def of_the_child():
    rest()
begin(5, rest)
time.sleep(0.1)
child = os.fork()
if child == 0:
    begin(int(sys.argv[1]), of_the_child)
    def main():
        sys.stdout.write('ready\\n')
        sys.stdout.flush()
        rest()
    main()
sys.stdout.write('child %d\\n' % child)
sys.stdout.flush()
sys.stdin.readline()
os.kill(child, 9)
sys.exit(7)
";
    for own in [0, 3] {
        let count = own.to_string();
        let mut program = Program::start(python.command().args(["-c", code, &count])).ready();
        let child = program.wait_number("child");
        load(child);
        for via in ["wake", "gdb", "wake"] {
            let text = answer(child, &["--via", via]);
            assert_eq!(threads_told(&text), 1 + own, "{via}: {text}");
            assert_eq!(
                text.matches(", in of_the_child\n").count(),
                own,
                "{via}: {text}"
            );
            assert_eq!(text.matches(", in main\n").count(), 1, "{via}: {text}");
        }
        program.say("end");
        program.end_within(PATIENCE).expect_code(7);
    }
}

plain_case!(where_there_is_none);
fn where_there_is_none() {
    let program = Program::start(command("sleep").arg("1000"));
    let ended = run(&mut loader(["--unload", &program.pid().to_string()]));
    ended.expect_refusal(1, &["there is no sleeper agent in it"]);
    run(&mut loader(["--unload", "none"])).expect_refusal(1, &["not a process number"]);
}
