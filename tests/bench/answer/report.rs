//! The measurements as a table for the terminal, and as a table for the README.

use std::fmt::Write;

use crate::asking::LIMIT;
use crate::measure::{Block, Cost};
use crate::ways::{BY_GDB, FULL, LOCALS, NOTHING, PLAIN_GDB, PY_SPY, PY_SPY_LOCALS, WAKE};

/// Prints a line of the terminal's table.
fn line(name: &str, cells: [&str; 4]) {
    let [answer, held_up, program, command] = cells;
    println!("  {name:<26}{answer:>12}{held_up:>12}{program:>14}{command:>14}");
}

/// A time in seconds, as it is shown.
pub fn seconds(value: f64) -> String {
    let milliseconds = value * 1e3;
    let digits = if milliseconds < 100.0 { 1 } else { 0 };
    format!("{milliseconds:.digits$} ms")
}

fn bytes(value: u64) -> String {
    format!("{:.1} MB", value as f64 / 1e6)
}

/// The cells: answer, held up, memory of the program, and memory of the command.
fn cells(cost: &Cost) -> [String; 4] {
    match cost.seen {
        Some(seen) => [
            seconds(seen.answer),
            seconds(seen.held_up),
            bytes(seen.program),
            bytes(seen.command),
        ],
        None => {
            let unknown = || "?".to_owned();
            let over = format!("> {} s", LIMIT.as_secs());
            [over, unknown(), unknown(), unknown()]
        }
    }
}

/// The name of a kind of program.
pub fn kind(threads: usize, busy: bool) -> String {
    let plural = if threads == 1 { "" } else { "s" };
    let work = match (busy, threads) {
        (false, _) => "idle",
        (true, 1) => "busy: it computes",
        (true, _) => "busy: one of them computes",
    };
    format!("{threads} thread{plural} of 30 frames, {work}")
}

/// Prints the measurements of one kind of program.
pub fn show(block: &Block) {
    println!("  medians of {} turns", block.turns);
    line("", ["answer", "held up", "program +", "command"]);
    for cost in &block.costs {
        let cells = cells(cost);
        let name = if cost.once {
            format!("{} (once)", cost.way)
        } else {
            cost.way.to_owned()
        };
        line(&name, cells.each_ref().map(String::as_str));
    }
    line("nobody asks", ["", &seconds(block.nobody), "", ""]);
}

/// The table for the README.
pub fn markdown(blocks: &[Block]) -> String {
    let mut text = "| threads | | answer | held up | memory of the program, more | \
                    memory of the command |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for block in blocks {
        let kind = if block.busy { "busy" } else { "idle" };
        let mut head = format!(" {}, {kind} ", block.threads);
        for cost in &block.costs {
            let once = if cost.once { " (once)" } else { "" };
            let name = match cost.way {
                WAKE => "`sleeper_agent_activate --via wake`",
                FULL => "… `--via wake --format full`",
                LOCALS => "… `--via wake --locals`",
                BY_GDB => "`sleeper_agent_activate --via gdb`",
                PY_SPY => "`py-spy dump`",
                PY_SPY_LOCALS => "`py-spy dump --locals`",
                PLAIN_GDB => "`gdb -p PID -batch -ex 'printf …'`",
                NOTHING => "`true`, which asks nothing",
                other => other,
            };
            let cells = cells(cost).join(" | ");
            writeln!(text, "|{head}| {name}{once} | {cells} |").unwrap();
            head = " ".to_owned();
        }
        let nobody = seconds(block.nobody);
        writeln!(text, "| | nobody asks | | {nobody} | | |").unwrap();
    }
    text
}
