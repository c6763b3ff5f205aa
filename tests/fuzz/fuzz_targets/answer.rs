//! Answers and bells in a process's memory, which may contain anything.

#![no_main]

#[path = "../counted.rs"]
mod counted;

use counted::{peak_of, within};
use launcher::ask::gdb::fetch::{Fetched, fetch_numbered};
use launcher::find::bell::{self, Seen};
use launcher::state::answer::Answer;
use launcher::system::process::Process;
use libfuzzer_sys::fuzz_target;
use protocol::answer::AnswerHeader;
use protocol::message::LONGEST_ANSWER;
use protocol::names::{ANSWER_MAGIC, THREAD_HEADING};
use protocol::question::Question;
use protocol::state::VERSION_LINE_START;
use std::mem::offset_of;
use std::time::Instant;

const HEADER: usize = size_of::<AnswerHeader>();

fuzz_target!(|data: &[u8]| {
    bell::parse(data);
    let state = Question {
        state: true,
        ..Question::default()
    };
    let (answer, peak) = peak_of(|| Answer::parse(data.to_vec().into(), &state));
    within(peak, data.len(), 250);
    match answer {
        Ok(Answer::Text(text)) => {
            assert_eq!(*text, *data);
            assert!(String::from_utf8_lossy(&text).contains(THREAD_HEADING));
        }
        Ok(Answer::Reason(line)) => assert!(line.len() < 10_000),
        Ok(Answer::State(_)) | Err(_) => assert!(data.starts_with(VERSION_LINE_START)),
    }
    from_a_process(data);
    whole(data);
});

/// Reads our own memory, at an address that `data` contains, or at `data` itself.
fn from_a_process(data: &[u8]) {
    let process = Process {
        pid: std::process::id() as i32,
    };
    // Padding, so that there is always a whole header.
    let memory = [data, &[0; HEADER]].concat();
    let word = |at: usize| u64::from_ne_bytes(*memory[at..].first_chunk().unwrap());
    let own = memory.as_ptr() as u64 + HEADER as u64;
    for text in [word(0), own] {
        let number = word(offset_of!(AnswerHeader, number));
        let seen = Seen {
            listens: true,
            has_left: false,
            rung: 0,
            answered: 0,
            text,
            number,
            asked: 0,
            question: 0,
            detours: 0,
        };
        if let Fetched::Text(text, _) = fetch_numbered(process, seen, Instant::now()) {
            assert!(memory.starts_with(&ANSWER_MAGIC));
            let length = word(offset_of!(AnswerHeader, length));
            assert!(text.len() as u64 == length && length < LONGEST_ANSWER);
            assert!(!text.is_cut());
        }
    }
}

/// A whole answer is fetched whole.
fn whole(data: &[u8]) {
    let mut memory = vec![0; HEADER];
    let length_at = offset_of!(AnswerHeader, length);
    let number_at = offset_of!(AnswerHeader, number);
    memory[..8].copy_from_slice(&ANSWER_MAGIC);
    memory[length_at..length_at + 8].copy_from_slice(&data.len().to_ne_bytes());
    memory[number_at..number_at + 8].copy_from_slice(&5_u64.to_ne_bytes());
    memory.extend_from_slice(data);
    memory.push(0);
    let start = memory.as_ptr() as u64;
    for number in [5, 6] {
        let seen = Seen {
            listens: true,
            has_left: false,
            rung: 1,
            answered: 1,
            text: start + HEADER as u64,
            number,
            asked: 0,
            question: 0,
            detours: 0,
        };
        let process = Process {
            pid: std::process::id() as i32,
        };
        match fetch_numbered(process, seen, Instant::now()) {
            Fetched::Text(text, _) => assert!(number == 5 && *text == *data),
            Fetched::Replaced => assert_eq!(number, 6),
            // Text has no NUL.
            Fetched::Nonsense(_) => assert!(number == 5 && data.contains(&0)),
        }
    }
}
