//! `--diff`: what has moved between two files of snapshots.

use std::path::Path;

use crate::options::extent::Extent;
use crate::printable::Printable;
use crate::report::movement::Movements;
use crate::report::{Report, page, snapshot, terminal};

/// Prints what has moved, process by process, as much of it as `extent` says. An error is one line.
pub fn show(old: &Path, new: &Path, extent: &Extent) -> Result<(), String> {
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
    let most = page::share_of(now.len());
    for (pid, report) in &now {
        let shown = match then.get(pid) {
            Some(then) => {
                let movements = Movements::between(then, report, None);
                terminal::print_full((report, &[]), Some(&movements), extent, coloured, most)
            }
            None => terminal::print_words(report, &only_in(new), coloured),
        };
        shown.map_err(failed(report))?;
    }
    for (pid, report) in &then {
        if !now.contains_key(pid) {
            let shown = terminal::print_words(report, &only_in(old), coloured);
            shown.map_err(failed(report))?;
        }
    }
    Ok(())
}

fn only_in(file: &Path) -> String {
    format!("only in {}", Printable(&file.to_string_lossy()))
}
