//! The outcome of a command that asked `mortal.py` while the command, gdb or the program was disturbed.

use crate::ended::Ended;
use crate::mortal::is_whole;
use crate::rounds;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;

/// The outcome: an answer, one line that says what happened, or the intended death.
#[track_caller]
pub fn expect_outcome(ended: &Ended, what: &str) -> String {
    let said = ended.err();
    match (ended.status.code(), ended.status.signal()) {
        (Some(0), None) => {
            assert!(is_whole(&ended.out()), "{what}: {}", ended.out());
            "answered".to_owned()
        }
        // An interrupted command may already have had its answer.
        (Some(code), None) => {
            let interrupted = code > 128;
            let answered = interrupted && is_whole(&ended.out());
            assert!(
                answered || ended.out().is_empty(),
                "{what}: {}",
                ended.out()
            );
            // Where the machine lets the process that does the work not run, its supervisor ends both without a word.
            let least = usize::from(!interrupted);
            assert!(
                (least..=2).contains(&said.lines().count()),
                "{what}: {said}"
            );
            let said: String = said
                .chars()
                .map(|char| if char.is_ascii_digit() { '#' } else { char })
                .collect();
            let text = if answered { "a state, " } else { "" };
            format!("status {code}, {text}{}", said.trim().replace('\n', " / "))
        }
        (_, signal) => {
            // It may have had its answer.
            let answered = is_whole(&ended.out());
            assert!(answered || ended.out().is_empty(), "{what}: {ended:?}");
            assert_eq!(said, "", "{what}");
            let text = if answered { ", after a state" } else { "" };
            format!("died of {signal:?}{text}")
        }
    }
}

/// How often each outcome was seen.
#[derive(Default)]
pub struct Outcomes(BTreeMap<String, usize>);

impl Outcomes {
    /// Counts an outcome.
    pub fn take(&mut self, outcome: String) {
        *self.0.entry(outcome).or_default() += 1;
    }

    /// In the full form, prints them below a title.
    pub fn say(&self, title: &str) {
        if rounds::full() {
            let mut text = format!("{title}\n");
            for (outcome, count) in &self.0 {
                let _ = writeln!(text, "  {count:4}  {outcome}");
            }
            eprint!("{text}");
        }
    }
}
