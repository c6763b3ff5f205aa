//! What a program forbids itself binds the agent: capabilities, users, filters, namespaces, roots.

use protocol::names::{AGENT_THREADS, PARKED_THREAD};
use tests::ask::{WAYS, activate, activator, answer, full_answer, preloaded_python, woken};
use tests::case;
use tests::interpreters::Interpreter;
use tests::process::{PATIENCE, Program, wait_until};
use tests::procfs::{self, wait_agent};
use tests::product::product;
use tests::scratch::Scratch;

/// Starts `walls.py`, which has made no step yet.
fn fenced(python: &Interpreter, with_agent: bool) -> Program {
    let mut command = match with_agent {
        true => preloaded_python(python),
        false => python.command(),
    };
    let program = Program::start(command.arg(product().hostile("walls.py"))).ready();
    if with_agent {
        wait_agent(program.pid());
    }
    program
}

/// Has the program make a step, and returns its outcome.
fn step(program: &mut Program, step: &str) -> String {
    let before = program.out().lines().count();
    program.say(step);
    wait_until("the step is made", || {
        program.out().lines().count() > before || program.has_ended()
    });
    let made = program.out();
    let line = made.lines().last().unwrap_or_default();
    let outcome = line.strip_prefix(step).map(str::trim);
    outcome
        .unwrap_or_else(|| panic!("{step}: {made}, {:?}", program.status()))
        .to_owned()
}

/// Ends the program as it wishes to end.
fn ends(mut program: Program) {
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.err(), "");
}

/// What programs do, step by step.
const LIVES: [&[&str]; 17] = [
    &["setuid=1000", "setuid=0"],
    &["keep=0", "setuid=1000", "setuid=0"],
    &[
        "keep=0",
        "setgid=1000",
        "setgroups=1:2",
        "seteuid=5",
        "setreuid=5:6",
    ],
    &["keep=40", "setuid=1000", "setgid=1000", "setgroups=3"],
    &["keep=80", "thread", "setgid=1000", "setuid=1000"],
    &["refuse=105:1", "setuid=1000", "setuid=1000", "setgid=1000"],
    &[
        "refuse=105:38",
        "refuse=106:13",
        "setuid=1000",
        "setgid=1000",
        "setuid=7",
    ],
    &["refuse=116:1", "setgroups=4", "setgroups=4", "setuid=1000"],
    &["secure=4", "setuid=1000", "setuid=0", "setuid=1001"],
    &["raw_setuid=1000", "setuid=0", "setgid=5", "seteuid=1000"],
    &["bound=7", "no_new_privileges", "setuid=1000", "setuid=0"],
    &[
        "seteuid=1000",
        "seteuid=0",
        "seteuid=1000",
        "setgid=5",
        "seteuid=0",
    ],
    &[
        "refuse=186:1",
        "refuse=39:1",
        "refuse=234:1",
        "seteuid=1000",
        "setuid=0",
    ],
    // A root without /proc.
    &["chroot=/usr", "setuid=1000", "setuid=0"],
    &["chroot=/usr", "thread", "refuse=171:1", "setuid=1000"],
    &["chroot=/usr", "keep=40", "setuid=1000", "setgid=5"],
    &[
        "chroot=/usr",
        "keep=0",
        "setgid=5",
        "setgroups=1:2",
        "setuid=1000",
    ],
];

/// What programs do that leaves the agent no way to be woken: nobody asks in between.
const DEAF_LIVES: [&[&str]; 3] = [
    &["refuse_all=128:1", "setuid=1000", "setuid=0"],
    &["refuse_all=128:38", "thread", "setgid=1000", "setuid=1000"],
    &["keep=0", "refuse_all=128:1", "setuid=1000", "setgid=5"],
];

case!(behaves_as_without, Root);
/// Every step has the outcome that it has without the agent, whether the agent is asked in between or not.
fn behaves_as_without(python: &Interpreter) {
    for life in LIVES {
        let mut bare = fenced(python, false);
        let mut quiet = fenced(python, true);
        let mut asked = fenced(python, true);
        for one in life {
            let wanted = step(&mut bare, one);
            assert_eq!(step(&mut quiet, one), wanted, "{one} of {life:?}");
            assert_eq!(step(&mut asked, one), wanted, "{one} of {life:?}, asked");
            let text = answer(asked.pid(), &["--via", "wake"]);
            assert!(text.contains("in wait"), "{one} of {life:?}: {text}");
        }
        for program in [bare, quiet, asked] {
            ends(program);
        }
    }
}

case!(switches_users_while_it_is_asked, Root);
/// A server acts for its users in turn. Whenever it is asked, its agent is about to change its user too, or has just
/// done so: that is no wall.
fn switches_users_while_it_is_asked(python: &Interpreter) {
    for pause in ["0.0002", "0.002", "0.02"] {
        let mut start = preloaded_python(python);
        let mut program = woken(start.arg(product().hostile("switches_users.py")).arg(pause));
        for _ in 0..60 {
            answer(program.pid(), &["--via", "wake"]);
        }
        // The agent has given up nothing, and has not shut itself in.
        let thread = procfs::thread_named(program.pid(), PARKED_THREAD).expect("it sleeps");
        for name in ["Seccomp", "CapPrm", "NoNewPrivs"] {
            let (its, first) = (
                procfs::status(thread, name),
                procfs::status(program.pid(), name),
            );
            assert_eq!(its, first, "{name}, pause {pause}");
        }
        program.say("");
        let ended = program.end();
        ended.expect_code(7);
        assert_eq!(ended.err(), "");
    }
}

case!(behaves_as_without_unasked, Root);
/// The same where the agent's waits are refused.
fn behaves_as_without_unasked(python: &Interpreter) {
    for life in DEAF_LIVES {
        let mut bare = fenced(python, false);
        let mut quiet = fenced(python, true);
        for one in life {
            let wanted = step(&mut bare, one);
            assert_eq!(step(&mut quiet, one), wanted, "{one} of {life:?}");
        }
        for program in [bare, quiet] {
            ends(program);
        }
    }
}

case!(changes_its_user_while_it_is_asked, OnlyOne);
/// The worker waits for the GIL, perhaps shut in, when the program changes the user of all its threads.
fn changes_its_user_while_it_is_asked(python: &Interpreter) {
    let lives: [&[&str]; 3] = [&[], &["refuse=171:1"], &["chroot=/usr", "keep=80"]];
    for life in lives {
        for via in WAYS {
            let mut program = fenced(python, true);
            for one in life {
                assert_eq!(step(&mut program, one), "done", "{one}");
            }
            let mut asking =
                Program::start(&mut activator(["--via", via, &program.pid().to_string()]));
            // The agent holds the GIL for less than a millisecond: now it waits for it.
            assert_eq!(
                step(&mut program, "hold_and_setuid=700:1000"),
                "done",
                "{life:?} via {via}"
            );
            let ended = asking.end_within(PATIENCE);
            assert!(
                ended.status.success() || ended.err().lines().count() == 1,
                "{life:?} via {via}: {ended:?}"
            );
            let text = answer(program.pid(), &["--via", "wake"]);
            assert!(text.contains("in wait"), "{life:?} via {via}: {text}");
            ends(program);
        }
    }
}

case!(has_no_memory_left, OnlyOne);
/// No thread can be started, and nothing be allocated: the agent says so, and answers once there is memory.
fn has_no_memory_left(python: &Interpreter) {
    let mut program = fenced(python, true);
    assert_eq!(step(&mut program, "fill_memory"), "done");
    for via in WAYS {
        let ended = activate(["--via", via, &program.pid().to_string()]);
        assert!(!program.has_ended(), "{via}: {:?}", program.status());
        assert!(
            ended.status.success() || ended.err().lines().count() == 1,
            "{via}: {ended:?}"
        );
    }
    assert_eq!(step(&mut program, "free_memory"), "done");
    for via in WAYS {
        let text = full_answer(program.pid(), via);
        assert!(text.contains(", in wait\n"), "{via}: {text}");
    }
    ends(program);
}

/// The lines of a thread's status that say what it may do.
fn rights(pid: i32, task: i32) -> Vec<String> {
    let text = procfs::read(pid, &format!("task/{task}/status"));
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    ["Uid:", "Gid:", "Groups:", "NoNewPrivs:", "Seccomp:"]
        .map(value)
        .into()
}

/// A thread's sets of capabilities.
fn capabilities(pid: i32, task: i32) -> Vec<u64> {
    let text = procfs::read(pid, &format!("task/{task}/status"));
    let sets = text.lines().filter(|line| line.starts_with("Cap"));
    sets.map(|line| u64::from_str_radix(line[7..].trim(), 16).expect("a set"))
        .collect()
}

/// Panics if a thread of the agent's has a right that the first thread has not.
#[track_caller]
fn has_no_more_rights(pid: i32, life: &[&str]) {
    let mut ours = 0;
    for task in procfs::tasks(pid) {
        let name = procfs::read(pid, &format!("task/{task}/comm"));
        if !AGENT_THREADS.contains(&name.trim()) {
            continue;
        }
        ours += 1;
        assert_eq!(rights(pid, task), rights(pid, pid), "{name} after {life:?}");
        let sets = capabilities(pid, task)
            .into_iter()
            .zip(capabilities(pid, pid));
        for (own, first) in sets {
            assert_eq!(own & !first, 0, "{name} after {life:?}: {own:x}, {first:x}");
        }
    }
    assert!(ours >= 1, "no thread of the agent's");
}

case!(gives_up_what_the_program_gives_up, Root);
/// Once the agent has been asked, by whichever way, the thread that was asked has no right that the
/// program's first thread has not.
fn gives_up_what_the_program_gives_up(python: &Interpreter) {
    let lives: [&[&str]; 8] = [
        &["keep=0"],
        &["bound=12", "bound=21", "keep=80"],
        &["no_new_privileges"],
        &["raw_setuid=1000"],
        &["setgroups=7:8", "setgid=5", "setuid=1000"],
        &["refuse=41:1"],
        &["secure=4", "raw_setuid=1000", "keep=400"],
        &["keep=0", "no_new_privileges", "forbid=101"],
    ];
    for life in lives {
        let mut program = fenced(python, true);
        for one in life {
            assert_eq!(step(&mut program, one), "done", "{one}");
        }
        for via in WAYS {
            let text = full_answer(program.pid(), via);
            assert!(text.contains(", in wait\n"), "{life:?} via {via}: {text}");
        }
        has_no_more_rights(program.pid(), life);
        ends(program);
    }
}

case!(reads_no_file_outside, Root);
/// The program has left for another root or another namespace: the agent answers, and reads no file from where
/// it was.
fn reads_no_file_outside(python: &Interpreter) {
    let root = Scratch::new();
    let root = format!("chroot={}", root.to_str().expect("a plain path"));
    let lives: [&[&str]; 3] = [
        // CLONE_NEWNS; CLONE_FS; CLONE_NEWNET.
        &["unshare=20000", &root],
        &["unshare=200", &root, "keep=0"],
        &["unshare=40000000"],
    ];
    for life in lives {
        let mut program = fenced(python, true);
        for one in life {
            assert_eq!(step(&mut program, one), "done", "{one}");
        }
        for via in WAYS {
            let text = full_answer(program.pid(), via);
            assert!(text.contains(", in wait\n"), "{life:?} via {via}: {text}");
            assert!(
                !text.contains("sys.stdin.readline()"),
                "{life:?} via {via}: {text}"
            );
            assert!(
                text.contains("the agent is under a filter of system calls (seccomp)"),
                "{life:?} via {via}: {text}"
            );
        }
        ends(program);
    }
}
