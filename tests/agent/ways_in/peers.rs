//! Other peers that may wake an agent: hostile peers, and other users.

use protocol::message::{HEADER, Header, Kind, VERSION, socket_address};
use protocol::names::{ANSWERER_THREAD, PARKED_THREAD, SIGNAL, THREAD_HEADING, WAKE_CODE};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};
use tests::ask::{answer_by_wake, state, threads_told, woken_target};
use tests::case;
use tests::interpreters::Interpreter;
use tests::mortal::Mortal;
use tests::process::{PATIENCE, Program};
use tests::procfs::{descriptors, settle, thread_named};
use tests::users::{NOBODY, activate_as, as_user};

/// A peer that wakes the agent as a command does, and leaves the rest to the test.
struct Peer {
    listener: UnixListener,
    pid: i32,
    token: u64,
}

impl Peer {
    fn new(pid: i32, token: u64) -> Peer {
        let (address, length) = socket_address(token);
        // SAFETY: a new descriptor; the address is alive and has this length.
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
        let sleeper = thread_named(self.pid, PARKED_THREAD).expect("an agent");
        let number = libc::SYS_rt_tgsigqueueinfo;
        // SAFETY: 128 bytes, as large as a siginfo_t.
        let sent = unsafe { libc::syscall(number, self.pid, sleeper, SIGNAL, &raw mut call) };
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

case!(hostile_peers, OnlyOne);
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
        let text = answer_by_wake(pid);
        assert!(text.starts_with(THREAD_HEADING), "{after}: {text}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(9), "{after}: {took:?}");
    };
    // Nobody listens: the peer's socket is gone.
    let gone = peer();
    let (listener, stays) = (gone.listener, gone.token);
    drop(listener);
    let nobody = Peer {
        listener: UnixListener::from(OwnedFd::from(File::open("/dev/null").unwrap())),
        pid,
        token: stays,
    };
    for _ in 0..100 {
        nobody.signal();
    }
    answers("nobody listens");
    // A question with unknown bits.
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
    // No header, a header with a huge length, half a header, nothing.
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
    // Peers that hang up, at every stage.
    for words in [&question.bytes()[..], &question.bytes()[..5], &[]] {
        for _ in 0..10 {
            let mut line = peer().connected();
            line.write_all(words).unwrap();
        }
        answers("a peer that hung up");
    }
    // A peer that asks and does not read: the agent sends a small text anyway.
    let mut slow = peer().connected();
    slow.write_all(&question.bytes()).unwrap();
    answers("a slow reader");
    let mut text = Vec::new();
    slow.read_to_end(&mut text).unwrap();
    assert!(text.len() > HEADER);
    mortal.goes_on("hostile peers");
    mortal.ends_intact();

    // The agent gives up on a large text, at no lasting cost.
    let program = woken_target(python, "threads.py", &["200", "150"]);
    settle(program.pid());
    let before = descriptors(program.pid());
    let peer = Peer::new(program.pid(), 0x5eed_ffff);
    let mut slow = peer.connected();
    slow.write_all(&question.bytes()).unwrap();
    let begun = Instant::now();
    // Whoever answers it has the socket in a table of descriptors of its own.
    let answerer = thread_named(program.pid(), ANSWERER_THREAD).expect("an answerer");
    let folder = format!("/proc/{}/task/{answerer}/fd", program.pid());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    assert_eq!(descriptors(program.pid()), before);
    // Another way in stays open meanwhile.
    assert_eq!(threads_told(&state(program.pid())), 201);
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(threads_told(&answer_by_wake(program.pid())), 201);
    assert!(begun.elapsed() < Duration::from_secs(9));
    drop(slow);
    program.ends_well();
}

case!(strangers, ForAnyone);
/// Another user can neither wake the agent nor make it talk to their socket.
fn strangers(python: &Interpreter) {
    let program = woken_target(python, "threads.py", &["2", "2"]);
    activate_as(NOBODY, ["--via", "wake", &*program.pid().to_string()])
        .expect_refusal(1, &["it belongs to root"]);
    // The signal comes from root, but nobody owns the socket: the agent hangs up without a word.
    let peer = Peer {
        listener: UnixListener::from(OwnedFd::from(File::open("/dev/null").unwrap())),
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
    let mut impostor = python.command();
    let impostor = as_user(impostor.args(["-c", &code]), NOBODY);
    let mut impostor = Program::start(impostor).ready();
    peer.signal();
    let ended = impostor.end_within(PATIENCE);
    assert_eq!(ended.out(), "ready\n''\n");
    assert_eq!(threads_told(&answer_by_wake(program.pid())), 3);
    program.ends_well();
}
