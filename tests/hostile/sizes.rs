//! What a process shows of itself, and answers, is as large as it likes: the commands read it to a limit.

use std::time::Duration;

use tests::bounded::bounded;
use tests::compile::compile_hostile;
use tests::everyone::looked_at;
use tests::plain_case;
use tests::process::{Program, command};
use tests::product::product;
use tests::scratch::Scratch;
use tests::users::{HOSTILE, as_user};

const MEGABYTE: u64 = 1 << 20;

/// Starts one of `programs/` as [`HOSTILE`].
#[track_caller]
fn hostile(source: &str, arguments: &[&str]) -> (Program, Scratch) {
    let scratch = Scratch::new();
    let program = compile_hostile(source, &scratch, &["-rdynamic"]);
    let mut start = command(program);
    let program = Program::start(as_user(start.args(arguments), HOSTILE)).ready();
    (program, scratch)
}

/// What `sa-list` says of a process, which takes neither long nor much memory.
#[track_caller]
fn listed(pid: i32) -> serde_json::Value {
    let _looked = looked_at();
    let mut list = command(&product().list);
    let listed = bounded(list.args(["--format", "json"]), Duration::from_secs(8));
    listed.ended.expect_code(0);
    assert!(listed.took < Duration::from_secs(1), "{:?}", listed.took);
    assert!(listed.peak < 50 * MEGABYTE, "{}", listed.peak);
    let document: serde_json::Value = serde_json::from_str(&listed.ended.out()).unwrap();
    let processes = document["processes"].as_array().unwrap();
    let ours = processes.iter().find(|one| one["pid"] == pid);
    ours.unwrap_or_else(|| panic!("{pid} is not among {processes:?}"))
        .clone()
}

/// What is said of a process that is asked by this way; that takes neither long nor much memory.
#[track_caller]
fn refused(pid: i32, way: &str, format: &str) -> String {
    let mut ask = command(&product().activate);
    ask.args(["--timeout", "3", "--via", way, "--format", format]);
    let asked = bounded(ask.arg(pid.to_string()), Duration::from_secs(10));
    assert!(
        asked.took < Duration::from_secs(4),
        "{way}: {:?}",
        asked.took
    );
    assert!(asked.peak < 200 * MEGABYTE, "{way}: {}", asked.peak);
    asked.ended.expect_code(1);
    asked.ended.err()
}

plain_case!(moved_arguments, Root);
/// Its command line has 3 GB, its environment 1 GB.
fn moved_arguments() {
    let (program, _scratch) = hostile("sizes.c", &["moved"]);
    for (way, words) in [
        ("gdb", "there is no sleeper agent in it"),
        (
            "wake",
            "its agent has no thread that waits for a wake-up signal",
        ),
    ] {
        let said = refused(program.pid(), way, "full");
        assert!(said.contains(words), "{said}");
    }
    let listed = listed(program.pid());
    assert_eq!(
        listed["command"].as_array().unwrap().last().unwrap(),
        "[... cut here]"
    );
}

plain_case!(many_words, Root);
/// Hundreds of processes, each with a command line of 100,000 words: they are shown, and cut.
fn many_words() {
    let (first, scratch) = hostile("sizes.c", &["words"]);
    let another = || {
        let mut start = command(scratch.join("sizes"));
        Program::start(as_user(start.arg("words"), HOSTILE))
    };
    let others: Vec<Program> = (0..450).map(|_| another()).collect();
    let others: Vec<Program> = others.into_iter().map(Program::ready).collect();
    for program in [&first, &others[449]] {
        let listed = listed(program.pid());
        let words = listed["command"].as_array().unwrap();
        assert!((100..=1001).contains(&words.len()), "{}", words.len());
        assert_eq!(words[0], "a");
        assert_eq!(words.last().unwrap(), "[... cut here]");
    }
}

plain_case!(twenty_thousand_threads, Root);
fn twenty_thousand_threads() {
    let (program, _scratch) = hostile("sizes.c", &["threads", "20000"]);
    assert_eq!(listed(program.pid())["threads"], 20_001);
    for way in ["gdb", "wake"] {
        refused(program.pid(), way, "full");
    }
}

plain_case!(answers_of_zero_pages, Root);
/// 256 MB of zeros are announced as an answer: too much to be read. 60 MB are read as far as they can be one.
fn answers_of_zero_pages() {
    for (megabytes, kind, words) in [
        ("256", "text", "answers of 64 MB or more are not read"),
        ("256", "state", "answers of 64 MB or more are not read"),
        ("60", "text", "what it gave is no answer of an agent"),
        ("60", "state", "what it gave is no answer of an agent"),
    ] {
        let (program, _scratch) = hostile("zero_pages.c", &[megabytes, kind]);
        let said = refused(program.pid(), "gdb", "plain");
        assert!(said.contains(words), "{megabytes} MB of {kind}: {said}");
    }
}
