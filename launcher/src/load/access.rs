//! Whether a process may be loaded into now, and why it is closed to us.

use std::io;
use std::time::Duration;

use crate::find::target::{Alive, exited, replaced, traced};
use crate::system::permission;
use crate::trouble::Trouble;

/// How long a process takes from the loss of its memory to its end.
const ENDING: Duration = Duration::from_millis(20);

/// Fails if the process is stopped, traced or ended.
pub fn is_loadable(alive: &Alive) -> Result<(), Trouble> {
    alive.still_runs()?;
    let status = alive.status().ok_or_else(exited)?;
    if status.tracer != 0 {
        return Err(traced(status.tracer));
    }
    Ok(())
}

/// Why the memory of a process cannot be opened or written to.
pub fn closed(alive: &Alive, error: &io::Error) -> Trouble {
    // A process that is ending is closed to all a moment before that shows.
    std::thread::sleep(ENDING);
    if let Err(trouble) = alive.still_runs() {
        return trouble;
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => permission::explain(alive.process),
        // The memory that was opened is that of the program before (`mem_rw`, fs/proc/base.c).
        _ => replaced(),
    }
}
