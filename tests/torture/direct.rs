//! The direct way, for comparison: gdb stops the program and calls Python on whichever thread it
//! finds. The program runs without the agent. A lost program is no failure here: it is the result.

use crate::header::Tortured;
use crate::start::{Lost, Start, limit_of};
use crate::table::DirectRow;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tests::interpreters::Interpreter;
use tests::process::{Program, command};

/// How often a program is activated, at most.
pub const MOST: u64 = 40;

/// How long gdb may take. It needs a second or two.
const LIMIT: Duration = Duration::from_secs(15);

/// Environment variable: the build to compare on, by its label.
const BUILD: &str = "SLEEPER_TORTURE_DIRECT_BUILD";

/// The build to compare on: the named build, or the first CPython 2.7 that is not a debug build.
pub fn build(interpreters: &[Interpreter]) -> Result<&Interpreter, String> {
    let named = std::env::var(BUILD).ok();
    let fits = |one: &&Interpreter| match &named {
        Some(label) => one.label == *label,
        None => one.version == (2, 7) && !one.debug,
    };
    interpreters.iter().find(fits).ok_or_else(|| match &named {
        Some(label) => format!("{BUILD} names no build that is here: {label}"),
        None => "there is no CPython 2.7 here that is no debug build".to_owned(),
    })
}

/// Torments a steady program until it is lost.
pub fn torment(tortured: &Tortured, python: &Interpreter) -> DirectRow {
    let mut row = DirectRow {
        program: tortured.title(" "),
        what: tortured.what.clone(),
        activations: 0,
        answered: 0,
        left_something: false,
        lost: None,
    };
    match all(tortured, python, &mut row) {
        Ok(()) => {}
        // The call imports modules and fills caches, which the programs take for a leak.
        Err(lost) if lost.what.contains("Broken: leaked: ") => row.left_something = true,
        Err(lost) => row.lost = Some(lost.what),
    }
    row
}

fn all(tortured: &Tortured, python: &Interpreter, row: &mut DirectRow) -> Result<(), Lost> {
    let start = Start::new(tortured, python, false, None, None);
    start.ready()?;
    while row.activations < MOST {
        row.activations += 1;
        let told = start.file("stacks");
        let _ = fs::remove_file(&told);
        let in_time = call(start.pid(), &told);
        let answered = fs::read_to_string(&told).is_ok_and(|text| text.ends_with("all\n"));
        row.answered += u64::from(answered);
        if !in_time {
            return Err(start.lost(&format!("gdb's call did not return within {LIMIT:?}")));
        }
        // A program that dies of the call takes a moment to die.
        thread::sleep(Duration::from_millis(50));
        if start.has_ended() {
            return start.finish(limit_of(python)).map(|_| ());
        }
    }
    start.stop();
    start.finish(limit_of(python)).map(|_| ())
}

/// Calls Python in the process, as users do in gdb. Returns whether gdb finished in time.
fn call(pid: i32, told: &Path) -> bool {
    // In a function, so that no name in `__main__` keeps a frame alive.
    let lines = format!(
        "def tell(path):\\n\
         \x20 import sys, traceback\\n\
         \x20 told = open(path, 'w')\\n\
         \x20 for ident, frame in sys._current_frames().items():\\n\
         \x20   told.write('%d\\\\n%s\\\\n' % (ident, ''.join(traceback.format_stack(frame))))\\n\
         \x20 told.write('all\\\\n')\\n\
         \x20 told.close()\\n\
         tell('{}')\\n\
         del tell\\n",
        told.display()
    );
    let run = format!("call (int) PyRun_SimpleString(\"{lines}\")");
    let mut gdb = Program::start_without_input(
        command("gdb")
            .args(["-nx", "-batch", "-p", &pid.to_string()])
            .args(["-ex", "set $held = (int) PyGILState_Ensure()"])
            .args(["-ex", &run])
            .args(["-ex", "call (void) PyGILState_Release($held)"]),
    );
    let until = Instant::now() + LIMIT;
    while !gdb.has_ended() {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    gdb.end_within(LIMIT);
    true
}
