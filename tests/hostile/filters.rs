//! Filters of system calls: a program under one never notices the agent, and the answer says what is missing.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tests::ask::{WAYS, activate, loader};
use tests::ended::Ended;
use tests::interpreters::Interpreter;
use tests::process::Program;
use tests::procfs::{self, settle};
use tests::product::product;
use tests::{case, process};

/// System calls that the agent makes, at some time of its life, and that a Python program may do without.
const CALLS: [(&str, i64); 31] = [
    ("wait4", libc::SYS_wait4),
    ("prctl", libc::SYS_prctl),
    ("getpid", libc::SYS_getpid),
    ("gettid", libc::SYS_gettid),
    ("geteuid", libc::SYS_geteuid),
    ("tgkill", libc::SYS_tgkill),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo),
    ("kill", libc::SYS_kill),
    ("rt_sigtimedwait", libc::SYS_rt_sigtimedwait),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("pread64", libc::SYS_pread64),
    ("readlink", libc::SYS_readlink),
    ("fcntl", libc::SYS_fcntl),
    ("close_range", libc::SYS_close_range),
    ("unshare", libc::SYS_unshare),
    ("socket", libc::SYS_socket),
    ("connect", libc::SYS_connect),
    ("getsockopt", libc::SYS_getsockopt),
    ("sendto", libc::SYS_sendto),
    ("recvfrom", libc::SYS_recvfrom),
    ("poll", libc::SYS_poll),
    ("clock_gettime", libc::SYS_clock_gettime),
    ("madvise", libc::SYS_madvise),
    ("clone3", libc::SYS_clone3),
    ("capset", libc::SYS_capset),
    ("setresuid", libc::SYS_setresuid),
    ("seccomp", libc::SYS_seccomp),
    ("sched_yield", libc::SYS_sched_yield),
    ("clock_nanosleep", libc::SYS_clock_nanosleep),
    ("getdents64", libc::SYS_getdents64),
    ("exit", libc::SYS_exit),
];

/// How a filter answers, as the program's step says it: refused, unknown, deadly.
const VERDICTS: [(&str, &str); 3] = [("refuse", ":1"), ("refuse", ":38"), ("forbid", "")];

/// A program that is under this filter from before its interpreter starts; `None` if it does not start without
/// the agent either.
fn filtered_from_the_start(python: &Interpreter, step: &str) -> Option<Program> {
    let start = |library: &Path| {
        let mut command = python.command();
        command.env("WALLS_LIBRARY", library);
        command.arg(product().hostile("walls.py"));
        Program::start(command.args([step, "execute="]))
    };
    let bare = start(Path::new(""));
    process::wait_until("it starts", || {
        bare.has_ended() || bare.out().ends_with("ready\n")
    });
    (!bare.has_ended()).then(|| start(&product().library).ready())
}

/// Asks the program by both ways: each answers, or says in one line and at once why it cannot; and the program
/// goes on.
fn asks_and_goes_on(program: Program, filter: &str) {
    settle(program.pid());
    let mut answers = 0;
    for via in WAYS {
        let pid = program.pid().to_string();
        let ended = activate(["--via", via, &pid]);
        assert!(
            !program.has_ended(),
            "{filter}, {via}: {:?}, {ended:?}",
            program.status()
        );
        answers += usize::from(is_answer(&ended, &format!("{filter}, {via}")));
    }
    assert!(answers >= 1, "{filter}: no way in is left");
    goes_on(program, filter);
}

fn goes_on(mut program: Program, filter: &str) {
    program.say("");
    let ended = program.end();
    ended.expect_code(7);
    assert_eq!(ended.err(), "", "{filter}");
}

/// Whether this is an answer; else it must be a reason.
fn is_answer(ended: &Ended, how: &str) -> bool {
    if ended.status.success() {
        assert!(ended.out().contains(", in wait\n"), "{how}: {ended:?}");
        return true;
    }
    let said = ended.err();
    assert_eq!(said.lines().count(), 1, "{how}: {said}");
    assert!(said.contains("filter of system calls"), "{how}: {said}");
    false
}

/// Several filters at a time: most of the time is spent waiting.
fn each_filter(one: impl Fn(&str, &str) + Sync) {
    let filters: Vec<(String, String)> = CALLS
        .iter()
        .flat_map(|(name, number)| {
            VERDICTS.map(|(step, verdict)| {
                (
                    format!("{step}={number}{verdict}"),
                    format!("{name}: {step}{verdict}"),
                )
            })
        })
        .collect();
    thread::scope(|scope| {
        for part in filters.chunks(filters.len().div_ceil(AT_A_TIME)) {
            let one = &one;
            scope.spawn(move || part.iter().for_each(|(step, name)| one(step, name)));
        }
    });
}

/// So many programs at a time.
const AT_A_TIME: usize = 3;

case!(from_the_start, OnlyOne);
fn from_the_start(python: &Interpreter) {
    let started = AtomicUsize::new(0);
    each_filter(|step, name| {
        if let Some(program) = filtered_from_the_start(python, step) {
            started.fetch_add(1, Ordering::SeqCst);
            asks_and_goes_on(program, name);
        }
    });
    let started = started.into_inner();
    assert!(started > 2 * CALLS.len(), "{started}");
}

case!(on_the_first_thread, OnlyOne);
/// The program puts a filter on its first thread once the agent sleeps.
fn on_the_first_thread(python: &Interpreter) {
    each_filter(|step, name| asks_and_goes_on(filtered_later(python, step), name));
}

case!(on_all_threads, OnlyOne);
/// The program puts a filter on all its threads, the agent's too, once the agent sleeps.
fn on_all_threads(python: &Interpreter) {
    each_filter(|step, name| {
        // No thread of such a program can end; or none can look around unseen (SECURITY.md).
        if name.starts_with("exit") || name == "close_range: forbid" {
            return;
        }
        let step = step.replacen('=', "_all=", 1);
        asks_and_goes_on(
            filtered_later(python, &step),
            &format!("{name}, on all threads"),
        );
    });
}

fn filtered_later(python: &Interpreter, step: &str) -> Program {
    let mut command = tests::ask::preloaded_python(python);
    command.arg(product().hostile("walls.py"));
    let mut program = tests::ask::woken(&mut command);
    program.say(step);
    process::wait_until("the filter is there", || {
        program.out().contains(&format!("{step} done\n")) || program.has_ended()
    });
    program
}

/// More calls that loading takes.
const TO_LOAD: [(&str, &str); 9] = [
    ("refuse=14:1", "rt_sigprocmask: refuse:1"),
    ("forbid=14", "rt_sigprocmask: forbid"),
    ("refuse=202:1", "futex: refuse:1"),
    ("forbid=202", "futex: forbid"),
    ("refuse=11:1", "munmap: refuse:1"),
    ("refuse=56:1", "clone: refuse:1"),
    ("forbid=56", "clone: forbid"),
    ("forbid=319", "memfd_create: forbid"),
    ("only_threads=", "clone: only of threads"),
];

case!(before_the_library, OnlyOne);
/// The program has a filter and no library. Root loads it, unless the filter would end the program for that, or leave one
/// of its threads in another state.
fn before_the_library(python: &Interpreter) {
    let (loaded, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one = |step: &str, name: &str| {
        let mut command = python.command();
        command.arg(product().hostile("walls.py"));
        let program = Program::start(command.arg(step)).ready();
        let blocked = procfs::status(program.pid(), "SigBlk");
        let ended = process::run(&mut loader([program.pid()]));
        assert_eq!(procfs::status(program.pid(), "SigBlk"), blocked, "{name}");
        let said = ended.err();
        if ended.status.success() {
            loaded.fetch_add(1, Ordering::SeqCst);
            return asks_and_goes_on(program, &format!("{name}, loaded"));
        }
        let mut reasons = vec!["filter of system calls"];
        if name.starts_with("clone") {
            reasons.extend(["could not start a thread", "no thread could be started"]);
        }
        let is_right = reasons.iter().any(|one| said.contains(one));
        assert!(is_right && said.lines().count() == 1, "{name}: {said}");
        refused.fetch_add(1, Ordering::SeqCst);
        goes_on(program, name);
    };
    each_filter(one);
    TO_LOAD.iter().for_each(|(step, name)| one(step, name));
    let (loaded, refused) = (loaded.into_inner(), refused.into_inner());
    // SAFETY: geteuid has no conditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    match is_root && procfs::status(std::process::id() as i32, "Seccomp") == "0" {
        true => assert!(
            loaded > 60 && refused >= 15,
            "{loaded} loaded, {refused} not"
        ),
        false => assert_eq!(
            loaded, 0,
            "only root may see filters, without any of its own"
        ),
    }
}
