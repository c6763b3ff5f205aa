//! A program whose interpreter is idle, as programs that embed it mostly are: its threads, as the kernel shows them.

use crate::state::State;
use crate::state::kernel;
use crate::system::proc_file::{self, SHORT};
use crate::system::process::Process;
use protocol::names::{AGENT_THREADS, NO_FRAMES, NOBODY_RUNS_PYTHON};
use protocol::state::RUNNING;

/// More threads are only counted.
const MOST: usize = 1000;

/// Whether this reason for the lack of stacks says that the interpreter is there, and idle as far as is known.
pub fn is_idle(reason: &str) -> bool {
    reason == NOBODY_RUNS_PYTHON || reason.starts_with(NO_FRAMES)
}

/// The state of a process without a thread that runs Python code, as far as `/proc` shows it now.
pub fn state(process: Process) -> State {
    let threads = process.threads().unwrap_or_default();
    let mut state = State::of_threads(Vec::new());
    let mut count = 0;
    for number in threads {
        let Some(name) = process.name_of(number) else {
            continue;
        };
        if AGENT_THREADS.contains(&&*name) {
            continue;
        }
        count += 1;
        if state.others.len() == MOST {
            continue;
        }
        let call = proc_file::read(process.path(&format!("task/{number}/syscall")), SHORT);
        let call = match (call, Process { pid: number }.status()) {
            (Ok(read), _) => String::from_utf8_lossy(&read.bytes).trim().to_owned(),
            // The call may be closed to us. Whether it runs is not.
            (Err(_), Ok(status)) if status.state == 'R' => RUNNING.to_owned(),
            (Err(_), Ok(_)) => String::new(),
            (Err(_), Err(_)) => continue,
        };
        let thread = kernel::thread_without_python(name, number, &call);
        state.others.push(thread);
    }
    if count > state.others.len() {
        let missing = count - state.others.len();
        state
            .left_out
            .push(format!("{missing} more threads are not shown"));
    }
    state
}
