//! The tables of a run, as Markdown.

use crate::loads::Loads;
use crate::said::{Tally, count};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::time::Duration;
use tests::interpreters::Interpreter;
use tests::process::{command, run};

/// The result of one trial.
#[derive(Clone, Debug)]
pub struct Row {
    /// The program.
    pub program: String,
    /// What it does.
    pub what: String,
    /// The build.
    pub build: String,
    /// The way in.
    pub way: &'static str,
    /// The outcomes of its activations.
    pub tally: Tally,
    /// How the program was lost, if it was.
    pub lost: Option<String>,
}

/// The result of the direct way on one program.
#[derive(Clone, Debug)]
pub struct DirectRow {
    /// The program.
    pub program: String,
    /// What it does.
    pub what: String,
    /// How often it was activated.
    pub activations: u64,
    /// How often it showed all stacks.
    pub answered: u64,
    /// Whether the program survived with more objects or references than before.
    pub left_something: bool,
    /// How the program was lost, if it was.
    pub lost: Option<String>,
}

/// All rows of one program and way in.
struct Summed<'a> {
    first: &'a Row,
    tally: Tally,
    lost: usize,
    /// Its activations and the longest activation, by build.
    builds: BTreeMap<&'a str, (u64, Duration)>,
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Text escaped so that it cannot end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn summed(rows: &[Row]) -> Vec<Summed<'_>> {
    let mut list: BTreeMap<_, Summed> = BTreeMap::new();
    for row in rows {
        let sum = list.entry((&row.program, row.way)).or_insert(Summed {
            first: row,
            tally: Tally::default(),
            lost: 0,
            builds: BTreeMap::new(),
        });
        sum.tally.add(&row.tally);
        sum.lost += usize::from(row.lost.is_some());
        let told = (row.tally.activations(), row.tally.worst);
        sum.builds.insert(&row.build, told);
    }
    list.into_values().collect()
}

fn numbers(text: &mut String, tally: &Tally, lost: usize) {
    let _ = writeln!(
        text,
        " {} | {} | {} | {} | {} | {} | {lost} |",
        tally.activations(),
        tally.answered,
        count(&tally.from_memory),
        count(&tally.refused),
        tally.too_late,
        seconds(tally.worst),
    );
}

/// The totals of all rows.
pub fn total(rows: &[Row]) -> Tally {
    let mut total = Tally::default();
    rows.iter().for_each(|row| total.add(&row.tally));
    total
}

/// The totals in one line.
pub fn brief(rows: &[Row]) -> String {
    let total = total(rows);
    let lost = rows.iter().filter(|row| row.lost.is_some()).count();
    format!(
        "{} activations: {} answered, {} read from memory, {} refused ({} more came too late); \
         worst {}; {lost} of {} trials lost their program",
        total.activations(),
        total.answered,
        count(&total.from_memory),
        count(&total.refused),
        total.too_late,
        seconds(total.worst),
        rows.len(),
    )
}

/// The product, the machine and its interpreters.
pub fn machine(interpreters: &[Interpreter]) -> String {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let gdb = run(command("gdb").arg("--version")).out();
    let mut text = format!(
        "{cores} cores; Linux {}; {}.\n\n",
        kernel.trim(),
        gdb.lines().next().unwrap_or("no gdb")
    );
    for one in interpreters {
        let _ = writeln!(text, "* {}: CPython {}", one.label, one.full_version);
    }
    text.push('\n');
    text
}

/// The tables of the product's own ways in.
pub fn of_rows(rows: &[Row]) -> String {
    let sums = summed(rows);
    let mut text = String::from("## What came of it\n\n");
    text += "*Activations* found a process; those that came too late found none any more. \
             *Worst* is the longest that one took, from the command's start to its end.\n\n";
    text += "| program | what it does | builds | way | activations | answered | from memory \
             | refused | too late | worst | lost |\n|---|---|--:|---|--:|--:|--:|--:|--:|--:|--:|\n";
    for sum in &sums {
        let (row, builds) = (sum.first, sum.builds.len());
        let what = cell(&row.what);
        let _ = write!(
            text,
            "| {} | {what} | {builds} | {} |",
            row.program, row.way
        );
        numbers(&mut text, &sum.tally, sum.lost);
    }
    let _ = write!(text, "| **all** | {} programs | | |", sums.len());
    let lost = rows.iter().filter(|row| row.lost.is_some()).count();
    numbers(&mut text, &total(rows), lost);
    text += &losses(rows);
    text += &of_loads(&sums);
    text += &reasons(&sums);
    text += &by_build(&sums);
    text
}

fn losses(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Some(lost) = &row.lost {
            let _ = writeln!(
                text,
                "* {} on {} by {}: {lost}",
                row.program, row.build, row.way
            );
        }
    }
    match text.is_empty() {
        true => text,
        false => format!("\n## Lost\n\n{text}"),
    }
}

/// How the library came into programs that were started without it.
fn of_loads(sums: &[Summed]) -> String {
    let mut text = String::new();
    let mut all = Loads::default();
    for sum in sums {
        if sum.tally.loads.count() > 0 {
            load_cells(&mut text, &sum.first.program, &sum.tally.loads);
            all.add(&sum.tally.loads);
        }
    }
    if text.is_empty() {
        return text;
    }
    load_cells(&mut text, "**all**", &all);
    format!(
        "\n## How the library was loaded\n\n\
         *Killed* commands had begun to load, or were about to. *Stop* is the longest stop of a thread in a load; *time* \
         is what the command needed until the agent had begun.\n\n\
         | program | loads | by a thread that waited | that ran | begun by a killed command | there already \
         | taken out again | killed commands | stop: median | worst | time: median | worst |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n{text}\n\
         Loads that a killed command had made impossible: {}. Starts with another allocator: {}.\n",
        all.blocked,
        match all.allocators.is_empty() {
            true => "none".to_owned(),
            false => {
                let each = all.allocators.iter();
                let each = each.map(|(name, count)| format!("{count} with {name}"));
                each.collect::<Vec<_>>().join(", ")
            }
        }
    )
}

fn load_cells(text: &mut String, title: &str, loads: &Loads) {
    let spread = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        let at = |place: usize| match times.get(place) {
            Some(time) => format!("{:.2} ms", time.as_secs_f64() * 1e3),
            None => String::new(),
        };
        format!(
            "{} | {}",
            at(times.len() / 2),
            at(times.len().wrapping_sub(1))
        )
    };
    let _ = writeln!(
        text,
        "| {title} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        loads.count(),
        loads.by_waiting,
        loads.by_running,
        loads.taken_over,
        loads.before,
        loads.taken_out,
        loads.killed,
        spread(&loads.held),
        spread(&loads.took),
    );
}

/// The reasons why there was no full answer.
fn reasons(sums: &[Summed]) -> String {
    let mut text = String::from("\n## Why an answer was read from memory or refused\n\n");
    text += "| program | way | | reason | times |\n|---|---|---|---|--:|\n";
    for sum in sums {
        let memory = sum.tally.from_memory.iter().map(|one| ("from memory", one));
        let refused = sum.tally.refused.iter().map(|one| ("refused", one));
        for (kind, (reason, times)) in memory.chain(refused) {
            let (row, reason) = (sum.first, cell(reason));
            let (program, way) = (&row.program, row.way);
            let _ = writeln!(text, "| {program} | {way} | {kind} | {reason} | {times} |");
        }
    }
    text
}

/// Activations and the longest activation, build by build.
fn by_build(sums: &[Summed]) -> String {
    let mut builds: Vec<&str> = sums
        .iter()
        .flat_map(|sum| sum.builds.keys().copied())
        .collect();
    builds.sort();
    builds.dedup();
    let mut text = String::from("\n## By build: activations, and the longest\n\n");
    let _ = writeln!(text, "| program | way | {} |", builds.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "--:|".repeat(builds.len()));
    for sum in sums {
        let _ = write!(text, "| {} | {} |", sum.first.program, sum.first.way);
        for build in &builds {
            let _ = match sum.builds.get(build) {
                Some((times, worst)) => write!(text, " {times} · {} |", seconds(*worst)),
                None => write!(text, " |"),
            };
        }
        text.push('\n');
    }
    text
}

/// The table of the direct way.
pub fn of_direct(rows: &[DirectRow], build: &str, most: u64) -> String {
    let mut text = String::from("\n## For comparison: Python called on the stopped thread\n\n");
    let _ = writeln!(
        text,
        "Without the agent, on {build}: gdb attaches to the process and calls, on the thread it \
         stopped, `PyGILState_Ensure`, `PyRun_SimpleString` of a few lines that write all stacks \
         to a file, and `PyGILState_Release`; up to {most} times.\n"
    );
    text += "| program | what it does | activations | answered | how it went |\n";
    text += "|---|---|--:|--:|---|\n";
    let mut rows: Vec<&DirectRow> = rows.iter().collect();
    rows.sort_by_key(|row| &row.program);
    for row in &rows {
        let went = match &row.lost {
            Some(lost) => format!("lost: {}", cell(lost)),
            None if row.left_something => "survived, with objects left behind".to_owned(),
            None => "survived".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {went} |",
            row.program,
            cell(&row.what),
            row.activations,
            row.answered
        );
    }
    let lost = rows.iter().filter(|row| row.lost.is_some()).count();
    let activations: u64 = rows.iter().map(|row| row.activations).sum();
    let answered: u64 = rows.iter().map(|row| row.answered).sum();
    let programs = rows.len();
    let _ = writeln!(
        text,
        "| **all** | {programs} programs | {activations} | {answered} | {lost} lost |"
    );
    text
}
