//! How long an answer takes, how long it holds up the program, and how much memory it needs, compared
//! with py-spy and with plain gdb as the original used it: all in one run, turn by turn, medians.
//!
//! *Held up* is the longest pause that a Python thread of the program itself saw, whatever caused it: a
//! debugger, or an agent holding the GIL.

mod asking;
mod goals;
mod loading;
mod measure;
mod report;
mod subject;
mod ways;

use std::env;
use std::fs;
use std::process::ExitCode;
use tests::interpreters;
use tests::product::{self, product};

/// Environment variable with the programs' numbers of threads, separated by spaces.
const THREADS: &str = "THREADS";

/// The default numbers of threads.
const USUAL: &str = "1 10 100 500 2000";

fn wanted() -> Result<Vec<usize>, String> {
    let given = env::var(THREADS).unwrap_or_default();
    let text = if given.trim().is_empty() {
        USUAL
    } else {
        &given
    };
    let number = |word: &str| match word.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{THREADS} has {word:?}, no number of threads")),
    };
    text.split_whitespace().map(number).collect()
}

fn run() -> Result<(), String> {
    let wanted = wanted()?;
    product::find()?;
    let python = interpreters::to_measure()?;
    println!("on {} ({})", python.path.display(), python.full_version);
    let ways = ways::ways();
    println!(
        "held up: the longest gap that the program noticed. program +: the most memory that its\n\
         first answer took more than it had. command: the most memory of the one that asks."
    );
    let mut blocks = Vec::new();
    for threads in wanted {
        for busy in [false, true] {
            println!("\n{}", report::kind(threads, busy));
            let block = measure::measure(&python, &ways, threads, busy);
            report::show(&block);
            goals::check(&block);
            blocks.push(block);
        }
    }
    loading::measure(&python, &ways);
    println!();
    goals::check_growth(&blocks);
    let path = product().target.join("bench.md");
    fs::write(&path, report::markdown(&blocks))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("as a table for the README: {}", path.display());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cannot measure: {why}");
            ExitCode::FAILURE
        }
    }
}
