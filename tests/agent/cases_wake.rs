//! The way in without a debugger: a signal to the agent's waker, which answers over a socket.

use crate::Need::{Compiler, ForAnyone, Nothing, OnlyOne, Root};
use crate::cases_mortal::Mortal;
use crate::{Case, PlainCase};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::ask::{activate, state, target, threads_told, woken_target};
use tests::compile::compile;
use tests::interface::{SIGNAL, THREAD_HEADING, WAKE_CODE, WAKER_THREAD};
use tests::interpreters::Interpreter;
use tests::message::{HEADER, Header, Kind, VERSION, socket_address};
use tests::process::{Ended, PATIENCE, Program, command, run, wait_until};
use tests::procfs;
use tests::product::product;
use tests::scratch::Scratch;

pub const CASES: &[Case] = &[
    ("same_answer", Nothing, same_answer),
    ("thousands", Nothing, thousands),
    ("falls_back", Compiler, falls_back),
    ("off", Nothing, off),
    ("another_signal", Nothing, another_signal),
    ("signal_of_the_program", Nothing, signal_of_the_program),
    ("signal_waited_for", Nothing, signal_waited_for),
    ("hostile_peers", OnlyOne, hostile_peers),
    ("strangers", ForAnyone, strangers),
    ("guarded_memory", ForAnyone, guarded_memory),
    ("other_namespaces", Root, other_namespaces),
    (
        "unprivileged_namespaces",
        ForAnyone,
        unprivileged_namespaces,
    ),
];

pub const PLAIN_CASES: &[PlainCase] = &[("not_python", Nothing, not_python)];

/// User and group `nobody`, who owns nothing.
const NOBODY: u32 = 65534;

#[track_caller]
fn wake(pid: i32) -> Ended {
    activate(["--via", "wake", &pid.to_string()])
}

/// The state, and not a word more.
#[track_caller]
fn woken(pid: i32) -> String {
    let ended = wake(pid);
    assert_eq!(ended.err(), "");
    ended.expect_code(0);
    ended.out()
}

/// Status 1, no state, and one line that says this.
#[track_caller]
fn refused(ended: &Ended, words: &str) {
    ended.expect_code(1);
    let said = ended.err();
    assert_eq!(ended.out(), "", "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(words), "no {words:?} in {said}");
}

/// Ends with status 7 once it has read a line.
#[track_caller]
fn goes_on(mut program: Program) {
    program.say("");
    let ended = program.end();
    assert_eq!(ended.err(), "");
    ended.expect_code(7);
}

fn same_answer(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["20", "10"]);
    procfs::settle(program.pid());
    let before = procfs::descriptors(program.pid());
    let text = state(program.pid());
    assert_eq!(threads_told(&text), 21);
    for _ in 0..5 {
        assert_eq!(woken(program.pid()), text);
    }
    assert_eq!(procfs::descriptors(program.pid()), before);
    // Larger than any buffer between the two.
    let large = woken_target(python, "threads.py", &["200", "150"]);
    procfs::settle(large.pid());
    assert_eq!(woken(large.pid()), state(large.pid()));
    goes_on(large);
    goes_on(program);
}

fn thousands(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let before = procfs::descriptors(mortal.pid).len();
    for _ in 0..1000 {
        let text = woken(mortal.pid);
        assert!(text.starts_with(THREAD_HEADING), "{text}");
    }
    mortal.goes_on("a thousand wakings");
    assert_eq!(procfs::descriptors(mortal.pid).len(), before);
    mortal.ends_intact();
}

/// Where gdb can't be used it is done without, and said; unless gdb was asked for.
fn falls_back(python: &Interpreter) {
    let folder = Scratch::new();
    let program = woken_target(python, "threads.py", &["2", "2"]);
    let pid = program.pid().to_string();
    let ask = |arguments: &[&str], path: Option<&str>| {
        let mut activator = command(&product().activate);
        activator.args(arguments).arg(&pid);
        if let Some(path) = path {
            activator.env("PATH", path);
        }
        run(&mut activator)
    };
    let told = |ended: &Ended, why: &str| {
        ended.expect_code(0);
        assert_eq!(threads_told(&ended.out()), 3);
        let said = ended.err();
        assert_eq!(said.lines().count(), 1, "{said}");
        let words = format!("PID {pid}: asked without a debugger, as {why}");
        assert!(said.contains(&words), "{said}");
    };
    let nowhere = Some("/nonexistent");
    told(&ask(&[], nowhere), "there is no gdb on $PATH");
    refused(&ask(&["--via", "gdb"], nowhere), "there is no gdb on $PATH");
    let tracer = compile("tracer.c", &folder, &[]);
    let tracer = Program::start(command(tracer).arg(&pid)).ready();
    told(&ask(&[], None), "it is being traced by PID");
    refused(&ask(&["--via", "gdb"], None), "it is being traced by PID");
    drop(tracer);
    let usual = ask(&[], None);
    assert_eq!(usual.err(), "");
    usual.expect_code(0);
    goes_on(program);
}

fn off(python: &Interpreter) {
    for (variable, value) in [("SLEEPER_AGENT_WAKE", "off"), ("SLEEPER_AGENT_SIGNAL", "9")] {
        let mut command = target(python, "threads.py");
        command.args(["2", "2"]).env(variable, value);
        let program = Program::start(&mut command).ready();
        procfs::wait_agent(program.pid());
        refused(&wake(program.pid()), "no thread of its waits to be woken");
        assert_eq!(threads_told(&state(program.pid())), 3);
        goes_on(program);
    }
}

fn not_python() {
    let mut command = tests::ask::preloaded("sleep");
    let program = Program::start(command.arg("100"));
    refused(&wake(program.pid()), "no thread of its waits to be woken");
}

/// The signal that the waker waits for, of `/proc/PID/task/TID/status`.
fn awaited(pid: i32) -> u64 {
    let waker = waker(pid);
    let status = procfs::read(pid, &format!("task/{waker}/status"));
    let mask = status.lines().find_map(|one| one.strip_prefix("SigBlk:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    !mask.expect("a mask") >> 33 << 33
}

fn waker(pid: i32) -> i32 {
    let mut tasks = procfs::tasks(pid).into_iter();
    tasks
        .find(|task| procfs::read(pid, &format!("task/{task}/comm")).trim() == WAKER_THREAD)
        .expect("a waker")
}

fn another_signal(python: &Interpreter) {
    let mut command = target(python, "threads.py");
    command.args(["2", "2"]).env("SLEEPER_AGENT_SIGNAL", "41");
    let program = Program::start(&mut command).ready();
    procfs::wait_agent(program.pid());
    assert_eq!(threads_told(&woken(program.pid())), 3);
    wait_until("it waits again", || awaited(program.pid()) == 1 << 40);
    goes_on(program);
}

/// A handler of the program's for the very signal gets what is the program's, each of them, and
/// nothing of ours.
fn signal_of_the_program(python: &Interpreter) {
    let mut command = target(python, "own_signal.py");
    command.args(["handler", &SIGNAL.to_string()]);
    let mut program = Program::start(&mut command).ready();
    procfs::wait_agent(program.pid());
    for round in 1..=50 {
        woken(program.pid());
        program.signal(SIGNAL);
        wait_until("the handler has run", || {
            program
                .out()
                .lines()
                .filter(|line| *line == "signal")
                .count()
                >= round
        });
    }
    woken(program.pid());
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    let out = ended.out();
    assert_eq!(out.matches("signal\n").count(), 50, "{out}");
    assert_eq!(ended.err(), "");
}

/// A program that blocks the signal everywhere and waits for it as we do gets each of them, too;
/// the agent then leaves the signal to it, and says so.
fn signal_waited_for(python: &Interpreter) {
    let mut command = target(python, "own_signal.py");
    command.args(["waits", &SIGNAL.to_string()]);
    let mut program = Program::start(&mut command).ready();
    procfs::wait_agent(program.pid());
    woken(program.pid());
    for _ in 0..200 {
        program.signal(SIGNAL);
    }
    wait_until("all have come", || {
        program.out().matches("signal\n").count() >= 200
    });
    // It depends on the kernel whether ours was ever chosen to take one.
    if procfs::thread_names(program.pid()).contains(&WAKER_THREAD.to_owned()) {
        woken(program.pid());
    } else {
        refused(&wake(program.pid()), "no thread of its waits to be woken");
    }
    state(program.pid());
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.out().matches("signal\n").count(), 200);
    assert_eq!(ended.err(), "");
}

/// Wakes the agent as a command does, and leaves what follows to the test.
struct Peer {
    listener: UnixListener,
    pid: i32,
    token: u64,
}

impl Peer {
    fn new(pid: i32, token: u64) -> Peer {
        let (address, length) = socket_address(token);
        // SAFETY: a new descriptor; the address is alive and so long.
        let listener = unsafe {
            let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            assert_eq!(libc::bind(socket, (&raw const address).cast(), length), 0);
            assert_eq!(libc::listen(socket, 1), 0);
            UnixListener::from(OwnedFd::from_raw_fd(socket))
        };
        Peer {
            listener,
            pid,
            token,
        }
    }

    fn signal(&self) {
        let mut call = [0_u64; 16];
        call[0] = SIGNAL as u32 as u64;
        call[1] = WAKE_CODE as u32 as u64;
        call[2] = std::process::id() as u64;
        call[3] = self.token;
        let number = libc::SYS_rt_tgsigqueueinfo;
        // SAFETY: 128 bytes, as large as a siginfo_t.
        let sent =
            unsafe { libc::syscall(number, self.pid, waker(self.pid), SIGNAL, &raw mut call) };
        assert_eq!(sent, 0);
    }

    fn connected(&self) -> UnixStream {
        self.signal();
        let mut poll = libc::pollfd {
            fd: self.listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor of ours.
        let came = unsafe { libc::poll(&mut poll, 1, 20_000) };
        assert_eq!(came, 1, "it does not come");
        let (line, _) = self.listener.accept().unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        line
    }
}

fn hostile_peers(python: &Interpreter) {
    let mut mortal = Mortal::start(python);
    let pid = mortal.pid;
    let mut token = 0x5eed_0000_0000_0000;
    let mut peer = || {
        token += 1;
        Peer::new(pid, token)
    };
    let question = Header::new(Kind::Question, 0);
    let answers = |after: &str| {
        let begun = Instant::now();
        let text = woken(pid);
        assert!(text.starts_with(THREAD_HEADING), "{after}: {text}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(9), "{after}: {took:?}");
    };
    // It speaks to nobody that is not there.
    let gone = peer();
    let (listener, stays) = (gone.listener, gone.token);
    drop(listener);
    let nobody = Peer {
        listener: UnixListener::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap())),
        pid,
        token: stays,
    };
    for _ in 0..100 {
        nobody.signal();
    }
    answers("nobody listens");
    // Words that it doesn't know.
    let from_the_future = Header {
        version: VERSION + 1,
        ..question
    };
    for strange in [
        from_the_future,
        Header {
            kind: 77,
            ..question
        },
        Header {
            length: 100,
            ..question
        },
    ] {
        let mut line = peer().connected();
        line.write_all(&strange.bytes()).unwrap();
        line.write_all(&vec![b'x'; strange.length as usize])
            .unwrap();
        let mut header = [0; HEADER];
        line.read_exact(&mut header).unwrap();
        let header = Header::parse(&header).expect("a header");
        assert!(header.is(Kind::NotUnderstood), "{header:?}");
        assert_eq!(line.read(&mut [0; 1]).unwrap(), 0);
        answers("words that it does not know");
    }
    // What is no header, too much, half of one, nothing.
    let huge = Header {
        length: 1 << 30,
        ..question
    };
    for words in [
        &[b'?'; HEADER][..],
        &huge.bytes(),
        &question.bytes()[..10],
        &[],
    ] {
        let mut line = peer().connected();
        line.write_all(words).unwrap();
        let begun = Instant::now();
        assert_eq!(line.read(&mut [0; 1]).unwrap_or(0), 0);
        assert!(begun.elapsed() < Duration::from_secs(8));
        answers("half a message");
    }
    // Who hangs up, at every stage.
    for words in [&question.bytes()[..], &question.bytes()[..5], &[]] {
        for _ in 0..10 {
            let mut line = peer().connected();
            line.write_all(words).unwrap();
        }
        answers("a peer that hung up");
    }
    // Who asks and does not read: a small text is sent anyway.
    let mut slow = peer().connected();
    slow.write_all(&question.bytes()).unwrap();
    answers("a slow reader");
    let mut text = Vec::new();
    slow.read_to_end(&mut text).unwrap();
    assert!(text.len() > HEADER);
    mortal.goes_on("hostile peers");
    mortal.ends_intact();

    // A large one is given up, and costs nothing for good.
    let program = woken_target(python, "threads.py", &["200", "150"]);
    let peer = Peer::new(program.pid(), 0x5eed_ffff);
    let mut slow = peer.connected();
    slow.write_all(&question.bytes()).unwrap();
    let begun = Instant::now();
    assert_eq!(threads_told(&woken(program.pid())), 201);
    assert!(begun.elapsed() < Duration::from_secs(9));
    drop(slow);
    goes_on(program);
}

/// Another user can't wake it, nor make it talk to a socket of theirs.
fn strangers(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = folder.join("sleeper_agent_activate");
    std::fs::copy(&product().activate, &copy).unwrap();
    let mut command = target(python, "threads.py");
    command.args(["2", "2"]);
    let program = Program::start(&mut command).ready();
    procfs::wait_agent(program.pid());
    let mut activator = tests::process::command(&copy);
    activator.args(["--via", "wake", &program.pid().to_string()]);
    let ended = run(activator.current_dir("/").uid(NOBODY).gid(NOBODY));
    refused(&ended, "it belongs to root");
    // The signal comes from root, and the socket is nobody's: it hangs up without a word.
    let peer = Peer {
        listener: UnixListener::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap())),
        pid: program.pid(),
        token: 0x5eed_1234,
    };
    let code = format!(
        "import socket, sys\n\
         s = socket.socket(socket.AF_UNIX)\n\
         s.bind('\\0sleeper-agent-{:016x}')\n\
         s.listen(1)\n\
         sys.stdout.write('ready\\n'); sys.stdout.flush()\n\
         c = s.accept()[0]\n\
         sys.stdout.write('%r\\n' % c.recv(100))\n",
        peer.token
    );
    let mut impostor = tests::process::command(&python.path);
    python.equip(&mut impostor);
    impostor
        .args(["-c", &code])
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY);
    let mut impostor = Program::start(&mut impostor).ready();
    peer.signal();
    let ended = impostor.end_within(PATIENCE);
    assert_eq!(ended.out(), "ready\n''\n");
    assert_eq!(threads_told(&woken(program.pid())), 3);
    goes_on(program);
}

/// A process whose memory nobody may look at answers root alone.
fn guarded_memory(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = folder.join("sleeper_agent_activate");
    std::fs::copy(&product().activate, &copy).unwrap();
    for guarded in [false, true] {
        let mut command = target(python, "own_signal.py");
        command.args([
            if guarded { "guarded" } else { "open" },
            &SIGNAL.to_string(),
        ]);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        let program = Program::start(&mut command).ready();
        wait_until("it has a waker", || {
            procfs::thread_names(program.pid()).contains(&WAKER_THREAD.to_owned())
        });
        let mut activator = tests::process::command(&copy);
        activator.args(["--via", "wake", &program.pid().to_string()]);
        let ended = run(activator.current_dir("/").uid(NOBODY).gid(NOBODY));
        if guarded {
            refused(&ended, "only root if it guards its memory");
        } else {
            assert_eq!(ended.err(), "");
            ended.expect_code(0);
        }
        assert!(woken(program.pid()).starts_with(THREAD_HEADING));
        goes_on(program);
    }
}

/// Started by `unshare` with these arguments, as this user. The namespaces' own first process is a
/// child of what is started.
fn unshared(python: &Interpreter, arguments: &[&str], user: u32) -> Program {
    let library = product().library.display();
    let mut command = command("unshare");
    command
        .args(arguments)
        .arg("env")
        .arg(format!("LD_PRELOAD={library}"))
        .arg(&python.path)
        .arg(product().target("own_signal.py"))
        .args(["open", "58"])
        .current_dir("/")
        .uid(user)
        .gid(user);
    python.equip(&mut command);
    Program::start(&mut command).ready()
}

/// The process that has the waker: the one started, or a descendant of it.
fn inner(program: &Program) -> i32 {
    let mut found = program.pid();
    wait_until("there is a waker", || {
        let children = procfs::read(program.pid(), &format!("task/{}/children", program.pid()));
        let pids = children
            .split_whitespace()
            .filter_map(|one| one.parse().ok());
        std::iter::once(program.pid())
            .chain(pids)
            .any(|pid| procfs::thread_names(pid).contains(&WAKER_THREAD.to_owned()))
    });
    let children = procfs::read(program.pid(), &format!("task/{found}/children"));
    if let Some(child) = children.split_whitespace().next() {
        found = child.parse().unwrap();
    }
    found
}

/// Root wakes what runs in other namespaces, whoever it is there.
fn other_namespaces(python: &Interpreter) {
    for arguments in [
        &["--net"][..],
        &["--net", "--pid", "--mount", "--fork", "--mount-proc"],
        &[
            "--user",
            "--map-root-user",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
        ],
    ] {
        let program = unshared(python, arguments, 0);
        let pid = inner(&program);
        for _ in 0..3 {
            let text = woken(pid);
            assert!(text.contains(", in wait_here\n"), "{arguments:?}: {text}");
        }
        goes_on(program);
    }
}

/// A user wakes a program of theirs that runs in namespaces of theirs.
fn unprivileged_namespaces(python: &Interpreter) {
    let folder = Scratch::new();
    let copy = folder.join("sleeper_agent_activate");
    std::fs::copy(&product().activate, &copy).unwrap();
    let arguments = ["--user", "--map-root-user", "--net"];
    let program = unshared(python, &arguments, NOBODY);
    let pid = inner(&program);
    for user in [NOBODY, 0] {
        let mut activator = tests::process::command(&copy);
        activator.args(["--via", "wake", &pid.to_string()]);
        let ended = run(activator.current_dir("/").uid(user).gid(user));
        assert_eq!(ended.err(), "", "as user {user}");
        ended.expect_code(0);
        assert!(ended.out().contains(", in wait_here\n"), "{}", ended.out());
        sleep(Duration::from_millis(5));
    }
    goes_on(program);
}
