//! An agent's facts: whatever it says, the command makes a text of it that does nothing to a terminal,
//! and a document; or refuses it.

#![no_main]

use launcher::report::Report;
use launcher::state::answer::Answer;
use launcher::system::process::Process;
use libfuzzer_sys::fuzz_target;
use protocol::message::FACTS;
use std::collections::HashMap;

fuzz_target!(|data: &[u8]| {
    // As facts, and as the text of a state.
    for answer in [[FACTS, data].concat(), data.to_vec()] {
        let Ok(answer) = Answer::parse(answer) else {
            continue;
        };
        let nobody = Process { pid: i32::MAX };
        let Ok(report) = Report::new(nobody, Vec::new(), answer, &HashMap::new()) else {
            continue;
        };
        let text = report.full();
        assert!(text.chars().all(|one| one == '\n' || !one.is_control()), "{text:?}");
        let document: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(document["version"], 1);
    }
});
