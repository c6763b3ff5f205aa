//! The table of a run.

use crate::installation::Installation;
use crate::questions::{Outcome, QUESTIONS};
use crate::same_bytes;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use tests::process::{command, run};
use tests::product::product;

/// What an installation answered.
pub struct Row {
    name: String,
    python: String,
    libc: String,
    gdb: String,
    outcomes: Vec<Outcome>,
}

/// The rows of this run.
static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

impl Row {
    /// The row of an installation.
    #[track_caller]
    pub fn new(of: &Installation, outcomes: Vec<Outcome>) -> Row {
        let mut python = of.program(&of.python);
        let python = run(python
            .arg("-c")
            .arg("import sys; print(sys.version.split()[0])"));
        Row {
            name: of.name.clone(),
            python: python.out().trim().to_owned(),
            libc: libc_of(of),
            gdb: gdb_of(of),
            outcomes,
        }
    }

    /// Adds it to the table.
    pub fn keep(self) {
        ROWS.lock().unwrap().push(self);
    }
}

/// The version of the C library with which the interpreter runs, as the library itself says.
fn libc_of(of: &Installation) -> String {
    let code = "
import ctypes
version = ctypes.CDLL(None).gnu_get_libc_version
version.restype = ctypes.c_char_p
print('glibc ' + version().decode())
";
    let mut python = of.program(&of.python);
    run(python.args(["-c", code])).out().trim().to_owned()
}

/// The version of the system's gdb.
fn gdb_of(of: &Installation) -> String {
    if !crate::questions::has_gdb(of) {
        return "none".to_owned();
    }
    let told = run(of.program("gdb").arg("--version")).out();
    let first = told.lines().next().unwrap_or_default();
    first.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// All rows of this run, as Markdown.
pub fn table() -> String {
    let mut rows = ROWS.lock().unwrap();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let names = QUESTIONS.map(|one| one.name);
    let mut text = format!(
        "| system | Python | C library | gdb | {} |\n|---|---|---|---|{}\n",
        names.join(" | "),
        "--:|".repeat(names.len())
    );
    for row in rows.iter() {
        let _ = write!(
            text,
            "| {} | {} | {} | {} |",
            row.name, row.python, row.libc, row.gdb
        );
        for outcome in &row.outcomes {
            let _ = match outcome {
                Ok(took) => write!(text, " {:.0} ms |", took.as_secs_f64() * 1e3),
                Err(why) => write!(text, " {why} |"),
            };
        }
        text.push('\n');
    }
    text
}

/// Writes the table to RESULTS.md, with the commit, and what was not run.
pub fn write(passed: bool, skipped: &[String]) {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut text = format!(
        "# Results of `make systems`\n\n\
         Commit {}; Linux {}. A cell is the time from the command's start to its end, of one question. {}\n\n{}",
        commit(),
        kernel.trim(),
        match passed {
            true => "Every question was answered in full.",
            false => "**Some trials failed**; they have no row.",
        },
        table(),
    );
    for one in skipped {
        let _ = write!(text, "\nNot run: {one}\n");
    }
    let path = product().root.join("tests/systems/RESULTS.md");
    std::fs::write(&path, text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    println!("the table: {}", path.display());
}

/// The commit, and whether the files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let root: &Path = &product().root;
        let ended = run(command("git").arg("-C").arg(root).args(arguments));
        ended.out().trim().to_owned()
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    match same_bytes::has_changes() {
        None => commit,
        Some(_) => format!("{commit}, with changes"),
    }
}
