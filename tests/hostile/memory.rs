//! Answers and `/proc` files that would take much memory or time.

use crate::answers::{self, Answer, fake, fake_agents, stalling_agents};
use std::thread::sleep;
use std::time::Duration;
use tests::bounded::{Bounded, bounded, peak_of};
use tests::plain_case;
use tests::process::{Program, command};
use tests::product::product;

/// The most memory that a command may take, in bytes.
const MOST: u64 = 200 << 20;

/// The longest that a command may take.
const LONGEST: Duration = Duration::from_secs(20);

/// Asks these processes by wake-up signals. The output goes through a pipe into `filter`, a shell command,
/// whose output is returned in its place.
#[track_caller]
fn asked(pids: &[i32], options: &[&str], filter: &str) -> Bounded {
    let mut shell = command("bash");
    let script = format!("exec \"$0\" \"$@\" > >({filter})");
    shell.args(["-c", &script]).arg(&product().activate);
    shell.args(["--via", "wake"]).args(options);
    shell.args(pids.iter().map(i32::to_string));
    let asked = bounded(&mut shell, LONGEST);
    assert!(asked.peak < MOST, "{} MB", asked.peak >> 20);
    // A command that ends at once may not have been seen.
    assert!(
        asked.peak > 0 || asked.took < Duration::from_millis(500),
        "{asked:?}"
    );
    asked
}

/// Asks one process that gives this answer.
#[track_caller]
fn asked_of(answer: &[u8], repeat: u64, options: &[&str], filter: &str) -> Bounded {
    let fake = fake(answer, repeat);
    asked(&[fake.pid()], options, filter)
}

plain_case!(coroutines_that_were_not_asked_for, Compiler);
fn coroutines_that_were_not_asked_for() {
    let answer = answers::shared_by_coroutines(10_000, 10_000);
    assert!(answer.len() < 1_000_000);
    for options in [&["--format", "full"][..], &["--format", "json"], &[]] {
        let asked = asked_of(&answer, 1, options, "cat");
        let words = "its agent answered what was not asked for, which is not believed";
        asked.ended.expect_refusal(1, &[words]);
    }
}

plain_case!(a_stack_that_stands_in_many_chains, Compiler);
fn a_stack_that_stands_in_many_chains() {
    // 10 GB of frames in 100 kB.
    let answer = answers::shared_by_coroutines(10_000, 10_000);
    let asked = asked_of(&answer, 1, &["--greenlets"], "tail -n 2");
    asked.ended.expect_code(0);
    assert!(
        asked
            .ended
            .out()
            .contains("=== cut here: all threads are shown"),
        "{asked:?}"
    );
}

plain_case!(a_stack_that_many_threads_have, Compiler);
fn a_stack_that_many_threads_have() {
    let answer = answers::shared_by_threads(3_000, 10_000);
    let asked = asked_of(&answer, 1, &["--format", "full"], "grep '^==='");
    asked.ended.expect_code(0);
    let out = asked.ended.out();
    assert!(
        out.contains("of 3000 threads are not shown, as there is too much to print"),
        "{out}"
    );
    let json = asked_of(&answer, 1, &["--format", "json"], "tail -c 200");
    json.ended.expect_code(0);
    let end = json.ended.out();
    assert!(
        end.ends_with(" frames are left out, as there is too much to print\"]}\n"),
        "{end}"
    );
}

plain_case!(honest_answers_are_shown_whole, Compiler);
fn honest_answers_are_shown_whole() {
    // 2,000 threads with stacks of their own, 5,000 that share one, each of 500 frames.
    for answer in [
        answers::own_stacks(2_000, 500),
        answers::shared_by_threads(5_000, 500),
    ] {
        let asked = asked_of(&answer, 1, &["--format", "full"], "grep -c '^  File \"'");
        asked.ended.expect_code(0);
        let frames: usize = asked.ended.out().trim().parse().expect("a number");
        assert!(frames == 2_000 * 500 || frames == 5_000 * 500, "{frames}");
    }
}

plain_case!(values_that_take_a_byte_each, Compiler);
fn values_that_take_a_byte_each() {
    let pairs = [&b"{"[..], &b"NN".repeat(13 << 20), b"0"].concat();
    let dictionaries = [
        &b"["[..],
        &(1_u32 << 23).to_le_bytes(),
        &b"{NN0".repeat(1 << 23),
    ]
    .concat();
    let numbers = [
        &b"["[..],
        &(1_u32 << 24).to_le_bytes(),
        &b"N".repeat(1 << 24),
    ]
    .concat();
    let deep = b"[\x01\0\0\0".repeat(1 << 20);
    let announced = [b"[", &i32::MAX.to_le_bytes()[..]].concat();
    for value in [pairs, dictionaries, numbers, deep, announced] {
        for part in ["more", "stacks"] {
            let answer = Answer::default().with(part, value.clone()).bytes();
            let asked = asked_of(&answer, 1, &["--format", "full"], "wc -c");
            assert!(
                asked
                    .ended
                    .out()
                    .trim()
                    .parse::<u64>()
                    .is_ok_and(|count| count < 1000)
            );
        }
    }
}

plain_case!(many_of_everything, Compiler);
fn many_of_everything() {
    let all = ["--greenlets", "--locals", "--globals", "--repr", "--format"];
    for (number, answer) in answers::of_many().iter().enumerate() {
        // Each in one of the formats: they have most of their code in common.
        let format = ["full", "json"][number % 2];
        let asked = asked_of(answer, 1, &[&all[..], &[format]].concat(), "wc -c");
        let count: u64 = asked.ended.out().trim().parse().expect("a number");
        assert!(count < 1_300_000_000, "{count}");
    }
}

plain_case!(text_without_end, Compiler);
fn text_without_end() {
    // 256 MB of zeros; 3 GB of lines; a gigabyte of threads.
    for (text, repeat, most) in [
        (vec![0; 1 << 20], 256, 5_000),
        (
            b"### Thread 7:\n  File \"a\", line 1, in f\n".repeat(1 << 14),
            5_000,
            1_100_000_000,
        ),
        (b"### Thread 7:\n".repeat(1 << 16), 1 << 10, 1_100_000_000),
        (
            b"### Thread 7:\n\x9b".repeat(1 << 16),
            1 << 10,
            1_100_000_000,
        ),
    ] {
        for options in [&[][..], &["--format", "full"]] {
            let asked = asked_of(&text, repeat, options, "wc -c");
            let count: u64 = asked.ended.out().trim().parse().expect("a number");
            assert!(count < most && asked.ended.err().len() < 10_000, "{count}");
        }
    }
}

plain_case!(many_large_answers_at_once, Compiler);
fn many_large_answers_at_once() {
    // Each is shown whole, as if it had been asked alone: with the last of its threads and frames.
    let answer = answers::own_stacks(2_000, 500);
    let (_fakes, pids) = fake_agents(&answer, 1, 12);
    let asked = asked(&pids, &["--format", "full"], "grep -c '^  File \"'");
    asked.ended.expect_code(0);
    assert_eq!(asked.ended.out().trim(), (12 * 2_000 * 500).to_string());
}

plain_case!(large_answers_that_do_not_end, Compiler);
fn large_answers_that_do_not_end() {
    let answer = answers::own_stacks(2_000, 500);
    let half = b" ".repeat(LARGE);
    let (_fakes, mut pids) = stalling_agents(&half, 3);
    let honest = fake(&answer, 1);
    pids.push(honest.pid());
    let asked = asked(
        &pids,
        &["--format", "full", "--timeout", "8"],
        "grep -c '^  File \"'",
    );
    asked.ended.expect_code(1);
    assert_eq!(asked.ended.out().trim(), (2_000 * 500).to_string());
    assert!(asked.took < Duration::from_secs(9), "{asked:?}");
}

/// Nearly the longest answer that is read, in bytes.
const LARGE: usize = 60 << 20;

plain_case!(rounds_keep_little, Compiler);
fn rounds_keep_little() {
    let answer = answers::own_stacks(2_000, 1_000);
    let (_fakes, pids) = fake_agents(&answer, 1, 4);
    let mut shell = command("bash");
    shell.args(["-c", "exec \"$0\" \"$@\" >/dev/null"]);
    shell.arg(&product().activate);
    shell.args(["--via", "wake", "--watch", "0.5"]);
    shell.args(pids.iter().map(i32::to_string));
    let mut asking = Program::start(&mut shell);
    sleep(Duration::from_secs(7));
    let peak = peak_of(asking.pid());
    asking.signal(libc::SIGINT);
    let ended = asking.end_within(LONGEST);
    ended.expect_code(128 + libc::SIGINT);
    assert!(peak > 0 && peak < MOST, "{} MB", peak >> 20);
}
