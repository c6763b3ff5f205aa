//! States: from any bytes the command makes a report without control characters and a JSON document, or
//! it refuses them.

#![no_main]

use launcher::report::Report;
use launcher::state::answer::Answer;
use launcher::system::process::Process;
use libfuzzer_sys::fuzz_target;
use protocol::state::VERSION_LINE;
use std::collections::HashMap;

fuzz_target!(|data: &[u8]| {
    // As a document, and as text.
    for answer in [[VERSION_LINE, data].concat(), data.to_vec()] {
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
