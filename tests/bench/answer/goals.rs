//! The goals for the measurements.

use crate::measure::Block;
use crate::ways::{BY_GDB, FULL, LOCALS, NOTHING, PLAIN_GDB, PY_SPY, WAKE};
use tests::measured::verdict;

/// From this many threads on, the goals are higher.
const MANY: usize = 500;

/// How many times as long the way without a debugger may take at 2,000 threads as at 500: linear
/// growth would be 4 times, the rest is for noise.
const GROWTH: f64 = 6.0;

/// Prints `own` as "1/N" of `other`; N must be at least `goal`.
fn part(what: &str, own: f64, other: f64, goal: f64) {
    let ratio = other / own;
    let met = verdict(ratio >= goal);
    println!("  goal: {what}, at most 1/{goal}: 1/{ratio:.1}, {met}");
}

/// Prints the goals for one kind of program, as far as there are measurements to compare.
pub fn check(block: &Block) {
    let pick = |few: f64, many: f64| if block.threads < MANY { few } else { many };
    let wake = block.seen(WAKE);
    let by_gdb = block.seen(BY_GDB);
    if let (Some(wake), Some(py_spy)) = (wake, block.seen(PY_SPY)) {
        let what = "answer by wake / by py-spy";
        part(what, wake.answer, py_spy.answer, pick(5.0, 20.0));
        let what = "held up by wake / by py-spy";
        if wake.held_up <= block.nobody {
            println!("  goal: {what}: not to be told from when nobody asks, met");
        } else if (block.seen(NOTHING)).is_some_and(|nothing| wake.held_up <= nothing.held_up) {
            println!("  goal: {what}: no longer than by a command that does nothing, met");
        } else {
            part(what, wake.held_up, py_spy.held_up, pick(10.0, 50.0));
        }
    }
    if let (Some(wake), Some(full)) = (wake, block.seen(FULL)) {
        let ratio = full.answer / wake.answer;
        let met = verdict(ratio <= 2.0);
        println!("  goal: answer in full / plain, at most 2: {ratio:.1}, {met}");
    }
    if let Some(locals) = block.seen(LOCALS).filter(|_| block.threads <= MANY) {
        let met = verdict(locals.answer <= 1.0);
        println!("  goal: answer with locals within a second: {met}");
    }
    if let (Some(by_gdb), Some(plain)) = (by_gdb, block.seen(PLAIN_GDB)) {
        let what = "held up through gdb / by plain gdb";
        part(what, by_gdb.held_up, plain.held_up, pick(20.0, 25.0));
    }
    if let (Some(by_gdb), Some(py_spy)) = (by_gdb, block.seen(PY_SPY)) {
        let met = verdict(by_gdb.held_up < py_spy.held_up);
        println!("  goal: held up through gdb for less time than by py-spy: {met}");
    }
}

/// Prints how the cost of the way without a debugger grows from 500 to 2,000 threads.
pub fn check_growth(blocks: &[Block]) {
    for busy in [false, true] {
        let at = |threads: usize| {
            let block = blocks
                .iter()
                .find(|block| block.threads == threads && block.busy == busy)?;
            block.seen(WAKE)
        };
        let (Some(few), Some(many)) = (at(MANY), at(4 * MANY)) else {
            continue;
        };
        let kind = if busy { "busy" } else { "idle" };
        for (what, ratio) in [
            ("answer", many.answer / few.answer),
            ("held up", many.held_up / few.held_up),
        ] {
            println!(
                "  goal: {what} by wake, {kind}, 2,000 / 500 threads, at most {GROWTH}: \
                 {ratio:.1}, {}",
                verdict(ratio <= GROWTH)
            );
        }
    }
}
