//! Brings the library into a program that was started without it.
//!
//! Enters: a process and the library's file. Leaves: an agent that has begun there, or the trouble that prevented it.
//!
//! 1. [`places`]: nobody is stopped while we look where the code may go. It is written through `/proc/PID/mem`.
//! 2. [`resting`]: one thread is chosen that waits, or runs, where it holds no lock of the C library's.
//! 3. [`sender`]: it is stopped, looked at once more, and its program counter is set to the code ([`detour`]); then it is
//!    let go. That takes some 0.1 ms. There it calls `pthread_create` and goes on where it was.
//! 4. The new thread has another load the library, and the agent begins.
//!
//! Two other ways were tried and are not used. To write a call into the interpreter's own list of pending calls stops
//! nobody, but a signal that comes just then may lose its place in the list to ours. To have the kernel start a thread
//! without the C library (`clone`) works anywhere, but such a thread has no place in malloc, which then counts one thread
//! too few: it killed programs with a single arena. Where these ways would be needed, the stacks are read from outside.
//!
//! This command may be killed at any moment: a thread that is stopped goes on, on the detour or where it was.

mod access;
pub mod candidates;
pub mod copy;
pub mod detour;
pub mod filters;
pub mod places;
pub mod resting;
pub mod sender;
mod signal_frames;
pub mod source;
pub mod words;

use std::io;
use std::time::{Duration, Instant};

use crate::find::agent::Agent;
use crate::find::library::Library;
use crate::find::no_agent;
use crate::find::target::{Alive, just_started, name_of};
use crate::load::places::Places;
use crate::load::sender::{Sender, Stops};
use crate::load::source::Source;
use crate::system::process::Process;
use crate::system::turn::Turn;
use crate::trouble::Trouble;
use protocol::begun::Begun;
use protocol::names::PARKED_THREAD;

/// How long a program takes to load its libraries.
const SETTLING: Duration = Duration::from_millis(250);

/// How long the first thread is tried once more.
const SECOND_TRY: Duration = Duration::from_millis(100);

/// How long the first thread may take to its next bytecode.
const LONGEST_BYTECODE: Duration = Duration::from_millis(500);

/// How the agent has come into a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loaded {
    /// It has begun now, and this was done to the program's threads for that.
    Begun(Begun, Stops),
    /// It was there already.
    Before,
}

/// Loads the library into a process and has the agent begin there, by this time. `tell` takes how that was done, for
/// whoever wants to know. Returns what the program's user should know; `None` if it can be asked now.
///
/// # Errors
/// Why nothing was loaded, or not in time.
pub fn bring_in(
    process: Process,
    library: &Library,
    until: Instant,
    tell: impl FnOnce(String),
) -> Result<Option<&'static str>, Trouble> {
    let begun = Instant::now();
    let alive = Alive::examine(process)?;
    let loaded = load(&alive, library, until)?;
    tell(account(loaded, begun.elapsed()));
    remark(loaded)
}

fn load(alive: &Alive, library: &Library, until: Instant) -> Result<Loaded, Trouble> {
    let process = alive.process;
    // Everybody sees that, also who may not trace the process.
    if is_there(process) {
        return Ok(Loaded::Before);
    }
    let turn = Turn::take(process, until);
    let found = Agent::find(process).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Trouble::new(
            error.to_string(),
            format!(
                "look what is mapped into it (`ls -l /proc/{}/map_files`)",
                process.pid
            ),
        ),
        _ => access::closed(alive, &error),
    })?;
    if is_there(process) {
        return Ok(Loaded::Before);
    }
    // One that has not begun does so by this: it may have come before its interpreter, and found no moment since.
    let source = match found {
        None => Source::of(process, &library.file),
        Some(agent) => Source::of_agent(process, &agent)?,
    };
    access::is_loadable(alive)?;
    let mut sender = Sender::new(alive, settled(alive, until)?, source)?;
    // Two at once would write over each other's code.
    if !turn.is_ours() {
        return Err(Trouble::new(
            "another command traces it, or brings the agent in, and has not ended in time",
            "try again",
        ));
    }
    let mut begun = sender.load(until, |_| true)?;
    if begun == Begun::Armed && sender.first_thread_may_go() {
        // There is no GIL, and another thread has loaded the library.
        let soon = until.min(Instant::now() + SECOND_TRY);
        if let Ok(now) = sender.load(soon, |thread| thread == process.pid) {
            begun = now;
        }
    }
    // Until the agent's new thread has its name, gdb would take the program's first thread for it.
    let may_show_itself = matches!(begun, Begun::Armed | Begun::Parked);
    if may_show_itself && shows_itself(process) {
        return Ok(Loaded::Begun(Begun::Parked, sender.stops));
    }
    Ok(Loaded::Begun(begun, sender.stops))
}

/// Where the code may go. A program that has just begun has not loaded all of its libraries: a while later there may be
/// what it lacks.
fn settled(alive: &Alive, until: Instant) -> Result<Places, Trouble> {
    let soon = until.min(Instant::now() + SETTLING);
    loop {
        match Places::find(alive.process) {
            Ok(Some(places)) => return Ok(places),
            Ok(None) | Err(_) if Instant::now() < soon => alive.still_runs()?,
            Ok(None) => return Err(without_python(alive.process)),
            Err(trouble) => return Err(trouble),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Why nothing is loaded into a process none of whose files is Python.
fn without_python(process: Process) -> Trouble {
    match no_agent::is_in_memory(process) {
        true => no_agent::static_program(process),
        false => Trouble::new(
            format!("there is no Python 2.6 or 2.7 in it ({})", name_of(process)),
            no_agent::below_it(process),
        ),
    }
}

/// Whether the agent's thread is there.
fn is_there(process: Process) -> bool {
    matches!(process.thread_named(PARKED_THREAD), Ok(Some(_)))
}

/// Whether the agent's thread shows itself within a moment: it has to be started and to get a processor, or a first thread
/// that runs Python code soon comes to the next bytecode.
fn shows_itself(process: Process) -> bool {
    let until = Instant::now() + LONGEST_BYTECODE;
    while Instant::now() < until {
        if is_there(process) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// How the agent has come into a program, and how long that took.
fn account(loaded: Loaded, took: Duration) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    match loaded {
        Loaded::Before => "its agent was there already".to_owned(),
        Loaded::Begun(_, stops) if stops.thread == 0 => {
            "an earlier command's thread has loaded the library".to_owned()
        }
        Loaded::Begun(_, stops) => format!(
            "thread {}, which {}, started the thread that has loaded the library; stops of threads: {}, the longest \
             {:.2} ms; in all {:.1} ms",
            stops.thread,
            if stops.waited { "waited" } else { "ran" },
            stops.count,
            milliseconds(stops.longest),
            milliseconds(took),
        ),
    }
}

/// What a program's user reads about the beginning of its agent; `None` if it can be asked now.
fn remark(loaded: Loaded) -> Result<Option<&'static str>, Trouble> {
    match loaded {
        Loaded::Before | Loaded::Begun(Begun::Parked | Begun::Elder, _) => Ok(None),
        Loaded::Begun(Begun::Armed, _) => Ok(Some(
            "its agent starts when its main thread next runs Python code; until then answers are read from memory",
        )),
        Loaded::Begun(Begun::NoInterpreter, _) => {
            Err(Trouble::plain("not a Python 2.6 or 2.7 process"))
        }
        Loaded::Begun(Begun::NoThread, _) => Err(Trouble::new(
            "the library is there, but its agent could not start a thread",
            "look at its limits (`ulimit -u`, pids.max)",
        )),
        Loaded::Begun(Begun::Failed, _) => Err(just_started()),
    }
}
