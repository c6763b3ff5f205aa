//! The compared ways of asking.

use protocol::names::THREAD_HEADING;
use std::path::PathBuf;
use std::process::Command;
use tests::process::command;
use tests::product::product;

/// The way without a debugger.
pub const WAKE: &str = "activate --via wake";
/// The same, in the full format.
pub const FULL: &str = "--via wake --format full";
/// The same, with the local variables of every frame.
pub const LOCALS: &str = "--via wake --locals";
/// The command's way through gdb.
pub const BY_GDB: &str = "activate --via gdb";
/// The other tool.
pub const PY_SPY: &str = "py-spy dump";
/// The other tool, with local variables.
pub const PY_SPY_LOCALS: &str = "py-spy dump --locals";
/// gdb as a user types it.
pub const PLAIN_GDB: &str = "plain gdb";
/// A command that does nothing: the cost to the program of starting any command.
pub const NOTHING: &str = "true, asks nothing";

/// A way of asking, and how to count the threads in its output.
pub struct Way {
    /// Its name in the tables.
    pub name: &'static str,
    /// The command that asks the process of this ID.
    pub command: Box<dyn Fn(i32) -> Command>,
    /// The prefix of a thread's heading; `None` if the output shows no threads.
    pub heading: Option<&'static str>,
    /// A program of this many threads or more is asked only once, because it takes so long.
    pub once_from: usize,
}

/// `sleeper_agent_activate` with options.
pub fn activate(name: &'static str, options: &'static [&'static str]) -> Way {
    Way {
        name,
        command: Box::new(move |pid| {
            let mut ask = command(&product().activate);
            ask.args(options).arg(pid.to_string());
            ask
        }),
        heading: Some(THREAD_HEADING),
        once_from: usize::MAX,
    }
}

/// All ways that are available here; prints which are not.
pub fn ways() -> Vec<Way> {
    let mut ways = vec![
        activate(WAKE, &["--via", "wake"]),
        activate(FULL, &["--via", "wake", "--format", "full"]),
        activate(LOCALS, &["--via", "wake", "--locals"]),
        activate(BY_GDB, &["--via", "gdb"]),
    ];
    let py_spy: PathBuf = product().root.join(".tools/py-spy/bin/py-spy");
    if py_spy.exists() {
        for (name, options) in [(PY_SPY, &[][..]), (PY_SPY_LOCALS, &["--locals"])] {
            let py_spy = py_spy.clone();
            ways.push(Way {
                name,
                command: Box::new(move |pid| {
                    let mut ask = command(&py_spy);
                    ask.args(["dump", "--pid", &pid.to_string()]).args(options);
                    ask
                }),
                heading: Some("Thread "),
                once_from: usize::MAX,
            });
        }
    } else {
        println!("{PY_SPY}: skipped, it is not installed (run `make bench`)");
    }
    ways.push(Way {
        name: PLAIN_GDB,
        command: Box::new(|pid| {
            let mut ask = command("gdb");
            let line = "printf \"%s\", sleeper_agent_state()";
            ask.args(["-p", &pid.to_string(), "-batch", "-ex", line]);
            ask
        }),
        heading: Some(THREAD_HEADING),
        once_from: 500,
    });
    ways.push(Way {
        name: NOTHING,
        command: Box::new(|_| command("true")),
        heading: None,
        once_from: usize::MAX,
    });
    ways
}
