//! States: from any bytes the command makes a report without characters that steer a terminal and a JSON
//! document, or it refuses them. What it makes of them is bounded.

#![no_main]

#[path = "../counted.rs"]
mod counted;

use counted::{peak_of, within};
use launcher::native::Asked;
use launcher::printable::harms;
use launcher::report::Report;
use launcher::report::movement::Movements;
use launcher::secrets::Secrets;
use launcher::state::answer::Answer;
use launcher::system::process::{CommandLine, Process};
use libfuzzer_sys::fuzz_target;
use protocol::question::Question;
use protocol::state::VERSION_LINE;
use std::collections::HashMap;
use std::time::Instant;

/// The most that a report may be, in bytes.
const MOST: usize = 100_000;

/// What the smallest thread takes, and what is printed of it without its frames.
const FACTOR: usize = 250;

fuzz_target!(|data: &[u8]| {
    let all = Question {
        state: true,
        greenlets: true,
        locals: true,
        globals: true,
        repr: true,
        ..Question::default()
    };
    // As a document, and as text.
    for answer in [[VERSION_LINE, data].concat(), data.to_vec()] {
        let length = answer.len();
        let (answer, peak) = peak_of(|| Answer::parse(answer.into(), &all));
        within(peak, length, FACTOR);
        let Ok(answer) = answer else {
            continue;
        };
        if let Answer::State(state) = &answer {
            within(state.memory.taken(), length, FACTOR);
        }
        let nobody = Process { pid: i32::MAX };
        let secrets = Secrets::default();
        let until = Instant::now();
        let command = CommandLine::of_name("");
        let native = Asked {
            all: true,
            may_hold: false,
        };
        let report = || {
            Report::new(
                nobody,
                command,
                answer,
                &HashMap::new(),
                &secrets,
                native,
                until,
            )
        };
        let (report, peak) = peak_of(report);
        within(peak, length, FACTOR);
        let Ok(report) = report else {
            continue;
        };
        let movements = Movements::between(&report, &report, None);
        for movements in [None, Some(&movements)] {
            let (text, peak) = peak_of(|| report.full(movements, MOST as u64));
            within(peak, length + 4 * MOST, FACTOR);
            assert!(text.len() < 2 * MOST + FACTOR * length);
            assert!(
                text.chars().all(|one| one == '\n' || !harms(one)),
                "{text:?}"
            );
        }
        let (json, peak) = peak_of(|| report.json(MOST as u64));
        within(peak, length + 4 * MOST, FACTOR);
        assert!(json.len() < 2 * MOST + 2 * FACTOR * length);
        assert!(
            json.chars().all(|one| one == '\n' || !harms(one)),
            "{json:?}"
        );
        let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(document["version"], 1);
    }
});
