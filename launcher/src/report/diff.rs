//! `--diff`: what has moved between two files of snapshots.

use std::path::Path;

use crate::printable::Printable;
use crate::report::movement::Movements;
use crate::report::{Report, snapshot, terminal};

/// Prints what has moved, process by process. An error is one line.
pub fn show(old: &Path, new: &Path) -> Result<(), String> {
    let read = |file: &Path| {
        snapshot::read(file)
            .map_err(|trouble| format!("{}: {trouble}", Printable(&file.to_string_lossy())))
    };
    let (then, now) = (read(old)?, read(new)?);
    let coloured = terminal::has_colours();
    let show = |report: &Report, text: String| {
        let process = report.process;
        terminal::print(
            Some(&terminal::heading(process, &report.command)),
            text.as_bytes(),
            coloured,
        )
        .map_err(|trouble| format!("{process}: {trouble}"))
    };
    let same = |among: &[Report], one: &Report| {
        among.iter().position(|other| other.process == one.process)
    };
    for report in &now {
        let text = match same(&then, report) {
            Some(at) => report.full_since(&Movements::between(&then[at], report, None)),
            None => only_in(new),
        };
        show(report, text)?;
    }
    for report in then.iter().filter(|one| same(&now, one).is_none()) {
        show(report, only_in(old))?;
    }
    Ok(())
}

fn only_in(file: &Path) -> String {
    format!("only in {}\n", Printable(&file.to_string_lossy()))
}
