//! `--diff`: what has moved between two files of snapshots.

use std::collections::HashMap;
use std::path::Path;

use crate::printable::Printable;
use crate::report::movement::Movements;
use crate::report::{Report, page, snapshot, terminal};

/// Prints what has moved, process by process. An error is one line.
pub fn show(old: &Path, new: &Path) -> Result<(), String> {
    let read = |file: &Path| {
        snapshot::read(file)
            .map_err(|trouble| format!("{}: {trouble}", Printable(&file.to_string_lossy())))
    };
    let (then, now) = (read(old)?, read(new)?);
    let coloured = terminal::has_colours();
    let failed = |report: &Report| {
        let process = report.process;
        move |trouble| format!("{process}: {trouble}")
    };
    let by_process = |reports| -> HashMap<i32, &Report> {
        let reports: &Vec<Report> = reports;
        reports.iter().map(|one| (one.process.pid, one)).collect()
    };
    let (in_old, in_new) = (by_process(&then), by_process(&now));
    let most = page::share_of(now.len());
    for report in &now {
        let shown = match in_old.get(&report.process.pid) {
            Some(then) => {
                let movements = Movements::between(then, report, None);
                terminal::print_full(report, Some(&movements), coloured, most)
            }
            None => terminal::print_words(report, &only_in(new), coloured),
        };
        shown.map_err(failed(report))?;
    }
    for report in &then {
        if !in_new.contains_key(&report.process.pid) {
            let shown = terminal::print_words(report, &only_in(old), coloured);
            shown.map_err(failed(report))?;
        }
    }
    Ok(())
}

fn only_in(file: &Path) -> String {
    format!("only in {}", Printable(&file.to_string_lossy()))
}
