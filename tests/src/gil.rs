//! Programs that keep the GIL, so that the agent cannot take it.

use crate::ask::{preloaded_python, target, woken};
use crate::interpreters::Interpreter;
use crate::process::Program;
use protocol::names::DEADLINE_VARIABLE;
use std::thread::sleep;
use std::time::Duration;

/// Line 2 never lets go of the GIL, and moves: so it is waited for.
const KEEPS_IT: &str = "import ctypes, sys; sys.setcheckinterval(1 << 30); sys.stdout.write('ready\\n'); \
    sys.stdout.flush()\nwhile 1: ctypes.PyDLL(None).usleep(5000)";

/// A program that keeps the GIL for good; its agent waits this many seconds for it.
#[track_caller]
pub fn keeps_the_gil(python: &Interpreter, deadline: &str) -> Program {
    let mut command = preloaded_python(python);
    woken(
        command
            .args(["-c", KEEPS_IT])
            .env(DEADLINE_VARIABLE, deadline),
    )
}

/// `weird.py KIND 6`, which already holds the GIL and keeps it for six seconds; the agent waits this
/// many seconds for it.
#[track_caller]
pub fn keeps_the_gil_for_six_seconds(python: &Interpreter, kind: &str, deadline: &str) -> Program {
    let mut command = target(python, "weird.py");
    let program = woken(command.args([kind, "6"]).env(DEADLINE_VARIABLE, deadline));
    sleep(Duration::from_millis(300));
    program
}
