//! The walk through corrupt memory gives an answer every time, and in time.

use protocol::answer::AnswerHeader;
use protocol::names::ANSWER_MAGIC;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::mem::offset_of;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::ask::target;
use tests::case;
use tests::compile::compile;
use tests::interpreters::Interpreter;
use tests::process::run_within;
use tests::scratch::Scratch;

/// Environment variables: in how many rounds to corrupt memory, and from which seed.
const ROUNDS: &str = "SLEEPER_TEST_ROUNDS";
const SEED: &str = "SLEEPER_TEST_SEED";

/// Rounds of a plain run, and the seconds after which a plain run stops on a slow machine.
const PLAIN_ROUNDS: u64 = 20_000;
const PLAIN_SECONDS: u64 = 15;

/// An answer that takes longer than this, in milliseconds, is late: the walk allows itself 2 s, and
/// the machine may be loaded.
const LATE: u64 = 4_000;

fn library(folder: &Scratch) -> PathBuf {
    let magic = format!("-DMAGIC=\"{}\"", ANSWER_MAGIC.escape_ascii());
    let header = format!("-DHEADER={}", size_of::<AnswerHeader>());
    let length_at = format!("-DLENGTH_AT={}", offset_of!(AnswerHeader, length));
    compile(
        "corrupt.c",
        folder,
        &["-shared", "-fPIC", &magic, &header, &length_at],
    )
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = text.parse().unwrap_or_else(|_| {
        panic!("{variable} is no number: {text}");
    });
    Some(number)
}

case!(memory_at_random, Compiler);
fn memory_at_random(python: &Interpreter) {
    let folder = Scratch::new();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number(SEED).unwrap_or(u64::from(clock.subsec_nanos()));
    let rounds = number(ROUNDS);
    let seconds = rounds.map_or(PLAIN_SECONDS, |rounds| rounds / 100 + PLAIN_SECONDS);
    let mut command = target(python, "corrupt.py");
    command.arg("rounds").arg(library(&folder));
    for argument in [seed, 0, rounds.unwrap_or(PLAIN_ROUNDS), seconds] {
        command.arg(argument.to_string());
    }
    let ended = run_within(&mut command, Duration::from_secs(seconds + 90));
    assert_eq!(ended.err(), "", "{SEED}={seed}");
    ended.expect_code(7);
    let out = ended.out();
    let told: HashMap<&str, u64> = out
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect();
    let context = format!("{SEED}={seed}\n{out}");
    assert!(out.ends_with("intact\n"), "{context}");
    // Lower numbers would prove nothing: the rounds must corrupt memory that the walk reads.
    assert!(told["rounds"] >= 500, "{context}");
    assert!(told["differed"] * 4 > told["rounds"], "{context}");
    assert!(told["torn"] * 20 > told["rounds"], "{context}");
    assert!(told["longest"] < LATE, "{context}");
}

case!(lists_without_end, Compiler);
fn lists_without_end(python: &Interpreter) {
    let folder = Scratch::new();
    let mut command = target(python, "corrupt.py");
    command.arg("circles").arg(library(&folder));
    let ended = run_within(command.arg(folder.as_os_str()), Duration::from_secs(120));
    assert_eq!(ended.err(), "");
    ended.expect_code(7);
    let out = ended.out();
    assert!(out.ends_with("intact\n"), "{out}");
    let took: Vec<(&str, u64)> = out
        .lines()
        .filter_map(|line| line.strip_prefix("took ")?.split_once(' '))
        .map(|(name, milliseconds)| (name, milliseconds.parse().unwrap()))
        .collect();
    assert_eq!(took.len(), 10, "{out}");
    for (name, milliseconds) in took {
        let text = fs::read(folder.join(name)).unwrap();
        let shown = format!("{name}: {milliseconds} ms, {} bytes", text.len());
        assert!(milliseconds < LATE, "{shown}");
        let text = String::from_utf8_lossy(&text);
        let says = |what| text.contains(what);
        if name == "line_tables" {
            // Not an endless list, but a long line table for each of many frames.
            assert!(says(", in endless_deep\n"), "{shown}");
            continue;
        }
        assert!(text.len() < 100_000, "{shown}");
        assert!(
            says("could not be") || says("circle"),
            "{shown} and says nothing of it: {text:.3000}"
        );
    }
}
