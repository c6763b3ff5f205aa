//! Snapshots: files of JSON documents, which may hold anything.

#![no_main]

#[path = "../counted.rs"]
mod counted;

use counted::{peak_of, within};
use launcher::report::movement::Movements;
use launcher::report::snapshot;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (reports, peak) = peak_of(|| snapshot::parse(|| Ok(data)));
    within(peak, data.len(), 250);
    for report in reports.iter().flat_map(|reports| reports.values()) {
        let movements = Movements::between(report, report, None);
        report.full(Some(&movements), 100_000);
    }
});
